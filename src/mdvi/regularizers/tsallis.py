"""Tsallis' entropies Ω_α of every index α, among them sparsemax (α = 2) and the logarithmic barrier (α = 0)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdvi.regularizers.family import PowerFamily, logarithm
from mdvi.regularizers.shannon import Legal, Values, log_soft_argmax
from mdvi.types import Scalar

if TYPE_CHECKING:
    from mdvi.regularizers.rows import Rows

_U = 2.0**-53  # the rounding unit


@dataclass(frozen=True)
class Tsallis(PowerFamily):
    """Ω_α(π) = (Σ_a π(a)^α − 1) / (α(α − 1)): Tsallis' negative entropy, scaled so that Ω'' = π^{α−2} for every α.

        α = 1  Shannon, Σ π log π          α = 2  (‖π‖² − 1)/2, whose policy is sparsemax
        α = 3/2  1.5-entmax                α = 0  the logarithmic barrier −Σ log π − n log n

    For α > 0, Ω is 0 at deterministic policies and least at the uniform one. For α > 1 an action has probability
    exactly zero once it is worse than the best by κ/(α − 1). For α ≤ 0 no deterministic policy has a finite Ω, which is
    then shifted to 0 at the uniform policy.

    The same κ is not the same softness for two indices: the curvature at the uniform policy is κ n^{2−α}, so compare α
    and α' at κ' = κ n^{α'−α}.

    Other conventions: Lee et al. (2018) add τ S_q with S_q = (1 − Σ π^q)/(q − 1) = −q Ω_q, which is κ = qτ here. Their
    sparse MDP has (1 − ‖π‖²)/2, which is α = 2 as it stands. The ln_q of Zhu et al. (2023) is (x^{1−q} − 1)/(1 − q), so
    their index is 2 − α. The α of entmax is this one.

    Attributes:
        alpha: α, any finite number.

    Raises:
        ValueError: if α is not a finite number.

    Example:
        >>> import numpy as np
        >>> Tsallis(2).policy(np.array([-2.0, 0.0, 0.5]), 1.0)
        array([0.  , 0.25, 0.75])

    Source: Tsallis (1988); Lee, Choi and Oh (2018), equation 4; Blondel, Martins and Niculae (2020).
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", checked_index(self.alpha))

    @property
    def name(self) -> str:
        """Its name with α, as in "tsallis:1.5"; "log-barrier" for α = 0."""
        return "log-barrier" if self.alpha == 0 else f"tsallis:{index_of(self.alpha)}"

    @property
    def rows(self) -> "Rows | None":
        """M_κ and ∇M_κ for the sweeps of the planner, for α > 0."""
        from mdvi.regularizers.power_rows import rows_of

        return rows_of(self.alpha) if self.alpha > 0 else None

    def referring(self, reference: Any) -> "tuple[Tsallis, Any]":
        """Ω, and all of the reference, for the Bregman divergence of Ω."""
        return self, reference

    def log_policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """Its logarithm; −∞ where the probability is zero."""
        if self.alpha == 1:
            return log_soft_argmax(x, temperature, legal)
        return logarithm(self.policy(x, temperature, legal))

    def least(self, actions: int) -> float:
        """Of the uniform policy: −(1 − n^{1−α})/(α(α − 1)), rounded down, or 0 for α ≤ 0."""
        alpha = self.alpha
        if alpha <= 0:
            return 0.0
        if alpha == 1:
            return -math.log(actions)
        exponent = (1 - alpha) * math.log(actions)
        rounded = 1 + (16 + 4 * abs(exponent)) * _U
        return math.expm1(exponent) / (alpha * (alpha - 1)) * rounded

    def greatest(self, actions: int) -> float:
        """Of a deterministic policy: 0, or ∞ for α ≤ 0 and several actions."""
        return 0.0 if self.alpha > 0 or actions == 1 else math.inf

    def at_vertices(self, actions: int) -> tuple[float, float]:
        """The same for all of them."""
        return self.greatest(actions), self.greatest(actions)

    def rounding(self, actions: int) -> float:
        """9(n + 8) max(1, n^{1−α})/α + 8αR + 8: sums of n powers, each right to four units in the last place."""
        alpha = self.alpha
        return 9 * (actions + 8) * max(1.0, actions ** (1 - alpha)) / alpha - 8 * alpha * self.least(actions) + 8


def LogBarrier() -> Tsallis:  # noqa: N802 - it stands where a class would
    """The logarithmic barrier Ω(π) = −Σ_a log π(a) − n log n, which is `Tsallis(0)`.

    Every action keeps a probability of order κ/gap, and Ω is unbounded, so no theorem and no bias bound covers it.
    """
    return Tsallis(0.0)


def checked_index(alpha: Any) -> float:
    """α as a float.

    Raises:
        ValueError: if it is not a finite number.
    """
    try:
        value = math.nan if isinstance(alpha, bool) else float(alpha)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"alpha: expected a finite number, got {alpha!r}")
    return value


def index_of(alpha: float) -> str:
    """α in a name, which says exactly the same number."""
    return repr(alpha).removesuffix(".0")
