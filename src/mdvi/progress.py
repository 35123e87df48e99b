"""Progress: bars for several tasks, a line for one; on a terminal's standard error, in a notebook, and nowhere else."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

from mdvi.words import plain

Track = Callable[[str, int], Callable[[int], None]]
_SECONDS_BETWEEN_LINES = 30.0  # of progress, in a file
_SECONDS_BETWEEN_LOOKS = 0.2  # of a notebook
AFTER, BETWEEN = 1.0, 0.1  # seconds until a line is shown, and between two of its states
_BAR = 20  # characters of it

Words = Callable[..., tuple[str, float]]  # what a callback is told → the line, and the share that is done


def console_of_bars() -> Any:
    """Where progress bars are drawn: on stderr if it is a terminal, and nowhere if it is a file."""
    from rich.console import Console

    console = Console(stderr=True)
    console.quiet = not console.is_terminal  # some versions of Rich end a bar that is disabled with an empty line
    return console


@contextlib.contextmanager
def bars_on_stderr() -> Iterator[Track]:
    """A factory of progress callbacks, a bar for each name until it is done on stderr; in a file a line at times."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = console_of_bars()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=console.quiet) as bar:
        tasks: dict[str, TaskID] = {}
        told = time.monotonic()

        def track(name: str, total: int) -> Callable[[int], None]:
            if name not in tasks:
                tasks[name] = bar.add_task(plain(name), total=total)

            def update(done: int) -> None:
                nonlocal told
                bar.update(tasks[name], completed=done, description=words_for(name, done), visible=done < total)
                if console.quiet and time.monotonic() - told > _SECONDS_BETWEEN_LINES:
                    told = time.monotonic()
                    print(f"{plain(name)}: {done} of {total}", file=sys.stderr, flush=True)

            return update

        yield track


@contextlib.contextmanager
def bars_in_notebook() -> Iterator[Track]:
    """The same below the cell of a notebook; they are gone when all is done."""
    from html import escape
    from importlib import import_module

    page: Any = import_module("IPython.display")  # which is there where a notebook is
    shown: dict[str, tuple[int, int]] = {}
    handle = page.display(page.HTML(""), display_id=True)
    looked = 0.0

    def draw() -> None:
        lines = []
        for name, (done, total) in shown.items():
            bar = f"<progress value='{done}' max='{total}'></progress>"
            lines.append(f"<div>{escape(words_for(name, done))} {bar} {done}/{total}</div>")
        handle.update(page.HTML("".join(lines)))

    def track(name: str, total: int) -> Callable[[int], None]:
        def update(done: int) -> None:
            nonlocal looked
            shown[name] = done, total
            if not done or time.monotonic() - looked > _SECONDS_BETWEEN_LOOKS:
                looked = time.monotonic()
                draw()

        return update

    try:
        yield track
    finally:
        handle.update(page.HTML(""))


def words_for(name: str, done: int) -> str:
    """What stands before a bar: nothing is done while programs are compiled."""
    return plain(name) if done else f"{plain(name)} (compiling)"


def in_notebook() -> bool:
    """Whether a notebook shows what is displayed; a shell of IPython's in a terminal is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def bars() -> contextlib.AbstractContextManager[Any]:
    """The bars of a call from Python; their factory is None where they cannot be seen, as in a pipe."""
    if in_notebook():
        return bars_in_notebook()
    return bars_on_stderr() if sys.stderr.isatty() else contextlib.nullcontext()


@contextlib.contextmanager
def shown(given: Callable[..., None] | Literal[False] | None, words: Words) -> Iterator[Callable[..., None] | None]:
    """The callback of a call: the callback that was given, or a line in a terminal or a notebook, or None.

    Args:
        given: a callback, False for no line, or None for a line where it can be seen.
        words: the line that a callback's arguments stand for, and the share of the work that is done.
    """
    if callable(given):
        yield given
    elif given is False or not (in_notebook() or watched(sys.stderr)):
        yield None
    else:
        line = Line(sys.stderr)
        try:
            yield lambda *told: line.show(*words(*told))
        finally:
            line.close()


def watched(stream: Any) -> bool:
    """Whether a stream is a terminal's; a process without one has None."""
    return bool(getattr(stream, "isatty", lambda: False)())


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
