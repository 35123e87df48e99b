"""The right to a folder: who works in it, and what may be at the names that are mdvi's own."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdvi import input, output

LOCK = ".lock"
_TRIES = 100  # to lock a folder that others remove again and again


class InUse(ValueError):  # noqa: N818
    """Somebody else trains in a folder."""


@dataclass(frozen=True)
class Lock:
    """The right to a folder, from `locked`.

    Attributes:
        folder: its path.
        place: the folder itself, open.
        file: the file in it that is locked, open.
    """

    folder: Path
    place: int
    file: int

    @property
    def valid(self) -> bool:
        """Whether the folder's lock is still this one: somebody may have moved or removed the folder, or the file."""
        return _is(self.folder / LOCK, self.file)

    @property
    def in_place(self) -> bool:
        """Whether the folder is still this one."""
        return _is(self.folder, self.place)


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[Lock]:
    """Keep others from training in this folder, which is made if it is missing.

    The lock goes with the process, however that ends. Whoever holds it may remove the folder; a lock that was taken on
    a folder that was removed meanwhile is taken again, in a new folder.

    Args:
        folder: which.
        shared: others that share it are welcome.

    Raises:
        InUse: when somebody trains there.
        ValueError: when the lock is no file.
        OSError: when it cannot be made or locked.
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
    raise InUse(f"{folder}: is removed by other processes again and again")


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[tuple[int, int]]:
    """A folder and the file in it that is locked, both made where they are missing."""
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
            except FileNotFoundError:  # it was removed in between
                if attempt == _TRIES - 1:
                    raise
        stack.callback(os.close, file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ValueError(f"{folder / LOCK}: expected a file; remove it")
        yield place, file


def _is(path: Path, opened: int) -> bool:
    """Whether a path leads to what is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(opened))
    except (FileNotFoundError, NotADirectoryError):
        return False


def check(folder: Path, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Whether the names that mdvi uses in a folder are free, or those of files and folders, and not of links.

    Raises:
        ValueError: naming what is something else.
        OSError: when the machine cannot tell.
    """
    for wanted, names in (("a file", files), ("a folder", folders)):
        for name in names:
            found = input.kind(folder / name, links=False)
            if found not in (None, wanted):
                raise ValueError(f"{folder / name}: expected {wanted} of mdvi's own, found {found}; remove it")
