"""The checks of `FiniteMDP`: one function per rule; every message names the place and the value."""

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np

from mdvi.mdp.kernels import Dense, Kernel, MatrixFree, Sparse, Successors

NEARLY = 1e-4  # the largest difference from 1 of the sum of a row that was rounded to a few decimals
ACTIONS_FIRST = (
    "arrays of shape (actions, states, …) need order='ass'; for arrays of MDPtoolbox, in which absorbing states are "
    "terminal, use mdvi.mdp.from_toolbox"
)
_LONG_SUM = 1e-10  # the largest difference from 1 of a row whose numbers are sums or products in float64


def physical_memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_table(states: int, actions: int, branching: int) -> None:
    """Check that a table of successors fits into memory, including temporary arrays."""
    needed = 4 * 16 * states * actions * branching
    if needed > physical_memory():
        raise ValueError(
            f"a model of {states} states, {actions} actions and {branching} successors would need "
            f"{needed / 2**30:.1f} GiB of memory, and this machine has {physical_memory() / 2**30:.1f} GiB; reduce one "
            "of these numbers"
        )


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check the shape of an array."""
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


def check_discount(discount: Any, *, finite: bool = False) -> float:
    """The discount, after a check that it is in [0, 1), or with `finite` in [0, 1]."""
    if isinstance(discount, np.ndarray) and discount.ndim == 0:
        discount = discount.item()
    number = isinstance(discount, int | float | np.floating | np.integer) and not isinstance(discount, bool)
    if number and (0 <= discount < 1 or (finite and discount == 1)):
        return float(discount)
    advice = "; solve, evaluate, certify and backward_induction take discount 1, see docs/undiscounted.md"
    raise ValueError(
        f"discount: expected a number in [0, 1{']' if finite else ')'}, got {discount!r}"
        f"{advice if number and discount == 1 else ''}"
    )


def check_some_legal_action(legal: np.ndarray) -> None:
    """Check that every state that is not terminal has at least one legal action."""
    for state in np.flatnonzero(~legal.any(-1))[:1]:
        raise ValueError(f"legal: state {state} has no legal action; mark it terminal or allow one")


def check_rewards(reward: np.ndarray, live: np.ndarray) -> None:
    """Check that the rewards of live pairs are finite."""
    for state, action in np.argwhere(live & ~np.isfinite(reward))[:1]:
        raise ValueError(
            f"reward: state {state}, action {action} has reward {reward[state, action]}; "
            "use `legal` to forbid an action, not an infinite reward"
        )


def check_row_starts(matrix: Any) -> None:
    """Check that the row pointers of a CSR matrix ascend from 0 to the number of entries."""
    start, entries = matrix.indptr, len(matrix.data)
    if len(start) != matrix.shape[0] + 1 or len(matrix.indices) != entries:
        raise ValueError(
            f"transition: {len(start)} row pointers and {len(matrix.indices)} indices do not fit a matrix of "
            f"{matrix.shape[0]} rows and {entries} entries"
        )
    for row in np.flatnonzero(np.diff(start) < 0)[:1]:
        raise ValueError(f"transition: row pointers decrease from {start[row]} to {start[row + 1]} at row {row}")
    if start[0] != 0 or start[-1] != entries:
        raise ValueError(f"transition: row pointers run from {start[0]} to {start[-1]}, not from 0 to {entries}")


def check_indices(what: str, index: np.ndarray, size: int, actions: int) -> None:
    """Check that indices are in 0…size − 1."""
    for bad in np.flatnonzero((index < 0) | (index >= size))[:1]:
        raise ValueError(f"transition: {what} {index[bad]} (state {index[bad] // actions}) is outside 0…{size - 1}")


def first_outside(start: np.ndarray, state: np.ndarray, states: int) -> list[tuple[int, int]]:
    """The first (row, entry) whose next state does not exist, if any."""
    if len(state) == 0 or (state.min() >= 0 and state.max() < states):
        return []
    entry = int(np.flatnonzero((state < 0) | (state >= states))[0])
    return [(int(np.searchsorted(start, entry, side="right")) - 1, entry)]


def longest_row(kernel: Kernel) -> int:
    """The largest number of successors of any (s, a)."""
    if isinstance(kernel, MatrixFree):
        return kernel.terms
    if isinstance(kernel, Sparse):
        return max(int(np.diff(kernel.start).max()), 1)
    return kernel.probability.shape[-1]


def check_successors(kernel: Kernel, live: np.ndarray) -> None:
    """Check that next states exist, and that none is listed twice for one (s, a)."""
    if isinstance(kernel, Dense | MatrixFree):
        return
    if isinstance(kernel, Sparse):
        if kernel.csr().has_canonical_format:
            return
        rising = np.diff(kernel.state) > 0
        rising[kernel.start[1:-1][(kernel.start[1:-1] > 0) & (kernel.start[1:-1] < len(kernel.state))] - 1] = True
        row = np.searchsorted(kernel.start, np.flatnonzero(~rising), side="right") - 1
        for entry, (s, a) in zip(np.flatnonzero(~rising), np.transpose(np.unravel_index(row, live.shape)), strict=True):
            if live[s, a]:
                raise ValueError(f"transition: state {s}, action {a} lists next state {kernel.state[entry]} twice")
        return
    states = kernel.shape[0]
    listed = live[..., None] & (kernel.probability != 0)
    for s, a, j in np.argwhere(listed & ((kernel.state < 0) | (kernel.state >= states)))[:1]:
        raise ValueError(
            f"transition: state {s}, action {a} names next state {kernel.state[s, a, j]}, outside 0…{states - 1}"
        )
    # Padding gets unique numbers, so that equal neighbours after sorting are repetitions.
    width = kernel.state.shape[-1]
    ordered = np.sort(np.where(listed, kernel.state, states + np.arange(width)), axis=-1)
    for s, a, j in np.argwhere(ordered[..., 1:] == ordered[..., :-1])[:1]:
        raise ValueError(f"transition: state {s}, action {a} lists next state {ordered[s, a, j]} twice")


def check_order(kernel: Kernel, live: np.ndarray) -> None:
    """Check the order of the axes if there are as many states as actions: rows must not sum to 1 only if swapped."""
    if not isinstance(kernel, Dense) or live.shape[0] != live.shape[1]:
        return
    fits = np.abs(kernel.row_sums() - 1) <= NEARLY
    if fits.T[live].all() and not fits[live].all():
        s, a = np.argwhere(live & ~fits)[0]
        raise ValueError(
            f"transition: state {s}, action {a} does not sum to 1, but action {s}, state {a} does; {ACTIONS_FIRST}"
        )


def row_tolerance(terms: int, epsilon: float = float(np.finfo(float).eps)) -> float:
    """The largest rounding error of a sum of `terms` probabilities in a type of this precision.

    The bounds of a solution account for accepted differences: they use the smallest and the largest sum of all rows.
    """
    if epsilon > np.finfo(float).eps:
        return 4 * epsilon * (4 + math.sqrt(terms))
    return max(_LONG_SUM, terms * epsilon)


def normalized(kernel: Kernel, least: float = 0.0, most: float = NEARLY) -> tuple[Kernel, int, float]:
    """Divide the rows whose sums differ from 1 by more than `least` and at most `most` by these sums.

    Returns:
        The kernel, the number of rows that were divided, and the largest difference between 1 and their sums.

    Raises:
        ValueError: for a matrix-free kernel, or if a probability is negative or not finite.
    """
    if isinstance(kernel, MatrixFree):
        raise ValueError("transition: normalize does not apply to a matrix-free model; rescale in its function")
    _check_probabilities(kernel)
    total = kernel.row_sums()
    off = np.abs(total - 1)
    rows = (off > least) & (off <= most)
    if not rows.any():
        return kernel, 0, 0.0
    total = np.where(rows, total, 1.0)
    if isinstance(kernel, Sparse):
        probability = kernel.probability / np.repeat(total.ravel(), np.diff(kernel.start))
    else:
        probability = kernel.probability / total[..., None]
    kernel = replace(kernel, probability=probability)
    return kernel, int(np.count_nonzero(rows)), float(off[rows].max())


def check_rows(kernel: Kernel, live: np.ndarray, tolerance: float, substochastic: bool) -> None:
    """Check that every row sums to 1 up to rounding, or if `substochastic` to at most 1."""
    if not isinstance(kernel, MatrixFree):
        _check_probabilities(kernel)
    total = kernel.row_sums()
    if substochastic:
        wrong, rule = live & ~(total - 1 <= tolerance), "more than 1"
    else:
        wrong, rule = live & ~(np.abs(total - 1) <= tolerance), "not 1"
    for s, a in np.argwhere(wrong)[:1]:
        entries = "" if isinstance(kernel, MatrixFree) else f" ({_entries(kernel, int(s), int(a))} entries)"
        rescaled = not (isinstance(kernel, MatrixFree) or substochastic) and abs(total[s, a] - 1) <= NEARLY
        advice = f"; normalize=True rescales rows whose sums differ from 1 by at most {NEARLY:g}" if rescaled else ""
        raise ValueError(
            f"transition: state {s}, action {a} has probabilities that sum to {_readable(total[s, a])}, "
            f"{rule}{entries}{advice}"
        )


def _check_probabilities(kernel: Dense | Successors | Sparse) -> None:
    probability = kernel.probability
    if probability.size == 0 or (probability.min() >= 0 and probability.max() <= 1):
        return
    for place in np.argwhere(~((probability >= 0) & np.isfinite(probability)))[:1]:
        if isinstance(kernel, Sparse):
            row = int(np.searchsorted(kernel.start, place[0], side="right")) - 1
            s, a = divmod(row, kernel.shape[1])
            successor = kernel.state[place[0]]
        else:
            s, a, j = place
            successor = j if isinstance(kernel, Dense) else kernel.state[s, a, j]
        raise ValueError(
            f"transition: state {s}, action {a}, next state {successor} has probability {probability[tuple(place)]}"
        )


def _entries(kernel: Dense | Successors | Sparse, s: int, a: int) -> int:
    if isinstance(kernel, Sparse):
        row = s * kernel.shape[1] + a
        return int(kernel.start[row + 1] - kernel.start[row])
    return int(np.count_nonzero(kernel.probability[s, a]))


def _readable(total: float) -> str:
    """A sum with enough digits to show that it is not 1."""
    if not math.isfinite(total):
        return str(total)
    digits = 4 - math.floor(math.log10(abs(total - 1)))
    return f"{total:.{min(max(digits, 4), 17)}g}"
