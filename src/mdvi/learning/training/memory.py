"""Check that members fit into memory."""

from typing import Any

import jax
import psutil

_SHARE = 0.8  # the share of the free memory that a population may use
OVERHEAD = 1.5  # peak memory of a member over the size of its state: gradients, minibatches, a copy for the disk

MOST_KEPT = 2**30  # bytes that a finished run keeps at most, so that it can be continued


def check_room(needed: float, who: str, memory: float | None) -> float:
    """The bytes that may be used, by default four fifths of the free memory.

    Raises:
        ValueError: if more bytes are needed.
    """
    room = _SHARE * free_memory() if memory is None else memory
    if needed > room:
        raise ValueError(
            f"{who} would need {needed / 1e9:.3g} GB of memory and {room / 1e9:.3g} GB are available: lower replay, or "
            "the number of members that run together"
        )
    return room


def size_of(template: Any) -> int:
    """Bytes of the arrays of a tree of shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))


def free_memory() -> float:
    """The free bytes on the device of the arrays."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return float(psutil.virtual_memory().available)
