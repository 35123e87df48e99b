"""The power family on the last axis: M_κ, ∇M_κ and Ω for an index α, with weights or without.

With weights ρ > 0 (all 1 for Tsallis' entropies, a reference policy for f-divergences) and legal actions only,

    Ω(p) = (Σ ρ^{1−α} p^α − 1) / (α(α−1)),     φ(t) = (t^α − 1 − α(t − 1)) / (α(α−1)),     φ'(t) = (t^{α−1} − 1) / (α−1)
    p = ρ ψ(y − ν),   ψ(u) = (φ')⁻¹(u) = [1 + (α−1)u]₊^{1/(α−1)},   Σ p = 1
    M_κ(x) = max x + κ (ν + (Σ ρ^{1−α} p^α − 1)/α),     y = (x − max x)/κ

and the limits log, exp at α = 1. For α ≤ 0, Ω is infinite on the boundary; without weights it is then shifted to 0 at
the uniform policy, and α = 0 is the logarithmic barrier −Σ log p − n log n.

Source: Tsallis (1988); Martins and Astudillo (2016) for α = 2; Peters, Niculae and Martins (2019) for α > 1.
"""

from collections.abc import Hashable
from functools import cache, partial
from typing import Any, Protocol

import numpy as np

from mdvi.regularizers.shannon import best_and_gap, soft_argmax, soft_maximum
from mdvi.types import Array, Scalar, jax_of, namespace

_HALVINGS = 64
_STEPS = 200  # of Newton's method, at the most; about 20 are needed


class Solved(Hashable, Protocol):
    """A regulariser whose maximum comes from `solve`, for `differentiable_maximum` and `differentiable_policy`."""

    def solve(self, x: Array, temperature: Scalar, legal: Array) -> tuple[Any, Any]:
        """M_κ(x) and ∇M_κ(x)."""

    def omega_at(self, policy: Array, legal: Array) -> Any:
        """Ω(π)."""

    def curvature(self, policy: Array, legal: Array) -> tuple[Any, Any]:
        """∇Ω(π) up to a constant, and the reciprocal of its derivative by π(a); both 0 where π(a) = 0."""


def differentiable_maximum(omega: Solved, x: Array, temperature: Scalar, legal: Array | None) -> Any:
    """M_κ(x); under JAX its derivative is ⟨∇M_κ(x), dx⟩ − Ω(∇M_κ(x)) dκ."""
    return _called(omega, x, temperature, legal, 0)


def differentiable_policy(omega: Solved, x: Array, temperature: Scalar, legal: Array | None) -> Any:
    """∇M_κ(x); under JAX with its derivative, which is 0 at κ = 0."""
    return _called(omega, x, temperature, legal, 1)


def _called(omega: Solved, x: Array, temperature: Scalar, legal: Array | None, which: int) -> Any:
    xp = namespace(x, temperature)
    x = xp.asarray(x)
    mask = xp.ones(x.shape, bool) if legal is None else xp.broadcast_to(xp.asarray(legal), x.shape)
    if jax_of(x, temperature) is None:
        return omega.solve(x, temperature, mask)[which]
    return _under_jax(omega)[which](x, xp.asarray(temperature, x.dtype), mask)


@cache
def _under_jax(omega: Any) -> tuple[Any, Any]:
    """M_κ and ∇M_κ with derivatives that do not go through the iteration."""
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def maximum(x: Any, temperature: Any, legal: Any) -> Any:
        return omega.solve(x, temperature, legal)[0]

    @jax.custom_jvp
    def policy(x: Any, temperature: Any, legal: Any) -> Any:
        return omega.solve(x, temperature, legal)[1]

    @maximum.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x, temperature, legal), (dx, dt, _) = primals, tangents
        p = policy(x, temperature, legal)
        some = p.sum(-1) > 0  # a row without legal actions has no policy
        slope = jnp.where(some, omega.omega_at(jnp.where(some[..., None], p, 1.0), legal), 0.0)
        return maximum(x, temperature, legal), (p * jnp.where(p > 0, dx, 0.0)).sum(-1) - slope * dt

    @policy.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x, temperature, legal), (dx, dt, _) = primals, tangents
        p = policy(x, temperature, legal)
        gradient, softness = omega.curvature(p, legal)
        hot = temperature > 0
        inverse = jnp.where(hot, 1.0 / jnp.where(hot, temperature, 1.0), 0.0)
        dy = jnp.where(p > 0, dx - gradient * dt, 0.0) * inverse
        total = softness.sum(-1, keepdims=True)
        mean = (softness * dy).sum(-1, keepdims=True) / jnp.where(total > 0, total, 1.0)
        return p, softness * (dy - mean)

    return maximum, policy


