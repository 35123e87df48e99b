"""What the readers and writers of the formats share: sources, lines and numbers."""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mdvi.mdp.labels import Names
from mdvi.mdp.listing import LineError
from mdvi.mdp.model import FiniteMDP

LONGEST_LINE = 2**20


class FormatError(ValueError):
    """A file that holds no model: one line, `path:line: what is wrong`."""


Result = tuple[FiniteMDP, tuple[str, ...], Names]  # of a reader; the tuple in the middle has the notes


class Imported(NamedTuple):
    """A model out of a file.

    Attributes:
        model: the model.
        format: the name of the format it was read as.
        notes: what was translated into mdvi's conventions, a sentence each.
        names: what the file calls its states and actions.
    """

    model: FiniteMDP
    format: str
    notes: tuple[str, ...]
    names: Names = Names()


class Source(NamedTuple):
    """A file's bytes, and what was asked for.

    Attributes:
        data: the bytes.
        discount: γ, instead of the file's own.
        siblings: the bytes of the files beside it, by how their names go on after `stem`.
        reward: which of several rewards to read, or "none".
        stem: the file's name without its suffix.
    """

    data: bytes
    discount: float | None = None
    siblings: Mapping[str, bytes] = {}
    reward: str | None = None
    stem: str = ""

    @property
    def size(self) -> int:
        """The number of bytes, siblings included."""
        return len(self.data) + sum(map(len, self.siblings.values()))

    def gamma(self, stated: float | None = None) -> float:
        """The discount: the one asked for, or else the one that the file states."""
        gamma = stated if self.discount is None else self.discount
        if gamma is None:
            raise ValueError("this file has no discount; give one with --discount")
        if not 0 <= gamma <= 1:
            raise ValueError(f"the discount is {gamma!r}, outside [0, 1]; give another one with --discount")
        return float(gamma)

    def check_reward(self) -> None:
        """Nobody asked for one of several rewards, where the format has no names for them."""
        if self.reward is not None:
            raise ValueError(f"--reward {shown(self.reward)}: only .tra and .drn files have rewards with names")


class Format(NamedTuple):
    """One format: how it is told, read and written.

    Attributes:
        name: what to call it.
        suffixes: the ends of its files' names; the first one is written.
        summary: one line of help.
        read: a model, notes and names from a source; a ValueError says what is wrong.
        write: the bytes of each file by suffix, and notes.
        siblings: the suffixes of files beside the first that belong to it.
        several: those of them of which there may be several, as m.srew, m1.srew, m.time.srew beside m.tra.
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    read: Callable[[Source], Result]
    write: Callable[[FiniteMDP, Names], tuple[dict[str, bytes], tuple[str, ...]]]
    siblings: tuple[str, ...] = ()
    several: tuple[str, ...] = ()


def lines(data: bytes) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers from 1."""
    if b"\0" in data:
        raise ValueError("a NUL byte; this is no text file")
    for number, raw in enumerate(io.BytesIO(data), 1):
        if len(raw) > LONGEST_LINE:
            raise LineError(f"a line of {len(raw)} bytes; at most {LONGEST_LINE} are read", number)
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise LineError(f"byte {error.start} of the line is not UTF-8 text", number) from None
        stripped = line.strip()
        if stripped:
            yield number, stripped


def whole(token: str, what: str = "index") -> int:
    """A non-negative integer."""
    if token.isdecimal() and token.isascii() and len(token) <= 15:
        return int(token)
    raise ValueError(f"{what} {shown(token)} is not an integer from 0 to 10^15")


def real(token: str, what: str = "number") -> float:
    """A decimal number or a fraction such as 1/3."""
    try:
        if "_" in token or not token.isascii():
            raise ValueError
        if "/" in token:
            over, under = token.split("/")
            return float(over) / float(under)
        return float(token)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{what} {shown(token)} is not a number") from None


def shown(token: object) -> str:
    """What was found, for a message: short and on one line."""
    text = token if isinstance(token, str) else repr(token)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def terminal_notes(labelled: int, how: str) -> tuple[str, ...]:
    """The note on states that are terminal by a label or a list, if there are any."""
    return (f"{labelled} {'state' if labelled == 1 else 'states'} {how}",) if labelled else ()
