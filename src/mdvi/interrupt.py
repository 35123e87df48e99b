"""Ctrl-C prints one line and ends a command."""

import os
import sys


def interrupted(*_: object) -> None:
    """End the process at once.

    An exception would be lost if it were raised in a callback or during an import of some library, and a regular exit
    of the interpreter can crash while compiled code is running.
    """
    clear = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # clears the progress bar and shows the cursor
    os.write(sys.stderr.fileno(), f"{clear}mdvi: interrupted; nothing was written\n".encode())
    os._exit(130)
