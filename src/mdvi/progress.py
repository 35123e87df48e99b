"""A line of progress for calls in Python that take a while, where somebody can see it.

It is written to stderr when that is a terminal or a notebook's, after a second, and wiped out in the end. Otherwise
nothing is written. The commands have their own bars.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

AFTER, BETWEEN = 1.0, 0.1  # seconds until the line is shown, and between two of its states
_BAR = 20  # characters

Words = Callable[..., tuple[str, float]]  # what a callback is told → the line, and the share that is done


@contextlib.contextmanager
def shown(given: Callable[..., None] | Literal[False] | None, words: Words) -> Iterator[Callable[..., None] | None]:
    """The callback of a call: the one that was given, or a line for whoever is watching, or None.

    Args:
        given: a callback, False for no line, or None for a line where it can be seen.
        words: the line that a callback's arguments stand for, and the share of the work that is done.
    """
    if callable(given):
        yield given
    elif given is False or not watched(sys.stderr):
        yield None
    else:
        line = Line(sys.stderr)
        try:
            yield lambda *told: line.show(*words(*told))
        finally:
            line.close()


def watched(stream: Any) -> bool:
    """Whether a person sees what is written to a stream as it is written: in a terminal, or in a notebook."""
    notebook = type(stream).__module__.startswith("ipykernel.")
    return notebook or bool(getattr(stream, "isatty", lambda: False)())


class Line:
    """A line that is written again and again over itself."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is written yet."""
        self._stream, self._clock = stream, clock
        self._due = clock() + AFTER
        self._width = 0

    def show(self, text: str, share: float) -> None:
        """The line, with a bar of the share that is done, unless it was written a moment ago."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + BETWEEN
        filled = round(_BAR * min(max(share, 0.0), 1.0))
        self._write(f"[{'#' * filled}{'.' * (_BAR - filled)}] {text}")

    def close(self) -> None:
        """Wipe the line out."""
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(f"\r{line.ljust(self._width)}")
        self._stream.flush()
        self._width = len(line)
