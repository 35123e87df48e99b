"""What the commands share: progress, output that is whole or absent, and checks of options."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 30.0  # of progress, in a file
_PLAIN: Any = {"highlight": False, "markup": False, "emoji": False}


def at_least(least: int) -> Callable[[float | None], float | None]:
    """A check of an option, made before anything slow is imported; an option that is not given passes."""

    def check(value: float | None) -> float | None:
        if value is not None and not least <= value < float("inf"):
            raise typer.BadParameter(f"expected a finite number of at least {least}, got {value}")
        return value

    return check


def tell(line: str) -> None:
    """A line for people, on stderr; whatever is in it, brackets and colons too, is printed as it is."""
    Console(stderr=True, **_PLAIN).print(line, soft_wrap=True)


def show(result: Any) -> None:
    """A line or a table, on stdout, likewise."""
    Console(**_PLAIN).print(result, soft_wrap=isinstance(result, str))


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def finite(number: Any) -> float | int | None:
    """JSON has no infinity: null stands for it."""
    return number if isinstance(number, int) else (float(number) if abs(number) != float("inf") else None)


def csv_of(columns: dict[str, Any]) -> str:
    """Columns of numbers under their names."""
    lines = [",".join(columns)]
    lines += [",".join(f"{x:.10g}" for x in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def check_targets(plot: Path | None, **files: Path | None) -> None:
    """Whether all of these could be written, asked before the work starts; keywords are the names of the options."""
    from mdvi.output import check_target

    if plot is not None and plot.suffix not in (".pdf", ".png", ".svg"):
        raise ValueError(f"{plot}: expected a name ending in .pdf, .png, .svg")
    taken: dict[Path, str] = {}
    for option, path in {**files, "plot": plot}.items():
        if path is None:
            continue
        if path in taken:
            raise ValueError(f"{path}: given for both --{taken[path]} and --{option}")
        taken[path] = option
        check_target(path)


def write(files: Mapping[Path, str | bytes]) -> None:
    """Write results; from here on an interrupt comes too late to stop them."""
    from mdvi import output

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path, content in files.items():
        output.write(path, content)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def progress_bars() -> Iterator[Any]:
    """A factory of progress callbacks, a bar for each name until it is done on stderr; in a file a line at times."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, TaskID] = {}
        told = time.monotonic()

        def track(name: str, total: int) -> Any:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)

            def update(done: int) -> None:
                nonlocal told
                words = name if done else f"{name} (compiling)"
                bar.update(tasks[name], completed=done, description=words, visible=done < total)
                if not console.is_terminal and time.monotonic() - told > _SECONDS_BETWEEN_LINES:
                    told = time.monotonic()
                    print(f"{name}: {done} of {total}", file=sys.stderr, flush=True)

            return update

        yield track


def fail(message: str, code: int) -> int:
    """One line on stderr, and the exit code."""
    if message:  # there is none where the help was shown instead
        print(f"mdvi: {' '.join(message.split())}", file=sys.stderr)
    return code
