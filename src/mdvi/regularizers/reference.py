"""A reference policy that a regulariser holds: an array that can be hashed and compared, so that Ω stays a value."""

from typing import Any

import numpy as np

from mdvi.checks import floats


class Reference:
    """Probabilities of shape (states, actions), or (actions,) for all states alike.

    Raises:
        ValueError: if a number is negative or not finite, or a row does not sum to 1.
    """

    def __init__(self, given: Any) -> None:
        """Args: the probabilities, as anything that NumPy makes an array of."""
        table: np.ndarray = given.table if isinstance(given, Reference) else floats("reference", given)
        if table.ndim not in (1, 2) or not table.size:
            raise ValueError(f"reference: expected probabilities of shape (states, actions), got shape {table.shape}")
        for place in np.argwhere(~(np.isfinite(table) & (table >= 0)))[:1]:
            raise ValueError(f"reference: expected probabilities, got {table[tuple(place)]} at {tuple(place.tolist())}")
        total = table.sum(-1)
        for place in np.argwhere(np.abs(total - 1) > 1e-9)[:1]:
            whose = f"state {place[0]}" if len(place) else "the policy"
            raise ValueError(f"reference: the probabilities of {whose} sum to {total[tuple(place)]}, not 1")
        self.table: np.ndarray = table / total[..., None]
        self.table.flags.writeable = False
        self._key = (self.table.shape, self.table.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Reference(shape={self.table.shape})"
