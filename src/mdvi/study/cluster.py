"""Train batches on a Ray cluster: workers train, and the submitting process alone writes results to the store."""

import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from mdvi.extras import explained
from mdvi.learning.runs.run import InUse, Report
from mdvi.learning.runs.signals import Interrupted, Signals
from mdvi.study.spec import TOGETHER, Batch
from mdvi.study.store import Outcome
from mdvi.study.worker import failed, train_batch, working

_FEW = 8  # runs of a batch on a core: small batches keep many workers busy, and each batch compiles once
_LIVES = 10  # restarts of a worker that crashes repeatedly in one batch
_ROUND = 0.5  # seconds between readings of the workers' progress
_PATIENCE = 60.0  # seconds that workers have to save their work after a signal


class Cluster:
    """A Ray cluster, for use in a `with` statement.

    Attributes:
        together: the number of runs in a batch.
        memory: bytes for each worker.
    """

    def __init__(self, address: str) -> None:
        """Connect to a cluster, or start one on this machine if the address is "local".

        Raises:
            ModuleNotFoundError: if Ray is not installed.
            ValueError: if the cluster cannot be reached.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        with explained():
            import ray
        self._ray: Any = ray
        host, _, port = address.removeprefix("ray://").rpartition(":")
        options = {"include_dashboard": False} if address == "local" else {}
        try:
            if address == "local":
                _keep_here()
            if port.isdigit():  # Ray itself would try for ten minutes
                socket.create_connection((host, int(port)), timeout=10.0).close()
            self._ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"--ray {address}: {error}") from None
        if address == "local" and not ipaddress.ip_address(self._ray.util.get_node_ip_address()).is_loopback:
            self._ray.shutdown()
            raise ValueError(
                "--ray local: this version of Ray would accept connections from other machines; start a cluster and "
                "pass its address"
            )
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and "memory" in node["Resources"]]
        unit = "GPU" if any("GPU" in node for node in nodes) else "CPU"
        if not any(unit in node for node in nodes):
            self._ray.shutdown()
            raise ValueError(f"--ray {address}: no node of this cluster has a CPU or GPU for training")
        self._needs = {f"num_{unit.lower()}s": 1}
        self.together = TOGETHER if unit == "GPU" else _FEW
        self.memory: float = min(node["memory"] / node[unit] for node in nodes if unit in node)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, which stops a cluster that was started here.

        Raises:
            ValueError: if the cluster failed.
            Exception: an exception of a worker that does not concern its batch, such as a full disk.
        """
        errors = self._ray.exceptions
        self._ray.shutdown()
        if isinstance(error, errors.RayTaskError):
            raise error.cause from None
        if isinstance(error, errors.RayError):
            raise ValueError(f"--ray: the cluster failed; repeat the command to continue ({_line(error)})") from None

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
    ) -> Iterator[tuple[int, "Answer"]]:
        """Yield the number and the answer of each batch, in the order in which they end.

        A worker that is killed, or stopped by a signal, is replaced by another worker that resumes its batch.

        Args:
            batches: the batches to train.
            places: the working folder of each batch, the same on all machines.
            memory: bytes for each worker.
            every: seconds between checkpoints.
            stopped: the signals that this process has received.
            begun: called with the numbers of batches that workers have started.
            progress: called with the share of each batch that is done.
            remark: called with a line about an unexpected event.

        Raises:
            Interrupted: after a signal, when the workers have saved their work.
        """
        ray = self._ray
        board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board).remote()
        task = ray.remote(max_retries=_LIVES, **self._needs)(_train)

        def ask(number: int) -> Any:
            return task.remote(board, number, batches[number], places[number], memory, every)

        asked = {ask(number): number for number in range(len(batches))}
        known: dict[int, float] = {}  # the share of each batch that is done
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
                answer = self._answer(reference, batches[number], remark)
                yield number, answer
                if answer.end == "stopped" and not stopped.number:  # the worker received a signal, this process did not
                    asked[ask(number)] = number
        for line in ray.get(board.read.remote())[1]:
            remark(line)
        if stopped.number:
            raise Interrupted(stopped.number)

    def _answer(self, reference: Any, batch: Batch, remark: Callable[[str], None]) -> "Answer":
        """The answer of a worker; if the worker crashed, the failure of its batch."""
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(reference)
            return answer
        except errors.TaskCancelledError:
            return Answer("stopped")
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
            line = f"its worker died {_LIVES + 1} times: {_line(error)}"
            remark(f"{len(batch.runs)} runs of {batch.runs[0].agent} in {batch.runs[0].env} failed: {line}")
            return Answer("ended", failed(batch, line, str(error)))


def _keep_here() -> None:
    """Make Ray listen on the loopback interface only, because it executes code from any sender.

    Ray has a switch for this, made for systems on which it does not support clusters; Ray reads it at its import.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False


class Answer(NamedTuple):
    """The result of training a batch.

    Attributes:
        end: "ended"; "stopped" by a signal, with everything saved; "busy" if another process is training the batch.
        outcomes: the outcomes of the runs, if the batch ended.
        seconds: the training time.
    """

    end: str
    outcomes: Sequence[Outcome] = ()
    seconds: float = 0.0


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _Board:
    """A Ray actor that collects the progress and the remarks of workers."""

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


def _train(board: Any, number: int, batch: Batch, place: Path, memory: float, every: float) -> Answer:
    """The task of a worker: train a batch."""
    report = Report(
        progress=lambda done, total: board.tell.remote(number, done / max(total, 1)), remark=board.remark.remote
    )
    board.tell.remote(number, 0.0)
    start = time.monotonic()
    try:
        with working(place):
            outcomes = train_batch(batch, place, memory=memory, every=every, report=report, workers=1)
        return Answer("ended", outcomes, time.monotonic() - start)
    except InUse:
        return Answer("busy")
    except Interrupted:
        return Answer("stopped", (), time.monotonic() - start)
