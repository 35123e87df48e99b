"""What a regulariser Ω is: a relative entropy, by its regularised maximum and the policy that attains it."""

from typing import TYPE_CHECKING, Any, Protocol

from mdvi.types import Array, Scalar

if TYPE_CHECKING:  # of Numba, which those who only learn do not need
    from mdvi.regularizers.rows import Rows


class Regularizer(Protocol):
    """Ω(π) = Σ_a π(a) log(π(a)/ρ(a)) with a reference ρ > 0, which need not sum to 1. A value that can be hashed.

        M_κ(x) = max_π ⟨π, x⟩ − κ Ω(π) = κ log Σ_a ρ(a) exp(x(a)/κ),     ∇M_κ(x) ∝ ρ exp(x/κ)

    Every function of x takes arrays of NumPy or JAX whose last axis is the action; κ = 0 gives the maximum itself.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def rows(self) -> "Rows":
        """M_κ and ∇M_κ for the sweeps of the planner."""

    def maximum(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """M_κ(x), shape (...)."""

    def policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """∇M_κ(x), shape (..., actions)."""

    def log_policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """Its logarithm; −∞ where the probability is zero."""

    def log_reference(self, legal: Array) -> Any:
        """Log ρ, shape (..., actions) or, where it is the same for all actions, (..., 1)."""

    def least(self, actions: int) -> float:
        """The least value of Ω over the policies with at most so many actions."""

    def greatest(self, actions: int) -> float:
        """The greatest."""

    def rounding(self, actions: int) -> float:
        """How many roundings of κ the computed M_κ of a row of so many actions may err by, besides those of x."""
