"""Checkpoints: named arrays and a note in one file, whole or absent, with a digest of everything in it.

Files are safetensors, which hold numbers and text and can run nothing. The last two are kept, so that one that was
damaged afterwards costs the time since the other.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mdvi import output

_SUFFIX = ".safetensors"
_KEPT = 2
_UNSOUND = (ValueError, KeyError, TypeError, OSError, SafetensorError)


def write(
    folder: Path, serial: int, arrays: dict[str, np.ndarray], note: dict[str, Any], kept: int | None = _KEPT
) -> None:
    """Add a checkpoint to a folder and remove all but the newest `kept`, if that is a number.

    Raises:
        OSError: when it cannot be written; the earlier ones are untouched then.
    """
    text = json.dumps(note, sort_keys=True)
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    data = save(arrays, {"note": text, "digest": _digest(arrays, text)})
    output.write(_path(folder, serial), data)
    for old in _files(folder)[kept:] if kept else ():
        old.unlink()


def read(folder: Path, serial: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the note of one checkpoint.

    Raises:
        ValueError: when it is not there, or not sound.
    """
    path = _path(folder, serial)
    try:
        return _read(path)
    except _UNSOUND as error:
        raise ValueError(f"{path}: damaged ({' '.join(str(error).split())[:80]})") from None


def remove(folder: Path, serial: int) -> None:
    """Remove one checkpoint, if it is there."""
    _path(folder, serial).unlink(missing_ok=True)


def latest(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]] | None:
    """The newest checkpoint that is sound: arrays, note, and a line for each newer one that is not.

    Returns:
        None when the folder has no checkpoint.

    Raises:
        ValueError: when it has some and none is sound.
    """
    remarks: list[str] = []
    for path in _files(folder):
        try:
            return *_read(path), remarks
        except _UNSOUND as error:
            remarks.append(f"{path}: damaged ({' '.join(str(error).split())[:80]})")
    if remarks:
        raise ValueError(f"{'; '.join(remarks)}; no checkpoint in this folder can be read: start again in another one")
    return None


def flatten(tree: Any, prefix: str) -> dict[str, np.ndarray]:
    """The leaves of a tree under their paths; keys as the numbers they are made of."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): np.asarray(_numbers(leaf)) for path, leaf in leaves}


def unflatten(template: Any, arrays: dict[str, np.ndarray], prefix: str) -> Any:
    """A tree like the template, out of what `flatten` gave.

    Raises:
        ValueError: for an array that is missing or has another shape or dtype.
    """

    def restore(path: Any, like: Any) -> Any:
        name = prefix + jax.tree_util.keystr(path)
        wanted = jax.eval_shape(_numbers, like)
        found = arrays.get(name)
        if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise ValueError(f"checkpoint: {name} should be {wanted.dtype} of shape {wanted.shape}")
        is_key = jax.numpy.issubdtype(like.dtype, jax.dtypes.prng_key)
        return jax.random.wrap_key_data(jax.numpy.asarray(found)) if is_key else jax.numpy.asarray(found)

    return jax.tree_util.tree_map_with_path(restore, template)


def _numbers(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _path(folder: Path, serial: int) -> Path:
    return folder / f"{serial:010d}{_SUFFIX}"


def _files(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"), reverse=True)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    data = path.read_bytes()
    arrays = load(data)
    size = int.from_bytes(data[:8], "little")
    facts = json.loads(data[8 : 8 + size])["__metadata__"]
    if _digest(arrays, facts["note"]) != facts["digest"]:
        raise ValueError("its digest does not fit its content")
    return arrays, json.loads(facts["note"])


def _digest(arrays: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
