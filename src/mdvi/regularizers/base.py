"""What a regulariser Ω is: a relative entropy, by its regularised maximum and the policy that attains it."""

from typing import Any, Protocol

from mdvi.types import Array, Scalar


class Regularizer(Protocol):
    """Ω(π) = Σ_a π(a) log(π(a)/ρ(a)) with a reference ρ > 0, which need not sum to 1. A value that can be hashed.

        M_κ(x) = max_π ⟨π, x⟩ − κ Ω(π) = κ log Σ_a ρ(a) exp(x(a)/κ),     ∇M_κ(x) ∝ ρ exp(x/κ)

    Every function takes arrays of NumPy or JAX whose last axis is the action; κ = 0 gives the maximum itself.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    def maximum(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """M_κ(x), shape (...)."""

    def policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """∇M_κ(x), shape (..., actions)."""

    def log_policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """Its logarithm; −∞ where the probability is zero."""

    def log_reference(self, legal: Array) -> Any:
        """Log ρ, shape (..., actions) or, where it is the same for all actions, (..., 1)."""
