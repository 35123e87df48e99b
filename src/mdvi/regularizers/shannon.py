"""KL and entropy on the last axis: soft maximum, soft argmax, regularised greedy and value.

Everything here is a pure function of arrays whose **last axis is the action**, and runs unchanged on NumPy
and JAX arrays. With λ the weight of the KL term and τ the weight of the entropy,

    κ = λ + τ   (temperature)        β = λ / (λ + τ)   (beta; 0 when κ = 0)

    G_μ^{λ,τ}(q) = argmax_π ⟨π, q⟩ − λ KL(π‖μ) + τ H(π)  ∝  μ^β exp(q / κ)
    maximum      = κ log Σ_a μ(a)^β exp(q(a) / κ)

A temperature of zero is a value like any other and gives the limit κ → 0 exactly. `legal` is a Boolean mask
over actions: illegal actions have probability zero and never enter a sum, in values and in gradients.

Source: Vieillard et al., "Leverage the Average" (2020), section 2.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool, Float

from mdvi.types import Array, Reduced, Scalar, jax_of, namespace

if TYPE_CHECKING:
    from mdvi.regularizers.rows import Rows

Values = Float[Array, "*batch actions"]
States = Float[Reduced, "*batch"]
Legal = Bool[Array, "*#batch actions"] | None

_VANISHED = 1e4  # exp(-1e4) is exactly 0 in every floating-point type we use
_TIE = 8  # values this many ulps below the largest are ties


def soft_maximum(x: Values, temperature: Scalar, legal: Legal = None) -> States:
    """M_κ(x) = κ log Σ_a exp(x(a) / κ), and max_a x(a) when κ = 0.

    Args:
        x: values, shape (..., actions).
        temperature: κ ≥ 0, in units of x.
        legal: legal actions; a row with none gives −∞.

    Returns:
        Shape (...). 1-Lipschitz in the sup norm; its gradient is `soft_argmax`, at κ = 0 too.
    """
    xp = namespace(x, temperature)
    best, gap = best_and_gap(x, legal)
    weights = _weights(gap, temperature)
    total = weights.sum(-1, keepdims=True)
    value = xp.where(total == 0, -xp.inf, best + temperature * xp.log(_nonzero(total)))
    # At κ = 0 the line above does not depend on the gaps, so the slope 1/n on the maximisers is put in by hand.
    slope = xp.where(temperature > 0, 0.0, _constant(weights / _nonzero(total)))
    moved = xp.where(slope > 0, gap, 0.0)
    return value[..., 0] + (slope * (moved - _constant(moved))).sum(-1)


def mellowmax(x: Values, temperature: Scalar, legal: Legal = None) -> States:
    """mm_κ(x) = κ log( (1/n) Σ_a exp(x(a) / κ) ), n the number of legal actions.

    Equal to max_π ⟨π, x⟩ − κ KL(π‖uniform). Source: Asadi and Littman (2017), equation 1 (ω = 1/κ).
    """
    xp = namespace(x, temperature)
    count = xp.asarray(x.shape[-1], x.dtype) if legal is None else legal.sum(-1).astype(x.dtype)
    return soft_maximum(x, temperature, legal) - temperature * xp.log(_nonzero(count))


def boltzmann_average(x: Values, temperature: Scalar, legal: Legal = None) -> States:
    """B_κ(x) = ⟨softmax(x / κ), x⟩: the average of x under its own soft argmax.

    Equal to M_κ(x) − κ H(softmax(x / κ)). Source: Azar, Gómez and Kappen (2012), the operator M_η of DPP.
    """
    return expectation(soft_argmax(x, temperature, legal), x)


def soft_argmax(x: Values, temperature: Scalar, legal: Legal = None) -> Values:
    """softmax(x / κ): argmax_π ⟨π, x⟩ + κ H(π), and uniform over the maximisers when κ = 0.

    Args:
        x: values, shape (..., actions).
        temperature: κ ≥ 0, in units of x.
        legal: legal actions; a row with none gives zeros.

    Returns:
        Probabilities, shape (..., actions).
    """
    weights = _weights(best_and_gap(x, legal)[1], temperature)
    return weights / _nonzero(weights.sum(-1, keepdims=True))


def log_soft_argmax(x: Values, temperature: Scalar, legal: Legal = None) -> Values:
    """Log softmax(x / κ); −∞ where the probability is exactly zero (illegal, or beaten when κ = 0)."""
    xp = namespace(x, temperature)
    _, gap = best_and_gap(x, legal)
    total = _weights(gap, temperature).sum(-1, keepdims=True)
    possible, scaled = _divided(gap, temperature)
    return xp.where(possible, scaled - xp.log(_nonzero(total)), -xp.inf)


def expectation(policy: Values, x: Values) -> States:
    """⟨π, x⟩ = Σ_a π(a) x(a), where actions of probability zero do not count even if x is infinite."""
    xp = namespace(policy, x)
    return (policy * xp.where(policy > 0, x, 0.0)).sum(-1)


def entropy(log_policy: Values) -> States:
    """H(π) = −Σ_a π(a) log π(a), in nats, with 0 · log 0 = 0. Takes log π; shape (..., actions) → (...)."""
    xp = namespace(log_policy)
    return -expectation(xp.exp(log_policy), log_policy)


def kl_divergence(log_policy: Values, log_prior: Values) -> States:
    """KL(π‖μ) = Σ_a π(a) (log π(a) − log μ(a)), in nats, with 0 · log 0 = 0.

    Takes log π and log μ, shape (..., actions) → (...). +∞ where π puts mass on an action that μ forbids.
    """
    xp = namespace(log_policy, log_prior)
    policy = xp.exp(log_policy)
    taken = policy > 0
    return expectation(policy, xp.where(taken, log_policy, 0.0) - xp.where(taken, log_prior, 0.0))


def regularized_greedy(q: Values, log_prior: Values, kl: Scalar, entropy: Scalar, legal: Legal = None) -> Values:
    """Log G_μ^{λ,τ}(q): the log-policy that maximises ⟨π, q⟩ − λ KL(π‖μ) + τ H(π).

        π ∝ μ^β exp(q / κ);   when λ = τ = 0, and β = 0:  π uniform on argmax_a q(a).

    Args:
        q: action values, shape (..., actions).
        log_prior: log μ, same shape; finite on legal actions.
        kl: λ ≥ 0, in units of q.
        entropy: τ ≥ 0, in units of q.
        legal: legal actions.

    Returns:
        log π, shape (..., actions). Source: the paper, section 2, equation of G.
    """
    _, exponents, support = _regularized_exponents(q, log_prior, kl, entropy, legal)
    return log_soft_argmax(exponents, 1.0, support)


def regularized_maximum(q: Values, log_prior: Values, kl: Scalar, entropy: Scalar, legal: Legal = None) -> States:
    """max_π ⟨π, q⟩ − λ KL(π‖μ) + τ H(π) = κ log Σ_a μ(a)^β exp(q(a) / κ). Arguments as `regularized_greedy`."""
    best, exponents, support = _regularized_exponents(q, log_prior, kl, entropy, legal)
    return best + (kl + entropy) * soft_maximum(exponents, 1.0, support)


def regularized_value(log_policy: Values, q: Values, log_prior: Values, kl: Scalar, entropy: Scalar) -> States:
    """⟨π, q⟩ − λ KL(π‖μ) + τ H(π) of a given policy. Shapes (..., actions) → (...)."""
    xp = namespace(log_policy, q, log_prior)
    return (
        expectation(xp.exp(log_policy), q) - kl * kl_divergence(log_policy, log_prior) + entropy * _entropy(log_policy)
    )


@dataclass(frozen=True)
class Shannon:
    """Ω(π) = −H(π) = Σ_a π(a) log π(a), or with the uniform policy as its reference KL(π‖uniform) = log n − H(π).

    The two choose the same policies; the second counts no entropy as worth nothing, and its maximum is the mellowmax.

    Attributes:
        uniform: whether the reference is the uniform policy over legal actions.
    """

    uniform: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return "kl-to-uniform" if self.uniform else "shannon"

    @property
    def rows(self) -> "Rows":
        """M_κ and ∇M_κ for the sweeps of the planner."""
        from mdvi.regularizers import rows

        return rows.MELLOW if self.uniform else rows.SOFT

    def referring(self, reference: Any) -> "tuple[Shannon, Any]":
        """Ω, and all of the reference: −τ KL(π‖ρ)."""
        return self, reference

    def maximum(self, x: Values, temperature: Scalar, legal: Legal = None) -> States:
        """κ log Σ_a ρ(a) exp(x(a)/κ), ρ = 1 or 1/n."""
        return (mellowmax if self.uniform else soft_maximum)(x, temperature, legal)

    def policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """softmax(x/κ)."""
        return soft_argmax(x, temperature, legal)

    def log_policy(self, x: Values, temperature: Scalar, legal: Legal = None) -> Values:
        """Log softmax(x/κ)."""
        return log_soft_argmax(x, temperature, legal)

    @property
    def differentiable(self) -> bool:
        """True: ∇Ω exists inside the simplex."""
        return True

    def omega(self, log_policy: Values, legal: Legal = None) -> States:
        """−H(π), or log n − H(π)."""
        value = -entropy(log_policy)
        return value + _log_count(log_policy, legal)[..., 0] if self.uniform else value

    def dual(self, log_policy: Values, legal: Legal = None) -> Values:
        """Log π, or log π + log n."""
        return log_policy + _log_count(log_policy, legal) if self.uniform else log_policy

    def floor(self, log_policy: Values, legal: Legal = None) -> States:
        """−∞: no action gets probability zero."""
        xp = namespace(log_policy)
        return xp.full(log_policy.shape[:-1], -xp.inf, log_policy.dtype)

    def at_vertices(self, actions: int) -> tuple[float, float]:
        """0, or log n."""
        return self.greatest(actions), self.greatest(actions)

    def least(self, actions: int) -> float:
        """Of the uniform policy: −log n, or 0."""
        return 0.0 if self.uniform else -math.log(actions)

    def greatest(self, actions: int) -> float:
        """Of one action: 0, or log n."""
        return math.log(actions) if self.uniform else 0.0

    def rounding(self, actions: int) -> float:
        """Of one exp per action (argument, value and sum, or left out) and one log, right to 4 units in the last place.

        And those of κ; of the mellowmax one log more. Source: Blanchard, Higham and Higham (2021).
        """
        size = math.log(actions)
        return 9 * actions + 8 + 8 * size + (8 * size if self.uniform else 0.0)


SHANNON, KL_TO_UNIFORM = Shannon(), Shannon(uniform=True)
_entropy = entropy  # `regularized_value` has an argument of that name


def _masked(x: Values, legal: Legal) -> Values:
    xp = namespace(x)
    return x if legal is None else xp.where(legal, x, -xp.inf)


def _nonzero(x: Any) -> Any:
    """x, with 1 in place of 0: a divisor, or the argument of a logarithm, that the caller's mask makes moot."""
    return namespace(x).where(x > 0, x, 1.0)


