"""Processes that stay behind when the one that started them is killed."""

import os
import time

import psutil

MARK = "MDVI_STORM"  # an environment variable, which processes hand on to those they start


def nobody_stays(mark: str, seconds: float = 60.0) -> None:
    """Wait until no process is left that was started under this mark.

    Raises:
        AssertionError: naming those that are left after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while left := [process for process in psutil.process_iter() if _has(process, mark)]:
        assert time.monotonic() < deadline, f"{[' '.join(process.cmdline()) for process in left]} stay behind"
        time.sleep(0.1)


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == mark
    except psutil.Error:  # it has ended, or is somebody else's
        return False
