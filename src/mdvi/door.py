"""The one door from a text to an environment of another package.

A text may be a Gymnasium id, `module:ID` (the module registers it) or `module:Class`. Modules are imported here and
nowhere else, and what makes the environments is looked at before it is called: a subclass of `gymnasium.Env`, or a
Python function of the module that says in its return annotation that it makes one. Anything else that a module holds
could do anything: os:system would run a command.

Whoever calls has made sure that the user has named the text, or that it `is_known`. This file imports nothing
of mdvi but `extras`, because the processes that step environments import it too.
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
    """Gymnasium.

    Raises:
        ModuleNotFoundError: when it is not installed, saying how to install it.
    """
    with explained():
        import gymnasium
    return gymnasium


def is_id(name: str) -> bool:
    """Whether a text reads as the id of an environment, and not as `module:Class`."""
    return name.startswith("ALE/") or name.rpartition("-v")[2].isdigit()


def is_known(name: str) -> bool:
    """Whether a name is that of an environment in Gymnasium itself or in ALE: making it runs their code only."""
    if name.startswith("ALE/"):
        return True
    try:
        spec = library().registry.get(name)
    except ModuleNotFoundError:
        return False
    entry = None if spec is None or spec.additional_wrappers else spec.entry_point
    return isinstance(entry, str) and entry.startswith("gymnasium.envs.")


def maker(name: str) -> Callable[..., Any]:
    """What makes the environments of that name, from their options.

    Raises:
        ValueError: when it is no class of environments, and no function that says that it makes them.
        ModuleNotFoundError: when Gymnasium is not installed.
        Exception: whatever the module raises when it is imported.
    """
    gymnasium = library()
    module, colon, rest = name.rpartition(":")
    if colon and (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # to stay: environments may import more later
    if colon and not is_id(rest):
        return _checked(name, gymnasium.Env)
    if colon:
        importlib.import_module(module)
    _check_registered(rest)
    return partial(gymnasium.make, rest, disable_env_checker=True)


def _check_registered(name: str) -> None:
    """Whether an id that is registered stands for environments; one that is not is left to Gymnasium to refuse."""
    gymnasium = library()
    registration = gymnasium.envs.registration
    space, title, version = registration.parse_env_id(name)
    if version is None:  # Gymnasium takes the last one
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
    """The class or function of that name, `module:attribute`, where it is or makes one of a kind."""
    module, _, attribute = name.rpartition(":")
    found = getattr(importlib.import_module(module), attribute)
    _check(found, name, kind, module)
    return found


def _check(found: Any, name: str, kind: type, module: str | None = None) -> None:
    """Whether this is a subclass of a kind, or a function of its module that says it makes one.

    Raises:
        ValueError: when it is neither.
    """
    if isinstance(found, type):
        makes = issubclass(found, kind)
    else:
        makes = type(found) is types.FunctionType and _is_of(found, module) and _says_it_makes(found, kind)
    if not makes:
        wanted, where = f"gymnasium.{kind.__name__}", f"of {module}" if module else "of a module"
        raise ValueError(
            f"{name}: expected a subclass of {wanted}, or a function {where} that is annotated as making one, "
            f"def {name.rpartition(':')[2] if module else 'make'}(…) -> {wanted}; got {_described(found)}, "
            "which is not called"
        )


def _is_of(function: types.FunctionType, module: str | None) -> bool:
    """Whether a function was defined in the module of that name, or in the one that it names, and not brought there."""
    home = sys.modules.get(module or function.__module__)
    return home is not None and function.__module__ == home.__name__ and function.__globals__ is vars(home)


def _says_it_makes(function: types.FunctionType, kind: type) -> bool:
    """Whether its return annotation is a class of a kind, or the name of one as its module would write it."""
    says = function.__annotations__.get("return")
    if isinstance(says, str):
        first, *rest = says.partition("[")[0].split(".")
        says = function.__globals__.get(first)
        for attribute in rest:
            says = getattr(says, attribute, None)
    says = typing.get_origin(says) or says
    return isinstance(says, type) and issubclass(says, kind) and not hasattr(function, "__wrapped__")


def _described(found: Any) -> str:
    """What kind of thing this is, without asking it."""
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if type(found) is types.FunctionType:
        return f"the function {found.__qualname__} of {found.__module__}"
    return f"an object of type {type(found).__name__}"
