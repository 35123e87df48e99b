"""Writing results: targets that are known to be writable before the work starts, files that are whole or absent."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mdvi import input

HALF = ".mdvi-"  # how the names of files begin that are not whole yet


def check_target(path: Path) -> None:
    """Whether a file of that name could be written, found out without leaving a trace.

    Raises:
        ValueError: naming the path, with the reason why not.
    """
    try:
        if path.is_dir():
            raise ValueError(f"cannot write to {path}: it is a folder")
        if not _is_stream(path):
            with tempfile.TemporaryFile(dir=next(place for place in path.resolve().parents if place.exists())):
                pass
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror or error}") from None


def check_inside(path: Path, folder: Path) -> None:
    """Whether a path that names something in a folder also leads there, and not to a pipe or by a link out of it.

    Raises:
        ValueError: when it does not.
    """
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        return
    if not path.resolve().is_relative_to(folder.resolve()) or _is_stream(path):
        raise ValueError(f"{path}: is a link out of {folder}, or a pipe; remove it, or name another file")


def write(path: Path, content: str | bytes, links: bool = True, new: bool = False) -> None:
    """Replace a file by its new content in one step: a reader, or a crash, sees the old file or the new one.

    Args:
        path: of the file; folders on the way to it are made.
        content: text is encoded as UTF-8.
        links: replace the file that a link points to, and write into pipes and devices; otherwise the link, the pipe
            or the device itself is replaced.
        new: whether nothing may be replaced.

    Raises:
        FileExistsError: for a file that is there when a new one is asked for.
        OSError: naming the file, which is as it was before, or whole.
    """
    data = content.encode() if isinstance(content, str) else content
    if links and _is_stream(path):
        path.write_bytes(data)
        return
    path = path.resolve() if links else path
    try:
        make_folder(path.parent)
        mark = mark_of(path)
        sweep(path.parent, mark)
        with _half(path.parent, mark) as (temporary, handle):
            with open(handle, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(handle)
            if new:
                os.link(temporary, path)
                os.unlink(temporary)
            else:
                os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # a full disk does not say where
        raise


def mark_of(path: Path) -> str:
    """How the names of files begin that are to become this one."""
    return HALF + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing; they outlast a crash of the machine."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _sync(place.parent)


def sweep(folder: Path, mark: str = HALF) -> None:
    """Remove files that processes left half-written when they died; a process keeps the file that it writes locked.

    Args:
        folder: where to look.
        mark: how the names of the files begin.
    """
    for name in os.listdir(folder):
        path = folder / name
        with contextlib.suppress(OSError):  # somebody writes it, or it belongs to somebody else
            if name.startswith(mark) and input.kind(path, links=False) == "a file":
                handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(handle)


@contextlib.contextmanager
def _half(folder: Path, mark: str) -> Iterator[tuple[Path, int]]:
    """A new file that is locked, and gone in the end unless it was renamed."""
    while True:
        path = folder / f"{mark}-{secrets.token_hex(4)}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # where nothing can be locked, nothing is swept away
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # it may have been swept away before it was locked
                yield path, handle
                return
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(handle)


def _sync(folder: Path) -> None:
    """Let the names in a folder outlast a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot
            error.filename = str(folder)
            raise
    finally:
        os.close(handle)


def _is_stream(path: Path) -> bool:
    """A pipe or a device, which is written to in place."""
    return path.exists() and not path.is_file()
