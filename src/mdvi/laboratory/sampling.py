"""Kernels that are known from samples alone."""

import jax
import jax.numpy as jnp

from mdvi.mdp.kernels import Kernel, Successors
from mdvi.types import Array


def empirical(kernel: Kernel, key: jax.Array, samples: int) -> Successors:
    """The empirical kernel of `samples` independent next states per (s, a).

    Raises:
        ValueError: for a matrix-free kernel.
    """
    table = kernel.table()
    place, mass = _draw(key, table.probability, samples)
    return Successors(table.successor(place), mass)


def _draw(key: jax.Array, probability: Array, samples: int) -> tuple[jax.Array, jax.Array]:
    """Indices drawn on the last axis by inversion, and the weight mass / samples each of them carries."""
    cumulative = jnp.cumsum(jnp.asarray(probability), axis=-1)
    mass = cumulative[..., -1:]
    height = mass * jax.random.uniform(key, (*mass.shape[:-1], samples), mass.dtype)
    beyond = height[..., :, None] >= cumulative[..., None, :]
    # Rounding may leave the height at the total mass; the last index is then the right one.
    index = jnp.minimum(beyond.sum(-1), probability.shape[-1] - 1)
    return index, jnp.broadcast_to(mass / samples, index.shape)
