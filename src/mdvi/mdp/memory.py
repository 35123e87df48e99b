"""The memory that is available for a model."""

import resource
from contextlib import suppress
from pathlib import Path

from mdvi.mdp.validation import physical_memory

_GROUP = Path("/sys/fs/cgroup")  # the limit of a container, and its memory that cannot be reclaimed


def memory_left() -> int:
    """Bytes that this process can still allocate, by the limits of the machine, the container and the process."""
    left = [physical_memory()]
    with suppress(OSError, ValueError, KeyError):
        left.append(1024 * _fact(Path("/proc/meminfo"), "MemAvailable:"))
    for limit, facts, kept in (
        ("memory.max", "memory.stat", "anon"),
        ("memory/memory.limit_in_bytes", "memory/memory.stat", "rss"),
    ):
        with suppress(OSError, ValueError, KeyError):  # there is no such file, or its content is "max"
            left.append(int((_GROUP / limit).read_text()) - _fact(_GROUP / facts, kept))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            left.append(own - pages * resource.getpagesize())
    return max(min(left), 0)


def _fact(file: Path, name: str) -> int:
    """The number after a name in a file of names and numbers."""
    return {words[0]: int(words[1]) for words in map(str.split, file.read_text().splitlines()) if len(words) > 1}[name]
