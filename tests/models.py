"""Models that several tests iterate on."""

import numpy as np

from mdvi.mdp import FiniteMDP


def signed_garnet(
    seed: int, states: int = 12, actions: int = 4, branching: int = 3, discount: float = 0.9
) -> FiniteMDP:
    """A Garnet with rewards of both signs on every pair, so that nothing is tied or zero by accident."""
    rng = np.random.default_rng(seed)
    transition = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        successors = rng.choice(states, branching, replace=False)
        cuts = np.sort(np.concatenate([[0.0, 1.0], rng.random(branching - 1)]))
        transition[s, a, successors] = np.diff(cuts)
    return FiniteMDP(transition, rng.uniform(-1, 1, (states, actions)), discount)


def v_max(mdp: FiniteMDP) -> float:
    return mdp.max_abs_reward / (1 - float(mdp.discount))


def corner(mdp: FiniteMDP, seed: int) -> np.ndarray:
    """q_0 = ±v_max with random signs."""
    return v_max(mdp) * np.random.default_rng(seed).choice([-1.0, 1.0], mdp.reward.shape)
