"""The equation x = b + γ P_π x by the first way that solves it; the residual of each answer is computed afresh.

    BiCGSTAB, the states numbered such that neighbours are close together (reverse Cuthill-McKee)
    BiCGSTAB, the states in the order of the sweeps
    a sparse LU factorisation, where its fill is affordable
    sweeps x ← b + γ P_π x, which cannot fail but may take long

The way that succeeds is tried first the next time.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

from mdvi.planning.chain import Chain, matrix_of, renumbered, residual, swept
from mdvi.planning.linear import solved
from mdvi.planning.order import banded, envelope
from mdvi.planning.problem import Values
from mdvi.planning.watch import Watch

_SOLVED = 0.3  # of the right-hand side: what a residual may be at the most
_FILL, _WORK = 5e7, 2e10  # entries of a factorisation, and multiplications that it takes, at the most
_SWEEPS = 200

Rung = Callable[[Chain, Values, np.ndarray, float, Watch], Values | None]


def climbed(rungs: list[Rung], chain: Chain, b: Values, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """X = b + γ P_π x to about a relative accuracy; reorders the rungs such that the next call begins with the last."""
    size = float(np.abs(b).max())
    if size == 0:
        return b
    b = b / size  # norms of large numbers overflow
    for rung in tuple(rungs):
        watch()
        x = rung(chain, b, order, accuracy, watch)
        if x is not None and residual(chain, b, x) <= _SOLVED:
            return x * size
        rungs.append(rungs.pop(0))
    return swept(chain, b, _SWEEPS, lambda low, high: max(-low, high) <= accuracy, watch) * size


def in_bands(chain: Chain, b: Values, order: np.ndarray, accuracy: float, watch: Watch) -> Values | None:
    """BiCGSTAB with neighbours close together."""
    return in_order(chain, b, banded(matrix_of(chain)), accuracy, watch)


def in_order(chain: Chain, b: Values, order: np.ndarray, accuracy: float, watch: Watch) -> Values | None:
    """BiCGSTAB in a given order."""
    found = solved(renumbered(chain, order), b[order], accuracy, watch)
    if found is None:
        return None
    x = np.empty_like(b)
    x[order] = found
    return x


def directly(chain: Chain, b: Values, order: np.ndarray, accuracy: float, watch: Watch) -> Values | None:
    """A sparse LU factorisation; None where it would take too much memory or time."""
    matrix = matrix_of(chain)
    fill, work = envelope(matrix, banded(matrix))
    if fill > _FILL or work > _WORK:
        return None
    try:
        factors = splu(
            (scipy.sparse.eye_array(len(b)) - matrix).tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,  # I − γ P_π is diagonally dominant
            options={"SymmetricMode": True},
        )
        return np.asarray(factors.solve(b))
    except (RuntimeError, MemoryError):  # singular to rounding, or more fill than was estimated
        return None
