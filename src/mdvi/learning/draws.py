"""Uniform random integers, in integer arithmetic throughout: single precision has 24 bits, and indices need more.

    ⌊n w / 2⁶⁴⌋,     w of 64 random bits, as two words of 32 bits

takes each value 0 … n − 1 with a probability that differs from 1/n by less than 2⁻⁶⁴.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdvi.types import Array


def words(key: jax.Array, shape: tuple[int, ...]) -> Array:
    """64 random bits for each number, as two words of 32 bits along the last axis."""
    return jax.random.bits(key, (*shape, 2), jnp.uint32)


def below(bits: Any, count: Any) -> Any:
    """A number in 0 … count − 1 from each pair of words; the arrays are uint32 of JAX or NumPy, which wrap around.

    Args:
        bits: shape (…, 2).
        count: at least 1; shape (…) or ().
    """
    high, low = bits[..., 0], bits[..., 1]
    rest = high * count
    carried = rest + _upper(low, count) < rest
    return _upper(high, count) + carried.astype(count.dtype)


def _upper(a: Any, b: Any) -> Any:
    """The upper word of the product of two words, computed from their 16-bit halves."""
    half = a.dtype.type(16)
    lower = a.dtype.type(0xFFFF)
    first = (a >> half) * (b & lower) + (((a & lower) * (b & lower)) >> half)
    second = (a & lower) * (b >> half) + (first & lower)
    return (a >> half) * (b >> half) + (first >> half) + (second >> half)


def choice(bits: Any, legal: Any) -> Any:
    """One of the legal actions, each with the same probability.

    Args:
        bits: shape (…, 2).
        legal: shape (…, actions); at least one is true in each row.
    """
    number = below(bits, legal.sum(-1, dtype=np.uint32))
    return (legal.cumsum(-1, dtype=np.uint32) > number[..., None]).argmax(-1)
