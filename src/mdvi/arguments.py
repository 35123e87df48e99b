"""What is typed on the command line, as models, schemes and error models."""

import inspect
import json
from typing import Any

from mdvi import mdp, named
from mdvi.mdp import FiniteMDP
from mdvi.planning import errors
from mdvi.planning.errors import Errors
from mdvi.scheme import Scheme


def scheme_of(text: str) -> Scheme:
    """`name` or `name:key=value,key=value` as a scheme."""
    name, _, rest = text.partition(":")
    entry = named.find(name)
    return entry.scheme(**_arguments(entry.scheme, [part for part in rest.split(",") if part], f"algorithm {name}"))


def model_of(name: str, parameters: list[str]) -> FiniteMDP:
    """A family or Gymnasium id with KEY=VALUE parameters as a model."""
    if name in mdp.FAMILIES:
        family = mdp.FAMILIES[name]
        return family(**_arguments(family, parameters, name))
    if "-v" not in name:
        raise ValueError(f"unknown model {name!r}{named.did_you_mean(name, mdp.FAMILIES)}")
    options = dict(_split(part) for part in parameters)
    discount = _number("discount", options.pop("discount", "0.99"))
    return mdp.from_gymnasium(name, discount, **{key: _guess(value) for key, value in options.items()})


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
        whole = isinstance(known[key].default, int)
        arguments[key] = _integer(key, value) if whole else _number(key, value)
    return arguments


def _split(part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not (key and equals and value):
        raise ValueError(f"expected KEY=VALUE, got {part!r}")
    return key, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number, got {text!r}") from None


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name}: expected an integer, got {text!r}") from None


def _guess(text: str) -> Any:
    """An option of a Gymnasium environment: JSON where it reads as JSON, text otherwise."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def signature(function: Any) -> str:
    """The parameters of a function and their defaults, as one would type them."""
    return ", ".join(
        name if p.default is p.empty else f"{name}={p.default}"
        for name, p in inspect.signature(function).parameters.items()
    )
