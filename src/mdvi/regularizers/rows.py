"""What the sweeps of the planner need of a regulariser: its maximum and its policy for one row, compiled.

A row is x(s, ·) with −∞ where an action cannot be met; κ > 0, and one action at least can be met.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdvi.native import njit

_NEGLIGIBLE = -40.0  # e to that is a twentieth of what rounding leaves of 1
_FINENESS = 64.0  # of the table of e^x
_TABLE = np.exp(-np.arange(-_NEGLIGIBLE * _FINENESS + 1) / _FINENESS)


@dataclass(frozen=True)
class Rows:
    """M_κ and ∇M_κ of one row, as functions that Numba has compiled.

    Attributes:
        name: what the machine code is called that is made with them.
        maximum: (x, best, κ) → M_κ(x), where `best` is an action that attains max x.
        policy: (x, κ, rare, out) writes ∇M_κ(x) into `out`. It may leave out actions less probable than `rare` times
            the most probable one, and then divides the others by their sum.
        maxima: (x, κ, top) overwrites each top(s) = max x(s, ·), which may be −∞, with M_κ, for many rows side by side
            in x; None for `maximum` of one after the other.
    """

    name: str
    maximum: Callable[..., Any]
    policy: Callable[..., Any]
    maxima: Callable[..., Any] | None = None


@njit(error_model="numpy", inline="always")
def exponential(x):  # type: ignore[no-untyped-def]
    """e^x for −40 ≤ x ≤ 0, right to three units in the last place: from a table, times Taylor's polynomial of the rest.

    LLVM cannot vectorise calls to the exp of libm; this polynomial it can.
    """
    steps = np.floor(0.5 - x * _FINENESS)
    r = x + steps / _FINENESS
    return _TABLE[np.int64(steps)] * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r / 720))))))


@njit(error_model="numpy", inline="always")
def _soft_maximum(x, best, temperature):  # type: ignore[no-untyped-def]
    """κ log Σ_a exp(x_a / κ)."""
    top, total = x[best], 1.0
    for a in range(len(x)):
        below = (x[a] - top) / temperature
        below = -np.inf if a == best else below  # no branch: it would be mispredicted in every state
        if below > _NEGLIGIBLE:
            total += exponential(below)
    return top + temperature * np.log(total) if total > 1.0 else top


@njit(error_model="numpy")
def _soft_maxima(x, temperature, top):  # type: ignore[no-untyped-def]
    """The same of many rows, in loops that LLVM makes vector instructions of."""
    actions, weight = len(x) // len(top), np.empty(len(x))
    for s in range(len(top)):
        for a in range(s * actions, (s + 1) * actions):
            weight[a] = (x[a] - top[s]) / temperature
    for k in range(len(x)):
        counts = weight[k] > _NEGLIGIBLE  # NaN, where nothing can be chosen, does not
        weight[k] = exponential(weight[k] if counts else _NEGLIGIBLE) if counts else 0.0
    for s in range(len(top)):
        total = 0.0
        for a in range(s * actions, (s + 1) * actions):
            total += weight[a]
        top[s] += temperature * np.log(total) if total > 1.0 else 0.0


@njit(error_model="numpy", inline="always")
def _softmax(x, temperature, rare, out):  # type: ignore[no-untyped-def]
    """π_a ∝ exp(x_a / κ)."""
    top, total = -np.inf, 0.0
    for a in range(len(x)):
        top = max(top, x[a])
    for a in range(len(x)):
        chance = np.exp((x[a] - top) / temperature) if x[a] > -np.inf else 0.0
        out[a] = chance if chance >= rare else 0.0
        total += out[a]
    for a in range(len(x)):
        out[a] /= max(total, 1.0)


@njit(error_model="numpy", inline="always")
def _mellowmax(x, best, temperature):  # type: ignore[no-untyped-def]
    """κ log (1/n) Σ_a exp(x_a / κ) with the n actions that can be met."""
    count = 0
    for a in range(len(x)):
        count += x[a] > -np.inf
    return _soft_maximum(x, best, temperature) - temperature * np.log(count)


SOFT = Rows("shannon", _soft_maximum, _softmax, _soft_maxima)
MELLOW = Rows("kl_to_uniform", _mellowmax, _softmax)
