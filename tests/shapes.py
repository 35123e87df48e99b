"""Environments for tests of what agents see."""

import gymnasium
import numpy as np


class Levels(gymnasium.Env):
    """Two numbers of different ranges."""

    observation_space = gymnasium.spaces.Box(np.array([0, 0]), np.array([1, 9]), dtype=np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.uint8), {}

    def step(self, action):
        return np.zeros(2, np.uint8), 0.0, True, False, {}


ONE = Levels()


def one() -> gymnasium.Env:
    return ONE
