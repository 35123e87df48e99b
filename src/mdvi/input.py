"""Read files that may come from untrusted sources: regular files only, of bounded size, and optionally not via links.

An invalid file raises ValueError. A failure of the machine, such as an unreadable disk or a missing permission, stays
an OSError, because it does not mean that the file is invalid.
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
    """The kind of entry at a path: "a file", "a folder", "a link", "a pipe", "a socket", "a device"; None if missing.

    Args:
        path: the path.
        links: follow a link, and return the kind of its target.

    Raises:
        OSError: if the machine cannot read the entry.
    """
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path, follow_symlinks=links).st_mode), "a device")
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def opened(path: Path, links: bool = True) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading; a pipe or a device is not opened, because opening it may block.

    Args:
        path: the path of the file.
        links: follow a link at the end of the path.

    Raises:
        ValueError: if the path is not a regular file.
        OSError: if the file is missing, or the machine cannot open or read it; the error has the name of the file.
    """
    found = kind(path, links)
    if found not in ("a file", None):
        advice = "name a file" if found == "a folder" else "remove it, or use another path"
        raise ValueError(f"{path}: expected a file, found {found}; {advice}")
    # Between this check and the opening, another process may have replaced the file with a pipe or a link.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path}: expected a regular file; remove it, or use another path")
            yield file
    except OSError as error:
        error.filename = error.filename or str(path)  # errors of reading do not have the name of the file
        raise


def read(path: Path, most: int, links: bool = True) -> bytes:
    """The content of a regular file.

    Args:
        path: the path of the file.
        most: the largest number of bytes; a larger file is refused before it is read.
        links: follow a link at the end of the path.

    Raises:
        ValueError: if the path is not a regular file, or if the file is too large.
        OSError: if the file is missing, or the machine cannot read it.
    """
    with opened(path, links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{path}: has {size} bytes; at most {most} are read")
        data = file.read(size + 1)
    if len(data) > size:
        raise ValueError(f"{path}: the file grew while it was read; try again when it is complete")
    return data


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: if the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
