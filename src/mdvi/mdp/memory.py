"""How much memory is left for one more model."""

import resource
from contextlib import suppress
from pathlib import Path

from mdvi.mdp.validation import physical_memory

_GROUP = Path("/sys/fs/cgroup")  # of a container: its limit, and what it cannot give back


def memory_left() -> int:
    """Bytes that this process may still take: of the machine, of its container, and of its own limit."""
    left = [physical_memory()]
    with suppress(OSError, ValueError, KeyError):
        left.append(1024 * _fact(Path("/proc/meminfo"), "MemAvailable:"))
    for limit, facts, kept in (
        ("memory.max", "memory.stat", "anon"),
        ("memory/memory.limit_in_bytes", "memory/memory.stat", "rss"),
    ):
        with suppress(OSError, ValueError, KeyError):  # there is none, or it says "max"
            left.append(int((_GROUP / limit).read_text()) - _fact(_GROUP / facts, kept))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            left.append(own - pages * resource.getpagesize())
    return max(min(left), 0)


def _fact(file: Path, name: str) -> int:
    """The number that follows a name in a file of such pairs."""
    return {words[0]: int(words[1]) for words in map(str.split, file.read_text().splitlines()) if len(words) > 1}[name]
