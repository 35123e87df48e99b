"""Regularisers of the greedy step: values `Regularizer`, and maths on the last axis for NumPy and JAX."""

from mdvi.regularizers.base import Regularizer
from mdvi.regularizers.shannon import (
    KL_TO_UNIFORM,
    SHANNON,
    Shannon,
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
    "KL_TO_UNIFORM",
    "SHANNON",
    "Regularizer",
    "Shannon",
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
