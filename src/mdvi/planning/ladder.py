"""The equation x = b + γ P_π x by the first way that solves it; the residual of each answer is computed afresh.

    BiCGSTAB, the states numbered such that neighbours are close together (reverse Cuthill-McKee)
    a sparse LU factorisation in that order, where its fill, which is counted beforehand, is affordable
    BiCGSTAB, the states in the order of the sweeps
    sweeps x ← b + γ P_π x, which cannot fail but may take long

The way that succeeds is tried first the next time.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

from mdvi.planning.chain import Chain, ends, matrix_of, renumbered, residual, swept
from mdvi.planning.linear import solved
from mdvi.planning.order import banded, filled
from mdvi.planning.problem import Values
from mdvi.planning.watch import Watch

_SOLVED = 0.3  # of the right-hand side: what a residual may be at the most
_FILL, _WORK = 5e7, 2e10  # entries of a factorisation, and multiplications that it takes, at the most
_SWEEPS = 200

Rung = Callable[[Chain, Values, float, Watch], Values | None]


class Ladder:
    """The ways in turn, for the chains of one problem."""

    def __init__(self, order: np.ndarray, onward: bool) -> None:
        """Sets out from the order of the sweeps, which comes first if nearly all transitions lead back in it."""
        self.rungs: list[Rung] = [self.in_bands, self.directly, self.in_order]
        if onward:
            self.rungs = [self.in_order, self.in_bands, self.directly]
        self._order = order
        self._banded: tuple[Chain, np.ndarray] | None = None

    def climbed(self, chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values:
        """X = b + γ P_π x to about a relative accuracy."""
        size = float(np.abs(b).max())
        if size == 0:
            return b
        b = b / size  # norms of large numbers overflow
        for rung in tuple(self.rungs) if ends(chain) else ():  # SuperLU crashes on singular matrices
            watch()
            x = rung(chain, b, accuracy, watch)
            if x is not None and residual(chain, b, x) <= _SOLVED:
                return x * size
            self.rungs.append(self.rungs.pop(0))
        return swept(chain, b, _SWEEPS, lambda low, high: max(-low, high) <= accuracy, watch) * size

    def in_bands(self, chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values | None:
        """BiCGSTAB with neighbours close together."""
        return _in(self._bands(chain), chain, b, accuracy, watch)

    def in_order(self, chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values | None:
        """BiCGSTAB in the order of the sweeps."""
        return _in(self._order, chain, b, accuracy, watch)

    def directly(self, chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values | None:
        """A sparse LU factorisation; None where it would take too much memory or time."""
        order = self._bands(chain)
        fill, work = filled(chain.first, chain.to, order, _FILL)
        if fill > _FILL or work > _WORK:
            return None
        matrix = matrix_of(renumbered(chain, order))
        try:
            factors = splu(
                (scipy.sparse.eye_array(len(b)) - matrix).tocsc(),
                permc_spec="NATURAL",
                diag_pivot_thresh=0.0,  # I − γ P_π is diagonally dominant
                options={"SymmetricMode": True},
            )
            return _back(order, factors.solve(b[order]))
        except (RuntimeError, MemoryError):  # singular to rounding, or a machine with less memory
            return None

    def _bands(self, chain: Chain) -> np.ndarray:
        """Under entropy all policies have the same transitions: their order is computed once."""
        known = self._banded
        if known is None or not (np.array_equal(known[0].first, chain.first) and np.array_equal(known[0].to, chain.to)):
            self._banded = known = chain, banded(chain.first, chain.to)
        return known[1]


def _in(order: np.ndarray, chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values | None:
    found = solved(renumbered(chain, order), b[order], accuracy, watch)
    return None if found is None else _back(order, found)


def _back(order: np.ndarray, found: Values) -> Values:
    x = np.empty_like(found)
    x[order] = found
    return x
