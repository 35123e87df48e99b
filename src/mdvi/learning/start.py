"""Start a run from the networks of another run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvi.learning.agents.networks import Networks
from mdvi.learning.results import Run
from mdvi.learning.runs import checkpoint


class Start(NamedTuple):
    """Networks of another run.

    Attributes:
        name: a digest of the networks, which identifies them in config.json whatever folder they came from.
        networks: the networks of each member of the other run.
    """

    name: str
    networks: tuple[Networks, ...]


def start_of(run: Run, member: int | None = None) -> Start:
    """The networks of all members of a run, or of one member."""
    numbers = range(len(run)) if member is None else [member]
    networks = tuple(run.networks(number)[1] for number in numbers)
    digest = hashlib.sha256()
    for one in networks:
        for name, array in sorted(checkpoint.flatten(one, "").items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return Start(digest.hexdigest()[:16], networks)


def folder_and_member(text: str | Path) -> tuple[Path, int | None]:
    """Split RUN or RUN:member into the folder and the number of the member."""
    folder, colon, member = str(text).rpartition(":")
    if colon and member.isdecimal() and not Path(text).exists():
        return Path(folder), int(member)
    return Path(text), None


def for_members(start: Start | None, count: int, template: Any) -> Sequence[Networks] | None:
    """The networks that each member starts from.

    Args:
        start: the networks of another run; None if members start from random networks.
        count: the number of members.
        template: networks of a member, whose shapes are compared.

    Raises:
        ValueError: if the other run has neither one member nor `count` members, or if its networks have other shapes.
    """
    if start is None:
        return None
    if len(start.networks) not in (1, count):
        raise ValueError(
            f"start: expected a run with 1 or {count} members, got {len(start.networks)}; RUN:0 selects its first "
            "member"
        )
    found = start.networks * (count // len(start.networks))
    for one in found[: len(start.networks)]:
        if shapes(one) != shapes(template):
            raise ValueError(
                "start: the networks of that run have other shapes than the networks here: "
                f"{_few(one)} there, {_few(template)} here; use the same agent, torso, hidden and environment"
            )
    return found


def shapes(networks: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(networks)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _few(networks: Any) -> str:
    weights = [shape for name, shape in shapes(networks).items() if "weight" in name]
    return f"{len(weights)} layers of {' '.join('×'.join(map(str, shape)) for shape in weights[:6])}"
