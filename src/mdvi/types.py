"""The array types the rooms share, and the one test that tells NumPy from JAX."""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
Reduced = Array | np.floating  # what is left of one row after NumPy has summed it
Scalar = float | jax.Array | np.ndarray


def hash_of(tree: Any) -> int:
    """A hash of a module that holds arrays: equal ones have it in common, and no array is read."""
    return hash((type(tree), *map(np.shape, jax.tree.leaves(tree))))


def namespace(*arrays: Scalar | Reduced) -> ModuleType:
    """`jax.numpy` if any of the arrays is JAX's, `numpy` otherwise."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
