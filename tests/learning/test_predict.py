"""Policies as Stable-Baselines3 calls them: `evaluate_policy(model, env)` needs `predict` and nothing else."""

from functools import partial

import numpy as np
import pytest

import mdvi
from mdvi import envs

gymnasium = pytest.importorskip("gymnasium")
from gymnasium import spaces  # noqa: E402

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 100, "steps": 200}


class Pays(gymnasium.Env):
    """Pays for repeating what it shows, 3 or 4, for ten steps."""

    action_space = spaces.Discrete(2, start=3)

    def __init__(self, several):
        number = spaces.Discrete(2, start=3)
        self.observation_space = spaces.Dict({"it": number, "beside": spaces.Box(-1, 1, (2,))}) if several else number
        self.several = several

    def _look(self):
        obs = self.observation_space.sample()
        self.shown = obs["it"] if self.several else obs
        return obs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.left = 10
        return self._look(), {}

    def step(self, action):
        reward, self.left = float(action == self.shown), self.left - 1
        return self._look(), reward, self.left == 0, False, {}


class Columns:
    """Environments side by side as a `VecEnv` has them: parts in columns, episodes that begin again at once."""

    def __init__(self, makers):
        self.envs, self.num_envs = [make() for make in makers], len(makers)

    def _obs(self, rows):
        if not isinstance(rows[0], dict):
            return np.stack(rows)
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    def reset(self):
        return self._obs([env.reset(seed=i)[0] for i, env in enumerate(self.envs)])

    def step(self, actions):
        rows = []
        for env, action in zip(self.envs, actions, strict=True):
            obs, reward, terminated, truncated, _ = env.step(action)
            rows.append((env.reset()[0] if terminated or truncated else obs, reward, terminated or truncated, {}))
        obs, *rest = zip(*rows, strict=True)
        return self._obs(obs), *map(np.array, rest[:2]), list(rest[2])


def evaluate_policy(model, env, episodes, deterministic=True):
    """The loop of Stable-Baselines3's function of this name, with its calls of the model."""
    returns, running = [], np.zeros(env.num_envs)
    observations, states = env.reset(), None
    episode_starts = np.ones((env.num_envs,), dtype=bool)
    while len(returns) < episodes:
        actions, states = model.predict(
            observations, state=states, episode_start=episode_starts, deterministic=deterministic
        )
        observations, rewards, dones, _ = env.step(actions)
        running += rewards
        episode_starts = dones
        returns += running[dones].tolist()
        running[dones] = 0
    return np.mean(returns)


@pytest.mark.parametrize("several", [False, True])
def test_evaluate_policy_finds_what_was_learned(several):
    make = partial(Pays, several)
    run = mdvi.train(envs.made(make), "munchausen", epsilon=0.5, learning_rate=1e-2, **SMALL | {"steps": 1500})
    assert evaluate_policy(run, Columns([make] * 3), 6) == 10.0
    assert evaluate_policy(run.predictor(), Columns([make]), 2) == 10.0
    assert 5.0 < evaluate_policy(run, Columns([make] * 3), 30, deterministic=False) <= 10.0
    obs = make().reset(seed=1)[0]
    action, state = run.predict(obs, state="what it was")
    assert state == "what it was"
    assert action == (obs["it"] if several else obs)
    assert np.asarray(action).shape == ()


def test_samples_come_from_the_generator_of_the_policy():
    run = mdvi.train("CartPole-v1", "md-direct", seeds=2, kl=10.0, entropy=10.0, **SMALL)
    obs = np.tile(np.array([0.1, -0.2, 0.03, 0.3]), (5000, 1))
    policy = run.predictor(1)
    share = np.bincount(policy.predict(obs, deterministic=False)[0], minlength=2) / len(obs)
    np.testing.assert_allclose(share, policy.probabilities(obs[0]), atol=0.03)
    assert not np.array_equal(*(policy.predict(obs, deterministic=False)[0] for _ in range(2)))
    drawn = []
    for _ in range(2):
        policy.rng = np.random.default_rng(7)
        drawn.append(policy.predict(obs, deterministic=False)[0])
    np.testing.assert_array_equal(*drawn)


def test_masks_are_those_of_the_maskable_agents():
    run = mdvi.train("CartPole-v1", **SMALL)
    masks = np.tile([True, False], (6, 1))
    for deterministic in (True, False):
        actions, _ = run.predict(np.zeros((6, 4)), deterministic=deterministic, action_masks=masks)
        assert actions.tolist() == [0] * 6
