"""What is typed on the command line, as models, schemes and error models."""

import contextlib
import difflib
import inspect
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdvi import door, envs, input, mdp, named
from mdvi.envs import FiniteEnvironment, TimeLimit
from mdvi.mdp import FiniteMDP, Names
from mdvi.planning import errors
from mdvi.planning.errors import Errors
from mdvi.scheme import Scheme


def scheme_of(text: str) -> Scheme:
    """`name` or `name:key=value,key=value` as a scheme."""
    name, _, rest = text.partition(":")
    entry = named.find(name)
    return entry.scheme(**_arguments(entry.scheme, [part for part in rest.split(",") if part], f"algorithm {name}"))


class Given(NamedTuple):
    """A model as it was asked for.

    Attributes:
        model: the model.
        name: what was typed.
        notes: what was translated when it was read.
        cells: rows and columns, where states are the cells of a grid.
        moves: the step (down, right) of each action there.
        names: what the file calls states and actions.
    """

    model: FiniteMDP
    name: str
    notes: tuple[str, ...] = ()
    cells: tuple[int, int] | None = None
    moves: tuple[tuple[int, int], ...] = ()
    names: Names = Names()


_COMPASS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
_LAKE = ((0, -1), (1, 0), (0, 1), (-1, 0))  # Gymnasium's FrozenLake: left, down, right, up


def source_of(
    text: str,
    discount: float | None = None,
    format: str | None = None,
    reward: str | None = None,
    parameters: Sequence[str] = (),
) -> Given:
    """A model as it is named in every command: a file, `gym:ID,key=value,…` or `family:key=value,…`.

    Args:
        text: what was typed; `ID-v1:key=value,…` stands for `gym:ID-v1,key=value,…`.
        discount: γ, instead of the model's own.
        format: the format of a file, whatever its suffix.
        reward: which of several rewards of a file, or "none".
        parameters: more KEY=VALUE, as `iterate` takes them.

    Raises:
        ValueError: for what names no model, or none that can be read.
    """
    name, _, rest = text.partition(":")
    parts = [part for part in rest.split(",") if part] + list(parameters)
    if discount is not None:
        parts = [*(part for part in parts if not part.startswith("discount=")), f"discount={discount!r}"]
    other = format is None and reward is None  # a family or an environment may be meant
    if other and name == "gym":
        if not parts or "=" in parts[0]:
            raise ValueError("gym: expected an id, as in gym:FrozenLake-v1")
        return _gymnasium(text, parts[0], parts[1:])
    if other and name in mdp.FAMILIES:
        return _family(text, name, parts)
    suffixes = {suffix for form in mdp.FORMATS.values() for suffix in form.suffixes}
    if not other or Path(text).suffix.lower() in suffixes or input.kind(Path(text)) is not None:
        if parameters:
            raise ValueError(f"{text}: a file takes no parameters, got {parameters[0]!r}")
        found = mdp.read(text, discount, format, reward)
        return Given(found.model, Path(text).name, found.notes, names=found.names)
    if "-v" in name:
        return _gymnasium(text, name, parts)
    raise ValueError(f"unknown model {text!r}, which is no file either{named.did_you_mean(name, mdp.FAMILIES)}")


def _family(text: str, name: str, parts: list[str]) -> Given:
    arguments = _arguments(mdp.FAMILIES[name], parts, name)
    model = mdp.FAMILIES[name](**arguments)
    if name not in ("grid", "maze", "lake", "cliff"):
        return Given(model, text)
    defaults = {key: p.default for key, p in inspect.signature(mdp.FAMILIES[name]).parameters.items()} | arguments
    cells = (defaults["rows"], defaults["columns"]) if name != "lake" else (defaults["size"],) * 2
    return Given(model, text, cells=cells, moves=_COMPASS)


