"""Writing results: targets that are known to be writable before the work starts, files that are whole or absent."""

import os
import tempfile
from pathlib import Path

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


def write(path: Path, content: str | bytes) -> None:
    """Replace a file by its new content in one step: a reader, or a crash, sees the old file or the new one."""
    data = content.encode() if isinstance(content, str) else content
    if _is_stream(path):
        path.write_bytes(data)
        return
    path = path.resolve()  # what a link points to is replaced, not the link
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=HALF)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):  # a full disk does not say where
            error.filename = str(path)
        raise


def _is_stream(path: Path) -> bool:
    """A pipe or a device, which is written to in place."""
    return path.exists() and not path.is_file()
