"""Progress: bars for several tasks, or one line; on stderr if it is a terminal, and in notebooks."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

from mdvi.words import plain

Track = Callable[[str, int], Callable[[int], None]]
_SECONDS_BETWEEN_LINES = 30.0  # between lines of progress if stderr is a file
_SECONDS_BETWEEN_LOOKS = 0.2  # between updates in a notebook
AFTER, BETWEEN = 1.0, 0.1  # seconds before a line appears, and between its updates
_BAR = 20  # characters of a bar

Words = Callable[..., tuple[str, float]]  # the arguments of a callback → the line, and the share that is done


def console_of_bars() -> Any:
    """The console of progress bars: stderr if it is a terminal, and a quiet console if it is a file."""
    from rich.console import Console

    console = Console(stderr=True)
    console.quiet = not console.is_terminal  # some versions of Rich print an empty line after a disabled bar
    return console


@contextlib.contextmanager
def bars_on_stderr() -> Iterator[Track]:
    """A factory of progress callbacks: bars on stderr, one for each name, or occasional lines if stderr is a file."""
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
    """A factory of progress callbacks with bars below the cell of a notebook, which disappear at the end."""
    from html import escape
    from importlib import import_module

    page: Any = import_module("IPython.display")  # available in every notebook
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
    """The label of a bar; until the first progress, programs are being compiled."""
    return plain(name) if done else f"{plain(name)} (compiling)"


def in_notebook() -> bool:
    """Whether the process runs in a notebook; IPython in a terminal is not a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def bars() -> contextlib.AbstractContextManager[Any]:
    """The bars of a call from Python; the factory is None if stderr is neither a terminal nor in a notebook."""
    if in_notebook():
        return bars_in_notebook()
    return bars_on_stderr() if sys.stderr.isatty() else contextlib.nullcontext()


@contextlib.contextmanager
def shown(given: Callable[..., None] | Literal[False] | None, words: Words) -> Iterator[Callable[..., None] | None]:
    """The progress callback of a call: the given callback, or a line in a terminal or a notebook, or None.

    Args:
        given: a callback, False for no line, or None for a line in a terminal or a notebook.
        words: returns the line for the arguments of a callback, and the share of the work that is done.
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
    """Whether a stream is a terminal; the stream may be None."""
    return bool(getattr(stream, "isatty", lambda: False)())


class Line:
    """A line of progress that overwrites itself."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: the stream, and the clock; nothing is written yet."""
        self._stream, self._clock = stream, clock
        self._due = clock() + AFTER
        self._width = 0

    def show(self, text: str, share: float) -> None:
        """Write the line, with a bar of the share that is done, unless the last update is too recent."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + BETWEEN
        filled = round(_BAR * min(max(share, 0.0), 1.0))
        self._write(f"[{'#' * filled}{'.' * (_BAR - filled)}] {text}")

    def close(self) -> None:
        """Clear the line."""
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(f"\r{line.ljust(self._width)}")
        self._stream.flush()
        self._width = len(line)
