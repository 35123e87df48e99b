"""M_κ and ∇M_κ of the power family for one row, compiled: by hand for α = 2 and 3/2, in general for other α > 0.

As in `rows`, a row is x(s, ·) with −∞ where an action cannot be met; κ > 0, and one action at least can be met. All of
them look for the ν with Σ ψ((x − max x)/κ − ν) = 1 and take the dual function there, into which an error of ν enters
squared. See `power` for the formulas.
"""

from functools import cache
from typing import Any

import numpy as np

from mdvi.native import njit
from mdvi.regularizers import rows
from mdvi.regularizers.rows import Rows

_ROUNDINGS = 4e-16  # a relative step of Newton's method below this ends it
_HALVINGS = 60


@cache
def rows_of(alpha: float) -> Rows:
    """The rows of Tsallis' Ω_α, α > 0."""
    if alpha == 1:
        return rows.SOFT
    threshold, power = {2.0: (_michelot, _square), 1.5: (_newton_three_halves, _three_halves)}.get(
        alpha, (_general_threshold(alpha), _general_power(alpha))
    )
    maximum = _maximum_with(alpha, threshold, power)
    maxima = _maxima_with(alpha, maximum) if alpha > 1 else None
    return Rows(_label("tsallis", alpha), maximum, _policy_with(alpha, threshold, power), maxima)


def _label(name: str, alpha: float) -> str:
    """A name for machine code."""
    return f"{name}_{alpha!r}".replace(".", "_").replace("-", "m").replace("+", "")


@njit(error_model="numpy", inline="always")
def _count(x):  # type: ignore[no-untyped-def]
    """How many actions can be met."""
    count = 0
    for a in range(len(x)):
        count += x[a] > -np.inf
    return float(count)


@njit(error_model="numpy", inline="always")
def _square(u):  # type: ignore[no-untyped-def]
    """ψ, ψ^α for α = 2."""
    base = max(1 + u, 0.0)
    return base, base * base


@njit(error_model="numpy", inline="always")
def _three_halves(u):  # type: ignore[no-untyped-def]
    """ψ, ψ^α for α = 3/2."""
    base = max(1 + u / 2, 0.0)
    return base * base, base * base * base


@njit(error_model="numpy", inline="always")
def _michelot(x, top, temperature):  # type: ignore[no-untyped-def]
    """ν for α = 2, exact after finitely many rounds, as fewer actions are left after each. Source: Michelot (1986).

    Rounding may let an action in again that lies on the threshold, where it makes no difference: this ends then, too.
    """
    nu, before = 0.0, len(x) + 1
    while True:
        total, count = -1.0, 0
        for a in range(len(x)):
            y = (x[a] - top) / temperature
            inside = 1 + y > nu
            total += 1 + y if inside else 0.0
            count += inside
        if count >= before:
            return nu
        nu, before = total / count, count


@njit(error_model="numpy", inline="always")
def _newton_three_halves(x, top, temperature):  # type: ignore[no-untyped-def]
    """ν for α = 3/2, by Newton's method from the left."""
    nu = 0.0
    while True:
        total, slope = -1.0, 0.0
        for a in range(len(x)):
            base = max(1 + ((x[a] - top) / temperature - nu) / 2, 0.0)
            total += base * base
            slope += base
        step = total / slope
        if not step > _ROUNDINGS * (1 + nu):
            return nu
        nu += step


def _general_power(alpha: float) -> Any:
    """ψ and ψ^α of a number."""
    e = alpha - 1

    @njit(error_model="numpy", inline="always")
    def power(u):  # type: ignore[no-untyped-def]
        inside = e * u
        if not inside > -1:  # −∞ times a negative number among them
            return 0.0, 0.0
        log = np.log1p(inside) / e
        return np.exp(log), np.exp(alpha * log)

    return power


def _general_threshold(alpha: float) -> Any:
    """ν for another α: Newton's method from the left, or bisection where the sum is not convex (α > 2)."""
    e = alpha - 1

    @njit(error_model="numpy")
    def newton(x, top, temperature):  # type: ignore[no-untyped-def]
        nu = 0.0
        while True:
            total, slope = -1.0, 0.0
            for a in range(len(x)):
                inside = e * ((x[a] - top) / temperature - nu) if x[a] > -np.inf else -1.0
                if inside > -1:
                    log = np.log1p(inside)
                    total += np.exp(log / e)
                    slope += np.exp(log * (1 / e - 1))
            step = total / slope
            if not step > _ROUNDINGS * (1 + nu):
                return nu
            nu += step

    @njit(error_model="numpy")
    def halve(x, top, temperature):  # type: ignore[no-untyped-def]
        low, high = 0.0, (1 - _count(x) ** -e) / e
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            total = -1.0
            for a in range(len(x)):
                inside = e * ((x[a] - top) / temperature - middle)
                total += np.exp(np.log1p(inside) / e) if inside > -1 else 0.0
            low, high = (middle, high) if total > 0 else (low, middle)
        return low

    return newton if alpha <= 2 else halve


def _maximum_with(alpha: float, threshold: Any, power: Any) -> Any:
    """M_κ of a row."""

    @njit(error_model="numpy", inline="always" if alpha in (2.0, 1.5) else "never")
    def maximum(x, best, temperature):  # type: ignore[no-untyped-def]
        top, sums = x[best], -1.0
        nu = threshold(x, top, temperature)
        for a in range(len(x)):
            if x[a] > -np.inf:
                sums += power((x[a] - top) / temperature - nu)[1]
        return top + temperature * (nu + sums / alpha)

    return maximum


def _maxima_with(alpha: float, maximum: Any) -> Any:
    """M_κ of many rows, for α > 1: max x where no other action is within κ/(α − 1) of the best."""
    e = alpha - 1

    @njit(error_model="numpy")
    def maxima(x, temperature, top):  # type: ignore[no-untyped-def]
        actions, reach = len(x) // len(top), temperature / e
        for s in range(len(top)):
            row = x[s * actions : (s + 1) * actions]
            least, near = top[s] - reach, 0
            for a in range(actions):
                near += row[a] > least
            if near > 1:
                top[s] = maximum(row, row.argmax(), temperature)

    return maxima


def _policy_with(alpha: float, threshold: Any, power: Any) -> Any:
    """∇M_κ of a row."""

    @njit(error_model="numpy", inline="always" if alpha in (2.0, 1.5) else "never")
    def policy(x, temperature, rare, out):  # type: ignore[no-untyped-def]
        top, largest, total = -np.inf, 0.0, 0.0
        for a in range(len(x)):
            top = max(top, x[a])
        nu = threshold(x, top, temperature)
        for a in range(len(x)):
            out[a] = power((x[a] - top) / temperature - nu)[0] if x[a] > -np.inf else 0.0
            largest = max(largest, out[a])
        for a in range(len(x)):
            out[a] = out[a] if out[a] >= rare * largest else 0.0
            total += out[a]
        for a in range(len(x)):
            out[a] /= total

    return policy