def solve_power(
    x: Array, temperature: Scalar, legal: Array, alpha: float, weights: Array | None = None
) -> tuple[Any, Any]:
    """M_κ(x) and ∇M_κ(x), shapes (...) and (..., actions).

    Args:
        x: values, shape (..., actions).
        temperature: κ ≥ 0.
        legal: a mask of the same shape; a row with no legal action gives −∞ and zeros.
        alpha: α; 1 goes to Shannon's functions.
        weights: ρ, positive on legal actions; 1 by default.
    """
    xp = namespace(x, temperature)
    if alpha == 1:
        tilted = x if weights is None else x + temperature * xp.log(_weights(x, legal, weights))
        return soft_maximum(tilted, temperature, legal), soft_argmax(tilted, temperature, legal)
    top, gap = best_and_gap(x, legal)
    gap, hot = xp.where(legal, gap, 0.0), temperature > 0
    lowest = -1e15 if x.dtype == np.float32 else -1e150  # far below any gap that matters, and no power of it overflows
    scaled = xp.maximum(gap, lowest * xp.minimum(temperature, 1.0)) / xp.where(hot, temperature, 1.0)
    y = xp.where(hot, xp.maximum(scaled, lowest), xp.where(gap < 0, lowest, 0.0))
    y = xp.where(gap == 0, 0.0, y)
    kept = legal & (hot | (gap == 0))  # at κ = 0 only the maximisers can be chosen
    rho = _weights(x, legal, weights)
    chance = partial(_chance, xp, alpha)

    def excess(nu: Any) -> tuple[Any, Any]:
        """Σ ρψ(y − ν) − 1, and minus its derivative."""
        ratio = xp.where(kept, chance(y - nu), 0.0)
        slope = xp.where(ratio > 0, rho * _power(xp, ratio, 2 - alpha), 0.0).sum(-1, keepdims=True)
        return (rho * ratio).sum(-1, keepdims=True) - 1, xp.where(slope > 0, slope, 1.0)

    start = xp.where(kept, y - _derivative(xp, alpha, 1 / rho), -xp.inf).max(-1, keepdims=True)
    start = xp.where(start == -xp.inf, 0.0, start)
    if alpha > 2:  # the sum is not convex in ν
        end = xp.where(kept, y, -xp.inf).max(-1, keepdims=True)
        mass = xp.where(kept, rho, 0.0).sum(-1, keepdims=True)
        end = xp.where(end == -xp.inf, 0.0, end) - _derivative(xp, alpha, 1 / xp.where(mass > 0, mass, 1.0))
        nu = _halved(xp, excess, start, xp.maximum(start, end))
    else:  # it is convex and decreasing, and not below 1 at the start: Newton's method rises to the root
        nu = _risen(xp, excess, start)
    ratio = xp.where(kept, chance(y - nu), 0.0)
    total = (rho * ratio).sum(-1, keepdims=True)
    p = rho * ratio / xp.where(total > 0, total, 1.0)
    p = xp.where(hot, p, uniform_over(kept, x.dtype))
    if alpha > 0:  # the dual function at ν: an error of ν enters it squared
        slope = xp.where(ratio > 0, _derivative(xp, alpha, xp.where(ratio > 0, ratio, 1.0)), 0.0)
        rest = ((alpha - 1) * (rho * ratio * slope).sum(-1, keepdims=True) + total - 1) / alpha
        inside = (nu + rest)[..., 0]
    else:
        inside = (p * y).sum(-1) - power_omega(p, legal, alpha, weights)
    value = top[..., 0] + temperature * xp.where(hot, inside, 0.0)
    return xp.where(legal.any(-1), value, -xp.inf), p


def power_omega(policy: Array, legal: Array | None, alpha: float, weights: Array | None = None) -> Any:
    """Ω(p), shape (...); ∞ where α ≤ 0 and a legal action has probability zero."""
    xp = namespace(policy)
    mask = xp.ones(policy.shape, bool) if legal is None else legal
    rho, taken = _weights(policy, mask, weights), mask & (policy > 0)
    ratio = xp.where(taken, policy / rho, 1.0)
    if alpha > 0:  # as Σ p = 1
        return xp.where(taken, policy * _derivative(xp, alpha, ratio), 0.0).sum(-1) / alpha
    count = xp.maximum(mask.sum(-1), 1).astype(policy.dtype)
    if alpha == 0:
        unit = count * xp.log(count) if weights is None else 0.0
        value = -xp.where(taken, rho * xp.log(ratio), 0.0).sum(-1) - unit
    else:
        unit = count ** (1 - alpha) if weights is None else 1.0
        value = (xp.where(taken, rho * ratio**alpha, 0.0).sum(-1) - unit) / (alpha * (alpha - 1))
    return xp.where((mask & ~taken).any(-1), xp.inf, value)


