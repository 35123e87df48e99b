"""The command `mdvi`, and `python -m mdvi`: Ctrl-C ends it in one line from its first moment on."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the current folder: what lies there is data, and no module unless the user names it

import signal

from mdvi.interrupt import interrupted


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, interrupted)
    from mdvi.cli import main as run  # takes a while

    run()


if __name__ == "__main__":
    main()
