"""Regularisers of the greedy step: values `Regularizer`, and maths on the last axis for NumPy and JAX."""

from mdvi.regularizers.base import Regularizer
from mdvi.regularizers.divergence import Divergence
from mdvi.regularizers.lazy import Lazy
from mdvi.regularizers.names import REGULARIZERS, regularizer_of
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
from mdvi.regularizers.tsallis import LogBarrier, Tsallis

__all__ = [
    "KL_TO_UNIFORM",
    "REGULARIZERS",
    "SHANNON",
    "Divergence",
    "Lazy",
    "LogBarrier",
    "Regularizer",
    "Shannon",
    "Tsallis",
    "boltzmann_average",
    "entropy",
    "expectation",
    "kl_divergence",
    "log_soft_argmax",
    "mellowmax",
    "regularized_greedy",
    "regularized_maximum",
    "regularized_value",
    "regularizer_of",
    "soft_argmax",
    "soft_maximum",
]
