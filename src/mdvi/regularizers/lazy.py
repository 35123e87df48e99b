"""The regulariser of lazy Markov decision processes: follow a default policy for nothing, or pay κ and choose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdvi.regularizers.family import logarithm
from mdvi.regularizers.power import differentiable_maximum, differentiable_policy, uniform_over
from mdvi.regularizers.reference import Reference, only_reference
from mdvi.regularizers.shannon import Legal, States, Values, best_and_gap
from mdvi.types import Array, Scalar, namespace

if TYPE_CHECKING:
    from mdvi.regularizers.rows import Rows


@dataclass(frozen=True)
class Lazy:
    """Ω(π) = 1 − min_a π(a)/μ(a): 0 at the default policy μ, 1 at policies that never use one of its actions.

        M_κ(x) = max(⟨μ, x⟩, max_a x(a) − κ)

    The policy is μ itself, or uniform over the best actions. κ is the price of taking control. μ may be zero on some
    actions, which the minimum then leaves out.

    Attributes:
        default: μ, shape (states, actions); by default uniform over legal actions.

    Raises:
        ValueError: if μ has a negative number, or does not sum to 1.

    Source: Jacq, Ferret, Pietquin and Geist, "Lazy-MDPs" (2022), where the price is called η.
    """

    default: Any = None

    def __post_init__(self) -> None:
        if self.default is not None:
            object.__setattr__(self, "default", Reference(self.default))

    @property
    def name(self) -> str:
        """Its name."""
        return "lazy"

    @property
    def differentiable(self) -> bool:
        """False: Ω has corners."""
        return False

    @property
    def rows(self) -> "Rows | None":
        """M_κ and ∇M_κ for the sweeps of the planner, with the uniform default policy."""
        from mdvi.regularizers.lazy_rows import LAZY

        return LAZY if self.default is None else None

    def referring(self, reference: Any) -> "tuple[Lazy, None]":
        """The same with this policy as the default.

        Raises:
            ValueError: if it has a default policy already, or this one is traced by JAX.
        """
        return Lazy(only_reference("default", self.name, self.default, reference)), None

    def _mu(self, x: Array, legal: Array) -> Any:
        """μ over legal actions, in the shape of x; zeros where none is legal."""
        xp = namespace(x)
        given = xp.ones(x.shape, x.dtype) if self.default is None else xp.asarray(self.default.table, x.dtype)
        mu = xp.where(legal, xp.broadcast_to(given, x.shape), 0.0)
        total = mu.sum(-1, keepdims=True)
        return mu / xp.where(total > 0, total, 1.0)

    def solve(self, x: Array, temperature: Scalar, legal: Array) -> tuple[Any, Any]:
        """M_κ(x) and ∇M_κ(x)."""
        xp = namespace(x, temperature)
        mu, (top, gap) = self._mu(x, legal), best_and_gap(x, legal)
        gap, some = xp.where(legal, gap, 0.0), legal.any(-1)
        follow = (mu * gap).sum(-1, keepdims=True)
        lazy = (follow >= -temperature) & (temperature > 0)
        value = top + xp.where(lazy, follow, -temperature)
        policy = xp.where(lazy, mu, uniform_over(legal & (gap == 0), x.dtype))
        return xp.where(some, value[..., 0], -xp.inf), policy

    def curvature(self, policy: Array, legal: Array) -> tuple[Any, Any]:
        """Zeros: the policy moves in jumps."""
        zeros = namespace(policy).zeros_like(policy)
        return zeros, zeros

    def maximum(self, x: Values, temperature: Scalar, legal: Legal = None) -> States:
        """max(⟨μ, x⟩, max x − κ)."""
        return differentiable_maximum(self, x, temperature, legal)

    def policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """μ where ⟨μ, x⟩ ≥ max x − κ, elsewhere uniform over the best actions."""
        return differentiable_policy(self, x, temperature, legal)

    def log_policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """Its logarithm; −∞ where the probability is zero."""
        return logarithm(self.policy(x, temperature, legal))

    def omega_at(self, policy: Array, legal: Array) -> Any:
        """1 − min π/μ."""
        xp, mu = namespace(policy), self._mu(policy, legal)
        used = mu > 0
        return 1 - xp.where(used, policy / xp.where(used, mu, 1.0), xp.inf).min(-1)

    def omega(self, log_policy: Values, legal: Legal = None) -> States:
        """1 − min π/μ."""
        return self.omega_at(namespace(log_policy).exp(log_policy), _mask(log_policy, legal))

    def dual(self, log_policy: Values, legal: Legal = None) -> Values:
        """0, the dual variable of μ; no other policy has a single one."""
        xp = namespace(log_policy)
        return xp.where(_mask(log_policy, legal), xp.zeros_like(log_policy), -xp.inf)

    def floor(self, log_policy: Values, legal: Legal = None) -> States:
        """−∞: there is no agile form."""
        xp = namespace(log_policy)
        return xp.full(log_policy.shape[:-1], -xp.inf, log_policy.dtype)

    def least(self, actions: int) -> float:
        """Of μ: 0."""
        return 0.0

    def greatest(self, actions: int) -> float:
        """1."""
        return 1.0

    def at_vertices(self, actions: int) -> tuple[float, float]:
        """0 if a state has one action or μ is deterministic somewhere, else 1; and 1."""
        alone = actions == 1 or (self.default is not None and bool((self.default.table == 1).any()))
        return (0.0 if alone else 1.0), 1.0

    def rounding(self, actions: int) -> float:
        """Of a sum of n products, which matters up to κ, the sum of n weights in it, and an addition."""
        return 2.0 * actions + 8


def _mask(x: Array, legal: Legal) -> Any:
    """The legal actions in the shape of x."""
    xp = namespace(x)
    return xp.ones(x.shape, bool) if legal is None else xp.broadcast_to(xp.asarray(legal), x.shape)
