"""A reference policy that a regulariser holds: an array that can be hashed and compared, so that Ω stays a value."""

from typing import Any

import numpy as np

from mdvi.checks import checked_policy, floats
from mdvi.types import jax_of


class Reference:
    """Probabilities of shape (states, actions), or (actions,) for all states alike.

    Rows of zeros, which a policy may have in terminal states, become uniform and are `empty`.

    Raises:
        ValueError: if a number is negative or not finite, or a row does not sum to 1.
    """

    table: np.ndarray
    empty: np.ndarray

    def __init__(self, given: Any) -> None:
        """Args: the probabilities, as anything that NumPy makes an array of."""
        # To divide by the sums a second time would change the last digits.
        if isinstance(given, Reference):
            self.table, self.empty = given.table, given.empty
        else:
            self.table, self.empty = _normalized(floats("reference", given))
        self.table.flags.writeable = False
        self._key = (self.table.shape, self.table.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Reference(shape={self.table.shape})"


def _normalized(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, checked and divided by their sums, and which rows are zeros."""
    if table.ndim not in (1, 2) or not table.size:
        raise ValueError(f"reference: expected probabilities of shape (states, actions), got shape {table.shape}")
    for place in np.argwhere(~(np.isfinite(table) & (table >= 0)))[:1]:
        raise ValueError(f"reference: expected probabilities, got {table[tuple(place)]} at {tuple(place.tolist())}")
    empty = np.asarray((table.sum(-1) == 0) & (table.ndim == 2))
    table = np.where(empty[..., None], 1 / table.shape[-1], table)
    total = table.sum(-1)
    for place in np.argwhere(np.abs(total - 1) > 1e-9)[:1]:
        whose = f"state {place[0]}" if len(place) else "the policy"
        raise ValueError(f"reference: the probabilities of {whose} sum to {total[tuple(place)]}, not 1")
    return table / total[..., None], empty


def only_reference(attribute: str, name: str, own: Reference | None, given: Any) -> Reference:
    """The reference that is given beside a regulariser, unless that has one in this attribute.

    Raises:
        ValueError: if it has one, or the one that is given is no number yet.
    """
    if own is not None:
        raise ValueError(f"reference: {name} has its own {attribute} already; leave one of them out")
    jax = jax_of(given)
    if jax is not None and isinstance(given, jax.core.Tracer):
        raise ValueError(f"reference: that of {name} is part of the compiled program; give an array that is not traced")
    return Reference(given)


def own_reference(omega: Any) -> tuple[str, Reference] | None:
    """The reference that a regulariser of mdvi holds, with what it is called there; None if it holds none."""
    for name in ("reference", "default"):
        held = getattr(omega, name, None)  # a regulariser of one's own may call anything so
        if isinstance(held, Reference):
            return name, held
    return None


def check_own_reference(omega: Any, legal: np.ndarray, terminal: np.ndarray) -> None:
    """A reference that a regulariser of mdvi holds has the shape of a model and fits its legal actions.

    It is positive on all of them, unless it is the default policy of `Lazy`.
    """
    own = own_reference(omega)
    if own is not None:
        for state in np.flatnonzero(own[1].empty & ~terminal)[:1] if own[1].empty.shape == terminal.shape else ():
            raise ValueError(f"{own[0]}: state {state} has probabilities that sum to 0, not 1")
        check_reference(own[0], own[1].table, own[0] == "reference", legal, terminal)


def check_reference(name: str, table: Any, positive: bool, legal: np.ndarray, terminal: np.ndarray) -> None:
    """A policy of shape (states, actions), or (actions,) for all states alike, fits the legal actions of a model."""
    full = np.broadcast_to(table, legal.shape) if np.ndim(table) == 1 and len(table) == legal.shape[1] else table
    checked_policy(name, full, legal, terminal, positive=positive, tolerance=1e-9)