def _gymnasium(text: str, name: str, parts: list[str]) -> Given:
    options = dict(map(_split, parts))
    if len(options) < len(parts):
        raise ValueError(f"{name}: a parameter is given twice")
    discount = _number("discount", options.pop("discount", "0.99"))
    model = mdp.from_gymnasium(name, discount, **{key: _value(value) for key, value in options.items()})
    side = math.isqrt(model.states)  # one state more than cells: where episodes end
    if name.startswith("FrozenLake") and side**2 == model.states - 1:
        return Given(model, text, cells=(side, side), moves=_LAKE)
    if name.startswith("CliffWalking") and model.states == 49:
        return Given(model, text, cells=(4, 12), moves=_COMPASS)
    return Given(model, text)


_SWITCHES = {"true": True, "True": True, "false": False, "False": False}
_HORIZON = 200  # steps after which an episode in a finite model is truncated


def environment_of(text: str) -> Any:
    """`NAME:key=value,…` of an environment; or a family with its keys, and `limit` and `start` of its episodes."""
    name, _, rest = text.partition(":")
    parts = [part for part in rest.split(",") if part]
    if name in envs.NAMES:
        return envs.NAMES[name](**_arguments(envs.NAMES[name], parts, name))
    if name in mdp.FAMILIES:
        episode = [part for part in parts if part.startswith(("limit=", "start="))]
        options = {key: _integer(key, value) for key, value in map(_split, episode)}
        if len(options) < len(episode):
            raise ValueError(f"{name}: limit or start is given twice")
        model = mdp.FAMILIES[name](
            **_arguments(mdp.FAMILIES[name], [part for part in parts if part not in episode], name)
        )
        return TimeLimit(FiniteEnvironment(model, options.get("start")), options.get("limit", _HORIZON))
    name, parts = _hosted(text)
    if not door.is_id(name) and ":" not in name:
        hint = named.did_you_mean(name, [*envs.NAMES, *mdp.FAMILIES])
        raise ValueError(f"unknown environment {name!r}{hint}; see `mdvi list envs`")
    given = dict(map(_split, parts))
    if len(given) < len(parts):
        raise ValueError(f"{name}: a parameter is given twice")
    maker = envs.atari if name.startswith("ALE/") else envs.gymnasium
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    known = {key: p for key, p in inspect.signature(maker).parameters.items() if p.kind in kinds}
    values: dict[str, Any] = {key: _value(text) for key, text in given.items() if key not in known}
    if values and maker is envs.atari:
        key = next(iter(values))
        raise ValueError(f"{name}: unknown parameter {key!r}{named.did_you_mean(key, known)}")
    for key in (key for key in known if key in given):
        read = _integer if known[key].annotation in (int, int | None) else _number
        values[key] = read(f"{name}: {key}", given[key])
    try:
        return maker(name, **values)
    except ValueError as error:
        near = difflib.get_close_matches(name, envs.NAMES, n=1, cutoff=0.8)
        raise ValueError(f"{error}; did you mean {near[0]!r}?" if near else str(error)) from None


def check_named_by_file(text: str, own: Collection[str] = ()) -> None:
    """Whether an environment that a file names may be made: no code but mdvi's, Gymnasium's and ALE's runs.

    Args:
        text: what the file says.
        own: environments that the user has named as well, on the command line or in Python; these may be any code.

    Raises:
        ValueError: when it may not.
    """
    if text in own:
        return
    name, parts = _hosted(text)
    plain = text.partition(":")[0] in (*envs.NAMES, *mdp.FAMILIES) or door.is_known(name)
    words = (value for _, value in map(_split, parts) if number_of(value) is None)
    if not plain or not all(re.fullmatch(r"\w+", word) for word in words):  # no path of a file, for example
        near = difflib.get_close_matches(name, envs.NAMES, n=1, cutoff=0.8)
        hint = f", or correct it to {near[0]}" if near and not plain else ""
        raise ValueError(
            f"{text}: this environment is named by a file and its code would be run: name it yourself{hint}"
        )


