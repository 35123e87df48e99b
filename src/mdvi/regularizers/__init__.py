"""Regularisers of the greedy step: maths on the last axis, one body for NumPy and JAX."""

from mdvi.regularizers.shannon import (
    boltzmann_average,
    entropy,
    expectation,
    kl_divergence,
    log_soft_argmax,
    mellowmax,
    regularized_greedy,
    regularized_maximum,
    regularized_value,
    soft_argmax,
    soft_maximum,
)

__all__ = [
    "boltzmann_average",
    "entropy",
    "expectation",
    "kl_divergence",
    "log_soft_argmax",
    "mellowmax",
    "regularized_greedy",
    "regularized_maximum",
    "regularized_value",
    "soft_argmax",
    "soft_maximum",
]
