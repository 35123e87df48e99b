"""Progress bars: in a terminal on standard error, in a notebook below the cell, and nowhere else."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from mdvi.words import plain

Track = Callable[[str, int], Callable[[int], None]]
_SECONDS_BETWEEN_LINES = 30.0  # of progress, in a file
_SECONDS_BETWEEN_LOOKS = 0.2  # of a notebook


@contextlib.contextmanager
def bars_on_stderr() -> Iterator[Track]:
    """A factory of progress callbacks, a bar for each name until it is done on stderr; in a file a line at times."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, TaskID] = {}
        told = time.monotonic()

        def track(name: str, total: int) -> Callable[[int], None]:
            if name not in tasks:
                tasks[name] = bar.add_task(plain(name), total=total)

            def update(done: int) -> None:
                nonlocal told
                bar.update(tasks[name], completed=done, description=words_for(name, done), visible=done < total)
                if not console.is_terminal and time.monotonic() - told > _SECONDS_BETWEEN_LINES:
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
    """The bars for whoever calls from Python: None as their factory where nobody would see them, as in a pipe."""
    if in_notebook():
        return bars_in_notebook()
    return bars_on_stderr() if sys.stderr.isatty() else contextlib.nullcontext()
