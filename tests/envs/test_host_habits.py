"""Environments that are lawful but odd, in this process and in others, and what is left of them."""

import os
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import psutil
import pytest
from gymnasium.vector import SyncVectorEnv

import mdvi
from hostile import Counter, Odd
from mdvi import envs
from mdvi.envs.host.checked import CheckedEnv, CheckedEnvs, packed, says, unpacked
from mdvi.envs.names import environment_of
from mdvi.learning.runs.run import Report
from mdvi.learning.train import fingerprint

HERE = Path(__file__).parents[1]
TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}


@pytest.fixture
def here(monkeypatch):
    monkeypatch.chdir(HERE)


def statuses(env, **options):
    run = mdvi.train(env, "dqn", **{"seeds": 2, "steps": 80} | TINY | options)
    return [member["status"] for member in run.summary["members"]]


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("imports late", "ok"),
        ("bytes", "ok"),
        ("fractions", "env_error: an observation of float64 has numbers that its space, of uint8, cannot hold"),
        ("huge", "env_error: the observation was not finite"),
        ("pays too much", "env_error: the reward was 1e+300"),
    ],
)
def test_what_is_kept_is_what_was_told_or_it_is_named(here, processes, habit, words):
    for status in statuses(envs.gymnasium("hostile:Odd", processes=processes, habit=habit)):
        assert status.startswith(words)


def test_modules_of_the_library_are_not_mistaken_for_what_an_environment_imports(here):
    assert statuses(envs.gymnasium("hostile:Odd", habit="imports")) == ["ok"] * 2


def test_environments_in_other_processes_are_closed_and_leave_nobody(here, tmp_path):
    assert statuses(envs.gymnasium("hostile:Odd", habit="closes", where=str(tmp_path)), environments=2) == ["ok"] * 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2 * (1 + 2 * 2)  # one to be looked at, and two of each member
    assert [name.replace("closed", "open") for name in names[:5]] == names[5:]
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1234"]]


def test_a_process_that_splits_is_given_up(here):
    assert "its process sent too much data" in statuses(envs.gymnasium("hostile:Odd", habit="splits"))[0]


def test_an_environment_that_changes_the_folder_does_not_take_the_run_along(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env, remarks = envs.made(partial(Odd, "moves")), []
    assert statuses(env, out="run", report=Report(remark=remarks.append)) == ["ok"] * 2
    assert "late_import, imported inside of a function" in remarks[0]
    assert {"config.json", "summary.json", "metrics.csv"} <= {path.name for path in (tmp_path / "run").iterdir()}
    os.chdir(tmp_path)


def test_instances_that_differ_are_told_apart():
    cells = [CheckedEnv(Odd(), "a", 9), CheckedEnv(Counter(), "b", 9)]
    with pytest.raises(ValueError, match=r"one has 2 actions and observations float32\[2\], another 3 actions"):
        CheckedEnvs(cells)
    with pytest.raises(ValueError, match="expected a vector of 2 environments, got 3"):
        statuses(envs.vectored(lambda n: SyncVectorEnv([Odd] * 3)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: envs.made(partial(Odd, "cannot be closed")), "its observations have shape"),
        (lambda: envs.made(lambda: 1 / 0), "ZeroDivisionError"),
        (lambda: envs.vectored(lambda n: 1 / 0), "ZeroDivisionError"),
        (lambda: envs.vectored(lambda n: Odd()), "expected a function that makes a Gymnasium VectorEnv, got Odd"),
        (lambda: envs.gymnasium("CartPole-v1", make=len), "options must be values that JSON can hold"),
        (lambda: envs.made(Odd, limit=0), "limit: expected 1 to"),
        (lambda: envs.made(Odd, clip=-1.0), "clip: expected at least 0"),
        (lambda: envs.made(Odd, stack=300), "stack: expected 1 to 255"),
        (lambda: envs.gymnasium("CartPole-v1", timeout=float("inf")), "timeout: expected 0 to 1e"),
        (lambda: environment_of("hostile:Odd:name=3"), "unexpected keyword argument 'name'"),
    ],
)
def test_what_cannot_be_made_is_named_in_one_line(here, make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_no_clip_is_no_clip():
    assert envs.made(Odd, clip=0.0).clip is None


def test_frames_on_a_disk_must_fit_there(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"replay_on_disk: .* GB of frames do not fit into the .* GB that are free"):
        statuses(envs.made(Counter), replay_on_disk=True, out=tmp_path / "run")


def test_vectors_that_take_one_seed_for_all_are_given_one():
    def make(n):
        return gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode="vector_entry_point")

    assert statuses(envs.vectored(make)) == ["ok"] * 2


def test_messages_survive_whatever_is_in_them():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    assert says(MuteError()) == "MuteError: an exception without a readable message"
    spaces = CheckedEnv(Odd(), "a", 9).spaces
    told = CheckedEnvs([CheckedEnv(Odd(), "a", 9)]).reset(np.array([0]), np.ones(1, bool))
    assert unpacked(packed(told._replace(wrong=["\udcff"]), spaces), spaces).wrong == ["?"]


def test_functions_are_told_apart_by_what_they_do():
    first, second = envs.made(lambda: Odd()), envs.made(lambda: Odd("bytes", "", after=3))
    assert fingerprint(first) == fingerprint(envs.made(first.source.make)) != fingerprint(second)
