"""Signals that stop a run: it saves what there is and ends; at the second one it ends at once."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Interrupted(Exception):  # noqa: N818
    """Training stopped by a signal, with everything saved.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@dataclass
class Signals:
    """What SIGINT, SIGTERM and SIGHUP have asked for.

    Attributes:
        number: of the first one; 0 for none.
        terminals: standard output and error, where they are terminals.
    """

    number: int = 0
    terminals: tuple[int, ...] = ()

    def note(self, number: int, _: Any) -> None:
        """The handler; at the second signal, the process ends here and now."""
        if self.number:
            os._exit(128 + number)
        self.number = number
        if number == signal.SIGHUP:  # the terminal is gone, and writing to it would fail
            for terminal in self.terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), terminal)


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """SIGINT, SIGTERM and SIGHUP as a note to be looked at between rounds of work; nohup stays in force."""
    stopped = Signals(terminals=tuple(number for number in (1, 2) if os.isatty(number)))
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    try:
        before = {number: signal.signal(number, stopped.note) for number in heard}
    except ValueError:  # not the main thread: whoever owns it handles signals
        yield stopped
        return
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
