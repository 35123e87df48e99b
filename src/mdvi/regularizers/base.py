"""What a regulariser Ω is: a convex function of policies, by its regularised maximum and the policy that attains it."""

from typing import TYPE_CHECKING, Any, Protocol

from mdvi.types import Array, Scalar

if TYPE_CHECKING:  # of Numba, which those who only learn do not need
    from mdvi.regularizers.rows import Rows


class Regularizer(Protocol):
    """A closed convex function Ω of policies over legal actions, as a value that can be hashed and compared.

        M_κ(x) = max_π ⟨π, x⟩ − κ Ω(π),     ∇M_κ(x) = the π that attains it

    M_κ is convex, monotone and 1-Lipschitz in the sup norm, and M_κ(x + c) = M_κ(x) + c for a constant c. Every
    function of x takes arrays of NumPy or JAX whose last axis is the action; κ = 0 gives the maximum, whatever Ω is.

    The dual variable of a policy is s(π) = κ (∇Ω(π) − Ω*(∇Ω(π))), the s with ∇M_κ(s) = π and M_κ(s) = 0: for
    Shannon's Ω it is κ log π.
    """

    @property
    def name(self) -> str:
        """What it is called, as `regularizer_of` reads it."""

    @property
    def rows(self) -> "Rows | None":
        """M_κ and ∇M_κ for the sweeps of the planner; None for `maximum` and `policy`, which are slower there."""

    @property
    def differentiable(self) -> bool:
        """Whether ∇Ω exists at every policy that is positive on all legal actions, and so a divergence to a policy."""

    def referring(self, reference: Any) -> "tuple[Regularizer, Any]":
        """Ω where a reference policy is given beside it, and what is left of the reference.

        An Ω that has a reference of its own, such as an f-divergence, takes it, and None is left. Any other leaves all
        of it, for the Bregman divergence D_Ω(π‖ρ) = Ω(π) − ⟨π, s(ρ)/κ⟩.
        """

    def maximum(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """M_κ(x), shape (...)."""

    def policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """∇M_κ(x), shape (..., actions)."""

    def log_policy(self, x: Array, temperature: Scalar, legal: Array | None = None) -> Any:
        """Its logarithm; −∞ where the probability is zero."""

    def omega(self, log_policy: Array, legal: Array | None = None) -> Any:
        """Ω(π), shape (...). Takes log π, as `entropy` does: probabilities too small for a float still count."""

    def dual(self, log_policy: Array, legal: Array | None = None) -> Any:
        """s(π)/κ, shape (..., actions); −∞ where no finite s gives the probability zero, and on illegal actions."""

    def floor(self, log_policy: Array, legal: Array | None = None) -> Any:
        """s(a)/κ of an action of probability zero next to this policy, shape (...); −∞ where no action gets zero."""

    def least(self, actions: int) -> float:
        """The least value of Ω over the policies with at most so many actions."""

    def greatest(self, actions: int) -> float:
        """The greatest value of Ω over these policies; ∞ if there is none."""

    def at_vertices(self, actions: int) -> tuple[float, float]:
        """The least and the greatest value of Ω over deterministic policies."""

    def rounding(self, actions: int) -> float:
        """How many roundings of κ the computed M_κ of a row of so many actions may err by, besides those of x."""
