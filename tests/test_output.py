"""Files are whole or absent, have the mode that was asked for, and leave nothing half-written behind."""

import os
import subprocess
import sys

import pytest

from mdvi import output

DIES = """
import os, sys
from pathlib import Path
from mdvi import output
os.replace = lambda *_: os._exit(77)
output.write(Path(sys.argv[1]), "half")
"""


def halves(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(output.HALF))


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_of_a_file_follows_the_umask(tmp_path, mask, mode):
    (tmp_path / "old").write_text("before")
    before = os.umask(mask)
    try:
        for name in ("old", "new"):
            output.write(tmp_path / name, "text")
            assert (tmp_path / name).stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["table.csv", "x" * 250, "ünï[*]?"])
def test_what_a_killed_process_left_is_gone_after_the_same_command(tmp_path, name):
    killed = subprocess.run([sys.executable, "-c", DIES, tmp_path / name], check=False)
    assert killed.returncode == 77
    assert len(halves(tmp_path)) == 1
    output.write(tmp_path / "other", "text")
    assert len(halves(tmp_path)) == 1  # of another file, of which somebody may know more
    output.write(tmp_path / name, "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "other"])
    assert (tmp_path / name).read_text() == "whole"


def test_a_file_that_somebody_writes_at_the_same_time_is_left_alone(tmp_path, monkeypatch):
    real, inner = os.fsync, []

    def meanwhile(handle):
        if not inner:
            inner.append("second")
            output.write(tmp_path / "x", "second")
            output.sweep(tmp_path)
            assert len(halves(tmp_path)) == 1
        real(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    output.write(tmp_path / "x", "first")
    assert (tmp_path / "x").read_text() == "first"  # whoever is last
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_that_was_swept_away_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    real, struck = output.fcntl.flock, []

    def flock(handle, kind):
        if not struck:
            struck.append(halves(tmp_path))
            (tmp_path / struck[0][0]).unlink()
        real(handle, kind)

    monkeypatch.setattr(output.fcntl, "flock", flock)
    output.write(tmp_path / "x", "text")
    assert struck
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_files_are_written_where_nothing_can_be_locked(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    (tmp_path / f"{output.HALF}old").touch()
    monkeypatch.setattr(output.fcntl, "flock", flock)
    output.write(tmp_path / "x", "text")
    output.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{output.HALF}old", "x"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    seen = []

    def note(call):
        real = getattr(os, call)

        def noted(*arguments):
            what = os.readlink(f"/proc/self/fd/{arguments[0]}") if call == "fsync" else arguments[1].name
            seen.append((call, os.path.basename(what)[:6]))
            return real(*arguments)

        monkeypatch.setattr(os, call, noted)

    (tmp_path / "place").mkdir()
    note("fsync")
    note("replace")
    output.write(tmp_path / "place" / "x", "text")
    assert seen == [("fsync", ".mdvi-"), ("replace", "x"), ("fsync", "place")]
    seen.clear()
    output.write(tmp_path / "place" / "deep" / "er" / "x", "text")
    assert seen[:2] == [("fsync", "deep"), ("fsync", "place")]  # folders that were made


@pytest.mark.parametrize("what", ["link", "dangling link", "pipe"])
def test_links_and_pipes_are_replaced_where_they_are_not_to_be_followed(tmp_path, what):
    outside, path = tmp_path / "outside", tmp_path / "run" / "x"
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside)
    if what == "link":
        outside.write_text("precious")
    output.write(path, "text", links=False)
    assert path.is_file()
    assert not path.is_symlink()
    assert path.read_text() == "text"
    assert outside.exists() == (what == "link")
    assert what != "link" or outside.read_text() == "precious"


def test_names_in_a_folder_may_not_lead_out_of_it(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.mkdir()
    (tmp_path / "mine").symlink_to(run)
    (run / "away").symlink_to(outside)
    (run / "file").symlink_to(outside / "file")
    (run / "inside").symlink_to(run / "x")
    os.mkfifo(run / "pipe")
    for path in (run / "away" / "x", run / "file", run / "pipe", tmp_path / "mine" / "file"):
        with pytest.raises(ValueError, match="remove it, or use another file"):
            output.check_inside(path, path.parent if path.parent.name == "mine" else run)
    for path in (run / "x", run / "inside", run / "new" / "x", outside / "x", run / ".." / "outside" / "x"):
        output.check_inside(path, run)
    output.check_inside(tmp_path / "mine" / "x", tmp_path / "mine")  # a link of the user's own