def _hosted(text: str) -> tuple[str, list[str]]:
    """`ID`, `module:ID` or `module:Class`, each with :key=value,… after it, as a name and KEY=VALUE parts."""
    name, *rest = text.split(":")
    if rest and "=" not in rest[0]:
        name = f"{name}:{rest.pop(0)}"
    return name, [part for part in ":".join(rest).split(",") if part]


def numbers_of(name: str, text: str) -> list[float]:
    """Numbers with commas between them."""
    return [_number(name, part) for part in text.split(",")]


def settings_of(parts: list[str]) -> dict[str, Any]:
    """KEY=VALUE strings with numbers, true, false or words; widths may be written 64,64 or 64-64."""
    found = {}
    for key, value in map(_split, parts):
        if key in found:
            raise ValueError(f"--set: {key} is given twice")
        widths = value.replace("-", ",").split(",")
        found[key] = [_integer(key, width) for width in widths] if key == "hidden" else _value(value)
    return found


def errors_of(text: str, model: FiniteMDP, seed: int) -> Errors:
    """NAME or NAME=NUMBER as an error model; random features for a projection are drawn from the seed."""
    name, _, number = text.partition("=")
    if name not in errors.ALL:
        raise ValueError(f"unknown error model {name!r}{named.did_you_mean(name, errors.ALL)}")
    if name == "none" and not number:
        return errors.none()
    if name == "sampled":
        return errors.sampled(_integer(name, number or "1"))
    if not number:
        raise ValueError(f"--errors {name}: needs a number, as in {name}=0.1")
    if name == "none":
        raise ValueError(f"--errors none: takes no number, got {number}")
    if name == "given":
        raise ValueError("--errors given: needs arrays; it is for Python")
    if name == "projection":
        return errors.projection(errors.random_features(model, _integer(name, number), seed))
    return errors.ALL[name](_number(name, number))


def _arguments(function: Any, parts: list[str], owner: str) -> dict[str, Any]:
    """KEY=VALUE strings as arguments of a function whose defaults tell their types."""
    known = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for key, value in map(_split, parts):
        if key in arguments:
            raise ValueError(f"{owner}: {key} is given twice")
        if key not in known:
            hint = named.did_you_mean(key, known) if known else "; it has none"
            raise ValueError(f"{owner}: unknown parameter {key!r}{hint}")
        default = known[key].default
        if isinstance(default, bool):
            arguments[key] = _switch(key, value)
        else:
            arguments[key] = _integer(key, value) if isinstance(default, int) else _number(key, value)
    return arguments


def _split(part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not (key and equals and value):
        raise ValueError(f"expected KEY=VALUE, got {part!r}")
    return key, value


def _number(name: str, text: str) -> float:
    found = number_of(text)
    if found is None or not math.isfinite(found):
        raise ValueError(f"{name}: expected a number, got {text!r}")
    return found


def _integer(name: str, text: str) -> int:
    found = number_of(text)
    if found is None or not math.isfinite(found) or found % 1:
        raise ValueError(f"{name}: expected an integer, got {text!r}")
    return int(found)


def _switch(name: str, text: str) -> bool:
    if text not in _SWITCHES:
        raise ValueError(f"{name}: expected true or false, got {text!r}")
    return _SWITCHES[text]


def number_of(text: str) -> int | float | None:
    """A number as Python writes it (.5, 1e3, 1_000, inf); None for text that is none."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            found = kind(text)
            return None if math.isnan(found) else found
    return None


def _value(text: str) -> Any:
    """A value whose type nobody told: a number, true or false, or else text."""
    found = number_of(text)
    return _SWITCHES.get(text, text) if found is None else found


def signature(function: Any) -> str:
    """The parameters of a function and their defaults, as one would type them."""
    return ", ".join(
        name if p.default is p.empty else f"{name}={p.default}"
        for name, p in inspect.signature(function).parameters.items()
    )
