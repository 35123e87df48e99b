"""Write results: check targets before the work starts, and write files atomically."""

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

HALF = ".mdvi-"  # the prefix of the names of files that are being written


def check_target(path: Path) -> None:
    """Check that a file can be written, without creating it.

    Raises:
        ValueError: if it cannot be written; the message has the path and the reason.
    """
    try:
        if path.is_dir():
            raise ValueError(f"cannot write to {path}: it is a folder; name a file")
        if not _is_stream(path):
            with tempfile.TemporaryFile(dir=next(place for place in path.resolve().parents if place.exists())):
                pass
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror or error}") from None


def check_inside(path: Path, folder: Path) -> None:
    """Check that a path in a folder does not lead to a pipe, or through a link out of the folder.

    Raises:
        ValueError: if it does.
    """
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        return
    if not path.resolve().is_relative_to(folder.resolve()) or _is_stream(path):
        raise ValueError(f"{path}: is a link out of {folder}, or a pipe; remove it, or use another file")


def write(path: Path, content: str | bytes, links: bool = True, new: bool = False) -> None:
    """Replace the content of a file atomically: readers, also after a crash, see the old content or the new content.

    Args:
        path: the path of the file; missing folders are made.
        content: the content; text is encoded as UTF-8.
        links: replace the file that a link points to, and write into pipes and devices; otherwise the link, the pipe
            or the device itself is replaced.
        new: refuse to replace a file.

    Raises:
        FileExistsError: if `new` is set and the file exists.
        OSError: if the file cannot be written; it has the old content or the new content.
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
        error.filename = str(path)  # errors of a full disk do not have the name of the file
        raise


def mark_of(path: Path) -> str:
    """The prefix of the names of temporary files for a path."""
    return HALF + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents durably, so that they survive a crash of the machine."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _sync(place.parent)


def sweep(folder: Path, mark: str = HALF) -> None:
    """Remove half-written files of crashed processes; a running process holds a lock on the file that it writes.

    Args:
        folder: the folder.
        mark: the prefix of the names of the files.
    """
    for name in os.listdir(folder):
        path = folder / name
        with contextlib.suppress(OSError):  # another process is writing the file, or it belongs to another user
            if name.startswith(mark) and input.kind(path, links=False) == "a file":
                handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(handle)


@contextlib.contextmanager
def _half(folder: Path, mark: str) -> Iterator[tuple[Path, int]]:
    """A new locked file, which is removed if the block raises an exception."""
    while True:
        path = folder / f"{mark}-{secrets.token_hex(4)}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # on file systems without locks, `sweep` does not remove files either
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # another process may have removed the file before it was locked
                yield path, handle
                return
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(handle)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, so that they survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems do not support this
            error.filename = str(folder)
            raise
    finally:
        os.close(handle)


def _is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device, which is written in place."""
    return path.exists() and not path.is_file()
