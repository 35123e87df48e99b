"""Probes: environments so small that the correct q is known in closed form, one for each kind of defect.

The probe on which an agent fails shows its defect: value fitting, dependence on the observation, discounting, choice of
the action, or the difference between termination and truncation.
"""

import numpy as np

from mdvi.envs.base import TimeLimit
from mdvi.envs.native.finite import FiniteEnvironment
from mdvi.mdp.model import FiniteMDP


def constant() -> FiniteEnvironment:
    """One state, one action, reward 1, then the end: q = 1."""
    return _probe([[1]], [[1.0]])


def seen() -> FiniteEnvironment:
    """Two states with rewards −1 and 1, then the end: q(s) = ±1 only if the observation is used."""
    return _probe([[2], [2]], [[-1.0], [1.0]])


def delayed(discount: float = 0.5) -> FiniteEnvironment:
    """Reward 1 at the second of two steps: q = (γ, 1)."""
    return _probe([[1], [2]], [[0.0], [1.0]], discount, start=0)


def chosen() -> FiniteEnvironment:
    """One state, two actions with rewards −1 and 1, then the end: q = (−1, 1)."""
    return _probe([[1, 1]], [[-1.0, 1.0]])


def matched() -> FiniteEnvironment:
    """Two states, two actions, reward 1 if the action equals the state and −1 otherwise: q(s, a) = ±1."""
    return _probe([[2, 2], [2, 2]], [[1.0, -1.0], [-1.0, 1.0]])


def truncated(discount: float = 0.9, limit: int = 7) -> TimeLimit:
    """Reward 1 forever, truncated after 7 steps: q = 1/(1 − γ) for any limit."""
    forever = FiniteMDP(np.ones((1, 1, 1)), np.ones((1, 1)), discount)
    return TimeLimit(FiniteEnvironment(forever), limit)


def terminated(discount: float = 0.9, steps: int = 7) -> FiniteEnvironment:
    """Reward 1 for 7 steps, then the end: q(s_i) = (1 − γ^{7−i})/(1 − γ)."""
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    following = [[state + 1] for state in range(steps)]
    return _probe(following, [[1.0]] * steps, discount, start=0)


ALL = {probe.__name__: probe for probe in (constant, seen, delayed, chosen, matched, truncated, terminated)}


def _probe(
    following: list[list[int]], reward: list[list[float]], discount: float = 0.5, start: int | None = None
) -> FiniteEnvironment:
    """A deterministic model of states 0, 1, … and a terminal state with the last number."""
    states, actions = len(following) + 1, len(following[0])
    transition = np.zeros((states, actions, states))
    transition[-1, :, -1] = 1.0
    for state, row in enumerate(following):
        transition[state, range(actions), row] = 1.0
    terminal = np.arange(states) == states - 1
    return FiniteEnvironment(FiniteMDP(transition, [*reward, [0.0] * actions], discount, terminal=terminal), start)
