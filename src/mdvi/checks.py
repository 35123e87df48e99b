"""Checks of arguments: every error names the argument and the allowed values."""

import math
import reprlib
from typing import Any

import numpy as np
from jaxtyping import Float


def check_positive(**numbers: float) -> None:
    """Check that numbers are positive and finite; the error names the first one that is not."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name}: expected a positive number, got {number}")


def whole(name: str, value: Any) -> int:
    """A whole number of at least 0."""
    if not isinstance(value, int | float | np.integer) or value % 1 != 0 or value < 0:
        raise ValueError(f"{name}: expected a whole number of at least 0, got {value!r}")
    return int(value)


def within(name: str, value: Any, least: int, most: int) -> int:
    """A whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name}: expected a whole number, {least} to {most}, got {value!r}")
    return int(value)


def check_number(name: str, value: Any, *, positive: bool) -> None:
    """Check that a number is finite, and positive or at least 0."""
    right = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{name}: expected a finite number {'above' if positive else 'of at least'} 0, got {value!r}")


def checked_policy(
    name: str,
    given: Any,
    legal: np.ndarray,
    terminal: np.ndarray,
    *,
    positive: bool = False,
    tolerance: float = 0.0,
) -> Float[np.ndarray, "states actions"]:
    """Probabilities over legal actions, shape (states, actions); rows of terminal states are not checked."""
    pi = floats(name, given)
    if pi.shape != legal.shape:
        raise ValueError(f"{name}: expected shape {legal.shape}, got {pi.shape}")
    live = legal & ~terminal[:, None]
    for s, a in np.argwhere(live & ~(pi > 0) if positive else live & ~(pi >= 0))[:1]:
        advice = " is legal but has" if positive else " has"
        rule = f"; {name} must be positive on every legal action" if positive else ""
        if (pi[live] <= 0).all() and pi[live].any():  # logarithms, which `log_policy` has
            rule = "; expected probabilities, so give np.exp(…) of logarithms"
        raise ValueError(f"{name}: state {s}, action {a}{advice} probability {pi[s, a]}{rule}")
    for s, a in np.argwhere(~legal & ~terminal[:, None] & (pi != 0))[:1]:
        raise ValueError(f"{name}: state {s}, action {a} is illegal but has probability {pi[s, a]}")
    tolerance = max(tolerance, 1e-12 * pi.shape[-1])
    for s in np.flatnonzero(~terminal & ~(np.abs(pi.sum(-1) - 1) <= tolerance))[:1]:
        raise ValueError(f"{name}: state {s} has probabilities that sum to {pi[s].sum():.15g}, not 1")
    return pi


def floats(name: str, given: Any) -> np.ndarray:
    """An array in float64."""
    try:
        if np.iscomplexobj(given):
            raise TypeError
        return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected an array of real numbers, got {reprlib.repr(given)}") from None
