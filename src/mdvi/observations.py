"""Observations of several parts as one vector: numbers stay as they are, discrete values become one-hot.

A layout, a text in JSON, has the parts in the order in which Gymnasium flattens them:

    ["numbers", shape, dtype]           a Box or a MultiBinary
    ["choices", shape, counts, firsts]  a Discrete, of shape [], or a MultiDiscrete: the number of values of each
                                        number, and its first value
    ["dict", [[key, layout], …]]        a Dict
    ["tuple", [layout, …]]              a Tuple

This file needs NumPy only, because exported policies contain a copy of it.
"""

import functools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_LONGEST = 100  # the largest number of characters of a description


@functools.lru_cache(64)
def parsed(layout: str) -> Any:
    """The parts of a layout."""
    return json.loads(layout)


def as_seen(layout: str, obs: Any) -> np.ndarray:
    """An observation, or several along a first axis, as a vector; an observation that is flattened already stays.

    For a Discrete or a MultiDiscrete, integers are values, and all other arrays are taken as flattened already.

    Raises:
        ValueError: if it is not an observation of this layout.
    """
    kind, about = parsed(layout)[:2]
    if kind in ("dict", "tuple"):
        return flattened(layout, obs) if isinstance(obs, Mapping | tuple) else np.asarray(obs)
    array = np.asarray(obs)
    fits = array.ndim >= len(about) and array.shape[array.ndim - len(about) :] == tuple(about)
    return flattened(layout, array) if fits and (kind == "numbers" or array.dtype.kind in "iu") else array


def flattened(layout: str, obs: Any) -> np.ndarray:
    """The vector of an observation, shape (numbers,); or of several along a first axis, shape (batch, numbers).

    Raises:
        ValueError: if it is not an observation of this layout; the message names the part.

    Examples:
        >>> layout = '["dict", [["at", ["numbers", [2], "float32"]], ["mode", ["choices", [], [3], [1]]]]]'
        >>> flattened(layout, {"at": [0.5, -1.0], "mode": 2})
        array([ 0.5, -1. ,  0. ,  1. ,  0. ])
    """
    parts: list[np.ndarray] = []
    _collect(parsed(layout), obs, "obs", parts)
    if len({part.shape[:-1] for part in parts}) > 1:
        raise ValueError(
            f"obs: expected the same number of observations in all parts, got {[len(part) for part in parts]}"
        )
    return np.concatenate(parts, -1)


def _collect(layout: Any, obs: Any, where: str, parts: list[np.ndarray]) -> None:
    """Append the vectors of the parts; `where` is the name of the observation in messages."""
    kind, about = layout[:2]
    if kind == "dict":
        if not isinstance(obs, Mapping) or set(obs) != {key for key, _ in about}:
            got = sorted(map(str, obs)) if isinstance(obs, Mapping) else type(obs).__name__
            raise ValueError(f"{where}: expected a dictionary with {[key for key, _ in about]}, got {got}")
        for key, part in about:
            _collect(part, obs[key], f"{where}[{key!r}]", parts)
    elif kind == "tuple":
        if not isinstance(obs, tuple | list) or len(obs) != len(about):
            raise ValueError(f"{where}: expected {len(about)} parts, got {type(obs).__name__}")
        for number, part in enumerate(about):
            _collect(part, obs[number], f"{where}[{number}]", parts)
    else:
        array, shape = np.asarray(obs), tuple(about)
        batch = array.shape[: array.ndim - len(shape)]
        if array.shape != (*batch, *shape) or len(batch) > 1:
            raise ValueError(f"{where}: expected shape {shape}, got {array.shape}")
        if array.dtype.kind not in ("iu" if kind == "choices" else "buif"):
            raise ValueError(f"{where}: expected {'whole ' * (kind == 'choices')}numbers, got {array.dtype}")
        array = array.reshape(*batch, math.prod(shape))
        parts.append(array if kind == "numbers" else _one_hot(array, layout[2], layout[3], where))


def _one_hot(values: np.ndarray, counts: list[int], firsts: list[int], where: str) -> np.ndarray:
    """The one-hot rows of all values, concatenated into one row."""
    places = values.astype(np.int64) - np.array(firsts)
    if ((places < 0) | (places >= np.array(counts))).any():
        raise ValueError(f"{where}: expected {firsts} to {np.add(firsts, counts) - 1}, got {values.tolist()}")
    starts = np.cumsum([0, *counts])
    vector = np.zeros((*values.shape[:-1], starts[-1]), bool)
    np.put_along_axis(vector, places + starts[:-1], True, -1)
    return vector


def leaves(layout: Any, where: str = "") -> list[tuple[str, Any]]:
    """The parts that are numbers or choices, each with the Python expression that selects it from an observation."""
    kind, about = layout[:2]
    if kind in ("numbers", "choices"):
        return [(where, layout)]
    pairs = about if kind == "dict" else enumerate(about)
    return [leaf for key, part in pairs for leaf in leaves(part, f"{where}[{key!r}]")]


def numbers_in(layout: str) -> int:
    """The number of elements of the vector."""
    parts = (part for _, part in leaves(parsed(layout)))
    return sum(math.prod(part[1]) if part[0] == "numbers" else sum(part[2]) for part in parts)


def described(layout: str) -> str:
    """A description of the parts.

    >>> described('["dict", [["at", ["numbers", [2], "float32"]], ["mode", ["choices", [], [3], [1]]]]]')
    "obs['at'] has 2 numbers, obs['mode'] is one of 3"
    """
    texts = []
    for where, part in leaves(parsed(layout)):
        one_of = " and ".join(f"one of {count}" for count in part[2]) if part[0] == "choices" else ""
        texts.append(f"obs{where} is {one_of}" if one_of else f"obs{where} has {math.prod(part[1])} numbers")
    text = ", ".join(texts)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
