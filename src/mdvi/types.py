"""The array types that all packages share, and the test that distinguishes arrays of NumPy and JAX.

This file looks JAX up and never imports it: if an array of JAX exists, JAX has been imported.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

    Array = jax.Array | np.ndarray
    Scalar = float | jax.Array | np.ndarray
else:
    Array = Scalar = Any
Reduced = Array | np.floating  # the sum of one row is a scalar in NumPy


def jax_of(*arrays: Any) -> ModuleType | None:
    """The module of JAX if any of the arrays belongs to JAX, otherwise None."""
    jax: Any = sys.modules.get("jax")
    kind = getattr(jax, "Array", None)  # missing while another thread imports JAX
    return jax if kind is not None and any(isinstance(array, kind) for array in arrays) else None


def namespace(*arrays: Scalar | Reduced) -> ModuleType:
    """`jax.numpy` if any of the arrays belongs to JAX, otherwise `numpy`."""
    jax = jax_of(*arrays)
    return np if jax is None else jax.numpy
