"""Atari: every look, reward and end as Gymnasium's own wrappers give them, with sticky actions; stopped and resumed."""

import os
import signal
import warnings

import ale_py
import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

import mdvi
from mdvi import envs
from mdvi.envs import names
from mdvi.envs.host.hosted import step
from mdvi.learning.experience.frames import HostReplay
from mdvi.learning.runs.run import Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.training.host import HostPopulation

gymnasium.register_envs(ale_py)
SIZES = {"hidden": (16,), "batch": 4, "warmup": 40, "replay": 120, "target_period": 40, "log_period": 40}


def reference(name, sticky, seed, noops=0):
    """The protocol out of Gymnasium's wrappers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(name, frameskip=1, repeat_action_probability=sticky, max_num_frames_per_episode=108_000)
    env.unwrapped.ale.setInt("random_seed", seed)
    env.unwrapped.load_game()
    env = AtariPreprocessing(env, noop_max=noops, frame_skip=4, screen_size=84, terminal_on_life_loss=False)
    return FrameStackObservation(env, 4, padding_type="zero")


@pytest.mark.parametrize("name", ["ALE/Breakout-v5", "ALE/Asterix-v5", "ALE/Seaquest-v5"])
def test_every_look_is_that_of_the_reference(name):
    """2 500 steps, 10 000 frames of the game; the replay's stacks, beside them what it says followed."""
    env, everybody = envs.atari(name), np.ones(1, bool)
    worlds = env.source.worlds(1, 1)
    told = worlds.reset(np.array([123]), everybody)
    replay = HostReplay(1, 50, (84, 84), np.uint8, 4)
    replay.begin(told)
    other, generator, ends, gained = reference(name, 0.25, 123), np.random.default_rng(0), 0, 0.0
    obs, _ = other.reset()
    for _ in range(2500):
        np.testing.assert_array_equal(replay.latest()[0], np.moveaxis(obs, 0, -1))
        action = int(generator.integers(env.actions))
        told = step(worlds, np.array([action], np.int32), everybody)
        replay.add(np.array([action]), told.reward, told)
        obs, reward, terminated, truncated, _ = other.step(action)
        assert (told.reward[0], told.terminated[0], told.truncated[0]) == (reward, terminated, truncated)
        gained += reward
        if terminated or truncated:
            np.testing.assert_array_equal(replay.latest()[0], np.moveaxis(obs, 0, -1))
            ends += 1
            other.unwrapped.ale.setInt("random_seed", 123 + ends)
            other.unwrapped.load_game()
            obs, _ = other.reset()
            replay.begin(worlds.reset(np.array([123 + ends]), everybody))
    worlds.close()
    assert ends >= 4
    assert gained > 0


def test_an_episode_is_cut_after_its_limit_and_lives_do_not_end_it():
    env, everybody = envs.atari("ALE/Breakout-v5", limit=30, sticky=0.0), np.ones(1, bool)
    worlds = env.source.worlds(1, 1)
    worlds.reset(np.array([1]), everybody)
    ends = [step(worlds, np.array([0], np.int32), everybody) for _ in range(30)]
    assert [bool(told.truncated[0]) for told in ends] == [False] * 29 + [True]
    assert not any(told.terminated[0] for told in ends)
    worlds.close()


def test_rewards_are_clipped_for_learning_and_not_in_what_is_reported():
    run = mdvi.train(
        envs.atari("ALE/Asterix-v5", limit=200), "dqn", preset="paper", steps=1000, **(SIZES | {"replay": 1000})
    )
    replay = run.population.replay
    assert set(np.unique(replay.steps["reward"])) == {0.0, 1.0}
    paid = np.nansum(run.metrics["episode_return"] * run.metrics["episodes"])
    assert paid >= 50 * 3  # a note in Asterix is worth 50
    assert run.env.observation.shape == (84, 84, 4)
    assert replay.frames.nbytes < 1.06 * 1000 * 84 * 84 + 17 * 84 * 84  # every frame once


def test_a_stopped_game_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mdvi.learning.experience.episodes._STRETCH", 50
    )  # some episodes begin from a seed, others by themselves
    env, folder = envs.atari("ALE/Breakout-v5", limit=30), tmp_path / "run"
    straight = mdvi.train(env, "dqn", preset="paper", seeds=2, steps=200, environments=2, **SIZES)
    advance = HostPopulation.advance
    with monkeypatch.context() as patch:
        patch.setattr(HostPopulation, "advance", lambda self, seconds, stopping: advance(self, 0.0, stopping))
        for stop in (150, 290):
            report = Report(
                progress=lambda done, goal, stop=stop: done >= stop and os.kill(os.getpid(), signal.SIGTERM)
            )
            with pytest.raises(Interrupted):
                mdvi.train(
                    env, "dqn", preset="paper", seeds=2, steps=200, environments=2, out=folder, report=report, **SIZES
                )
    again = mdvi.train(env, "dqn", preset="paper", seeds=2, steps=200, environments=2, out=folder, **SIZES)
    for name, column in straight.metrics.items():
        np.testing.assert_array_equal(column, again.metrics[name], err_msg=name)
    for one, other in zip(*(jax.tree.leaves(run.networks(1)[1]) for run in (again, straight)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(straight.population.replay.frames, again.population.replay.frames)
    frames, _ = again.film(0, limit=5)
    assert frames[0].shape == (336, 336, 3)
    assert again.evaluate(2, limit=20)[1].tolist() == [20, 20]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ALE/Brekout-v5", "ALE has no game 'Brekout'; did you mean 'breakout'"),
        ("ALE/Breakout-v4", "the name of a game as in ALE/Breakout-v5"),
        ("ALE/Breakout-v5:stick=.1", "unknown parameter 'stick'; did you mean 'sticky'"),
        ("ALE/Breakout-v5:sticky=2", "sticky: expected a probability"),
        ("ALE/Breakout-v5:noops=-1", "noops and limit"),
    ],
)
def test_games_that_cannot_be_meant_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        names.environment_of(text)
