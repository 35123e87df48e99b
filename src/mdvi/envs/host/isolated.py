"""Gymnasium environments in worker processes, which may hang or crash."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvi.envs.host import checked
from mdvi.envs.host.checked import Spaces, Step, blank, size_of, together, unpacked

_PATIENCE = 120.0  # seconds for a process to start and to import the packages of its environment
_CLOSING = 2.0  # seconds for environments to close


class Isolated:
    """Environments in worker processes; one that hangs or crashes affects only the environments of its process."""

    renews, repeats, asked = False, True, False

    def __init__(self, processes: Sequence["Process"]) -> None:
        """Args: the worker processes, each with some of the environments."""
        self.processes = processes
        try:
            checked.agreed([process.spaces for process in processes])
        except ValueError:
            self.close()
            raise
        ends = np.cumsum([process.count for process in processes]).tolist()
        self._parts = [slice(end - process.count, end) for process, end in zip(processes, ends, strict=True)]
        self._busy = [False] * len(processes)

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in the environments `who`, with their seeds unless −1."""
        self._order(b"r", seeds.astype(np.int64), who.astype(np.int64))
        return self.recv()

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Request a step of the environments that are alive."""
        self._order(b"s", np.asarray(actions, np.int32).reshape(-1), alive.astype(np.int32))
        self.asked = True

    def recv(self, following: Any = None) -> Step:
        """Collect the results of all processes."""
        told = [
            process.answer() if busy else process.silence()
            for process, busy in zip(self.processes, self._busy, strict=True)
        ]
        self.asked = False
        columns = {name: np.concatenate([getattr(step, name) for step in told]) for name in checked.COLUMNS}
        wrong, count = [text for step in told for text in step.wrong], self.processes[0].spaces.actions
        legal, fresh_legal = (
            together([row for step in told for row in _rows(getattr(step, name), len(step.wrong))], count)
            for name in ("legal", "fresh_legal")
        )
        return Step(**columns, wrong=wrong, legal=legal, fresh_legal=fresh_legal)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.leave()
        for process in self.processes:
            process.close()

    def _order(self, kind: bytes, values: np.ndarray, who: np.ndarray) -> None:
        """Send an order to every process that has one of the environments `who`."""
        self._busy = [bool(who[part].any()) for part in self._parts]
        for process, part, busy in zip(self.processes, self._parts, self._busy, strict=True):
            process.send(kind + values[part].tobytes() + who[part].tobytes() if busy else b"")


def _rows(masks: np.ndarray | None, count: int) -> Sequence[np.ndarray | None]:
    """The legal actions of each environment; None for an environment that did not report any."""
    return [None] * count if masks is None else list(masks)


class Process:
    """A worker process that steps some environments."""

    def __init__(self, name: str, options: str, count: int, limit: int, timeout: float) -> None:
        """Start the process and receive the spaces of its environments.

        Args:
            name: a Gymnasium id, or `module:Class`.
            options: the keyword arguments of the constructor, as JSON.
            count: the number of environments.
            limit: steps after which an episode is truncated.
            timeout: seconds for an answer; 0 for no limit.

        Raises:
            ValueError: if the environment cannot be made, or if its spaces are not supported.
            ModuleNotFoundError: if a package is not installed.
        """
        self.count, self.timeout, self.ended = count, timeout, ""
        # -P: imports of the environment must not find the modules next to that file.
        command = [sys.executable, "-P", str(Path(checked.__file__)), name, options, str(count), str(limit)]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.orders, self.answers = self.child.stdin.fileno(), self.child.stdout.fileno()
        os.set_blocking(self.answers, False)
        self.deadline: float | None = time.monotonic() + _PATIENCE
        line = self._read(lambda data: data.endswith(b"\n"), _PATIENCE)
        hello = json.loads(line or "{}")
        if "actions" not in hello:
            self.close()
            kind = ModuleNotFoundError if hello.get("missing") else ValueError
            raise kind(hello.get("wrong", f"{name}: {self.ended}"))
        scale = None if hello["scale"] is None else tuple(hello["scale"])
        dtype = np.dtype(hello["dtype"])
        shape, layout = tuple(hello["shape"]), hello["layout"]
        self.spaces = Spaces(hello["actions"], shape, dtype, scale, hello["first"], layout=layout)

    def send(self, order: bytes) -> None:
        """Send an order if the process is running, and start the time limit for the answer."""
        self.deadline = time.monotonic() + self.timeout if self.timeout else None
        try:
            if order and not self.ended:
                os.write(self.orders, order)
        except BrokenPipeError:
            self._gone()

    def answer(self) -> Step:
        """The answer of the process, or an empty step with the reason of the failure."""

        def whole(data: bytes) -> bool:
            return bool(data) and len(data) >= size_of(data, self.count, self.spaces)

        data = b"" if self.ended else self._read(whole, self.timeout)
        if data and len(data) > size_of(data, self.count, self.spaces):
            self.ended = "its process sent too much data (did the environment fork?)"
            data = b""
        return unpacked(data, self.spaces) if data else self.silence()

    def silence(self) -> Step:
        """An empty step; `wrong` has the reason if the process has ended."""
        return blank(self.count, self.spaces)._replace(wrong=[self.ended] * self.count)

    def leave(self) -> None:
        """Request the process to end by itself, so that it can close its environments."""
        if self.child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.close()

    def close(self) -> None:
        """End the process, and all processes that its environments may have started."""
        self.leave()
        if not self.ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(_CLOSING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()

    def _read(self, whole: Callable[[bytes], bool], seconds: float) -> bytes:
        """Read bytes until `whole`; after a timeout of `seconds`, return no bytes and set `ended` to the reason."""
        data = b""
        with selectors.DefaultSelector() as ready:
            ready.register(self.answers, selectors.EVENT_READ)
            while not whole(data):
                left = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)
                if not ready.select(left):
                    self.ended = f"it gave no answer for {seconds:g} s"
                    self.child.kill()
                    return b""
                part = os.read(self.answers, 1 << 20)
                if not part:
                    self._gone()
                    return b""
                data += part
        return data

    def _gone(self) -> None:
        code = self.child.wait()
        self.ended = f"its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
