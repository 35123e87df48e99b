"""Docstrings are written as they are read in Python; this says the same in reStructuredText.

Equations are indented blocks; letters such as `*` and `_` stand for themselves outside of `code`; and `code` that is
the name of something public is a link to it.
"""

import re
from typing import Any

import public
from sphinx.application import Sphinx

_CODE = re.compile(r"(`[^`]*`)")
_SPECIAL = re.compile(r"([*|\\]|_(?=\W|$))")
_ITEM = re.compile(r"(\s*)(\w+): (\S.*)")
_PLACES = public.places()


def _code(text: str) -> str:
    place = _PLACES.get(text.removesuffix("()"))
    return f":py:obj:`{text} <{place}>`" if place else f"``{text}``"


def _escaped(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(_code(part[1:-1]) if i % 2 else _SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _restructure(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what is special, and say which indented blocks are literal and which are lists."""
    out: list[str] = []
    literal: int | None = None  # the indentation of the text before the block that we are in
    listed: int | None = None
    doctest = False
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        text = next((each for each in reversed(lines[:number]) if each.strip()), "")
        if line.strip():
            literal = None if literal is None or _indent(line) <= literal else literal
            listed = None if listed is None or _indent(line) <= listed else listed
        opens = line.strip() and not before.strip() and _indent(line) >= _indent(text) + 4 and text.strip()
        if opens and literal is None and listed is None and not line.lstrip().startswith(">>>"):
            if not text.strip().endswith(":"):
                literal = _indent(text)
                out += [" " * literal + "::", ""]
            elif _indent(text) and _ITEM.fullmatch(line):
                listed = _indent(text)
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        if line == "Returns:":  # Napoleon would take what stands before a colon for a type
            out.append(":returns:")
        elif literal is not None or doctest:
            out.append(line)
        elif listed is not None and line.strip():
            item = _ITEM.fullmatch(line) if _indent(line) == listed + 4 else None
            out.append(
                f"{item[1]}- ``{item[2]}``: {_escaped(item[3])}"
                if item
                else " " * (listed + 6) + _escaped(line.strip())
            )
        else:
            out.append(_escaped(line))
    lines[:] = out


def _escape_types(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Shapes such as "*batch", which Napoleon takes from annotations."""
    lines[:] = [re.sub(r"(?<!\\)\*", r"\\*", line) if ":vartype " in line else line for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Before and after Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _restructure, priority=100)
    app.connect("autodoc-process-docstring", _escape_types, priority=900)
    return {"parallel_read_safe": True}
