"""Train the missing runs of a study.

Runs of one group share a compiled program and differ in their numbers; they are trained side by side in batches. An
interrupted batch is resumed from its checkpoint, and its results are stored in one transaction. Several processes can
work on one store: a lock on each batch, which ends with its process, ensures that they train different batches.
"""

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mdvi import input
from mdvi.envs.names import check_named_by_file, environment_of
from mdvi.extras import check_installed
from mdvi.learning.arrange import population_with
from mdvi.learning.runs import run, signals
from mdvi.learning.runs.run import InUse, Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.training.drivers import driver_of
from mdvi.learning.training.memory import check_room
from mdvi.report.curves import FIGURE1, REGULARIZERS, to_csv
from mdvi.study.cluster import Cluster
from mdvi.study.figure1 import run as figure1
from mdvi.study.regularizers import run as regularizers
from mdvi.study.spec import TOGETHER, Batch, Experiment, Study
from mdvi.study.store import ENDED, NAME, Store
from mdvi.study.worker import train_batch, working

WORK = "work"  # the folder of batches that are being trained
_EXPERIMENTS = {"figure1": (figure1, FIGURE1), "regularizers": (regularizers, REGULARIZERS)}


@dataclass(frozen=True)
class Watch:
    """The callbacks of a study.

    Attributes:
        progress: called with the environment steps that are done and the requested steps of all runs.
        batch: called with a description of a batch, and its environment steps that are done and requested.
        experiment: called with an experiment of the laboratory, what it is at, and the iterations of it that are done.
        remark: called with a line about an unexpected event.
    """

    progress: Callable[[int, int], None] = lambda done, goal: None
    batch: Callable[[str, int, int], None] = lambda name, done, goal: None
    experiment: Callable[[Experiment, str, int], None] = lambda experiment, part, done: None
    remark: Callable[[str], None] = lambda line: None


def execute(
    study: Study,
    folder: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    memory: float | None = None,
    every: float = 60.0,
    watch: Watch | None = None,
    ray: str | None = None,
    own: Collection[str] = (),
) -> int:
    """Train the missing runs; returns the number of runs that other processes are training.

    Args:
        study: the study.
        folder: the folder of its store and of unfinished batches.
        shard: (i, n) to train only every n-th batch, beginning with the i-th.
        memory: bytes that may be used; on a cluster, by each worker.
        every: seconds between checkpoints.
        watch: callbacks for progress and remarks.
        ray: the address of a Ray cluster whose workers train, or "local"; None to train in this process.
        own: environments of the study that may execute any code, by their names in the study.

    Raises:
        ModuleNotFoundError: if `ray` is given and Ray is not installed.
        ValueError: if an environment may not be made, the store cannot be used, or the cluster cannot be reached.
        InUse: if another process trains this study on a cluster, or if `ray` is given and other processes train it.
        Interrupted: after SIGINT or SIGTERM, with everything saved.
    """
    if ray is not None:
        check_installed("ray")
    for name in study.environments():
        check_named_by_file(name, own)
    with contextlib.closing(Store(folder / NAME)) as store, run.locked(folder, shared=ray is None):
        store.add(study.runs)
        watch = watch or Watch()
        for asked in study.experiments if shard[0] == 1 else ():
            if store.table(asked) is None:
                run_it, columns = _EXPERIMENTS[asked.name]
                curves = run_it(asked.garnets, asked.iterations, asked.seed, partial(watch.experiment, asked))
                store.keep_table(asked, to_csv(curves, columns))
        batches = study.batches()[shard[0] - 1 :: shard[1]]
        job = _Job(store, folder / WORK, memory, every, watch, sum(map(_steps, batches)))
        busy = _here(batches, job) if ray is None else _on_ray(ray, batches, job)
        if set(store.statuses().values()) <= set(ENDED):  # unfinished batches that were split differently are useless
            for place in job.work.glob("*"):
                _remove(place)
        return busy


@dataclass(frozen=True)
class _Job:
    """The arguments of `execute` for all batches; `goal` is the number of environment steps."""

    store: Store
    work: Path
    memory: float | None
    every: float
    watch: Watch
    goal: int


def _here(batches: Sequence[Batch], job: _Job) -> int:
    """Train one batch after the other in this process; returns the number of runs in other processes."""
    before = busy = 0
    with signals.signals() as stopped:
        for batch in batches:
            if stopped.number:
                raise Interrupted(stopped.number)
            for part in _parts(batch, job.memory, TOGETHER):
                missing = _missing(part, job.store)
                before += _steps(part) - _steps(missing)
                try:
                    if missing.runs:
                        _train(missing, job, before)
                except InUse:
                    busy += len(missing.runs)
                before += _steps(missing)
            job.watch.progress(before, job.goal)
    return busy


