"""Models in and out of files: one module for each family of formats, one registry, one kind of error.

Terminal states are absorbing and worth zero, entropy included; illegal actions have no probability. What a format says
otherwise is translated both ways, and the notes say what was. `docs/formats.md` has the table.
"""

from difflib import get_close_matches
from os import PathLike
from pathlib import Path

import numpy as np

from mdvi import output
from mdvi.mdp.formats import arrays, cassandra, csv, drn, gym, npz, prism, toolbox
from mdvi.mdp.formats.text import Format, FormatError, Imported, Source
from mdvi.mdp.formats.toolbox import from_toolbox, to_toolbox
from mdvi.mdp.listing import LineError
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import physical_memory

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (npz, toolbox, gym, csv, prism, drn, cassandra)
}

__all__ = ["FORMATS", "Format", "FormatError", "Imported", "from_toolbox", "parse", "read", "to_toolbox", "write"]


def read(path: str | PathLike[str], discount: float | None = None, format: str | None = None) -> Imported:
    """The model in a file.

    Args:
        path: the file; the format follows from its suffix, for .npz from the names of its arrays.
        discount: γ in [0, 1), instead of the file's own. Formats without one need it.
        format: one of `FORMATS`, whatever the suffix.

    Raises:
        FormatError: one line, `path:line: what is wrong`.
    """
    path = Path(path)
    data = _bytes(path)
    chosen = _format(path, format, data)
    beside = {suffix: path.with_suffix(suffix) for suffix in chosen.siblings}
    siblings = {suffix: _bytes(other) for suffix, other in beside.items() if other != path and other.exists()}
    return parse(Source(data, discount, siblings), chosen.name, path)


def parse(source: Source, format: str, path: str | PathLike[str] = "input") -> Imported:
    """The model in the bytes of a file; `path` is what errors call it."""
    try:
        # Numbers that overflow are found out by the model's own checks.
        with np.errstate(all="ignore"):
            model, notes = FORMATS[format].read(source)
    except MemoryError:
        raise FormatError(f"{_plain(path)}: does not fit into memory") from None
    except ValueError as error:
        found = error if isinstance(error, LineError) else LineError(str(error))
        place = Path(path).with_suffix(found.suffix) if found.suffix else path
        line = f":{found.line}" if found.line else ""
        raise FormatError(f"{_plain(place)}{line}: {_plain(error)[:400]}") from None
    return Imported(model, format, notes)


def write(model: FiniteMDP, path: str | PathLike[str], format: str | None = None) -> tuple[str, ...]:
    """Write a model, whole or not at all; formats of several files put them beside the first.

    Args:
        model: any model but a matrix-free one.
        path: the file; the format follows from its suffix, for .npz it is mdvi's own.
        format: one of `FORMATS`, whatever the suffix.

    Returns:
        Notes on what was translated or left out.

    Raises:
        FormatError: for what cannot be written, and where not.
    """
    path = Path(path)
    chosen = _format(path, format, None)
    try:
        files, notes = chosen.write(model)
        for suffix, data in reversed(files.items()):  # the first file last: where it is, all are
            output.write(path if suffix == chosen.suffixes[0] else path.with_suffix(suffix), data)
    except OSError as error:
        raise FormatError(f"{_plain(path)}: cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        raise FormatError(f"{_plain(path)}: cannot be written as {chosen.name}: {_plain(error)}") from None
    return notes


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise FormatError(f"{_plain(path)}: is no regular file")
        if path.stat().st_size > physical_memory() // 8:
            raise FormatError(f"{_plain(path)}: a file of {path.stat().st_size} bytes does not fit into memory")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{_plain(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _format(path: Path, name: str | None, data: bytes | None) -> Format:
    """The format asked for, or else the one that the suffix and the arrays' names tell."""
    if name is not None:
        if name not in FORMATS:
            raise FormatError(f"{_plain(path)}: unknown format {name!r}; {_known(name, list(FORMATS))}")
        return FORMATS[name]
    suffix = path.suffix.lower()
    fitting = [each for each in FORMATS.values() if suffix in each.suffixes]
    if not fitting:
        suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
        raise FormatError(f"{_plain(path)}: no format has the suffix {suffix!r}; {_known(suffix, suffixes)}")
    if len(fitting) > 1 and data is not None:
        try:
            return FORMATS["toolbox" if "P" in arrays.names(data) else "npz"]
        except ValueError as error:
            raise FormatError(f"{_plain(path)}: {_plain(error)}") from None
    return fitting[0]


def _known(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, 1)
    listed = ", ".join(f"{each.name} ({' '.join(each.suffixes)})" for each in FORMATS.values())
    return f"{f'did you mean {near[0]}? ' if near else ''}the formats are {listed}"


def _plain(text: object) -> str:
    """One line."""
    return " ".join(str(text).split())
