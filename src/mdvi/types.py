"""The array types the rooms share, and the one test that tells NumPy from JAX."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
Scalar = float | jax.Array | np.ndarray


def namespace(*arrays: Scalar) -> ModuleType:
    """`jax.numpy` if any of the arrays is JAX's, `numpy` otherwise."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