def power_curvature(policy: Array, legal: Array, alpha: float, weights: Array | None = None) -> tuple[Any, Any]:
    """φ'(p/ρ) and ρ (p/ρ)^{2−α}, both 0 where p = 0."""
    xp = namespace(policy)
    taken = legal & (policy > 0)
    rho = _weights(policy, legal, weights)
    ratio = xp.where(taken, policy / rho, 1.0)
    return xp.where(taken, _derivative(xp, alpha, ratio), 0.0), xp.where(taken, rho * ratio ** (2 - alpha), 0.0)


def power_dual(policy: Array, legal: Array | None, alpha: float, weights: Array | None = None) -> Any:
    """z − Ω*(z) at z = φ'(p/ρ), so that ∇M_1 of it is p and M_1 of it is 0; −∞ on illegal actions."""
    xp = namespace(policy)
    mask = xp.ones(policy.shape, bool) if legal is None else legal
    taken = mask & (policy > 0)
    slope, _ = power_curvature(policy, mask, alpha, weights)
    slope = xp.where(mask, xp.where(taken, slope, -1 / (alpha - 1) if alpha > 1 else -xp.inf), -xp.inf)
    conjugate = (policy * xp.where(taken, slope, 0.0)).sum(-1) - power_omega(policy, mask, alpha, weights)
    return slope - conjugate[..., None]


def power_floor(policy: Array, legal: Array | None, alpha: float, weights: Array | None = None) -> Any:
    """φ'(0) − Ω*(z) of the same z; −∞ for α ≤ 1, where no action gets probability zero."""
    xp = namespace(policy)
    if alpha <= 1:
        return xp.full(policy.shape[:-1], -xp.inf, policy.dtype)
    mask = xp.ones(policy.shape, bool) if legal is None else legal
    slope, _ = power_curvature(policy, mask, alpha, weights)
    return -1 / (alpha - 1) - ((policy * slope).sum(-1) - power_omega(policy, mask, alpha, weights))


def uniform_over(kept: Array, dtype: Any) -> Any:
    """The uniform policy over some actions; zeros where there is none."""
    weight = kept.astype(dtype)
    return weight / namespace(kept).maximum(weight.sum(-1, keepdims=True), 1.0)


def _weights(x: Array, legal: Array, weights: Array | None) -> Any:
    """ρ, and 1 on illegal actions; as an array of the shape and type of x."""
    xp = namespace(x)
    full = xp.ones(x.shape, x.dtype) if weights is None else xp.broadcast_to(xp.asarray(weights, x.dtype), x.shape)
    return xp.where(legal, full, 1.0)


def _chance(xp: Any, alpha: float, u: Array) -> Any:
    """ψ(u)."""
    e = alpha - 1
    inside = e * u
    safe = xp.where(inside > -1, inside, 0.0)
    return xp.where(inside > -1, xp.exp(xp.log1p(safe) / e), 0.0)


def _derivative(xp: Any, alpha: float, t: Array) -> Any:
    """φ'(t) for t > 0."""
    e = alpha - 1
    return xp.log(t) if e == 0 else xp.expm1(e * xp.log(t)) / e


def _power(xp: Any, t: Array, exponent: float) -> Any:
    """t to a power, 0 at t = 0."""
    return xp.where(t > 0, xp.where(t > 0, t, 1.0) ** exponent, 0.0)


def _risen(xp: Any, excess: Any, nu: Any) -> Any:
    """The root of a convex decreasing function, by Newton's method from a point on its left."""
    unit = 2 * float(np.finfo(nu.dtype).eps)

    def further(nu: Any) -> Any:
        value, slope = excess(nu)
        return nu + xp.maximum(value / slope, 0.0)

    def moves(before: Any, nu: Any) -> Any:
        return (nu - before > unit * (1 + xp.abs(nu))).any()

    if xp is np:
        for _ in range(_STEPS):
            before, nu = nu, further(nu)
            if not moves(before, nu):
                break
        return nu
    import jax

    first = (0, nu, further(nu))
    state = jax.lax.while_loop(
        lambda state: (state[0] < _STEPS) & moves(*state[1:]),
        lambda state: (state[0] + 1, state[2], further(state[2])),
        first,
    )
    return state[2]


def _halved(xp: Any, excess: Any, low: Any, high: Any) -> Any:
    """The root of a decreasing function between two points, by bisection."""

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = ends
        middle = (low + high) / 2
        above = excess(middle)[0] > 0
        return xp.where(above, middle, low), xp.where(above, high, middle)

    if xp is np:
        for _ in range(_HALVINGS):
            low, high = halve(None, (low, high))
        return low
    import jax

    return jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))[0]
