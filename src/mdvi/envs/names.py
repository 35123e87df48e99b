"""Environments by name, and the check that a file may name an environment."""

import inspect
import re
from collections.abc import Collection
from typing import Any

from mdvi import door, envs, mdp
from mdvi.envs import FiniteEnvironment, TimeLimit
from mdvi.words import arguments_of, did_you_mean, integer_in, key_and_value, nearest, number_in, number_of, value_of

_HORIZON = 200  # steps after which an episode in a finite model is truncated


def environment_of(text: str) -> Any:
    """The environment of a text `NAME:key=value,…`; a family of models also takes `limit` and `start` of episodes."""
    name, _, rest = text.partition(":")
    parts = [part for part in rest.split(",") if part]
    if name in envs.NAMES:
        return envs.NAMES[name](**arguments_of(envs.NAMES[name], parts, name))
    if name in mdp.FAMILIES:
        episode = [part for part in parts if part.startswith(("limit=", "start="))]
        options = {key: integer_in(key, value) for key, value in map(key_and_value, episode)}
        if len(options) < len(episode):
            raise ValueError(f"{name}: limit or start is given twice; give each key once")
        model = mdp.FAMILIES[name](
            **arguments_of(mdp.FAMILIES[name], [part for part in parts if part not in episode], name)
        )
        return TimeLimit(FiniteEnvironment(model, options.get("start")), options.get("limit", _HORIZON))
    name, parts = name_and_options(text)
    if not door.is_id(name) and ":" not in name:
        hint = did_you_mean(name, [*envs.NAMES, *mdp.FAMILIES])
        raise ValueError(f"unknown environment {name!r}{hint}; see `mdvi list envs`")
    given = dict(map(key_and_value, parts))
    if len(given) < len(parts):
        raise ValueError(f"{name}: a parameter is given twice; give each key once")
    maker = envs.atari if name.startswith("ALE/") else envs.gymnasium
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    known = {key: p for key, p in inspect.signature(maker).parameters.items() if p.kind in kinds}
    values: dict[str, Any] = {key: value_of(text) for key, text in given.items() if key not in known}
    if values and maker is envs.atari:
        key = next(iter(values))
        raise ValueError(f"{name}: unknown parameter {key!r}{did_you_mean(key, known)}")
    for key in (key for key in known if key in given):
        read = integer_in if known[key].annotation in (int, int | None) else number_in
        values[key] = read(f"{name}: {key}", given[key])
    try:
        return maker(name, **values)
    except ValueError as error:
        near = nearest(name, envs.NAMES, 0.8)
        said = re.sub(r"\.? Did you mean: [^?]*\?", "", str(error)) if near else ""  # Gymnasium knows less of our names
        raise ValueError(f"{said}; did you mean {near!r}?" if near else str(error)) from None


def check_named_by_file(text: str, own: Collection[str] = ()) -> None:
    """Check that making an environment that a file names executes only code of mdvi, Gymnasium and ALE.

    Args:
        text: the name in the file.
        own: environments that the user has named on the command line or in Python; these may execute any code.

    Raises:
        ValueError: if it would execute other code.
    """
    if text in own:
        return
    name, parts = name_and_options(text)
    plain = text.partition(":")[0] in (*envs.NAMES, *mdp.FAMILIES) or door.is_known(name)
    words = (value for _, value in map(key_and_value, parts) if number_of(value) is None)
    if not plain or not all(re.fullmatch(r"\w+", word) for word in words):  # excludes paths of files, for example
        near = nearest(name, envs.NAMES, 0.8)
        hint = f", or correct it to {near}" if near and not plain else ""
        raise ValueError(
            f"{text}: a file names this environment, which would execute code of its own; to allow it, "
            f"name it yourself{hint}"
        )


def name_and_options(text: str) -> tuple[str, list[str]]:
    """Split `ID`, `module:ID` or `module:Class`, with an optional `:key=value,…`, into name and KEY=VALUE parts."""
    name, *rest = text.split(":")
    if rest and "=" not in rest[0]:
        name = f"{name}:{rest.pop(0)}"
    return name, [part for part in ":".join(rest).split(",") if part]
