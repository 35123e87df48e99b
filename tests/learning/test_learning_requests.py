"""Requests that cannot be meant, folders that were tampered with, and names with brackets in them."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import mdvi as library
from commands import run
from mdvi import envs, mdp
from mdvi.envs import FiniteEnvironment, TimeLimit
from mdvi.learning import request
from mdvi.learning.runs.run import Report
from mdvi.learning.train import fingerprint

TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 200}
FLAGS = [part for name in TINY for part in ("--set", f"{name}={8 if name == 'hidden' else TINY[name]}")]


@pytest.fixture
def mdvi(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


def garnet(seed):
    return TimeLimit(FiniteEnvironment(mdp.garnet(6, 2, 2, 0.9, seed=seed)), 20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in an environment that was given as an object."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    library.train(garnet(0), "dqn", seeds=2, steps=200, out=folder, **TINY)
    return folder


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A run in an environment that was given by its name."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    library.train("probe-matched", "dqn", seeds=2, steps=200, out=folder, **TINY)
    return folder


@pytest.mark.parametrize("name", ["probe-matched", "garnet:states=6", "maze:rows=4,columns=4"])
def test_finite_models_and_probes_can_be_watched(mdvi, tmp_path, name):
    assert mdvi("train", name, "--steps", 200, *FLAGS, "--out", tmp_path / "run")[0] == 0
    code, _, err = mdvi("play", tmp_path / "run", "--video", tmp_path / "a.gif", "--limit", 5)
    assert (code, err.count("\n")) == (0, 1)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size > (1, 1)


def test_brackets_are_printed_as_they_are(mdvi, tmp_path):
    folder = tmp_path / "a [b] [/c] :smile:"
    code, out, _ = mdvi("train", "probe-matched", "--steps", 200, *FLAGS, "--out", folder)
    assert code == 0
    assert str(folder) in out
    for written, command in ((folder / "curves.png", "plot"), (tmp_path / "[/x].gif", "play")):
        code, _, err = mdvi(command, folder, *(("--video", written) if command == "play" else ()))
        assert code == 0
        assert f"wrote {written}\n" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 2**40}, "expected at most 100000 members in one run, got 1099511627776"),
        ({"seeds": 1000, "kl": list(range(1, 200))}, "got 199000"),
        ({"seeds": [0, 1, 0]}, "seeds: 0 is listed twice"),
        ({"kl": [0.1, 0.2, 0.1]}, "kl: 0.1 is listed twice"),
        ({"kl": []}, "kl: expected a number or a list of numbers, got []"),
        ({"kl": True}, "kl: expected a number or a list of numbers, got True"),
        ({"kl": 1e-50}, "kl: expected 0, or 1.2e-38 to 3.4e+38 in size, got 1e-50"),
        ({"learning_rate": 1e39}, "learning_rate: expected 0, or 1.2e-38 to 3.4e+38 in size, got 1e+39"),
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"workers": 0}, "workers: expected a whole number, 1 to 1048576, got 0"),
        ({"memory": float("nan")}, "checkpoint_every, memory: expected seconds of at least 0"),
        ({"checkpoint_every": -1.0}, "checkpoint_every, memory: expected seconds of at least 0"),
        ({"lowest": 5.0}, "lowest: expected at most 0"),
        ({"optimizer_epsilon": float("inf")}, "optimizer_epsilon: "),
        ({"env": FiniteEnvironment}, "got the class FiniteEnvironment itself"),
        ({"env": "CartPole-v1:limit=3000000000"}, "limit: expected 1 to 2³¹ − 1"),
    ],
)
def test_what_cannot_be_meant_is_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        library.train(**{"env": "probe-matched", "steps": 200} | TINY | arguments)
    assert "\n" not in str(raised.value)


def test_values_of_other_types_are_named_or_taken_for_what_they_are():
    for seeds in (2.5, "2", None, [0.5], ["a"]):
        with pytest.raises(ValueError, match="seeds: expected"):
            request._seeds(seeds)
    for numbers in ("a", 1j, [[1.0]], [None]):
        with pytest.raises(ValueError, match="kl: expected a number or a list of numbers"):
            request._listed("kl", numbers)
    assert request._seeds(np.int64(2)) == request._seeds(2.0) == request._seeds(np.arange(2)) == [0, 1]
    assert request._listed("kl", np.float32(0.5)) == [0.5]


def test_settings_of_numpy_are_settings(tmp_path):
    sizes = TINY | {"hidden": np.array([8]), "batch": np.int64(8), "double": np.bool_(True), "epsilon": np.float32(0.5)}
    mine = library.train("probe-matched", seeds=2, kl=0.5, steps=200, out=tmp_path, **sizes)
    assert mine.summary["status"] == "ok"
    assert library.load(tmp_path).config == mine.config


def test_a_run_is_loaded_with_the_environment_it_was_trained_in(mdvi, trained):
    assert len(library.load(trained, garnet(0))) == 2
    with pytest.raises(
        ValueError,
        match=r"was trained with the environment TimeLimit 2 \S+ [0-9a-f]{16}, not TimeLimit 2 \S+ [0-9a-f]{16}",
    ):
        library.load(trained, garnet(1))
    with pytest.raises(ValueError, match=r"expected a name, .* got int"):
        library.load(trained, 3)
    code, _, err = mdvi("evaluate", trained)
    assert code == 2
    assert (
        f"this run was trained with an environment object, which is not stored; pass it: mdvi.load({trained}, env)"
        in err
    )
    assert "is it the folder of a training run?" in mdvi("evaluate", trained / "config.json")[2]


def test_policies_act_on_finite_numbers_only(named):
    mine = library.load(named)
    size = mine.env.observation.shape[0]
    assert mine.policy(np.zeros((0, size))).shape == (0,)
    for obs in (["a"] * size, [np.nan] * size, [np.inf] * size, [None] * size):
        with pytest.raises(ValueError, match="obs: expected finite numbers"):
            mine.policy(obs)
    for options in ({"member": 2}, {"member": -1}, {"seed": -1}, {"seed": 2**70}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
            mine.policy(np.zeros(size), **options)


@pytest.mark.parametrize(
    "options", [{"epsilon": 2.0}, {"epsilon": float("nan")}, {"limit": 0}, {"limit": 2**40}, {"seed": 2**70}]
)
def test_episodes_are_played_with_numbers_in_range_only(mdvi, named, options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}: expected"):
        library.load(named).evaluate(3, **options)
    code, _, err = mdvi("evaluate", named, f"--{name}", value)
    assert (code, err.count("\n")) == (2, 1)
    assert name in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": ["a"]}, "damaged: seeds is missing or of the wrong kind"),
        ({"seeds": [None]}, "damaged: seeds"),
        ({"learning_rate": ["1"]}, "damaged: learning_rate"),
        ({"kl": [[1]]}, "damaged: kl"),
        ({"width": -1}, "does not match the checkpoints"),
        ({"seeds": [0, 0]}, "does not match the checkpoints"),
        ({"seeds": [5, 6]}, "does not match the checkpoints"),
        ({"steps": 400}, "does not match the checkpoints"),
        ({"learning_rate": [0.1]}, "does not match the checkpoints"),
    ],
)
def test_a_configuration_that_was_edited_is_not_believed(mdvi, tmp_path, named, change, message):
    folder = tmp_path / "run"
    shutil.copytree(named, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    before = (folder / "metrics.csv").read_bytes()
    for command in (("evaluate", folder), ("train", "--out", folder)):
        code, _, err = mdvi(*command)
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err
    assert (folder / "metrics.csv").read_bytes() == before


def test_a_configuration_that_is_lost_is_written_again_by_the_command_that_made_it(tmp_path, named):
    folder, remarks = tmp_path / "run", []
    shutil.copytree(named, folder)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[:50])
    asked = {"env": "probe-matched", "agent": "dqn", "seeds": 2, "steps": 200, "out": folder} | TINY
    with pytest.raises(ValueError, match=r"config.json: damaged .*repeat the command that made the run"):
        library.train(**asked | {"seeds": 3})
    library.train(**asked, report=Report(remark=remarks.append))
    assert (folder / "config.json").read_text() == text
    assert "rewriting it" in remarks[0]
    shutil.rmtree(folder / "checkpoint")
    library.train(**asked, report=Report(remark=remarks.append))
    assert any("its checkpoints are missing; training starts from the beginning" in line for line in remarks)
    assert (folder / "metrics.csv").read_text() == (named / "metrics.csv").read_text()


def test_environments_of_all_kinds_are_told_apart_by_their_numbers():
    assert fingerprint(garnet(0)) == fingerprint(garnet(0)) != fingerprint(garnet(1))
    assert fingerprint(envs.NAMES["CartPole-v1"](limit=5)) != fingerprint(envs.NAMES["CartPole-v1"](limit=6))


def test_a_run_prints_itself_in_two_lines(named):
    first, second = repr(library.load(named)).split("\n")
    assert first == "Run('dqn' in 'probe-matched', members=2, steps=240,"
    assert second.startswith("    status='ok', last_100=")
