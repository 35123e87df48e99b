"""The default exploration, what version 0.1.0 had instead, and the remark about rewards that never came."""

import json
import shutil
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import mdvi
from hostile import Row
from mdvi import envs
from mdvi.cli.study import _study
from mdvi.learning import train
from mdvi.learning.request import Request
from mdvi.learning.runs.run import Report
from mdvi.mdp import FiniteMDP
from mdvi.study.spec import read

TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}
HERE = Path(__file__).parents[1]
OLD = HERE / "fixtures" / "0.1.0" / "studies"


class Corridor(gymnasium.Env):
    """Six places; one action leads a step on, the other back to the first; the last place pays."""

    action_space = Discrete(2)
    observation_space = Box(0, 1, (6,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.eye(6, dtype=np.float32)[0], {}

    def step(self, action):
        self.place = self.place + 1 if action == self.place % 2 else 0
        return np.eye(6, dtype=np.float32)[self.place], float(self.place == 5), self.place == 5, False, {}


def told(env, **options):
    """What a run remarked about rewards, and the run."""
    lines = []
    run = mdvi.train(env, "dqn", report=Report(remark=lines.append), **({"steps": 400} | TINY | options))
    return [line for line in lines if "all rewards were 0" in line], run


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        ({"steps": 12_345}, 1234),
        ({}, 10_000),
        ({"steps": 5}, 1),
        ({"steps": 4000, "n_step": 3}, 400),
        ({"steps": 4000, "preset": "small"}, None),
        ({"steps": 4000, "epsilon": 0.2}, None),
        ({"steps": 4000, "epsilon_steps": 7}, 7),
        ({"steps": 4000, "epsilon_steps": 0}, 0),
    ],
)
def test_exploration_falls_over_a_tenth_of_the_steps_where_nothing_else_is_named(asked, steps):
    config = Request.of("CartPole-v1", "dqn", **asked)
    found = config.explored().settings
    assert found.get("epsilon_steps") == steps
    assert found == config.settings | ({} if steps is None else {"epsilon_steps": steps})


def test_what_was_resolved_is_written_down_and_the_same_command_goes_on(tmp_path):
    options = {"env": "CartPole-v1", "agent": "dqn", "steps": 400, "out": tmp_path / "run"} | TINY
    run = mdvi.train(**options)
    text = (tmp_path / "run" / "config.json").read_text()
    assert json.loads(text)["settings"]["epsilon_steps"] == 40
    assert float(run.population.agents[0].epsilon_steps) == 40
    mdvi.train(**options)
    mdvi.train(**train.request_in(tmp_path / "run"), out=tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_text() == text
    with pytest.raises(ValueError, match="was made with settings"):
        mdvi.train(**options, epsilon_steps=41)


@pytest.mark.parametrize("lost", [False, True])
def test_a_run_of_0_1_0_keeps_the_exploration_it_was_made_with(tmp_path, monkeypatch, lost):
    options = {"env": "CartPole-v1", "agent": "dqn", "steps": 400, "out": tmp_path / "run"} | TINY
    with monkeypatch.context() as patch:
        patch.setattr(Request, "explored", lambda request, steps=None: request)
        mdvi.train(**options)
    path = tmp_path / "run" / "config.json"
    text = path.read_text()
    assert "epsilon" not in text
    if lost:
        path.unlink()
    run = mdvi.train(**options)
    assert float(run.population.agents[0].epsilon_steps) == 0
    assert path.read_text() == text
    mdvi.train(**train.request_in(tmp_path / "run"), out=tmp_path / "run")
    with pytest.raises(ValueError, match="was made with settings"):
        mdvi.train(**options, epsilon_steps=40)
    assert float(mdvi.load(tmp_path / "run").population.agents[0].epsilon_steps) == 0


def test_studies_of_0_1_0_keep_their_ids_and_new_ones_decay(tmp_path):
    file = OLD / "half.toml"
    new, earlier = read(file), read(file, earlier=True)
    assert all(json.loads(run.settings)["epsilon_steps"] == 1200 for run in new.runs)
    assert all("epsilon" not in run.settings for run in earlier.runs)
    assert {run.id for run in new.runs}.isdisjoint(run.id for run in earlier.runs)
    shutil.copytree(OLD / "half", tmp_path / "half")
    assert _study(file, tmp_path / "half") == earlier
    assert _study(file, tmp_path / "nothing") == new
    assert _study(file, tmp_path / "nothing", tmp_path / "half") == earlier


def test_the_studies_of_this_project_name_presets_and_keep_their_exploration():
    for file in sorted((HERE.parent / "studies").glob("*.toml")):
        assert read(file) == read(file, earlier=True), file


def test_a_reward_far_away_is_seen_by_default_and_not_without_exploration():
    lines, run = told(envs.made(Corridor), steps=3000)
    assert not lines
    assert run.metrics["episodes"].sum() >= 1  # they end at the last place only
    lines, _ = told(envs.made(Corridor), steps=3000, epsilon=0.0)
    assert lines == [
        "all rewards were 0, so there was nothing to learn from: explore more, or longer (epsilon, epsilon_steps), or "
        "check the rewards of the environment"
    ]


@pytest.mark.parametrize("seeds", [1, 3])
def test_rewards_that_never_came_are_told_once(tmp_path, seeds):
    table = np.tile(np.eye(3)[[1, 2, 0]][:, None], (1, 2, 1))
    paths = []
    for env in (
        envs.FiniteEnvironment(FiniteMDP(table, np.zeros((3, 2)), 0.9)),
        envs.made(partial(Row, "never"), limit=5),
    ):
        out = tmp_path / str(len(paths))
        paths.append(out)
        pays = isinstance(env, envs.Hosted)
        lines, _ = told(env, seeds=seeds, checkpoint_every=0.0, out=out)
        assert len(lines) == (0 if pays else 1)
        assert told(env, seeds=seeds, out=out)[0] == []  # nothing is left to do


def test_members_that_saw_a_reward_are_not_counted():
    class Half(Row):
        def reset(self, *, seed=None, options=None):
            if seed is not None:
                self.pays = seed % 2
            return super().reset(seed=seed)

        def step(self, action):
            obs, reward, *rest = super().step(action)
            return obs, reward * self.pays, *rest

    seeds = list(range(6))
    lines, run = told(envs.made(Half), seeds=seeds)
    paid = run.population.log.paid
    assert 0 < paid.sum() < 6
    assert len(lines) == 1
    assert f"were 0 for {6 - paid.sum()} of 6 members" in lines[0]
