"""Watching a solve: how far it is, and stopping it when time is up, or on Ctrl-C."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mdvi.native import clock

TIME_LIMIT = "time limit"
INTERRUPTED = "interrupted"

Watch = Callable[[], None]  # called between sweeps; raises Stopped


class Stopped(Exception):  # noqa: N818
    """Time is up, or the user has asked to stop; says which."""


def narrowing(tolerance: float) -> Callable[[int, float], tuple[str, float]]:
    """The words for a backup and the gap that it left, and the share that is done, on a logarithmic scale."""
    first: list[float] = []

    def told(backups: int, gap: float) -> tuple[str, float]:
        first.append(max(gap, tolerance))
        share = math.log(first[0] / first[-1]) / math.log(first[0] / tolerance) if first[0] > tolerance else 1.0
        return f"backup {backups}: interval {gap:.1e} → {tolerance:.0e}", share

    return told


@contextmanager
def stoppable(start: float, time_limit: float | None) -> Iterator[Callable[[], None]]:
    """A watch that raises `Stopped` when time is up or Ctrl-C was pressed; a second Ctrl-C acts as always."""
    pressed = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None

    def press(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    def watch() -> None:
        if pressed.is_set():
            raise Stopped(INTERRUPTED)
        if time_limit is not None and clock() - start > time_limit:
            raise Stopped(TIME_LIMIT)

    if main:
        signal.signal(signal.SIGINT, press)
    try:
        yield watch
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
