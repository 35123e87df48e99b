"""The checks behind `FiniteMDP`: one function per rule, and every message names the place and the value."""

import math
import os
from typing import Any

import numpy as np

from mdvi.mdp.kernels import Dense, Kernel


def physical_memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_table(states: int, actions: int, branching: int) -> None:
    """A table of successors fits into memory, with what building and checking it takes."""
    needed = 4 * 16 * states * actions * branching
    if needed > physical_memory():
        raise ValueError(
            f"a model of {states} states, {actions} actions and {branching} successors would need "
            f"{needed / 2**30:.1f} GiB of {physical_memory() / 2**30:.1f} GiB"
        )


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """The array has exactly this shape."""
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


def check_discount(discount: Any) -> float:
    """γ is a number in [0, 1)."""
    if isinstance(discount, np.ndarray) and discount.ndim == 0:
        discount = discount.item()
    if not isinstance(discount, int | float | np.floating | np.integer) or not 0 <= discount < 1:
        raise ValueError(f"discount: expected a number in [0, 1), got {discount!r}")
    return float(discount)


def check_some_legal_action(legal: np.ndarray) -> None:
    """Every state that is not terminal has at least one legal action."""
    for state in np.flatnonzero(~legal.any(-1))[:1]:
        raise ValueError(f"legal: state {state} has no legal action; mark it terminal or allow one")


def check_rewards(reward: np.ndarray, live: np.ndarray) -> None:
    """Rewards of possible pairs are finite."""
    for state, action in np.argwhere(live & ~np.isfinite(reward))[:1]:
        raise ValueError(
            f"reward: state {state}, action {action} has reward {reward[state, action]}; "
            "forbid an action with `legal`, not with an infinite reward"
        )


def check_successors(kernel: Kernel, live: np.ndarray) -> None:
    """Next states exist, and none is listed twice for the same (s, a)."""
    if isinstance(kernel, Dense):
        return
    states = kernel.shape[0]
    listed = live[..., None] & (kernel.probability != 0)
    for s, a, j in np.argwhere(listed & ((kernel.state < 0) | (kernel.state >= states)))[:1]:
        raise ValueError(
            f"transition: state {s}, action {a} names next state {kernel.state[s, a, j]}, outside 0…{states - 1}"
        )
    # Padding is made unique, so that whatever still repeats after sorting is a repetition.
    width = kernel.state.shape[-1]
    ordered = np.sort(np.where(listed, kernel.state, states + np.arange(width)), axis=-1)
    for s, a, j in np.argwhere(ordered[..., 1:] == ordered[..., :-1])[:1]:
        raise ValueError(f"transition: state {s}, action {a} lists next state {ordered[s, a, j]} twice")


def check_rows(kernel: Kernel, live: np.ndarray, tolerance: float) -> None:
    """Every possible row is a probability distribution, to rounding."""
    probability = kernel.probability
    wrong = live[..., None] & ~((probability >= 0) & np.isfinite(probability))
    for s, a, j in np.argwhere(wrong)[:1]:
        successor = j if isinstance(kernel, Dense) else kernel.state[s, a, j]
        raise ValueError(
            f"transition: state {s}, action {a}, next state {successor} has probability {probability[s, a, j]}"
        )
    total = np.where(live[..., None], probability, 0.0).sum(-1)
    for s, a in np.argwhere(live & (np.abs(total - 1) > tolerance))[:1]:
        entries = int(np.count_nonzero(probability[s, a]))
        raise ValueError(
            f"transition: state {s}, action {a} has probabilities that sum to {_readable(total[s, a])}, not 1 "
            f"({entries} entries)"
        )


def _readable(total: float) -> str:
    """Enough digits to show that the sum is not 1."""
    digits = 4 - math.floor(math.log10(abs(total - 1)))
    return f"{total:.{min(max(digits, 4), 17)}g}"
