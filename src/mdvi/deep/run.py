"""A run: a population trained in a folder that it can be stopped in and taken up from at any time."""

import contextlib
import fcntl
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdvi import output
from mdvi.deep import checkpoint, record
from mdvi.deep.host import HostPopulation
from mdvi.deep.population import Population

_LARGE = 1e9  # bytes of memory worth a warning
_ROUND = 0.5  # seconds between looks at the signals and the progress bar
LOCK = ".lock"
AnyPopulation = Population | HostPopulation


class Interrupted(Exception):  # noqa: N818
    """Training stopped by a signal, with everything saved.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@dataclass
class Report:
    """What a training run tells whoever watches.

    Attributes:
        progress: called with chunks done and chunks in all.
        remark: called with a line worth reading.
        tables: called with every new line of metrics.
    """

    progress: Callable[[int, int], None] = lambda done, goal: None
    remark: Callable[[str], None] = lambda line: None
    tables: Callable[[dict[str, Any]], None] = lambda row: None


def train(
    population: AnyPopulation,
    columns: list[dict[str, Any]],
    config: dict[str, Any],
    folder: Path | None,
    *,
    fresh: bool = False,
    every: float = 60.0,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train to the end, or until a signal; in a folder, from where it was left.

    Args:
        population: who is trained.
        columns: for each member, the facts that head its lines of metrics.
        config: what the folder must have been made with.
        folder: where to keep the run; None keeps nothing.
        fresh: refuse a folder that has anything in it.
        every: seconds between checkpoints.
        report: who watches.

    Returns:
        The summary.

    Raises:
        ValueError: when the folder holds something else, is in use, or has no sound checkpoint.
        Interrupted: after SIGINT or SIGTERM; at the second signal the process ends at once.
    """
    report = report or Report()
    if folder is None:
        with signals() as stopped, contextlib.closing(population):
            _work(population, stopped, report, columns, lambda: None, math.inf)
        return record.summary_of(population.ledger, population.settings, columns)
    folder = folder.absolute()  # environments may change the directory
    config = _check_folder(folder, config, fresh, report.remark)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), signals() as stopped, contextlib.closing(population):
        for half in folder.rglob(f"{output.HALF}*"):  # of a process that was killed while it wrote
            half.unlink()
        serial = _restore(population, folder, config, report)
        if not (folder / record.CONFIG).exists():
            output.write(folder / record.CONFIG, json.dumps(config, indent=1) + "\n")
        digest = record.digest_of(config)

        def save() -> None:
            nonlocal serial
            serial += 1
            place = folder / record.CHECKPOINT
            arrays, note = population.save(place, serial)
            checkpoint.write(place, serial, arrays, note | {"serial": serial, "config": digest})
            output.write(folder / record.METRICS, record.metrics_csv(population.ledger, columns))

        if not population.finished:
            _work(population, stopped, report, columns, save, every)
        summary = record.summary_of(population.ledger, population.settings, columns)
        output.write(folder / record.METRICS, record.metrics_csv(population.ledger, columns))
        output.write(folder / record.SUMMARY, json.dumps(summary, indent=1) + "\n")
        return summary


def restore(
    population: AnyPopulation, folder: Path, config: dict[str, Any], remark: Callable[[str], None], whole: bool = True
) -> int:
    """Load the newest sound checkpoint of a folder, if there is one, and tell its number.

    Args:
        population: what to load it into.
        folder: of the run.
        config: what it was made with.
        remark: called with a line for each checkpoint that is damaged.
        whole: also what only more training needs.

    Raises:
        ValueError: when none of several is sound, or they are of another population or configuration.
    """
    found = checkpoint.latest(folder / record.CHECKPOINT)
    if found is None:
        return 0
    arrays, note, remarks = found
    digest = record.digest_of(config)
    if note.get("config", digest) != digest:
        raise ValueError(
            f"{folder / record.CONFIG}: is not what the checkpoints were made with; put back what was changed, or "
            "train in another folder"
        )
    for line in remarks:
        remark(f"{line}; the checkpoint before it is used")
    try:
        population.restore(arrays, note, folder / record.CHECKPOINT if whole else None)
        return int(note["serial"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / record.CHECKPOINT}: does not fit {record.CONFIG} or this version of mdvi ({error})"
        ) from None


