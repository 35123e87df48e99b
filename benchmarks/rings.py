"""Rings, chains and cycles: models whose values propagate around cycles, optionally with shuffled state numbers."""

import numpy as np
import scipy.sparse

from mdvi import FiniteMDP

KINDS = ("ring", "strides", "walk", "chain into a cycle", "cycle into cycles", "two ways round")
PAYS = ("in every third state", "in one state", "both signs", "costs")


def cyclic(kind: str, states: int, discount: float, pays: str, shuffled: bool = False) -> FiniteMDP:
    """A model of one kind; rewards depend on the state, and on the action if there are two actions."""
    rng, here = np.random.default_rng(states), np.arange(states)
    ahead, back = (here + 1) % states, (here - 1) % states
    actions = {
        "ring": [[(1.0, ahead)]],
        "strides": [[(1.0, (here + 7) % states)]],
        "walk": [[(0.6, ahead), (0.4, back)]],
        "chain into a cycle": [[(1.0, np.append(here[1:], states - 2))]],
        "cycle into cycles": [[(0.9, np.where(here % 100 == 99, here - 99, ahead)), (0.1, ahead)]],
        "two ways round": [[(0.9, ahead), (0.1, here)], [(1.0, back)]],
    }[kind]
    rows = [
        scipy.sparse.coo_array((np.full(states, p), (here * len(actions) + a, to)), (states * len(actions), states))
        for a, steps in enumerate(actions)
        for p, to in steps
    ]
    matrix = scipy.sparse.csr_array(sum(rows[1:], rows[0]))
    each = (states, len(actions))
    reward = {
        "in every third state": np.broadcast_to(here[:, None] % 3 == 0, each) * 1.0,
        "in one state": np.broadcast_to(here[:, None] == states // 2, each) * 1.0,
        "both signs": rng.normal(size=each),
        "costs": -rng.random(each),
    }[pays]
    if shuffled:
        order = rng.permutation(states)
        pairs = (order[:, None] * len(actions) + np.arange(len(actions))).ravel()
        matrix, reward = scipy.sparse.csr_array(matrix[pairs][:, order]), reward[order]
    return FiniteMDP(matrix, reward, discount)
