"""Common parts of the readers and writers of formats: sources, lines and numbers."""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mdvi.mdp.labels import Names
from mdvi.mdp.listing import LineError
from mdvi.mdp.model import FiniteMDP

LONGEST_LINE = 2**20


class FormatError(ValueError):
    """A file that is not a valid model; the message is one line, `path:line: what is wrong`."""


Result = tuple[FiniteMDP, tuple[str, ...], Names]  # the model, notes and names that a reader returns


class Imported(NamedTuple):
    """A model from a file.

    Attributes:
        model: the model.
        format: the name of the format.
        notes: notes on translations into the conventions of mdvi.
        names: the names of states and actions in the file.
    """

    model: FiniteMDP
    format: str
    notes: tuple[str, ...]
    names: Names = Names()


class Source(NamedTuple):
    """The bytes of a file, and the options for reading it.

    Attributes:
        data: the bytes.
        discount: γ, instead of γ in the file.
        siblings: the bytes of further files, by the part of their names after `stem`.
        reward: the name of one of several rewards, or "none".
        stem: the name of the file without its suffix.
    """

    data: bytes
    discount: float | None = None
    siblings: Mapping[str, bytes] = {}
    reward: str | None = None
    stem: str = ""

    @property
    def size(self) -> int:
        """The number of bytes, including siblings."""
        return len(self.data) + sum(map(len, self.siblings.values()))

    def gamma(self, stated: float | None = None) -> float:
        """The discount from the options, or otherwise from the file."""
        gamma = stated if self.discount is None else self.discount
        if gamma is None:
            raise ValueError("this file has no discount; give one with --discount")
        if not 0 <= gamma <= 1:
            raise ValueError(f"the discount {gamma!r} is outside [0, 1]; give another one with --discount")
        return float(gamma)

    def check_reward(self) -> None:
        """Check that no reward is selected by name, for formats without names of rewards."""
        if self.reward is not None:
            raise ValueError(f"--reward {shown(self.reward)}: only .tra and .drn files have named rewards")


class Format(NamedTuple):
    """A format of files.

    Attributes:
        name: the name of the format.
        suffixes: the suffixes of its files; the first one is written.
        summary: one line of help.
        read: returns a model, notes and names from a source; raises ValueError for an invalid file.
        write: returns the bytes of each file by suffix, and notes.
        siblings: the suffixes of further files that belong to the first.
        several: the siblings of which there may be several, as m.srew, m1.srew, m.time.srew next to m.tra.
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
        raise ValueError("expected a text file, found a NUL byte")
    for number, raw in enumerate(io.BytesIO(data), 1):
        if len(raw) > LONGEST_LINE:
            raise LineError(f"expected at most {LONGEST_LINE} bytes in a line, got {len(raw)}", number)
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
    """A token for a message, short and on one line."""
    text = token if isinstance(token, str) else repr(token)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def terminal_notes(labelled: int, how: str) -> tuple[str, ...]:
    """The note on states that are terminal by a label or a list, if there are any."""
    return (f"{labelled} {'state' if labelled == 1 else 'states'} {how}",) if labelled else ()
