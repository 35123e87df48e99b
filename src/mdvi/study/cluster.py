"""Train batches on a Ray cluster: its workers train, whoever asked for it writes down what came of it."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mdvi.deep import run
from mdvi.deep.run import Interrupted, InUse, Report, Signals
from mdvi.study.spec import TOGETHER, Batch
from mdvi.study.store import Outcome
from mdvi.study.worker import failed, train_batch

_FEW = 8  # runs of a batch on a core: many batches keep many workers busy, each of them compiles once
_LIVES = 10  # of a worker that dies again and again in the same batch
_ROUND = 0.5  # seconds between looks at what the workers tell
_PATIENCE = 60.0  # seconds they have to save their work when they are stopped


class Cluster:
    """A Ray cluster, to be used in a `with` statement.

    Attributes:
        together: runs that make a batch.
        memory: bytes for each worker.
    """

    def __init__(self, address: str) -> None:
        """Reach it, or start one on this machine when the address is "local".

        Raises:
            ValueError: when Ray is not installed, or the cluster cannot be reached.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        try:
            import ray
        except ModuleNotFoundError:
            raise ValueError("--ray: Ray is not installed; pip install 'mdvi[ray]'") from None
        self._ray: Any = ray
        host, _, port = address.removeprefix("ray://").rpartition(":")
        options = {"include_dashboard": False} if address == "local" else {}
        try:
            if port.isdigit():  # Ray itself would try for ten minutes
                socket.create_connection((host, int(port)), timeout=10.0).close()
            self._ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"--ray {address}: {error}") from None
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        unit = "GPU" if any("GPU" in node for node in nodes) else "CPU"
        self._needs = {f"num_{unit.lower()}s": 1}
        self.together = TOGETHER if unit == "GPU" else _FEW
        self.memory: float = min(node["memory"] / node[unit] for node in nodes if unit in node)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def train(
        self,
        batches: Sequence[Batch],
        places: Sequence[Path],
        memory: float,
        every: float,
        stopped: Signals,
        begun: Callable[[list[int]], None],
        progress: Callable[[dict[int, float]], None],
        remark: Callable[[str], None],
    ) -> Iterator[tuple[int, list[Outcome] | None, float]]:
        """What came of each batch, in the order in which they end: its number, its outcomes, and the seconds it took.

        A worker that is killed, or sent away by a signal, is replaced by another that goes on where it was.

        Args:
            batches: who is trained.
            places: the folder of each meanwhile, the same on all machines.
            memory: bytes for each worker.
            every: seconds between checkpoints.
            stopped: what signals have asked for here.
            begun: called with the numbers of batches that workers have taken up.
            progress: called with the share done of each of them.
            remark: called with a line about something unexpected.

        Yields:
            None for the outcomes of a batch that somebody else is training.

        Raises:
            Interrupted: after a signal, when the workers have saved their work.
        """
        ray = self._ray
        board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board).remote()
        task = ray.remote(max_retries=_LIVES, **self._needs)(_train)

        def ask(number: int) -> Any:
            return task.remote(board, number, batches[number], places[number], memory, every)

        asked = {ask(number): number for number in range(len(batches))}
        known: dict[int, float] = {}  # the share done of each
        deadline = float("inf")
        while asked and time.monotonic() < deadline:
            if stopped.number and deadline == float("inf"):
                deadline = time.monotonic() + _PATIENCE
                for reference in asked:
                    ray.cancel(reference)
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=_ROUND)
            shares, lines = ray.get(board.read.remote())
            begun(sorted(set(shares) - set(known)))
            known |= shares
            progress(known)
            for line in lines:
                remark(line)
            for reference in ready:
                number = asked.pop(reference)
                end, outcomes, seconds = self._answer(reference, batches[number])
                if end != "stopped":
                    yield number, outcomes, seconds
                elif not stopped.number:  # by somebody else
                    asked[ask(number)] = number
        if stopped.number:
            raise Interrupted(stopped.number)

    def _answer(self, reference: Any, batch: Batch) -> tuple[str, list[Outcome] | None, float]:
        """What a worker says, or what is to be said of it."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.TaskCancelledError:
            return "stopped", None, 0.0
        except errors.RayError as error:
            line = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return "ended", failed(batch, line, str(error)), 0.0


class _Board:
    """Where workers tell how far they are."""

    def __init__(self) -> None:
        self.shares: dict[int, float] = {}
        self.lines: list[str] = []

    def tell(self, number: int, share: float) -> None:
        self.shares[number] = share

    def remark(self, line: str) -> None:
        self.lines.append(line)

    def read(self) -> tuple[dict[int, float], list[str]]:
        lines, self.lines = self.lines, []
        return self.shares, lines


def _train(
    board: Any, number: int, batch: Batch, place: Path, memory: float, every: float
) -> tuple[str, list[Outcome] | None, float]:
    """What a worker is asked: how it ended, the outcomes, and the seconds it took."""
    report = Report(
        progress=lambda done, total: board.tell.remote(number, done / max(total, 1)), remark=board.remark.remote
    )
    board.tell.remote(number, 0.0)
    start = time.monotonic()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with run.locked(place):
            outcomes = train_batch(batch, place, memory=memory, every=every, report=report, workers=1)
        return "ended", outcomes, time.monotonic() - start
    except InUse:
        return "busy", None, 0.0
    except Interrupted:
        return "stopped", None, time.monotonic() - start
