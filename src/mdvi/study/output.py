"""Writing results: a folder that is known to be writable before the work starts, files that are whole or absent."""

import os
import tempfile
from pathlib import Path


def prepare_folder(folder: Path) -> Path:
    """The folder, made if need be, after a trial write.

    Raises:
        ValueError: when nothing can be written there, with the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder


def write(path: Path, content: str | bytes) -> None:
    """Replace a file by its new content in one step: a reader, or a crash, sees the old file or the new one."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
