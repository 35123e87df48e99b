"""Reading files that may come from strangers: regular files only, of bounded size, and where asked not through links.

What is wrong with a file is a ValueError. What is wrong with the machine, such as a disk that cannot be read or a
permission that is missing, stays the OSError that it is: it says nothing about the file.
"""

import contextlib
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind(path: Path, links: bool = True) -> str | None:
    """What is at a path: "a file", "a folder", "a link", "a pipe", "a socket" or "a device"; None for nothing.

    Args:
        path: where to look.
        links: look at what a link points to, and not at the link.

    Raises:
        OSError: when the machine cannot tell.
    """
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path, follow_symlinks=links).st_mode), "a device")
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def opened(path: Path, links: bool = True) -> Iterator[io.BufferedReader]:
    """A regular file, open for reading; a pipe or a device is not even opened, so that nothing waits for it.

    Args:
        path: of the file.
        links: follow a link at the end of the path.

    Raises:
        ValueError: for anything but a regular file.
        OSError: naming the file, when it is not there, or the machine cannot open or read it.
    """
    found = kind(path, links)
    if found not in ("a file", None):
        advice = "name a file" if found == "a folder" else "remove it, or name another path"
        raise ValueError(f"{path}: expected a file, found {found}; {advice}")
    # Between the look and the opening, the file may have given way to a pipe or a link.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path}: expected a file; remove it, or name another path")
            yield file
    except OSError as error:
        error.filename = error.filename or str(path)  # reading does not say where
        raise


def read(path: Path, most: int, links: bool = True) -> bytes:
    """The content of a regular file.

    Args:
        path: of the file.
        most: bytes; a larger file is refused before it is read.
        links: follow a link at the end of the path.

    Raises:
        ValueError: for anything but a regular file, and for one that is too large.
        OSError: when it is not there, or the machine cannot read it.
    """
    with opened(path, links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{path}: has {size} bytes; at most {most} are read")
        data = file.read(size + 1)
    if len(data) > size:
        raise ValueError(f"{path}: grows while it is read; try again when it is complete")
    return data


def parsed(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: for anything that is not JSON, or that is nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
