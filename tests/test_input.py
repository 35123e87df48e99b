"""Files from strangers: nothing waits for a pipe, nothing large is read, and an error of the machine stays one."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from mdvi import input


def make(path, what):
    """Something at a path that is not a regular file."""
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    elif what == "a link":
        path.with_name("outside").write_bytes(b"precious")
        path.symlink_to("outside")
    elif what == "a link to nothing":
        path.symlink_to("nowhere")
    elif what == "a link to itself":
        path.symlink_to(path.name)
    elif what == "a link to a device":
        path.symlink_to("/dev/zero")


def test_a_file_is_read_whole_up_to_its_bound(tmp_path):
    path = tmp_path / "file"
    for data in (b"", b"x", bytes(range(256)) * 300):
        path.write_bytes(data)
        assert input.read(path, len(data)) == data
        assert input.read(path, len(data), links=False) == data
    with pytest.raises(ValueError, match=r"file: has 76800 bytes; at most 76799 are read"):
        input.read(path, 76799)
    os.truncate(path, 2**40)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"has 1099511627776 bytes"):
        input.read(path, 2**20)


@pytest.mark.parametrize("what", ["a pipe", "a folder", "a link to a device"])
def test_what_is_no_file_is_refused_by_name(tmp_path, what):
    make(tmp_path / "x", what)
    with pytest.raises(ValueError, match=rf"x: expected a file, found a {what.split()[-1]}"):
        input.read(tmp_path / "x", 10)


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory() as short:
        server.bind(f"{short}/x")
        with pytest.raises(ValueError, match="found a socket"):
            input.read(Path(short, "x"), 10)


@pytest.mark.parametrize("what", ["a link", "a link to nothing", "a link to itself", "a link to a device"])
def test_links_are_followed_only_where_asked(tmp_path, what):
    make(tmp_path / "x", what)
    assert input.kind(tmp_path / "x", links=False) == "a link"
    with pytest.raises(ValueError, match="x: expected a file, found a link"):
        input.read(tmp_path / "x", 10, links=False)
    if what == "a link":
        assert input.read(tmp_path / "x", 10) == b"precious"


def test_a_file_that_becomes_a_pipe_or_a_link_meanwhile_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(input, "kind", lambda path, links=True: "a file")
    make(tmp_path / "pipe", "a pipe")
    with pytest.raises(ValueError, match="pipe: expected a regular file"):
        input.read(tmp_path / "pipe", 10)
    make(tmp_path / "link", "a link")
    with pytest.raises(OSError, match="link"):
        input.read(tmp_path / "link", 10, links=False)


def test_errors_of_the_machine_stay_what_they_are(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        input.read(tmp_path / "nothing", 10)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        input.read(tmp_path / "file" / "below", 10)
    for call in ("open", "stat", "fstat"):

        def broken(*arguments, **options):
            raise OSError(5, "Input/output error", "file")

        with monkeypatch.context() as patch:
            patch.setattr(os, call, broken)
            with pytest.raises(OSError, match="Input/output error"):
                input.read(tmp_path / "file", 10)


def test_json_is_read_or_refused():
    assert input.parsed('{"a": [1, null]}') == {"a": [1, None]}
    for text in ("", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff\xfe"):
        with pytest.raises(ValueError):
            input.parsed(text)


def test_a_file_that_grows_while_it_is_read_is_refused():
    with pytest.raises(ValueError, match="the file grew while it was read"):
        input.read(Path("/proc/self/status"), 10**6)  # has no size of its own
