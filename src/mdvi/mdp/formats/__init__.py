"""Read and write models in files: one module for each family of formats, one registry, one type of error.

In mdvi, terminal states are absorbing and have value zero, including entropy, and illegal actions have probability
zero. Other conventions of a format are translated in both directions, and notes report the translations.
`docs/formats.md` has the table.
"""

import re
from os import PathLike
from pathlib import Path

import numpy as np

from mdvi import input, output
from mdvi.mdp.formats import arrays, cassandra, csv, drn, gym, npz, prism, toolbox
from mdvi.mdp.formats.text import Format, FormatError, Imported, Source
from mdvi.mdp.formats.toolbox import from_toolbox, to_toolbox
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import LineError
from mdvi.mdp.memory import memory_left
from mdvi.mdp.model import FiniteMDP
from mdvi.words import nearest, plain

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (npz, toolbox, gym, csv, prism, drn, cassandra)
}

NO_NAMES = Names()

__all__ = [
    "FORMATS",
    "Format",
    "FormatError",
    "Imported",
    "Names",
    "from_toolbox",
    "parse",
    "read",
    "to_toolbox",
    "write",
]


def read(
    path: str | PathLike[str], discount: float | None = None, format: str | None = None, reward: str | None = None
) -> Imported:
    """Read the model in a file.

    Args:
        path: the file; the format follows from the suffix, for .npz from the names of the arrays.
        discount: γ in [0, 1], instead of γ in the file; required for formats without γ.
        format: one of `FORMATS`; default: by the suffix.
        reward: the name of one of several rewards, or "none"; only for the formats prism and drn.

    Raises:
        FormatError: one line, `path:line: what is wrong`.
    """
    path = Path(path)
    data = _bytes(path)
    chosen = _format(path, format, data)
    siblings = {end: _bytes(path.with_name(f"{path.stem}{end}")) for end in _beside(path, chosen)}
    return parse(Source(data, discount, siblings, reward, path.stem), chosen.name, path)


def _beside(path: Path, chosen: Format) -> list[str]:
    """The ends, after the stem, of the names of further files that belong to a file."""
    ends = [
        suffix for suffix in chosen.siblings if path.with_suffix(suffix) != path and path.with_suffix(suffix).exists()
    ]
    if chosen.several:
        names = [other.name for other in path.absolute().parent.iterdir()]
        # m10.srew belongs to m10.tra if that exists, and not to m.tra or m1.tra.
        others = [name.removesuffix(path.suffix) for name in names if name.endswith(path.suffix) and name != path.name]
        for name in names:
            tag, dot, suffix = name.removeprefix(path.stem).rpartition(".")
            if not name.startswith(path.stem) or f"{dot}{suffix}" not in chosen.several:
                continue
            if re.fullmatch(r"[0-9]+|[._-].+", tag) and not any(
                name.startswith(other) for other in others if len(other) > len(path.stem)
            ):
                ends.append(f"{tag}.{suffix}")
    return ends


def parse(source: Source, format: str, path: str | PathLike[str] = "input") -> Imported:
    """The model in the bytes of a file; `path` is its name in messages."""
    try:
        # The checks of the model report numbers that overflow.
        with np.errstate(all="ignore"):
            model, notes, names = FORMATS[format].read(source)
            names.check(model.states, model.actions)
    except MemoryError:
        raise FormatError(f"{_plain(path)}: does not fit into memory") from None
    except ValueError as error:
        found = error if isinstance(error, LineError) else LineError(str(error))
        place = Path(path).with_name(f"{Path(path).stem}{found.suffix}") if found.suffix else path
        line = f":{found.line}" if found.line else ""
        raise FormatError(f"{_plain(place)}{line}: {_plain(error)[:400]}") from None
    return Imported(model.replace(names=names), format, notes, names)


def write(
    model: FiniteMDP, path: str | PathLike[str], format: str | None = None, names: Names | None = None
) -> tuple[str, ...]:
    """Write a model atomically; formats with several files write them next to the first.

    Args:
        model: any model except a matrix-free one.
        path: the file; the format follows from the suffix, for .npz it is the format of mdvi.
        format: one of `FORMATS`; default: by the suffix.
        names: the names of states and actions; default: the names of the model. They are written as text.

    Returns:
        Notes on translations and omissions.

    Raises:
        FormatError: if the format cannot hold the model, or the file cannot be written.
    """
    path = Path(path)
    chosen = _format(path, format, None)
    try:
        called = (model.names if names is None else names).check(model.states, model.actions)
        files, notes = chosen.write(model, called.as_text())
        for suffix, data in reversed(files.items()):  # the first file is written last, so that it implies the others
            output.write(path if suffix == chosen.suffixes[0] else path.with_suffix(suffix), data)
    except OSError as error:
        raise FormatError(f"{_plain(path)}: cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        raise FormatError(f"{_plain(path)}: cannot be written as {chosen.name}: {_plain(error)}") from None
    return notes


def _bytes(path: Path) -> bytes:
    try:
        return input.read(path, memory_left() // 8)
    except ValueError as error:
        raise FormatError(_plain(error)) from None
    except OSError as error:
        raise FormatError(f"{_plain(path)}: cannot be read: {error.strerror or error}") from None


def _format(path: Path, name: str | None, data: bytes | None) -> Format:
    """The format of that name, or the format by the suffix and the names of the arrays."""
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
    near = nearest(name, names)
    listed = ", ".join(f"{each.name} ({' '.join(each.suffixes)})" for each in FORMATS.values())
    return f"{f'did you mean {near}? ' if near else ''}the formats are {listed}"


def _plain(text: object) -> str:
    """A text on one line, with escapes for control characters."""
    return plain(" ".join(str(text).split()))
