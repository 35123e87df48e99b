"""Ctrl-C ends a command in one line."""

import os
import sys


def interrupted(*_: object) -> None:
    """Ctrl-C: end here and now.

    An exception would be lost when it is raised in a callback or an import of some library, and an orderly end of
    the interpreter while compiled work is running can crash.
    """
    clear = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar, and the cursor it hides
    os.write(sys.stderr.fileno(), f"{clear}mdvi: interrupted; nothing was written\n".encode())
    os._exit(130)
