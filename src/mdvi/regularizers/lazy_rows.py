"""M_κ and ∇M_κ of lazy decision processes for one row, compiled; the default policy is uniform."""

import numpy as np

from mdvi.native import njit
from mdvi.regularizers.rows import Rows


@njit(error_model="numpy", inline="always")
def _following(x, top):  # type: ignore[no-untyped-def]
    """⟨μ, x⟩ − top."""
    total, count = 0.0, 0
    for a in range(len(x)):
        if x[a] > -np.inf:
            total += x[a] - top
            count += 1
    return total / count


@njit(error_model="numpy", inline="always")
def _maximum(x, best, temperature):  # type: ignore[no-untyped-def]
    """max(⟨μ, x⟩, max x − κ)."""
    return x[best] + max(_following(x, x[best]), -temperature)


@njit(error_model="numpy", inline="always")
def _policy(x, temperature, rare, out):  # type: ignore[no-untyped-def]
    """μ, or uniform over the best actions."""
    top, count = -np.inf, 0
    for a in range(len(x)):
        top = max(top, x[a])
    lazy = _following(x, top) >= -temperature
    for a in range(len(x)):
        out[a] = 1.0 if x[a] > -np.inf and (lazy or x[a] == top) else 0.0
        count += int(out[a])
    for a in range(len(x)):
        out[a] /= count


LAZY = Rows("lazy", _maximum, _policy)
