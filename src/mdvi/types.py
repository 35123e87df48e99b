"""The array types that the rooms share, and the one test that tells NumPy from JAX.

JAX is looked up and never imported here: who has an array of JAX's has imported it.
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
Reduced = Array | np.floating  # what is left of one row after NumPy has summed it


def jax_of(*arrays: Any) -> ModuleType | None:
    """JAX, if any of the arrays is one of its."""
    jax: Any = sys.modules.get("jax")
    kind = getattr(jax, "Array", None)  # which is missing while another thread imports JAX
    return jax if kind is not None and any(isinstance(array, kind) for array in arrays) else None


def namespace(*arrays: Scalar | Reduced) -> ModuleType:
    """`jax.numpy` if any of the arrays is JAX's, `numpy` otherwise."""
    jax = jax_of(*arrays)
    return np if jax is None else jax.numpy
