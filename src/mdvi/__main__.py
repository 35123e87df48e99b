"""The command `mdvi`, and `python -m mdvi`; Ctrl-C prints one line and exits, from the start on."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the current folder has data; mdvi imports modules from it only if the user names them

import signal

from mdvi.interrupt import interrupted


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, interrupted)
    from mdvi.cli import main as run  # a slow import

    run()


if __name__ == "__main__":
    main()
