"""The command `mdvi`, and `python -m mdvi`: Ctrl-C ends it in one line from its first moment on."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the current folder: what lies there is data, and no module unless the user names it

import signal


def interrupted(*_: object) -> None:
    """Ctrl-C: end here and now.

    An exception would be lost when it is raised in a callback or an import of some library, and an orderly end of
    the interpreter while compiled work is running can crash.
    """
    clear = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar, and the cursor it hides
    os.write(sys.stderr.fileno(), f"{clear}mdvi: interrupted; nothing was written\n".encode())
    os._exit(130)


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, interrupted)
    from mdvi.cli import main as run  # takes a while

    run()


if __name__ == "__main__":
    main()
