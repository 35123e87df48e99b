"""What a regulariser Ω is: a convex function of a policy, by its regularised maximum and the policy that attains it."""

from typing import Any, Protocol

from mdvi.types import Array, Scalar


class Regularizer(Protocol):
    """Ω, convex on the simplex of each state's actions. A value that can be hashed and compared.

        M_κ(x) = max_π ⟨π, x⟩ − κ Ω(π),     ∇M_κ(x) = argmax_π ⟨π, x⟩ − κ Ω(π)

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
        """Log ρ with Ω(π) = Σ_a π(a) log(π(a)/ρ(a)), shape (..., 1)."""
