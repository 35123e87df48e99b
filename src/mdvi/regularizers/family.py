"""What Tsallis' entropies and the f-divergences of the power family have in common: all but ρ and the extremes."""

from typing import Any

from mdvi.regularizers.power import (
    differentiable_maximum,
    differentiable_policy,
    power_curvature,
    power_dual,
    power_floor,
    power_omega,
    solve_power,
)
from mdvi.regularizers.shannon import Legal, States, Values
from mdvi.types import Array, Scalar, namespace


class PowerFamily:
    """Ω(π) = (Σ_a ρ(a)^{1−α} π(a)^α − 1) / (α(α − 1)), for a ρ that `weights` says.

    Attributes:
        alpha: α.
    """

    alpha: float

    @property
    def differentiable(self) -> bool:
        """True: ∇Ω exists inside the simplex."""
        return True

    def weights(self, x: Array, legal: Legal) -> Any:
        """ρ in the shape of x; None for 1."""
        return None

    def solve(self, x: Array, temperature: Scalar, legal: Array) -> tuple[Any, Any]:
        """M_κ(x) and ∇M_κ(x)."""
        return solve_power(x, temperature, legal, self.alpha, self.weights(x, legal))

    def omega_at(self, policy: Array, legal: Array) -> Any:
        """Ω(π)."""
        return power_omega(policy, legal, self.alpha, self.weights(policy, legal))

    def curvature(self, policy: Array, legal: Array) -> tuple[Any, Any]:
        """φ'(π/ρ) = ((π/ρ)^{α−1} − 1)/(α − 1) and ρ (π/ρ)^{2−α}."""
        return power_curvature(policy, legal, self.alpha, self.weights(policy, legal))

    def maximum(self, x: Values, temperature: Scalar, legal: Legal = None) -> States:
        """M_κ(x) = max_π ⟨π, x⟩ − κ Ω(π)."""
        return differentiable_maximum(self, x, temperature, legal)

    def policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """π(a) = ρ(a) [1 + (α − 1)(x(a)/κ − ν)]₊^{1/(α−1)}."""
        return differentiable_policy(self, x, temperature, legal)

    def log_policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """Its logarithm; −∞ where the probability is zero."""
        return logarithm(self.policy(x, temperature, legal))

    def omega(self, log_policy: Values, legal: Legal = None) -> States:
        """Ω(π)."""
        policy = namespace(log_policy).exp(log_policy)
        return power_omega(policy, legal, self.alpha, self.weights(policy, legal))

    def dual(self, log_policy: Values, legal: Legal = None) -> Values:
        """φ'(π/ρ) − Ω*(φ'(π/ρ)), which is φ'(π/ρ) − (Σ ρ^{1−α} π^α − 1)/α."""
        policy = namespace(log_policy).exp(log_policy)
        return power_dual(policy, legal, self.alpha, self.weights(policy, legal))

    def floor(self, log_policy: Values, legal: Legal = None) -> States:
        """The same at probability zero for α > 1, with −1/(α − 1) in the place of φ'."""
        policy = namespace(log_policy).exp(log_policy)
        return power_floor(policy, legal, self.alpha, self.weights(policy, legal))


def logarithm(policy: Any) -> Any:
    """Log π, −∞ where the probability is zero."""
    xp = namespace(policy)
    return xp.where(policy > 0, xp.log(xp.where(policy > 0, policy, 1.0)), -xp.inf)
