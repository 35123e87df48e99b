"""The array types the rooms share, and the one test that tells NumPy from JAX."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
Reduced = Array | np.floating  # what is left of one row after NumPy has summed it
Scalar = float | jax.Array | np.ndarray


def namespace(*arrays: Scalar | Reduced) -> ModuleType:
    """`jax.numpy` if any of the arrays is JAX's, `numpy` otherwise."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
