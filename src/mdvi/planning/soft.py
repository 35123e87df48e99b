"""The soft maximum of a row, compiled."""

import numpy as np

from mdvi.planning.native import njit

_NEGLIGIBLE = -40.0  # e to that is a twentieth of what rounding leaves of 1
_FINENESS = 64.0  # of the table of e^x
_TABLE = np.exp(-np.arange(-_NEGLIGIBLE * _FINENESS + 1) / _FINENESS)


@njit(error_model="numpy", inline="always")
def exponential(x):  # type: ignore[no-untyped-def]
    """e^x for −40 ≤ x ≤ 0, right to three units in the last place: from a table, times Taylor's polynomial of the rest.

    Of the library's exp LLVM makes a call for each number, of this one instructions for several at once.
    """
    steps = np.floor(0.5 - x * _FINENESS)
    r = x + steps / _FINENESS
    return _TABLE[np.int64(steps)] * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r / 720))))))


@njit(error_model="numpy", inline="always")
def _soft(top, chosen, temperature, x, actions):  # type: ignore[no-untyped-def]
    """T log Σ_a exp(x_a / t) of a few numbers; the one that is chosen is their maximum, top."""
    total = 1.0
    for a in range(actions):
        below = (x[a] - top) / temperature
        below = -np.inf if a == chosen else below  # no branch: it would be mispredicted in every state
        if below > _NEGLIGIBLE:
            total += exponential(below)
    return top + temperature * np.log(total) if total > 1.0 else top


@njit(error_model="numpy")
def _soften(q, temperature, top):  # type: ignore[no-untyped-def]
    """From maxima to soft maxima: overwrites each top(s) with t log Σ_a exp(q(s, a) / t), which may be −∞.

    Of many states, in loops that LLVM makes vector instructions of; `_soft` is that of one.
    """
    actions, weight = len(q) // len(top), np.empty(len(q))
    for s in range(len(top)):
        for a in range(s * actions, (s + 1) * actions):
            weight[a] = (q[a] - top[s]) / temperature
    for k in range(len(q)):
        counts = weight[k] > _NEGLIGIBLE  # NaN, where nothing can be chosen, does not
        weight[k] = exponential(weight[k] if counts else _NEGLIGIBLE) if counts else 0.0
    for s in range(len(top)):
        total = 0.0
        for a in range(s * actions, (s + 1) * actions):
            total += weight[a]
        top[s] += temperature * np.log(total) if total > 1.0 else 0.0
