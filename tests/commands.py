"""The command `mdvi` in this process."""

import sys

import pytest

from mdvi import cli


def run(capsys, monkeypatch, *arguments):
    """Exit code, stdout and stderr of `mdvi …`, in this process."""
    monkeypatch.setattr(sys, "argv", ["mdvi", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code, out, err