def _on_ray(address: str, batches: Sequence[Batch], job: _Job) -> int:
    """Train batches on the workers of a cluster; this process alone writes results. Returns as `_here`."""
    busy = 0
    with Cluster(address) as cluster, signals.signals() as stopped:
        memory = job.memory or cluster.memory
        cut = [_missing(part, job.store) for batch in batches for part in _parts(batch, memory, cluster.together)]
        parts = [part for part in cut if part.runs]
        before = job.goal - sum(map(_steps, parts))

        def progress(shares: dict[int, float]) -> None:
            steps = sum(share * _steps(parts[number]) for number, share in shares.items())
            job.watch.progress(before + int(steps), job.goal)
            for number, share in shares.items():
                job.watch.batch(_name(parts[number]), int(share * _steps(parts[number])), _steps(parts[number]))

        def begun(numbers: list[int]) -> None:
            job.store.mark([run.id for number in numbers for run in parts[number].runs], "running")

        places = [job.work.resolve() / part.id for part in parts]
        try:
            for number, answer in cluster.train(
                parts, places, memory, job.every, stopped, begun, progress, job.watch.remark
            ):
                ids = [run.id for run in parts[number].runs]
                job.store.add_seconds(ids, answer.seconds)
                busy += len(ids) * (answer.end == "busy")
                if answer.end == "ended":
                    job.store.finish(answer.outcomes)
                    _remove(places[number])
        finally:
            job.store.mark([run.id for part in parts for run in part.runs], "queued")
    return busy


def _steps(batch: Batch) -> int:
    """Environment steps of all runs of a batch."""
    return sum(run.steps for run in batch.runs)


def _name(batch: Batch) -> str:
    """A description of a batch."""
    first, last = batch.runs[0], batch.runs[-1]
    who = f"{first.agent} {first.evaluation}".strip()
    return f"{len(batch.runs)} runs of {who} in {first.env} ({first.id[:6]} to {last.id[:6]})"


def _parts(batch: Batch, memory: float | None, most: int) -> list[Batch]:
    """Split a batch into parts of at most `most` runs.

    Members in environments on the host all run at the same time, so a part has as many runs as fit into memory. The
    driver for environments in JAX schedules its members within the memory by itself.
    """
    runs = batch.runs
    try:
        env = environment_of(runs[0].env)
        if not driver_of(env).takes_turns:
            one, _ = population_with(runs[0].request, [runs[0].cell], env, memory=math.inf)
            fitting = max(1, int(check_room(0.0, "", memory) // one.bytes_needed))
            most = min(most, 1 << (fitting.bit_length() - 1))  # stable if a little less memory is free
    except (ValueError, ModuleNotFoundError):  # training reports the error
        pass
    return [Batch(runs[first : first + most]) for first in range(0, len(runs), most)]


def _missing(batch: Batch, store: Store) -> Batch:
    """The runs of a batch that have not ended."""
    statuses = store.statuses()
    return Batch(tuple(run for run in batch.runs if statuses[run.id] not in ENDED))


def _train(batch: Batch, job: _Job, before: int) -> None:
    """Train a batch and store its results."""
    ids, share, place = [run.id for run in batch.runs], _steps(batch), job.work / batch.id

    def progress(done: int, total: int) -> None:
        steps = share * done // max(total, 1)
        job.watch.progress(before + steps, job.goal)
        job.watch.batch(_name(batch), steps, share)

    report = Report(progress=progress, remark=job.watch.remark)
    with working(place):
        if _missing(batch, job.store) == batch:  # no other process has finished some of the runs
            job.store.mark(ids, "running")
            start = time.monotonic()
            try:
                outcomes = train_batch(batch, place, memory=job.memory, every=job.every, report=report)
            except BaseException:
                with contextlib.suppress(ValueError):  # may fail for the same reason; "running" runs are trained again
                    job.store.add_seconds(ids, time.monotonic() - start)
                    job.store.mark(ids, "queued")
                raise
            job.store.add_seconds(ids, time.monotonic() - start)
            job.store.finish(outcomes)
        shutil.rmtree(place, ignore_errors=True)


def _remove(place: Path) -> None:
    """Remove the working folder of a batch, unless a process uses it; anything that is not a folder stays."""
    if input.kind(place, links=False) == "a folder":
        with contextlib.suppress(InUse), working(place):
            shutil.rmtree(place, ignore_errors=True)
