"""Lock the folder of a run against other processes, and check the files that have the names mdvi uses."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdvi import input, output

LOCK = ".lock"
_TRIES = 100  # attempts to lock a folder that other processes keep removing


class InUse(ValueError):  # noqa: N818
    """Another process is training in the folder."""


@dataclass(frozen=True)
class Lock:
    """The lock of a folder, from `locked`.

    Attributes:
        folder: the path of the folder.
        place: an open descriptor of the folder.
        file: an open descriptor of the locked file in the folder.
    """

    folder: Path
    place: int
    file: int

    @property
    def valid(self) -> bool:
        """Whether the lock file at the path is still the locked one; the folder or the file may have been moved."""
        return _is(self.folder / LOCK, self.file)

    @property
    def in_place(self) -> bool:
        """Whether the folder at the path is still the locked one."""
        return _is(self.folder, self.place)


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[Lock]:
    """Keep other processes from training in this folder, which is made if it is missing.

    The operating system releases the lock when the process ends. The process that holds the lock may remove the folder;
    if another process locks a folder that was removed meanwhile, it locks a new folder instead.

    Args:
        folder: the folder.
        shared: allow other shared locks of the folder.

    Raises:
        InUse: if another process is training in the folder.
        ValueError: if the lock is not a file.
        OSError: if the folder cannot be made or locked.
    """
    for _ in range(_TRIES):
        with _open(folder) as (place, file):
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"{folder}: another process is training in it") from None
            lock = Lock(folder, place, file)
            if lock.valid:
                yield lock
                return
    raise InUse(f"{folder}: other processes keep removing this folder; use another folder")


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[tuple[int, int]]:
    """Open a folder and its lock file; make them if they are missing."""
    check(folder, files=[LOCK])
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.ExitStack() as stack:
        for attempt in range(_TRIES):
            output.make_folder(folder)
            try:
                place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, place)
                file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | flags, 0o666)
                break
            except FileNotFoundError:  # the folder was removed in between
                if attempt == _TRIES - 1:
                    raise
        stack.callback(os.close, file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ValueError(f"{folder / LOCK}: expected a regular file; remove it")
        yield place, file


def _is(path: Path, opened: int) -> bool:
    """Whether a path leads to the file or folder of an open descriptor."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(opened))
    except (FileNotFoundError, NotADirectoryError):
        return False


def check(folder: Path, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Check that each name that mdvi uses in a folder is free, or a regular file or folder, and not a link.

    Raises:
        ValueError: for the first entry of another kind; the message names it.
        OSError: if the machine cannot read the folder.
    """
    for wanted, names in (("a file", files), ("a folder", folders)):
        for name in names:
            found = input.kind(folder / name, links=False)
            if found not in (None, wanted):
                raise ValueError(f"{folder / name}: expected {wanted} made by mdvi, found {found}; remove it")
