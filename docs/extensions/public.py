"""Which names are public, what says what each is, and where each stands in the reference."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mdvi

REFERENCE = Path(__file__).parent.parent / "reference"
_LISTED = re.compile(r"^```\{public-names\} ([\w.]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DATA = re.compile(r"^\.\. py:data:: ([\w.]+)\n(?=\.\. py:data::|\n   \S)", re.MULTILINE)
_AUTO = re.compile(r"^\.\. auto\w+:: ([\w.]+)", re.MULTILINE)


def modules() -> dict[str, ModuleType]:
    """The public modules under the names that users type."""
    found = {"mdvi": mdvi}
    for name in mdvi.__all__:
        if inspect.ismodule(module := getattr(mdvi, name)) and name != "named":  # an earlier name of algorithms
            found[f"mdvi.{name}"] = module
    return found


def names() -> dict[str, Any]:
    """Every name in `__all__` of a public module; modules have pages of their own."""
    return {
        f"{module}.{name}": getattr(content, name)
        for module, content in modules().items()
        for name in content.__all__
        if not inspect.ismodule(getattr(content, name))
    }


def is_data(value: Any) -> bool:
    """Whether a name stands for a value, whose docstring would be that of its type."""
    return not (inspect.isclass(value) or inspect.isroutine(value))


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public members that a class of mdvi defines itself or inherits from another one of mdvi."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("mdvi.")]
    seen = {name for base in own for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    for name in sorted(seen):
        if not name.startswith("_") and not name.startswith("model_"):
            yield name, inspect.getattr_static(kind, name, None)


def undocumented() -> list[str]:
    """Public names, and public members of public classes, without a word about what they are."""
    missing = []
    for name, value in names().items():
        if is_data(value):
            continue  # said in the reference, see `absent`
        if not (own := vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)):
            missing.append(name)
        if not inspect.isclass(value):
            continue
        fields = getattr(value, "model_fields", {})
        for member, found in members(value):
            called = (
                isinstance(found, property | classmethod | staticmethod) or callable(found) or hasattr(found, "func")
            )
            said = inspect.getdoc(found) if called and not inspect.isclass(found) else None
            said = said or getattr(fields.get(member), "description", None)
            if not said and not re.search(rf"^\s+{member}: \S", own or "", re.MULTILINE):
                missing.append(f"{name}.{member}")
    return missing


def documented() -> set[str]:
    """The names that have a place in the reference."""
    found = set()
    for page in REFERENCE.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for module, listed in _LISTED.findall(text):
            found |= {f"{module}.{name}" for name in listed.split() or functions_and_classes(module)}
        found |= {*_DATA.findall(text), *_AUTO.findall(text)}
    return found


def functions_and_classes(module: str) -> list[str]:
    """The public names of a module that have docstrings and are not described among those of `mdvi` itself."""
    content = modules()[module]
    here = {name: getattr(content, name) for name in content.__all__}
    above = [getattr(mdvi, name) for name in mdvi.__all__ if content is not mdvi]
    return [
        name
        for name, value in here.items()
        if not inspect.ismodule(value) and not is_data(value) and not any(value is other for other in above)
    ]


def places() -> dict[str, str]:
    """Where what is called so is described: by its last name, where only one thing has it, and by its full name."""
    found: dict[str, str] = {}
    twice = set()
    for module in modules():
        for name in functions_and_classes(module):
            if name in found:
                twice.add(name)
            found[name] = found[f"{module}.{name}"] = f"{module}.{name}"
    return {name: place for name, place in found.items() if name not in twice}


def absent() -> list[str]:
    """Public names that have no place in the reference, under whichever of their names."""
    everything, listed = names(), documented()
    said = [value for name, value in everything.items() if name in listed and not is_data(value)]
    missing = {name for name in everything.keys() - listed if not any(everything[name] is value for value in said)}
    return sorted(missing)
