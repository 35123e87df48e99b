"""Regularisers by name, as the command line, studies and `Scheme.of` take them."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mdvi.regularizers.base import Regularizer
from mdvi.regularizers.divergence import Divergence
from mdvi.regularizers.lazy import Lazy
from mdvi.regularizers.shannon import KL_TO_UNIFORM, SHANNON
from mdvi.regularizers.tsallis import LogBarrier, Tsallis
from mdvi.words import did_you_mean

_SOMETIMES = ("referring", "rows", "rounding")  # references need the first, and the planner the others
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE | re.ASCII)


class Named(NamedTuple):
    """A regulariser that has a name.

    Attributes:
        make: from α, where it has an index, to the regulariser.
        indexed: whether it has one.
        about: Ω, and what its policies look like, in a line.
    """

    make: Callable[..., Regularizer]
    indexed: bool
    about: str


REGULARIZERS: dict[str, Named] = {
    "shannon": Named(lambda: SHANNON, False, "Σ π log π: softmax, every action keeps a chance"),
    "tsallis": Named(Tsallis, True, "(Σ π^α − 1)/(α(α−1)): sparse policies for α > 1, heavy tails for α < 1"),
    "log-barrier": Named(LogBarrier, False, "−Σ log π − n log n: tails of κ/gap, unbounded"),
    "divergence": Named(Divergence, True, "Σ ρ φ_α(π/ρ) to the uniform policy: α = 1 KL, α = 2 χ²/2"),
    "kl-to-uniform": Named(lambda: KL_TO_UNIFORM, False, "log n − H(π): 0 at the uniform policy (mellowmax)"),
    "lazy": Named(Lazy, False, "1 − min π/μ: the default policy for nothing, or κ for a choice"),
}


def regularizer_of(given: str | Regularizer) -> Regularizer:
    """The regulariser of a name such as "shannon", "tsallis:1.5" or "divergence:2"; a regulariser is returned as it is.

    Raises:
        ValueError: for an unknown name, with the nearest one; for an index that is missing, is not a finite number, or
            that the regulariser does not have; and for a value that is no regulariser, with what it lacks.
    """
    if not isinstance(given, str):
        return _checked(given)
    name, colon, index = given.partition(":")
    if name not in REGULARIZERS:
        raise ValueError(f"regularizer: unknown name {name!r}{did_you_mean(name, REGULARIZERS)}")
    entry = REGULARIZERS[name]
    if not entry.indexed:
        if colon:
            raise ValueError(f"regularizer: {name} has no index, got {given!r}; write {name}")
        return entry.make()
    if not index:
        raise ValueError(f"regularizer: {name} needs an index, as in {name}:2; got {given!r}")
    number = index.removeprefix("alpha=")
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"alpha: expected a finite number, got {number!r}")
    return entry.make(number)


def beside(given: str | Regularizer, reference: Any) -> tuple[Regularizer, Any]:
    """The regulariser, which takes the reference that is given beside it if it has a place for one, and what is left.

    Raises:
        ValueError: as `regularizer_of`; and if the regulariser says nothing of references.
    """
    omega = regularizer_of(given)
    if reference is None:
        return omega, None
    if "referring" not in dir(omega):
        raise ValueError(
            f"reference: {omega.name} does not say what becomes of it, in a method `referring`; leave it out"
        )
    return omega.referring(reference)


def _checked(given: Any) -> Regularizer:
    """The value, if it has what every use of a regulariser needs."""
    if isinstance(given, type):
        raise ValueError(f"regularizer: got the class {given.__name__}; call it, as in {given.__name__}()")
    needed = [name for name in vars(Regularizer) if not name.startswith("_") and name not in _SOMETIMES]
    if not any(name in dir(given) for name in needed):
        raise ValueError(f"regularizer: expected a name such as 'tsallis:2' or a regularizer, got {given!r}")
    check_members(given, needed)
    found: Regularizer = given
    return found


def check_members(omega: Any, needed: Iterable[str]) -> None:
    """A regulariser has these.

    Raises:
        ValueError: naming those that it lacks.
    """
    missing = [name for name in needed if name not in dir(omega)]
    if missing:
        raise ValueError(f"regularizer: {type(omega).__name__} has no {', '.join(missing)}; see mdvi.regularizers.base")
