"""The networks that a run starts from, where they are those of another run."""

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
        name: a digest of them, which identifies them in config.json; the folder they came from does not matter.
        networks: those of each of its members.
    """

    name: str
    networks: tuple[Networks, ...]


def start_of(run: Run, member: int | None = None) -> Start:
    """What the members of a run have learned, or one of them."""
    numbers = range(len(run)) if member is None else [member]
    networks = tuple(run.networks(number)[1] for number in numbers)
    digest = hashlib.sha256()
    for one in networks:
        for name, array in sorted(checkpoint.flatten(one, "").items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return Start(digest.hexdigest()[:16], networks)


def folder_and_member(text: str | Path) -> tuple[Path, int | None]:
    """RUN or RUN:member."""
    folder, colon, member = str(text).rpartition(":")
    if colon and member.isdecimal() and not Path(text).exists():
        return Path(folder), int(member)
    return Path(text), None


def for_members(start: Start | None, count: int, template: Any) -> Sequence[Networks] | None:
    """The networks that each of so many members starts from.

    Args:
        start: those of another run; None where members start anew.
        count: members.
        template: what the networks of a member look like.

    Raises:
        ValueError: when there are neither one nor `count` of them, or they are of another kind.
    """
    if start is None:
        return None
    if len(start.networks) not in (1, count):
        raise ValueError(
            f"start: that run has {len(start.networks)} members and this one {count}; expected as many, or one: "
            "RUN:0 is the first"
        )
    found = start.networks * (count // len(start.networks))
    for one in found[: len(start.networks)]:
        if shapes(one) != shapes(template):
            raise ValueError(
                "start: the networks of that run are of other sizes, or of another agent: "
                f"{_few(one)}, and here {_few(template)}"
            )
    return found


def shapes(networks: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array, by its place."""
    leaves = jax.tree_util.tree_leaves_with_path(networks)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _few(networks: Any) -> str:
    weights = [shape for name, shape in shapes(networks).items() if "weight" in name]
    return f"{len(weights)} layers of {' '.join('×'.join(map(str, shape)) for shape in weights[:6])}"
