"""A run: train a population in a folder, where training can be interrupted and resumed at any time."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdvi.learning.runs import kept, record
from mdvi.learning.runs.driver import Driver
from mdvi.learning.runs.folder import InUse, locked
from mdvi.learning.runs.signals import Interrupted, Signals, signals

__all__ = ["InUse", "Interrupted", "Report", "Signals", "locked", "signals", "train"]

_LARGE = 1e9  # bytes of memory from which a remark is made
_ROUND = 0.5  # seconds between checks of signals and updates of the progress bar


@dataclass
class Report:
    """The callbacks of a training run.

    Attributes:
        progress: called with chunks done and chunks in all.
        remark: called with each remark, one line.
        tables: called with every new line of metrics.
    """

    progress: Callable[[int, int], None] = lambda done, goal: None
    remark: Callable[[str], None] = lambda line: None
    tables: Callable[[dict[str, Any]], None] = lambda row: None


def train(
    population: Driver,
    columns: list[dict[str, Any]],
    config: dict[str, Any],
    folder: Path | None,
    *,
    fresh: bool = False,
    every: float = 60.0,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train to the end, or until a signal; in a folder, resume from the last checkpoint.

    Args:
        population: the members to train.
        columns: for each member, the columns that identify its lines of metrics.
        config: the configuration, which a run in the folder must match.
        folder: the folder of the run; None stores nothing.
        fresh: refuse a folder that is not empty.
        every: seconds between checkpoints.
        report: callbacks for progress, remarks and metrics.

    Returns:
        The summary.

    Raises:
        ValueError: if the folder holds other files, is in use, or has damaged checkpoints only.
        Interrupted: after SIGINT, SIGTERM or SIGHUP; at the second signal the process ends at once.
    """
    report = report or Report()
    if folder is None:
        with signals() as stopped, contextlib.closing(population):
            _work(population, stopped, report, columns, lambda: None, math.inf)
        return record.summary_of(population.log, population.settings, columns)
    folder = folder.resolve()  # environments may change the working directory, and links may change
    kept.check_free(folder, fresh)
    with contextlib.ExitStack() as stack:
        place = kept.Kept(population, columns, config, stack.enter_context(locked(folder)), stack, report.remark)
        stopped = stack.enter_context(signals())
        stack.enter_context(contextlib.closing(population))
        kept.check_free(folder, fresh)  # again, since no other process can change the folder from now on
        place.open()
        if not population.finished:
            _work(population, stopped, report, columns, place.save, every)
        return place.finish()


def _work(
    population: Driver,
    stopped: "Signals",
    report: Report,
    columns: list[dict[str, Any]],
    save: Callable[[], None],
    every: float,
) -> None:
    """Train in rounds of half a second, and check the clock and the signals between them."""
    saved = time.monotonic()
    seen = {number: len(rows) for number, rows in population.log.rows.items()}
    known = list(population.log.status)
    count = len(population.agents)
    if population.bytes_needed > _LARGE or population.waves:
        report.remark(f"{count} members, about {population.bytes_needed / 1e9:.1f} GB of memory{population.waves}")
    report.progress(population.done, population.goal)

    def tell() -> None:
        _tell(population, report)
        report.progress(population.done, population.goal)
        for number, status in enumerate(population.log.status):
            if status and not known[number]:
                report.remark(f"member {number}: {status}")
            known[number] = status
        for number, rows in population.log.rows.items():
            for row in rows[seen[number] :]:
                report.tables(columns[number] | row)
            seen[number] = len(rows)

    while not population.finished:
        _tell(population, report)
        population.advance(_ROUND, lambda: bool(stopped.number))
        try:
            tell()
        except BaseException:  # a callback failed: save before raising
            save()
            if not stopped.number:
                raise
            raise Interrupted(stopped.number) from None
        due = population.finished or time.monotonic() - saved > every
        if due and (line := population.log.unpaid()):
            report.remark(line)
        if stopped.number or due:
            save()
            saved = time.monotonic()
        if stopped.number:
            raise Interrupted(stopped.number)


def _tell(population: Driver, report: Report) -> None:
    """Report the remarks of the population."""
    remarks, population.log.remarks = population.log.remarks, []
    for line in remarks:
        report.remark(line)
