"""Checkpoints: named arrays and a note in one file, written atomically, with a digest of the whole content.

Files are safetensors, which hold numbers and text and cannot execute code. The last two checkpoints are kept, so that a
damaged checkpoint costs only the time since the one before it. Only files with the names that `write` uses are read,
and links are not followed. A damaged file raises ValueError; a failure of the machine stays an OSError, because a disk
that cannot be read for a moment does not mean that a file is damaged.
"""

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mdvi import input, output

_Found = TypeVar("_Found")
_SUFFIX = ".safetensors"
_NAME = re.compile(rf"[0-9]{{10}}{re.escape(_SUFFIX)}")
KEPT = 2
_MOST_HEAD, _MOST_NOTE = 100_000_000, 2**25  # bytes; safetensors does not accept longer heads
_UNSOUND = (ValueError, KeyError, TypeError, SafetensorError)


def write(
    folder: Path, serial: int, arrays: dict[str, np.ndarray], note: dict[str, Any], kept: int | None = KEPT
) -> None:
    """Add a checkpoint to a folder, and remove all but the newest `kept`, unless `kept` is None.

    Raises:
        OSError: if the checkpoint cannot be written; earlier checkpoints are not changed.
    """
    text = json.dumps(note, sort_keys=True)
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    data = save(arrays, {"note": text, "digest": _digest(arrays, text)})
    output.write(_path(folder, serial), data, links=False)
    if kept:
        keep(folder, serials(folder)[:kept])


def read(folder: Path, serial: int, most: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the note of one checkpoint of at most `most` bytes.

    Raises:
        ValueError: if the checkpoint is missing or damaged.
        OSError: if the machine cannot read it.
    """
    path = _path(folder, serial)
    try:
        return _read(path, most)
    except FileNotFoundError:
        raise ValueError(f"{path}: is missing") from None
    except _UNSOUND as error:
        raise ValueError(_damaged(path, error)) from None


def keep(folder: Path, numbers: Collection[int]) -> None:
    """Remove all checkpoints of a folder except these."""
    for serial in serials(folder):
        if serial not in numbers:
            _path(folder, serial).unlink(missing_ok=True)


def serials(folder: Path) -> list[int]:
    """The numbers of the checkpoints in a folder, newest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((int(name.removesuffix(_SUFFIX)) for name in names if _NAME.fullmatch(name)), reverse=True)


def latest(folder: Path, most: int) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]] | None:
    """The newest undamaged checkpoint of at most `most` bytes.

    Returns:
        Arrays, note, and a line for each newer checkpoint that is damaged; None if the folder has no checkpoint.

    Raises:
        ValueError: if all checkpoints are damaged.
        OSError: if the machine cannot read one.
    """
    found = _newest(folder, lambda path: _read(path, most))
    return found and (*found[0], found[1])


def latest_note(folder: Path) -> dict[str, Any] | None:
    """The newest note that can be read, without the arrays and without a check of the digest.

    Raises:
        ValueError, OSError: as in `latest`.
    """
    found = _newest(folder, _read_note)
    return found and found[0]


def flatten(tree: Any, prefix: str) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths; random keys become the numbers that represent them."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): np.asarray(_numbers(leaf)) for path, leaf in leaves}


def unflatten(template: Any, arrays: dict[str, np.ndarray], prefix: str) -> Any:
    """A tree with the structure of the template, from the arrays of `flatten`.

    Raises:
        ValueError: if an array is missing, or has another shape or dtype.
    """

    def restore(path: Any, like: Any) -> Any:
        name = prefix + jax.tree_util.keystr(path)
        wanted = jax.eval_shape(_numbers, like)
        found = arrays.get(name)
        if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
            got = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            raise ValueError(f"{name}: expected {wanted.dtype} of shape {wanted.shape}, got {got}")
        is_key = jax.numpy.issubdtype(like.dtype, jax.dtypes.prng_key)
        return jax.random.wrap_key_data(jax.numpy.asarray(found)) if is_key else jax.numpy.asarray(found)

    return jax.tree_util.tree_map_with_path(restore, template)


def _numbers(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _path(folder: Path, serial: int) -> Path:
    return folder / f"{serial:010d}{_SUFFIX}"


def _newest(folder: Path, reading: Callable[[Path], _Found]) -> tuple[_Found, list[str]] | None:
    """The result of `reading` on the newest undamaged checkpoint, and a line for each newer checkpoint."""
    remarks: list[str] = []
    for serial in serials(folder):
        path = _path(folder, serial)
        try:
            return reading(path), remarks
        except _UNSOUND as error:
            remarks.append(_damaged(path, error))
    if remarks:
        raise ValueError(f"{'; '.join(remarks)}; no checkpoint in this folder can be read; start in another folder")
    return None


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: damaged ({' '.join(str(error).removeprefix(f'{path}: ').split())[:80]})"


def _read(path: Path, most: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        data = input.read(path, most, links=False)
        arrays = load(data)
        text, digest = _facts(io.BytesIO(data).read)
        if _digest(arrays, text) != digest:
            raise ValueError("its checksum does not match its content")
        return arrays, _note(text)
    except MemoryError:  # a failure of the machine, not of the file
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path)) from None


def _read_note(path: Path) -> dict[str, Any]:
    with input.opened(path, links=False) as file:
        return _note(_facts(file.read)[0])


def _facts(read: Callable[[int], bytes]) -> list[str]:
    """The note and the digest in the head of a file, whose bytes `read` returns; both are texts."""
    size = int.from_bytes(read(8), "little")
    if size > _MOST_HEAD:
        raise ValueError(f"its head has {size} bytes; at most {_MOST_HEAD} are read")
    head, decoder = read(size).decode(), json.JSONDecoder()
    return [decoder.raw_decode(head, head.index(f'"{name}":"') + len(name) + 3)[0] for name in ("note", "digest")]


def _note(text: str) -> dict[str, Any]:
    found = input.parsed(text) if len(text) <= _MOST_NOTE else None
    if not isinstance(found, dict):
        raise ValueError("its note was not written by mdvi")
    return found


def _digest(arrays: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
