"""The single place where a text becomes an environment of another package.

A text may be a Gymnasium id, `module:ID` (the module registers it) or `module:Class`. Only this file imports such
modules, and it calls only a subclass of `gymnasium.Env`, or a Python function of the module whose return annotation is
such a class. Other attributes of a module are refused: os:system would run a command.

Callers ensure that the user has named the text, or that it `is_known`. This file imports only `extras` of mdvi, because
worker processes import it too.
"""

import importlib
import os
import sys
import types
import typing
from collections.abc import Callable
from functools import partial
from typing import Any

from mdvi.extras import explained


def library() -> Any:
    """The module of Gymnasium.

    Raises:
        ModuleNotFoundError: if Gymnasium is not installed; the message has the command that installs it.
    """
    with explained():
        import gymnasium
    return gymnasium


def is_id(name: str) -> bool:
    """Whether a text has the form of an id of an environment, and not of `module:Class`."""
    return name.startswith("ALE/") or name.rpartition("-v")[2].isdigit()


def is_known(name: str) -> bool:
    """Whether a name is an environment of Gymnasium or ALE, so that making it executes only their code."""
    if name.startswith("ALE/"):
        return True
    try:
        spec = library().registry.get(name)
    except ModuleNotFoundError:
        return False
    entry = None if spec is None or spec.additional_wrappers else spec.entry_point
    return isinstance(entry, str) and entry.startswith("gymnasium.envs.")


def maker(name: str) -> Callable[..., Any]:
    """The function that makes the environments of a name, from their options.

    Raises:
        ValueError: if the name is neither a class of environments nor a function that is annotated as making them.
        ModuleNotFoundError: if Gymnasium is not installed.
        Exception: any exception that the import of the module raises.
    """
    gymnasium = library()
    module, colon, rest = name.rpartition(":")
    if colon and (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # permanently, since environments may import modules later
    if colon and not is_id(rest):
        return _checked(name, gymnasium.Env)
    if colon:
        importlib.import_module(module)
    _check_registered(rest)
    return partial(gymnasium.make, rest, disable_env_checker=True)


def _check_registered(name: str) -> None:
    """Check that a registered id is an environment; Gymnasium refuses an id that is not registered."""
    gymnasium = library()
    registration = gymnasium.envs.registration
    space, title, version = registration.parse_env_id(name)
    if version is None:  # Gymnasium uses the latest version
        name = registration.get_env_id(space, title, registration.find_highest_version(space, title))
    spec = gymnasium.registry.get(name)
    if spec is not None:
        if isinstance(spec.entry_point, str):
            _checked(spec.entry_point, gymnasium.Env)
        elif spec.entry_point is not None:
            _check(spec.entry_point, f"the entry point of {name}", gymnasium.Env)
        for wrapper in spec.additional_wrappers:
            _checked(wrapper.entry_point, gymnasium.Wrapper)


def _checked(name: str, kind: type) -> Callable[..., Any]:
    """The class or function of a name `module:attribute`, after `_check`."""
    module, _, attribute = name.rpartition(":")
    found = getattr(importlib.import_module(module), attribute)
    _check(found, name, kind, module)
    return found


def _check(found: Any, name: str, kind: type, module: str | None = None) -> None:
    """Check that an object is a subclass of `kind`, or a function of its module that is annotated as making one.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(found, type):
        makes = issubclass(found, kind)
    else:
        makes = type(found) is types.FunctionType and _is_of(found, module) and _says_it_makes(found, kind)
    if not makes:
        wanted, where = f"gymnasium.{kind.__name__}", f"of {module}" if module else "of a module"
        raise ValueError(
            f"{name}: expected a subclass of {wanted}, or a function {where} that is annotated as making one, "
            f"def {name.rpartition(':')[2] if module else 'make'}(…) -> {wanted}; got {_described(found)}"
        )


def _is_of(function: types.FunctionType, module: str | None) -> bool:
    """Whether a function was defined in `module`, or by default in the module that it names, and not imported there."""
    home = sys.modules.get(module or function.__module__)
    return home is not None and function.__module__ == home.__name__ and function.__globals__ is vars(home)


def _says_it_makes(function: types.FunctionType, kind: type) -> bool:
    """Whether the return annotation is a subclass of `kind`, or its name in the module of the function."""
    says = function.__annotations__.get("return")
    if isinstance(says, str):
        first, *rest = says.partition("[")[0].split(".")
        says = function.__globals__.get(first)
        for attribute in rest:
            says = getattr(says, attribute, None)
    says = typing.get_origin(says) or says
    return isinstance(says, type) and issubclass(says, kind) and not hasattr(function, "__wrapped__")


def _described(found: Any) -> str:
    """A description of an object, without calling its methods."""
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if type(found) is types.FunctionType:
        return f"the function {found.__qualname__} of {found.__module__}"
    return f"an object of type {type(found).__name__}"
