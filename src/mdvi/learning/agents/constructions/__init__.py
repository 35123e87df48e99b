"""Constructions: how networks represent the policy of a scheme. Each has a file; `ALL` is the only registry."""

from mdvi.learning.agents.constructions.base import Construction, Explicit
from mdvi.learning.agents.constructions.direct import DIRECT
from mdvi.learning.agents.constructions.dual import DUAL
from mdvi.learning.agents.constructions.implicit import IMPLICIT
from mdvi.learning.agents.constructions.indirect import INDIRECT
from mdvi.words import did_you_mean

__all__ = ["ALL", "DIRECT", "DUAL", "IMPLICIT", "INDIRECT", "Construction", "Explicit", "find"]

ALL: dict[str, Construction] = {construction.name: construction for construction in (IMPLICIT, DIRECT, INDIRECT, DUAL)}


def find(given: str | Construction) -> Construction:
    """The construction of a name; a construction is returned unchanged.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
    """
    if not isinstance(given, str):
        return given
    if given not in ALL:
        raise ValueError(f"construction: unknown {given!r}{did_you_mean(given, ALL)}")
    return ALL[given]