def _work(
    population: AnyPopulation,
    stopped: "Signals",
    report: Report,
    columns: list[dict[str, Any]],
    save: Callable[[], None],
    every: float,
) -> None:
    """Rounds of half a second, with a look at the clock and the signals between them."""
    saved = time.monotonic()
    seen = {number: len(rows) for number, rows in population.ledger.rows.items()}
    known = list(population.ledger.status)
    count = len(population.agents)
    if population.bytes_needed > _LARGE or population.waves:
        report.remark(f"{count} members, about {population.bytes_needed / 1e9:.1f} GB of memory{population.waves}")
    report.progress(population.done, population.goal)
    while not population.finished:
        _tell(population, report)
        population.advance(_ROUND, lambda: bool(stopped.number))
        _tell(population, report)
        report.progress(population.done, population.goal)
        for number, status in enumerate(population.ledger.status):
            if status and not known[number]:
                report.remark(f"member {number}: {status}")
        known = list(population.ledger.status)
        for number, rows in population.ledger.rows.items():
            for row in rows[seen[number] :]:
                report.tables(columns[number] | row)
            seen[number] = len(rows)
        if stopped.number or population.finished or time.monotonic() - saved > every:
            save()
            saved = time.monotonic()
        if stopped.number:
            raise Interrupted(stopped.number)


def _tell(population: AnyPopulation, report: Report) -> None:
    """What there is to be told."""
    remarks, population.ledger.remarks = population.ledger.remarks, []
    for line in remarks:
        report.remark(line)


def _restore(population: AnyPopulation, folder: Path, config: dict[str, Any], report: Report) -> int:
    serial = restore(population, folder, config, report.remark)
    if not serial and (folder / record.METRICS).exists():
        report.remark(f"{folder}: its checkpoints are gone; training begins again")
        (folder / record.SUMMARY).unlink(missing_ok=True)
    if serial and not population.finished:
        report.remark(f"resuming at {population.done} of {population.goal} {population.unit}")
    return serial


def _check_folder(folder: Path, config: dict[str, Any], fresh: bool, remark: Callable[[str], None]) -> dict[str, Any]:
    """The configuration that the folder was made with, if it is this one; this one in a new folder."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; --out needs a folder")
    output.check_target(folder / record.CONFIG)
    if not folder.exists() or not any(entry.name != LOCK for entry in folder.iterdir()):
        return config
    if fresh:
        raise ValueError(f"{folder}: is not empty, and --fresh asks for a folder that is; remove it or name another")
    if not (folder / record.CONFIG).exists():
        raise ValueError(f"{folder}: is not empty and holds no run; name another folder")
    try:
        known = record.read_config(folder)
    except ValueError as error:
        found = checkpoint.latest(folder / record.CHECKPOINT)
        if found is None or found[1].get("config") != record.digest_of(config):
            raise
        remark(f"{error}; it is written again, since the checkpoints are of what is asked for")
        (folder / record.CONFIG).unlink()
        return config
    for name in config:
        if known.get(name) != config[name] and name != "version":
            raise ValueError(
                f"{folder}: was made with {name} = {json.dumps(known.get(name))}, not {json.dumps(config[name])}; "
                "repeat the command that made it, or name another folder"
            )
    return known


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Keep others from training in this folder; the lock goes with the process, however that ends.

    Args:
        folder: which.
        shared: others that share it are welcome.

    Raises:
        InUse: when somebody trains there.
    """
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise InUse(f"{folder}: another process is training in it") from None
        yield


class InUse(ValueError):  # noqa: N818
    """Somebody else trains in a folder."""


@dataclass
class Signals:
    """What SIGINT and SIGTERM have asked for.

    Attributes:
        number: of the first one; 0 for none.
    """

    number: int = 0

    def note(self, number: int, _: Any) -> None:
        """The handler; at the second signal, the process ends here and now."""
        if self.number:
            os._exit(128 + number)
        self.number = number


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """SIGINT and SIGTERM as a note to be looked at between rounds of work."""
    stopped = Signals()
    try:
        before = {number: signal.signal(number, stopped.note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever owns it handles signals
        yield stopped
        return
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