def _constant(x: Array) -> Array:
    """x, held constant by differentiation."""
    jax = jax_of(x)
    return x if jax is None else jax.lax.stop_gradient(x)


def best_and_gap(x: Values, legal: Legal) -> tuple[Array, Array]:
    """Max x with the last axis kept, and x − max x: exactly 0 at the maximisers, −∞ where illegal.

    Compilers evaluate one expression in two places with two roundings, so that x − max x need not vanish
    anywhere. Values within a few ulps of the largest are therefore ties, and the first maximiser always is one.
    """
    xp = namespace(x)
    x = _masked(x, legal)
    best = _constant(x.max(-1, keepdims=True))
    best = xp.where(best == -xp.inf, 0.0, best)
    gap = x - best
    action = xp.arange(x.shape[-1]).reshape((1,) * (x.ndim - 1) + (-1,))
    first = action == x.argmax(-1, keepdims=True)
    top = (x > -xp.inf) & (first | (gap >= -_TIE * xp.finfo(x.dtype).eps * xp.abs(best)))
    return best, gap - _constant(xp.where(top, gap, 0.0))


def _weights(gap: Array, temperature: Scalar) -> Array:
    """exp(gap / κ), and its limit 1{gap = 0} at κ = 0."""
    xp = namespace(gap, temperature)
    scaled = xp.maximum(gap, -_VANISHED * temperature) / _nonzero(temperature)
    exponent = xp.where(temperature > 0, scaled, xp.where(gap < 0, -_VANISHED, xp.where(gap == 0, 0.0, gap)))
    return xp.where(gap == -xp.inf, 0.0, xp.exp(exponent))


