"""Signals that stop a run: at the first signal the run is saved and ends; at the second it ends at once.

In a command, the second signal ends the process. In Python and in notebooks the second Ctrl-C raises KeyboardInterrupt
as usual, because the process may hold more than this run.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class Interrupted(Exception):  # noqa: N818
    """Training stopped by a signal, with everything saved.

    Attributes:
        number: the number of the signal.
        run: the `mdvi.Run` up to the interruption, also if it is not stored in a folder; None for a study.

    Examples:
        The run up to Ctrl-C can be used like a finished run:

        >>> import mdvi
        >>> def run_until_stopped():
        ...     try:
        ...         return mdvi.train("CartPole-v1", seeds=4)
        ...     except mdvi.Interrupted as stop:
        ...         return stop.run
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
        self.run: Any = None


@dataclass
class Signals:
    """The signal that has been received, and the handlers to restore.

    Attributes:
        number: the number of the first signal; 0 before any signal.
        terminals: the descriptors of standard output and error that are terminals.
        before: the previous handlers, by signal.
    """

    number: int = 0
    terminals: tuple[int, ...] = ()
    before: dict[int, Any] = field(default_factory=dict)

    def note(self, number: int, frame: Any) -> None:
        """Handle a signal; the second one raises KeyboardInterrupt if the previous handler did, or ends the process."""
        if self.number and self.before.get(number) is signal.default_int_handler:
            signal.default_int_handler(number, frame)
        if self.number:
            os._exit(128 + number)
        self.number = number
        if number == signal.SIGHUP:  # the terminal is gone, and writing to it would fail
            for terminal in self.terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), terminal)


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """Record SIGINT, SIGTERM and SIGHUP, to be checked between rounds of work; nohup stays in force."""
    stopped = Signals(terminals=tuple(number for number in (1, 2) if os.isatty(number)))
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    try:
        for one in heard:
            stopped.before[one] = signal.signal(one, stopped.note)
    except ValueError:  # only the main thread can handle signals
        yield stopped
        return
    try:
        yield stopped
    finally:
        for number, handler in stopped.before.items():
            signal.signal(number, handler)
