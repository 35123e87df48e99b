"""Models by name: the path of a file, `gym:ID,key=value,…` or `family:key=value,…`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdvi import input, mdp
from mdvi.mdp import FiniteMDP
from mdvi.words import arguments_of, did_you_mean, key_and_value, number_in, value_of


class Given(NamedTuple):
    """A model and its name.

    Attributes:
        model: the model.
        name: the name of the model, or of its file.
        notes: notes on translations of a file.
    """

    model: FiniteMDP
    name: str
    notes: tuple[str, ...] = ()


def source_of(
    text: str,
    discount: float | None = None,
    format: str | None = None,
    reward: str | None = None,
    parameters: Sequence[str] = (),
) -> Given:
    """The model of a name, as in all commands: a file, `gym:ID,key=value,…` or `family:key=value,…`.

    Args:
        text: the name; `ID-v1:key=value,…` is short for `gym:ID-v1,key=value,…`.
        discount: γ, instead of γ of the model.
        format: the format of a file; default: by its suffix.
        reward: the name of one of several rewards in a file, or "none".
        parameters: more parameters KEY=VALUE, as in `mdvi iterate`.

    Raises:
        ValueError: if the name is unknown, or the model cannot be read.
    """
    name, _, rest = text.partition(":")
    parts = [part for part in rest.split(",") if part] + list(parameters)
    if discount is not None:
        parts = [*(part for part in parts if not part.startswith("discount=")), f"discount={discount!r}"]
    other = format is None and reward is None  # otherwise the text is a file
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
        return Given(found.model, Path(text).name, found.notes)
    if "-v" in name:
        return _gymnasium(text, name, parts)
    hint = f" (an environment of Gymnasium is written gym:{name}-v1)" if name[:1].isupper() else ""
    raise ValueError(f"unknown model {text!r}, and there is no such file{did_you_mean(name, mdp.FAMILIES)}{hint}")


def _advice(given: Any) -> str:
    """What makes a model of something that is none."""
    if hasattr(given, "action_space"):
        return "; mdvi.mdp.from_gymnasium makes one of an environment that publishes a table"
    if hasattr(given, "__array__") or isinstance(given, list | tuple):
        return "; mdvi.FiniteMDP(transition, reward, discount) makes one of arrays"
    return ""


def model_of(given: FiniteMDP | str | Path) -> FiniteMDP:
    """A model, or the model of a name as in all commands; translations of a file are warnings.

    Raises:
        ValueError: if the argument is neither a model nor a name, if the name is unknown, or the model cannot be read.
    """
    if isinstance(given, FiniteMDP):
        return given
    if not isinstance(given, str | Path):
        raise ValueError(f"mdp: expected a FiniteMDP or the name of one, got {type(given).__name__}{_advice(given)}")
    found = source_of(str(given))
    for note in found.notes:
        warnings.warn(note, stacklevel=3)
    return found.model


def _family(text: str, name: str, parts: list[str]) -> Given:
    return Given(mdp.FAMILIES[name](**arguments_of(mdp.FAMILIES[name], parts, name)), text)


def _gymnasium(text: str, name: str, parts: list[str]) -> Given:
    options = dict(map(key_and_value, parts))
    if len(options) < len(parts):
        raise ValueError(f"{name}: a parameter is given twice; give each key once")
    discount = number_in("discount", options.pop("discount", "0.99"))
    model = mdp.from_gymnasium(name, discount, **{key: value_of(value) for key, value in options.items()})
    return Given(model, text)