def _divided(gap: Array, temperature: Scalar) -> tuple[Array, Array]:
    """Which actions can have positive probability, and gap / κ for them, kept from overflowing at tiny κ."""
    xp = namespace(gap, temperature)
    possible = (gap > -xp.inf) & ((gap == 0) | (temperature > 0))
    lowest = -xp.minimum(temperature, 1.0) * (xp.finfo(gap.dtype).max / 4)
    return possible, xp.where(possible, xp.maximum(gap, lowest), 0.0) / _nonzero(temperature)


def _log_count(x: Array, legal: Legal) -> Any:
    """Log n, shape (..., 1), n the number of legal actions."""
    xp = namespace(x)
    mask = xp.ones(x.shape, bool) if legal is None else legal
    return xp.log(xp.maximum(mask.sum(-1, keepdims=True), 1).astype(x.dtype))


def _regularized_exponents(
    q: Values, log_prior: Values, kl: Scalar, entropy: Scalar, legal: Legal
) -> tuple[Array, Array, Array]:
    """Max q, the exponents (q − max q)/κ + β log μ, and the actions that can have positive probability."""
    xp = namespace(q, log_prior, kl, entropy)
    temperature = kl + entropy
    beta = kl / _nonzero(temperature)
    best, gap = best_and_gap(q, legal)
    possible, scaled = _divided(gap, temperature)
    return best[..., 0], scaled + beta * xp.where(possible, log_prior, 0.0), possible
