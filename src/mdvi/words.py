"""Text for users and from users: escapes for terminals and spreadsheets, and the parsing of KEY=VALUE.

Titles, names, paths and reasons may come from untrusted files. A terminal executes control characters in them, and a
spreadsheet evaluates cells that begin like a formula, so both are escaped.
"""

import contextlib
import difflib
import html
import inspect
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The beginnings of formulas, with full-width signs; spreadsheets ignore spaces and quotes before them.
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]|'*[\t\r\n]")
_SWITCHES = {"true": True, "True": True, "false": False, "False": False}


def plain(text: object) -> str:
    r"""The text on one line, with escapes for characters that a terminal would execute or not show.

    Escaped are control characters (C0, DEL and C1), line and paragraph separators, marks that change the direction of
    writing or have no width, lone surrogates (bytes of file names that are not UTF-8), and code points without a glyph.

    >>> plain("a \x1b[2Jtitle\u202e, λ = 1")
    'a \\x1b[2Jtitle\\u202e, λ = 1'
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()
        for char in line
    )


def numbers(values: Any) -> str:
    """A number as text; for an array of more than three numbers, its first three and its last number.

    >>> numbers(0.1), numbers([1.0, 0.5, 0.25])
    ('0.1', '[1, 0.5, 0.25]')
    """
    import numpy as np  # a slow import, which `mdvi --help` does not need

    try:
        flat = np.ravel(np.asarray(values, float)).tolist()
    except TypeError:  # a traced value has no number yet
        return str(values)
    shown = [f"{value:.12g}" for value in flat[:3]]
    if np.ndim(values) == 0:
        return shown[0]
    if len(flat) > 3:
        return f"[{', '.join(shown)}, …, {flat[-1]:.12g}] ({len(flat)} numbers)"
    return f"[{', '.join(shown)}]"


def to_cell(value: Any) -> Any:
    """A value for a cell of a CSV file; text that a spreadsheet would evaluate as a formula gets a leading quote.

    Numbers, texts of numbers, and all other texts do not change. `from_cell` removes the quote again.

    >>> to_cell("=1+1"), to_cell("-1.5"), to_cell("dqn")
    ("'=1+1", '-1.5', 'dqn')
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def from_cell(text: str) -> str:
    """The original text of a cell from `to_cell`."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    if not _FORMULA.match(text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text != text.strip()


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that is most similar to a name, if the similarity, from 0 to 1, is at least `likeness`."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion to append to an error message: the nearest known name, or all of them."""
    near = nearest(name.lower().replace("-", "_"), known, 0.5)
    return f"; did you mean {near!r}?" if near else f"; known are {', '.join(known)}"


def arguments_of(function: Any, parts: list[str], owner: str) -> dict[str, Any]:
    """KEY=VALUE texts as arguments of a function; the defaults of the function determine their types."""
    known = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for key, value in map(key_and_value, parts):
        if key in arguments:
            raise ValueError(f"{owner}: {key} is given twice")
        if key not in known:
            hint = did_you_mean(key, known) if known else "; it has no parameters"
            raise ValueError(f"{owner}: unknown parameter {key!r}{hint}")
        default = known[key].default
        if isinstance(default, bool):
            arguments[key] = switch_in(key, value)
        else:
            arguments[key] = integer_in(key, value) if isinstance(default, int) else number_in(key, value)
    return arguments


def key_and_value(part: str) -> tuple[str, str]:
    """The two sides of KEY=VALUE."""
    key, equals, value = part.partition("=")
    if not (key and equals and value):
        raise ValueError(f"expected KEY=VALUE, got {part!r}")
    return key, value


def number_in(name: str, text: str) -> float:
    """The finite number in a text; `name` is the name of the number in messages."""
    found = number_of(text)
    if found is None or not math.isfinite(found):
        raise ValueError(f"{name}: expected a number, got {text!r}")
    return found


def integer_in(name: str, text: str) -> int:
    """The integer in a text, which may be written as 1e6."""
    found = number_of(text)
    if found is None or not math.isfinite(found) or found % 1:
        raise ValueError(f"{name}: expected an integer, got {text!r}")
    return int(found)


def switch_in(name: str, text: str) -> bool:
    """The Boolean of a text "true" or "false"."""
    if text not in _SWITCHES:
        raise ValueError(f"{name}: expected true or false, got {text!r}")
    return _SWITCHES[text]


def number_of(text: str) -> int | float | None:
    """A number in the syntax of Python (.5, 1e3, 1_000, inf); None if the text is not a number."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            found = kind(text)
            return None if math.isnan(found) else found
    return None


def value_of(text: str) -> Any:
    """The value of a text of unknown type: a number, true or false, or otherwise the text."""
    found = number_of(text)
    return _SWITCHES.get(text, text) if found is None else found


def summary(entry: Any) -> str:
    """The first line of a docstring; "" if there is no docstring, as under `python -OO`."""
    return (inspect.getdoc(entry) or "").partition("\n")[0]


def as_html(
    title: str, facts: Mapping[str, object], head: Sequence[str] = (), rows: Iterable[Sequence[object]] = ()
) -> str:
    """A small HTML table for notebooks: a title, named facts, and below them a head with rows.

    It sets no colours, so it follows the light or dark theme of the notebook. All text is escaped.

    >>> as_html("Model <1>", {"states": 3})
    '<div><strong>Model &lt;1&gt;</strong><table><tbody><tr><th>states</th><td>3</td></tr></tbody></table></div>'
    """

    def shown(value: object) -> str:
        return html.escape(plain(value))

    listed = "".join(f"<tr><th>{shown(name)}</th><td>{shown(value)}</td></tr>" for name, value in facts.items())
    text = f"<strong>{shown(title)}</strong><table><tbody>{listed}</tbody></table>"
    if head:
        top = "".join(f"<th>{shown(name)}</th>" for name in head)
        body = "".join(f"<tr>{''.join(f'<td>{shown(value)}</td>' for value in row)}</tr>" for row in rows)
        text += f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{text}</div>"


def signature(function: Any) -> str:
    """The parameters of a function and their defaults, in the syntax of a call."""
    return ", ".join(
        name if p.default is p.empty else f"{name}={p.default}"
        for name, p in inspect.signature(function).parameters.items()
    )
