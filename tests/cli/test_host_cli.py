"""Environments on the host from the command line: train, stop, go on, evaluate, film; and what is never run unasked."""

import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from PIL import Image

import mdvi as library
from commands import run
from forged import forge
from hostile import Row
from mdvi import envs
from mdvi.learning.experience import episodes
from mdvi.learning.runs import checkpoint
from mdvi.learning.runs.run import Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.training.host import HostPopulation

TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}
SIZES = ("hidden=8", "batch=8", "warmup=40", "replay=200", "target_period=20", "log_period=40")
OPTIONS = [part for size in SIZES for part in ("--set", size)]


@pytest.fixture(autouse=True)
def beside_the_environments(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])


@pytest.fixture
def mdvi(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


def stop_after(steps, monkeypatch):
    """A report that asks the run to stop after so many environment steps, and rounds short enough for that."""
    advance = HostPopulation.advance
    monkeypatch.setattr(HostPopulation, "advance", lambda self, seconds, stopping: advance(self, 0.0, stopping))

    def progress(done, goal):
        if done >= steps:
            os.kill(os.getpid(), signal.SIGTERM)

    return Report(progress=progress)


@pytest.mark.parametrize(
    ("name", "timeout", "agent", "stops"),
    [
        ("CartPole-v1", 0.0, "md-direct", (90, 333, 800)),
        ("Acrobot-v1", 60.0, "da", (90, 801)),
    ],
    ids=["gymnasium", "isolated"],
)
def test_a_stopped_run_is_never_stopped(tmp_path, monkeypatch, name, timeout, agent, stops):
    """Stopped anywhere, also inside of episodes, which are repeated from their seeds: equal to the bit."""
    monkeypatch.setattr(episodes, "_STRETCH", 25)  # seeds, and episodes without one, in one run
    env = envs.gymnasium(name, timeout=timeout)
    options = TINY | {"diagnostics": True, "environments": 2}
    straight = library.train(env, agent, seeds=2, steps=480, **options)
    folder, remarks = tmp_path / "run", []
    for stop in stops:
        with monkeypatch.context() as patch:
            report = stop_after(stop, patch)
            with pytest.raises(Interrupted):
                library.train(
                    env, agent, seeds=2, steps=480, out=folder, report=report, checkpoint_every=0.0, **options
                )
    report = Report(remark=remarks.append)
    again = library.train(env, agent, seeds=2, steps=480, out=folder, report=report, **options)
    assert any("resuming at 80" in line and "environment steps" in line for line in remarks)
    assert again.summary == straight.summary
    for name, column in straight.metrics.items():
        np.testing.assert_array_equal(column, again.metrics[name], err_msg=name)
    assert list((folder / "checkpoint" / "replay").glob("*"))  # the run can be made longer
    loaded = library.load(folder, env)
    assert loaded.summary == straight.summary
    for one, other in zip(*(jax.tree.leaves(found.networks(1)[1]) for found in (loaded, straight)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_episode_that_cannot_be_repeated_is_lost_and_nothing_else(tmp_path, monkeypatch):
    env, folder = envs.vectored(same_step, 0.9), tmp_path / "run"
    with monkeypatch.context() as patch:
        report = stop_after(150, patch)
        with pytest.raises(Interrupted):
            library.train(env, "dqn", steps=400, out=folder, report=report, **TINY)
    remarks = []
    again = library.train(env, "dqn", steps=400, out=folder, report=Report(remark=remarks.append), **TINY)
    assert sum("1 of 1 running episodes could not be repeated and are lost" in line for line in remarks) == 1
    assert again.population.replay.taken.tolist() == [400]
    assert again.summary["members"][0]["mean_return"] == 7.0  # the lost episode is not counted as a short one
    assert int(again.metrics["env_steps"][-1]) == 400


def same_step(count):
    return SyncVectorEnv([Row] * count, autoreset_mode=AutoresetMode.SAME_STEP)


def test_the_folder_of_a_large_replay_holds_it_once(tmp_path, monkeypatch):
    """Segments: what the replay gained between two checkpoints, and those that are overwritten by now are gone."""
    env, folder = envs.made(Row, 0.9), tmp_path / "run"
    with monkeypatch.context() as patch:
        report = stop_after(700, patch)
        with pytest.raises(Interrupted):
            library.train(env, "dqn", steps=4000, out=folder, report=report, checkpoint_every=0.0, **TINY)
    segments = sorted((folder / "checkpoint" / "replay").glob("*"))
    rows = [checkpoint.read(path.parent, int(path.stem), 2**20)[0]["where"].size for path in segments]
    assert len(segments) > 2
    assert 200 <= sum(rows) <= 200 + 260  # what is needed, and a little that leaves at the next checkpoint
    segments[-1].write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"does not fit .*damaged"):
        library.train(env, "dqn", steps=4000, out=folder, **TINY)


def test_a_class_of_ones_own_from_the_command_line(mdvi, tmp_path):
    folder = tmp_path / "run"
    order = ("train", "hostile:Row:end=truncated,steps=5", "--agent", "dqn", "--steps", 200, *OPTIONS, "--out", folder)
    code, out, _ = mdvi(*order)
    assert code == 0
    assert "5 ± 0" in out or " 5 " in out
    code, _, err = mdvi("evaluate", folder)
    assert code == 2
    assert (
        "hostile:Row:end=truncated,steps=5: a file names this environment, which would execute code of its own" in err
    )
    assert mdvi("train", "--out", folder)[0] == 2
    code, out, _ = mdvi("evaluate", folder, "--env", "hostile:Row:end=truncated,steps=5", "--episodes", 20, "--json")
    assert code == 0
    assert json.loads(out)["members"][0]["mean_return"] == 5.0
    assert mdvi("evaluate", folder, "--env", "hostile:Row")[0] == 2
    code, _, err = mdvi("play", folder, "--env", "hostile:Row:end=truncated,steps=5", "--video", tmp_path / "a.gif")
    assert code == 0
    assert "return 5 in 5 steps" in err
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (30, 20)
    assert mdvi("export", folder, tmp_path / "p.npz", "--env", "hostile:Row:end=truncated,steps=5")[0] == 0


def test_a_config_cannot_make_code_run(mdvi, tmp_path):
    folder = tmp_path / "run"
    assert mdvi("train", "CartPole-v1", "--agent", "dqn", "--steps", 100, *OPTIONS, "--out", folder)[0] == 0
    for name in ("hostile:Row", "hostile:Row-v0", "GymV26Environment-v0", "os:system"):
        forge(folder, env=name)
        for command in (
            ("evaluate", folder),
            ("train", "--out", folder),
            ("play", folder, "--video", tmp_path / "x.gif"),
        ):
            code, _, err = mdvi(*command)
            assert (code, "which would execute code of its own" in err) == (2, True), name


@pytest.mark.skipif(sys.platform != "linux", reason="Box2D has wheels there")
def test_lunar_lander_and_the_papers_presets(mdvi, tmp_path):
    folder = tmp_path / "run"
    sizes = ("--set", "hidden=8", "--set", "warmup=100", "--set", "target_period=100", "--set", "log_period=100")
    code, _, err = mdvi("train", "LunarLander-v3", "--preset", "paper", "--steps", 300, *sizes, "--out", folder)
    assert (code, err) == (0, "")
    assert mdvi("evaluate", folder, "--episodes", 2, "--json")[0] == 0
    assert mdvi("play", folder, "--video", tmp_path / "a.gif", "--limit", 5)[0] == 0
    code, _, err = mdvi("train", "LunarLander-v3", "--steps", 1, "--preset", "lunarlandr")
    assert code == 2
    assert "did you mean 'lunarlander'" in err


def test_presets_are_the_papers_tables():
    from mdvi.learning.settings import preset_of

    def sizes(of):
        return of.target_period, of.update_period, of.replay, of.batch, of.warmup

    lander, atari, pole = (preset_of("paper", env) for env in ("LunarLander-v3", "ALE/Breakout-v5", "CartPole-v1"))
    for preset, period in ((pole, 100), (lander, 2500)):
        settings, numbers, steps = preset
        assert (settings.target_period, settings.update_period, settings.replay, settings.batch) == (
            period,
            4,
            50_000,
            128,
        )
        assert (settings.hidden, settings.torso, settings.optimizer, settings.warmup) == (
            (512, 512),
            "none",
            "adam",
            500,
        )
        assert (numbers, steps) == ({"learning_rate": 1e-3, "epsilon": 0.01}, 500_000)
    settings, numbers, steps = atari
    assert (settings.target_period, settings.update_period, settings.replay, settings.batch) == (8000, 4, 10**6, 32)
    assert (settings.hidden, settings.torso, settings.optimizer, settings.warmup) == (
        (512,),
        "nature",
        "rmsprop",
        20_000,
    )
    assert settings.optimizer_epsilon == 1e-5
    assert (numbers, steps) == ({"learning_rate": 2.5e-4, "epsilon": 0.01, "epsilon_steps": 250_000}, 50_000_000)
