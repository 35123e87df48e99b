"""Criteria: how rewards make a value, and what one backup proves about it. One file each, and the registry."""

from mdvi.planning.criteria.base import Criterion
from mdvi.planning.criteria.discounted import Discounted

CRITERIA: dict[str, Criterion] = {"discounted": Discounted()}
