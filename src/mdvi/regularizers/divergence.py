"""f-divergences to a reference policy, of the power family: KL, reverse KL, χ², Hellinger and what lies between."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.regularizers.family import PowerFamily
from mdvi.regularizers.power import uniform_over
from mdvi.regularizers.reference import Reference, only_reference
from mdvi.regularizers.shannon import Legal
from mdvi.regularizers.tsallis import checked_index, index_of
from mdvi.types import Array, namespace

if TYPE_CHECKING:
    from mdvi.regularizers.rows import Rows

_U = 2.0**-53  # the rounding unit


@dataclass(frozen=True)
class Divergence(PowerFamily):
    """Ω(π) = Σ_a ρ(a) φ_α(π(a)/ρ(a)) = (Σ ρ^{1−α} π^α − 1) / (α(α − 1)), 0 at the reference ρ and nowhere less.

        α = 1  KL(π‖ρ)          α = 2  χ²(π‖ρ)/2          α = 1/2  Hellinger          α = 0  KL(ρ‖π)

    This is not the Bregman divergence of Ω_α, which `Scheme(reference=…)` uses, except for α = 1. The Tsallis KL of Zhu
    et al. (2023) is D_q = q Ω with α = q, so their coefficient times q is ours.

    Attributes:
        alpha: α, any finite number.
        reference: ρ, shape (states, actions), positive on legal actions; by default uniform over legal actions.

    Raises:
        ValueError: if α is not a finite number, or ρ has a negative number or does not sum to 1.

    Source: Csiszár (1967); Nachum et al. (2019) for the use in reinforcement learning.
    """

    alpha: float = 2.0
    reference: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", checked_index(self.alpha))
        if self.reference is not None:
            object.__setattr__(self, "reference", Reference(self.reference))

    @property
    def name(self) -> str:
        """Its name with α, as in "divergence:2"."""
        return f"divergence:{index_of(self.alpha)}"

    @property
    def rows(self) -> "Rows | None":
        """M_κ and ∇M_κ for the sweeps of the planner: for the KL to the uniform policy."""
        from mdvi.regularizers.rows import MELLOW

        return MELLOW if self.alpha == 1 and self.reference is None else None

    def referring(self, reference: Any) -> "tuple[Divergence, None]":
        """The divergence to this policy.

        Raises:
            ValueError: if it has a reference already, or this one is traced by JAX.
        """
        return replace(self, reference=only_reference("reference", self.name, self.reference, reference)), None

    def weights(self, x: Array, legal: Legal) -> Any:
        """ρ in the shape of x; 1 in the place of its zeros, which only terminal states and illegal actions have."""
        xp = namespace(x)
        if self.reference is not None:
            return np.where(self.reference.table > 0, self.reference.table, 1.0)
        mask = xp.ones(x.shape, bool) if legal is None else xp.broadcast_to(xp.asarray(legal), x.shape)
        return uniform_over(mask, x.dtype)

    def least(self, actions: int) -> float:
        """Of ρ: 0."""
        return 0.0

    def greatest(self, actions: int) -> float:
        """Of the deterministic policy that ρ makes least probable: (ρ^{1−α} − 1)/(α(α − 1)); −log ρ for α = 1."""
        return self.at_vertices(actions)[1]

    def at_vertices(self, actions: int) -> tuple[float, float]:
        """(ρ^{1−α} − 1)/(α(α − 1)) at the largest and at the smallest ρ; ∞ for α ≤ 0."""
        if actions == 1:
            return 0.0, 0.0
        if self.alpha <= 0:
            return math.inf, math.inf
        positive = None if self.reference is None else self.reference.table[self.reference.table > 0]
        most, least = (1 / actions, 1 / actions) if positive is None else (positive.max(), positive.min())
        return self._at_vertex(float(most)), self._at_vertex(float(least))

    def _at_vertex(self, rho: float) -> float:
        """Ω of a deterministic policy whose action has the probability ρ under the reference, rounded up."""
        alpha, exponent = self.alpha, (1 - self.alpha) * math.log(rho)
        if alpha == 1:
            return -math.log(rho) * (1 + 16 * _U)
        with np.errstate(over="ignore"):  # the power is right to a rounding where it is large, expm1 where it is not
            power = np.float64(rho) ** (1 - alpha) - 1 if abs(exponent) > 1 else math.expm1(exponent)
        # ρ is a quotient by a sum, and its power multiplies what that rounds.
        sums = 2 if self.reference is None else self.reference.table.shape[-1]
        roundings = 16 + 2 * abs(1 - alpha) * (sums + 2 - 2 * math.log(rho))
        return float(power) / (alpha * (alpha - 1)) * (1 + roundings * _U)

    def rounding(self, actions: int) -> float:
        """The rounding of `Tsallis`, with R of the reference, each term of which is a power of 1/ρ."""
        alpha, most, each = self.alpha, self.greatest(actions), 9 * (actions + 8)
        least = 1 / actions if self.reference is None else self.reference.table[self.reference.table > 0].min()
        return each / alpha + (2 * actions + 16 - 8 * math.log(least)) * (1 + alpha) * most + 80
