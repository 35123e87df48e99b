"""Signals that stop a run: it saves what there is and ends; at the second one it ends at once.

A command ends with the process. In Python and in notebooks, where Ctrl-C raises KeyboardInterrupt, the second Ctrl-C
does that again: the process has more to lose than this run.
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
        number: of the signal.
        run: the `mdvi.Run` as far as it came, also where nothing is kept in a folder; None for a study.

    Examples:
        What was trained until Ctrl-C can be used like a run that is finished:

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
    """What SIGINT, SIGTERM and SIGHUP have asked for.

    Attributes:
        number: of the first one; 0 for none.
        terminals: standard output and error, where they are terminals.
        before: the handlers that were there before.
    """

    number: int = 0
    terminals: tuple[int, ...] = ()
    before: dict[int, Any] = field(default_factory=dict)

    def note(self, number: int, frame: Any) -> None:
        """The handler; at the second signal, the process ends here and now, unless it would raise an exception."""
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
    """SIGINT, SIGTERM and SIGHUP as a note to be looked at between rounds of work; nohup stays in force."""
    stopped = Signals(terminals=tuple(number for number in (1, 2) if os.isatty(number)))
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    try:
        for one in heard:
            stopped.before[one] = signal.signal(one, stopped.note)
    except ValueError:  # not the main thread: whoever owns it handles signals
        yield stopped
        return
    try:
        yield stopped
    finally:
        for number, handler in stopped.before.items():
            signal.signal(number, handler)
