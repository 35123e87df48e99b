"""Runs that go on for longer than they were made for: to the bit what a long run would have been."""

import json

import numpy as np
import pytest
from test_own_agents import parameters

import mdvi as library
from commands import run
from mdvi.learning.runs import record
from mdvi.learning.training import host, population

SIZES = {
    "hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 300, "target_period": 20, "log_period": 100,
    "epsilon": 0.2, "epsilon_steps": 250, "seeds": 2,
}  # fmt: skip
ENVS = ["CartPole-v1", "Acrobot-v1"]  # compiled, and on the host


def equal(one, other):
    for mine, theirs in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.metrics.keys() == other.metrics.keys()
    for name in one.metrics:
        np.testing.assert_array_equal(one.metrics[name], other.metrics[name])
    assert one.summary == other.summary


@pytest.mark.parametrize("agent", ["munchausen", "md-direct"])
@pytest.mark.parametrize("env", ENVS)
def test_a_run_that_was_made_longer_twice_is_the_long_run_to_the_bit(env, agent, tmp_path):
    sizes = SIZES | {"diagnostics": True}
    straight = library.train(env, agent, steps=700, **sizes)
    for steps in (300, 500, 700):
        longer = library.train(env, agent, steps=steps, out=tmp_path / "run", **sizes)
    equal(straight, longer)
    equal(straight, library.load(tmp_path / "run"))
    config = json.loads((tmp_path / "run" / record.CONFIG).read_text())
    assert (config["steps"], config["made_steps"]) == (700, 300)
    equal(straight, library.train(env, agent, steps=700, out=tmp_path / "run", **sizes))
    with pytest.raises(ValueError, match="was made with steps = 700, not 500"):
        library.train(env, agent, steps=500, out=tmp_path / "run", **sizes)


@pytest.mark.parametrize("env", ENVS)
def test_a_run_that_is_filling_its_replay_goes_on_when_all_actions_are_random(env, tmp_path):
    sizes = SIZES | {"epsilon": 1.0, "epsilon_steps": 0}
    straight = library.train(env, "dqn", steps=600, **sizes)
    for steps in (200, 600):
        longer = library.train(env, "dqn", steps=steps, out=tmp_path / "run", **sizes)
    equal(straight, longer)


@pytest.mark.parametrize("env", ENVS)
def test_the_default_exploration_stays_and_says_so(env, tmp_path):
    sizes = {name: value for name, value in SIZES.items() if not name.startswith("epsilon")}
    library.train(env, "dqn", steps=300, out=tmp_path / "run", **sizes)
    lines = []
    watch = library.Report(remark=lines.append)
    longer = library.train(env, "dqn", steps=600, out=tmp_path / "run", report=watch, **sizes)
    assert any("exploration keeps the schedule of 300 steps" in line for line in lines)
    assert longer.config["settings"]["epsilon_steps"] == 30
    equal(longer, library.train(env, "dqn", steps=600, epsilon_steps=30, **sizes))
    lines.clear()
    library.train(env, "dqn", steps=600, out=tmp_path / "run", report=watch, **sizes)
    assert not any("exploration" in line for line in lines if "keeps the schedule" not in line)


@pytest.mark.parametrize("env", ENVS)
def test_the_shell_makes_a_run_longer_by_its_folder_alone(env, tmp_path, capsys, monkeypatch):
    settings = [f"--set={name}={value}" for name, value in SIZES.items() if name not in ("hidden", "seeds")]
    arguments = [*settings, "--set=hidden=8,8", "--seeds=2", "--agent=dqn"]
    assert run(capsys, monkeypatch, "train", env, "--steps=300", "--out", tmp_path / "run", *arguments)[0] == 0
    code, out, _ = run(capsys, monkeypatch, "train", "--steps=600", "--out", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out)["members"][0]["env_steps"] == 600
    equal(library.load(tmp_path / "run"), library.train(env, "dqn", steps=600, **SIZES))
    code, _, err = run(capsys, monkeypatch, "train", "--steps=300", "--out", tmp_path / "run")
    assert code == 2
    assert "was made with steps = 600, not 300" in err


@pytest.mark.parametrize(("env", "module"), [("CartPole-v1", population), ("Acrobot-v1", host)])
def test_a_run_that_kept_nothing_to_go_on_from_says_so_and_stays(env, module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 0)
    short = library.train(env, "dqn", steps=300, out=tmp_path / "run", **SIZES)
    with pytest.raises(ValueError, match="finished after 300 steps and cannot be continued"):
        library.train(env, "dqn", steps=600, out=tmp_path / "run", **SIZES)
    equal(short, library.load(tmp_path / "run"))
    equal(short, library.train(env, "dqn", steps=300, out=tmp_path / "run", **SIZES))


def test_steps_that_are_rounded_to_the_same_lines_are_the_same_run(tmp_path):
    short = library.train("CartPole-v1", "dqn", steps=250, out=tmp_path / "run", **SIZES)
    equal(short, library.train("CartPole-v1", "dqn", steps=300, out=tmp_path / "run", **SIZES))


def test_what_was_stopped_while_it_grew_goes_on(tmp_path):
    straight = library.train("CartPole-v1", "dqn", steps=900, **SIZES)
    library.train("CartPole-v1", "dqn", steps=300, out=tmp_path / "run", **SIZES)

    class Stop(Exception):  # noqa: N818
        """Somebody closes the notebook."""

    def progress(done, goal):
        if done > goal / 2:
            raise Stop

    with pytest.raises(Stop):
        library.train("CartPole-v1", "dqn", steps=900, out=tmp_path / "run", report=library.Report(progress), **SIZES)
    assert not (tmp_path / "run" / record.SUMMARY).exists()
    equal(straight, library.train("CartPole-v1", "dqn", steps=900, out=tmp_path / "run", **SIZES))
