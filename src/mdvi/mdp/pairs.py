"""Models from lists of state–action pairs, as in QuantEcon."""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import scipy.sparse

from mdvi.mdp.model import FiniteMDP


def model_of_pairs(
    state: Any,
    action: Any,
    transition: Any,
    reward: Any,
    discount: float,
    terminal: Any,
    normalize: bool,
    names: tuple[Iterable[Hashable] | None, Iterable[Hashable] | None],
) -> FiniteMDP:
    """`FiniteMDP.from_pairs`."""
    rows = scipy.sparse.coo_array(transition)
    if len(rows.shape) != 2:
        raise ValueError(f"transition: expected shape (pairs, states), got {np.shape(transition)}")
    count, states = rows.shape
    s, a = _indices("state", state, count), _indices("action", action, count)
    paid = np.asarray(reward, np.float64)
    if paid.shape != (count,):
        raise ValueError(f"reward: expected shape ({count},), one for each pair, got {paid.shape}")
    for pair in np.flatnonzero(s >= states)[:1]:
        raise ValueError(f"state: pair {pair} has state {s[pair]}, outside 0…{states - 1}")
    actions = int(a.max(initial=0)) + 1
    where = s * actions + a
    _, first, times = np.unique(where, return_index=True, return_counts=True)
    for twice in np.flatnonzero(times > 1)[:1]:
        pair = first[twice]
        raise ValueError(f"state {s[pair]}, action {a[pair]} is listed {times[twice]} times; give each pair once")
    legal, table = np.zeros((states, actions), bool), np.zeros((states, actions))
    possible = ~np.isneginf(paid)
    legal[s[possible], a[possible]] = True
    table[s[possible], a[possible]] = paid[possible]
    row, successor = rows.coords
    kept = possible[row]
    matrix = scipy.sparse.coo_array(
        (rows.data[kept], (where[row[kept]], successor[kept].astype(np.int64))), shape=(states * actions, states)
    )
    return FiniteMDP(
        matrix, table, discount, terminal=terminal, legal=legal, normalize=normalize, states=names[0], actions=names[1]
    )


def from_quantecon(ddp: Any) -> FiniteMDP:
    """The model of a `DiscreteDP` of QuantEcon, in product form or with state–action pairs.

    Pairs that are not listed, and pairs with reward −∞, are illegal. QuantEcon has no terminal states.

    Args:
        ddp: an object with R, Q and beta, and for state–action pairs with s_indices and a_indices.

    Raises:
        ValueError: if the object lacks an attribute, or for an invalid number; the message names state and action.
    """
    for name in ("R", "Q", "beta"):
        if not hasattr(ddp, name):
            raise ValueError(f"ddp: expected a DiscreteDP of QuantEcon, got {type(ddp).__name__} without {name}")
    if getattr(ddp, "s_indices", None) is not None:
        return FiniteMDP.from_pairs(ddp.s_indices, ddp.a_indices, ddp.Q, ddp.R, float(ddp.beta))
    legal = ~np.isneginf(ddp.R)
    return FiniteMDP(ddp.Q, np.where(legal, ddp.R, 0.0), float(ddp.beta), legal=legal)


def _indices(name: str, given: Any, count: int) -> np.ndarray:
    index = np.asarray(given)
    if index.shape != (count,) or index.dtype.kind not in "iu" or (index < 0).any():
        raise ValueError(
            f"{name}: expected {count} whole numbers of at least 0, one for each row of the transitions, got "
            f"{index.dtype} of shape {index.shape}"
        )
    return index.astype(np.int64)
