"""Text for people: what a terminal shows as it is, and what a spreadsheet takes as text.

Titles, names, paths and reasons come out of files that somebody else may have written. A terminal acts on control
characters in them, and a spreadsheet on cells that begin like a formula. Both get text that only shows itself.
"""

import re
import unicodedata
from typing import Any

# How formulas begin, for people who type another alphabet's signs too; spaces and quotes before them do not help.
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]|'*[\t\r\n]")


def plain(text: object) -> str:
    r"""The text on one line, with escapes for the characters that do something to a terminal instead of showing.

    These are control characters (C0, DEL and C1), line and paragraph separators, marks that change the direction of
    writing or have no width, lone surrogates (bytes of a file name that are no UTF-8), and code points without a glyph.

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
    """A number as it is typed, or the ends of a long array of them.

    >>> numbers(0.1), numbers([1.0, 0.5, 0.25])
    ('0.1', '[1, 0.5, 0.25]')
    """
    import numpy as np  # takes a while, and `mdvi --help` needs none of it

    try:
        flat = np.ravel(np.asarray(values, float)).tolist()
    except TypeError:  # a value that is being traced has no number yet
        return str(values)
    shown = [f"{value:.12g}" for value in flat[:3]]
    if np.ndim(values) == 0:
        return shown[0]
    if len(flat) > 3:
        return f"[{', '.join(shown)}, …, {flat[-1]:.12g}] ({len(flat)} numbers)"
    return f"[{', '.join(shown)}]"


def to_cell(value: Any) -> Any:
    """A value for a cell of a CSV file: text that a spreadsheet would take for a formula gets a quote before it.

    Numbers, as such or written out, and all other text stay as they are. `from_cell` takes the quote away again.

    >>> to_cell("=1+1"), to_cell("-1.5"), to_cell("dqn")
    ("'=1+1", '-1.5', 'dqn')
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def from_cell(text: str) -> str:
    """The text that `to_cell` was given."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    if not _FORMULA.match(text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text != text.strip()
