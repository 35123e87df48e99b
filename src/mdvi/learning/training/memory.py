"""Whether what is to be trained fits into memory."""

from typing import Any

import jax
import psutil

_SHARE = 0.8  # of the free memory that a population may take
OVERHEAD = 1.5  # peak memory of a member over that of its state: gradients, minibatches, a copy on its way to disk

MOST_KEPT = 2**30  # bytes that a run which has ended keeps, so that it can go on


def check_room(needed: float, who: str, memory: float | None) -> float:
    """The bytes that may be used, by default four fifths of what is free.

    Raises:
        ValueError: when more are needed.
    """
    room = _SHARE * free_memory() if memory is None else memory
    if needed > room:
        raise ValueError(
            f"{who} would take {needed / 1e9:.3g} GB and there are {room / 1e9:.3g} GB: lower replay, or the number "
            "of members that run together"
        )
    return room


def size_of(template: Any) -> int:
    """Bytes of the arrays of a tree of shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))


def free_memory() -> float:
    """Bytes free where the arrays live."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return float(psutil.virtual_memory().available)
