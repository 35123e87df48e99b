"""Stopping a solve: when time is up, or on Ctrl-C."""

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
