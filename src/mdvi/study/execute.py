"""Train what a study wants and has not got yet.

Runs of one group, which are one program with other numbers, are trained side by side in batches; a batch is resumed
where it was left, and its results are written down in one piece. Whoever else works on the same store trains other
batches: each is behind a lock that goes with its process.
"""

import math
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from mdvi.arguments import environment_of
from mdvi.deep import record, run
from mdvi.deep.population import check_room
from mdvi.deep.run import AnyPopulation, Interrupted, InUse, Report
from mdvi.envs import Hosted
from mdvi.study.request import population_with
from mdvi.study.spec import Batch, Study
from mdvi.study.store import ENDED, NAME, Outcome, Store

WORK = "work"  # the folder of batches that are being trained


@dataclass(frozen=True)
class Watch:
    """Who watches a study.

    Attributes:
        progress: called with environment steps of all runs that are done, and those that are wanted.
        remark: called with a line about something unexpected.
    """

    progress: Callable[[int, int], None] = lambda done, goal: None
    remark: Callable[[str], None] = lambda line: None


def execute(
    study: Study,
    folder: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    memory: float | None = None,
    every: float = 60.0,
    watch: Watch | None = None,
) -> int:
    """Train what is missing; how many runs others are training meanwhile.

    Args:
        study: what is wanted.
        folder: where its store and its unfinished batches are.
        shard: i and n: only every n-th batch, beginning with the i-th.
        memory: bytes that may be used.
        every: seconds between checkpoints.
        watch: who watches.

    Raises:
        ValueError: when the store cannot be used.
        Interrupted: after SIGINT or SIGTERM, with everything saved.
    """
    watch, store = watch or Watch(), Store(folder / NAME)
    try:
        store.add(study.runs)
        batches = study.batches()[shard[0] - 1 :: shard[1]]
        goal = sum(map(_steps, batches))
        before = busy = 0
        with run.signals() as stopped:
            for batch in batches:
                if stopped.number:
                    raise Interrupted(stopped.number)
                missing = _missing(batch, store)
                before += _steps(batch) - _steps(missing)
                for part in _fitting(missing, memory):
                    try:
                        _train(part, store, folder / WORK / part.id, memory, every, watch, before, goal)
                    except InUse:
                        busy += len(part.runs)
                    before += _steps(part)
                watch.progress(before, goal)
        return busy
    finally:
        store.close()


def _steps(batch: Batch) -> int:
    """Environment steps of all its runs."""
    return sum(run.steps for run in batch.runs)


def _fitting(batch: Batch, memory: float | None) -> list[Batch]:
    """Members in environments on the host run all at the same time: as many as the memory has room for, the rest later.

    Those in environments on the device take turns by themselves.
    """
    runs = batch.runs
    try:
        env = environment_of(runs[0].env) if runs else None
        if not isinstance(env, Hosted):
            return [batch] if runs else []
        one, _ = population_with(runs[0].config(), [runs[0].cell], env, memory=math.inf)
        together = max(1, int(check_room(0.0, "", memory) // one.bytes_needed))
    except (ValueError, ModuleNotFoundError):  # told when it is tried
        return [batch]
    return [Batch(runs[first : first + together]) for first in range(0, len(runs), together)]


def _missing(batch: Batch, store: Store) -> Batch:
    """The runs of a batch that have not ended."""
    statuses = store.statuses()
    return Batch(tuple(run for run in batch.runs if statuses[run.id] not in ENDED))


def _train(
    batch: Batch, store: Store, place: Path, memory: float | None, every: float, watch: Watch, before: int, goal: int
) -> None:
    """Train a batch and write down what came of it, also when it cannot be trained."""
    ids, share = [run.id for run in batch.runs], _steps(batch)
    report = Report(
        progress=lambda done, total: watch.progress(before + share * done // max(total, 1), goal), remark=watch.remark
    )
    place.mkdir(parents=True, exist_ok=True)
    with run.locked(place):
        if _missing(batch, store) == batch:  # nobody was faster
            store.mark(ids, "running")
            start = time.monotonic()
            try:
                outcomes = _tried(batch, ids, place / "run", memory, every, report)
            except Interrupted:
                store.mark(ids, "queued")
                raise
            finally:
                store.add_seconds(ids, time.monotonic() - start)
            store.finish(outcomes)
        shutil.rmtree(place, ignore_errors=True)


def _tried(
    batch: Batch, ids: list[str], folder: Path, memory: float | None, every: float, report: Report
) -> list[Outcome]:
    """What came of a batch, or why there is nothing."""
    first = batch.runs[0]
    try:
        config, cells = first.config(), [run.cell for run in batch.runs]
        population, columns = population_with(config, cells, environment_of(first.env), memory=memory, out=folder)
        run.train(population, columns, config | {"runs": ids}, folder, every=every, report=report)
    except (ValueError, RuntimeError, MemoryError, ModuleNotFoundError) as error:
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        report.remark(f"{len(ids)} runs of {first.agent} in {first.env} failed: {line}")
        return [Outcome(name, "failed", line, {}, (), traceback.format_exc()) for name in ids]
    return _outcomes(ids, population, columns)


def _outcomes(ids: list[str], population: AnyPopulation, columns: list[dict[str, Any]]) -> list[Outcome]:
    """What came of every member."""
    ledger = population.ledger
    members = record.summary_of(ledger, population.settings, columns)["members"]
    outcomes = []
    for number, (name, member) in enumerate(zip(ids, members, strict=True)):
        wrong = ledger.status[number]
        status = "done" if not wrong else "diverged" if wrong.startswith("diverged") else "failed"
        facts = {key: member[key] for key in ("kl", "entropy", "beta", "learning_rate", "env_steps", "episodes")}
        facts |= {"score_mean_training": member["mean_return"], "score_last100": member["last_100"]}
        facts |= {"version": version("mdvi"), "device": jax.devices()[0].device_kind}
        curve = [
            (int(row["env_steps"]), int(row["episodes"]), _number(row["episode_return"]), _number(row["last_100"]))
            for row in ledger.rows[number]
        ]
        outcomes.append(Outcome(name, status, wrong, facts, curve))
    return outcomes


def _number(value: float) -> float | None:
    """NULL stands for what is not a number."""
    return value if value == value else None
