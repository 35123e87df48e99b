"""The work of a worker: train runs side by side, and return the outcome of each run."""

import contextlib
import platform
import shutil
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from mdvi.envs.names import environment_of
from mdvi.learning.arrange import population_with
from mdvi.learning.request import AXES
from mdvi.learning.runs import folder, kept, record, run
from mdvi.learning.runs.driver import Driver
from mdvi.learning.runs.run import InUse, Report
from mdvi.study.provenance import commit
from mdvi.study.spec import Batch
from mdvi.study.store import Outcome

RUN = "run"  # the folder of training in the folder of a batch


def train_batch(
    batch: Batch, place: Path, *, memory: float | None, every: float, report: Report, workers: int | None = None
) -> list[Outcome]:
    """Train a batch and return the outcomes; if the batch cannot be trained, all its runs fail.

    Args:
        batch: the runs to train.
        place: the working folder of the batch, which the caller has locked.
        memory: bytes that may be used.
        every: seconds between checkpoints.
        report: callbacks for progress, remarks and metrics.
        workers: cores that may be used; default: all.

    Raises:
        Interrupted: after a signal, with everything saved.
        InUse: if another process is training in the folder.
        Exception: a failure of the machine and not of the batch, such as an OSError.
    """
    ids, first, home = [run.id for run in batch.runs], batch.runs[0], place / RUN

    def members() -> tuple[Driver, list[dict[str, Any]]]:
        seen = env
        with contextlib.suppress(ValueError):  # training reports errors of the folder when it opens the folder
            seen = kept.shown(env, home)
        return population_with(request, cells, seen, workers=workers, memory=memory, out=home)

    try:
        request, cells, env = first.request, [run.cell for run in batch.runs], environment_of(first.env)
        wanted, begun = request.content | {"runs": ids}, home.exists()
        population, columns = members()
        try:
            run.train(population, columns, wanted, home, every=every, report=report)
        except ValueError as error:
            if isinstance(error, InUse) or not begun or _is_of_the_machine(error):
                raise
            report.remark(f"{home}: cannot be resumed; training starts from the beginning ({error})")
            shutil.rmtree(home)
            population, columns = members()
            run.train(population, columns, wanted, home, every=every, report=report)
    except (ValueError, RuntimeError, MemoryError, ModuleNotFoundError) as error:
        if isinstance(error, InUse) or _is_of_the_machine(error):
            raise
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        report.remark(f"{len(ids)} runs of {first.agent} in {first.env} failed: {line}")
        return failed(batch, line, traceback.format_exc())
    return _outcomes(ids, population, columns)


@contextlib.contextmanager
def working(place: Path) -> Iterator[None]:
    """Make and lock the working folder of a batch, and check that no link leads out of it.

    Raises:
        InUse: if another process is working in the folder.
        ValueError: if there is something else at the path.
    """
    folder.check(place.parent.parent, folders=[place.parent.name])
    folder.check(place.parent, folders=[place.name])
    place.mkdir(parents=True, exist_ok=True)
    with run.locked(place):
        folder.check(place, folders=[RUN])
        yield


def _is_of_the_machine(error: BaseException | None) -> bool:
    """Whether an error was caused by an OSError, such as a full or broken disk or too many open files."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False


def failed(batch: Batch, line: str, trace: str) -> list[Outcome]:
    """The outcomes of a batch that failed as a whole."""
    return [Outcome(run.id, "failed", line, {}, (), trace) for run in batch.runs]


def _outcomes(ids: list[str], population: Driver, columns: list[dict[str, Any]]) -> list[Outcome]:
    """The outcomes of all members."""
    log = population.log
    members = record.summary_of(log, population.settings, columns)["members"]
    outcomes = []
    for number, (name, member) in enumerate(zip(ids, members, strict=True)):
        wrong = log.status[number]
        status = "done" if not wrong else "diverged" if wrong.startswith("diverged") else "failed"
        facts = {key: member[key] for key in (*AXES, "env_steps", "episodes")}
        facts |= {"score_mean_training": member["mean_return"], "score_last100": member["last_100"]}
        facts |= {"version": _versions(), "git_commit": commit(), "device": jax.devices()[0].device_kind}
        curve = [
            (int(row["env_steps"]), int(row["episodes"]), _number(row["episode_return"]), _number(row["last_100"]))
            for row in log.rows[number]
        ]
        outcomes.append(Outcome(name, status, wrong, facts, curve))
    return outcomes


def _number(value: float) -> float | None:
    """The value, or None, which SQLite stores as NULL, for NaN."""
    return value if value == value else None


def _versions() -> str:
    names = ("mdvi", "jax", "jaxlib", "numpy")
    return ", ".join([*(f"{name} {version(name)}" for name in names), f"python {platform.python_version()}"])
