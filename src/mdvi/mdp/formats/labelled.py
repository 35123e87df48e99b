"""Common parts of the formats of PRISM and Storm: choices with names, labels of terminal states, and notes on both."""

import re
from array import array
from collections.abc import Iterable, Mapping, Set

import numpy as np

from mdvi.mdp.formats.text import Result, Source, shown, terminal_notes
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import SMALL, Listing, Transitions, assemble, check_size, count
from mdvi.words import plain

ENDS = ("terminal", "deadlock")
_PLAIN_NAME = r"a(0|[1-9][0-9]{0,8})"


def writing_notes(what: Listing) -> tuple[str, ...]:
    """The notes on translations and omissions in a written file."""
    notes = terminal_notes(int(what.terminal.sum()), "written with loops and the label terminal")
    last = np.flatnonzero(what.legal.any(0))[-1]
    if last < what.legal.shape[1] - 1:
        notes += (f"{count(what.legal.shape[1] - 1 - int(last), 'action')} legal nowhere not written",)
    return (*what.notes, *notes, "the discount is not written")


class Choices:
    """The name of the action of each transition; a0, a1, … are numbers, other names are in order of appearance."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._names = array("q")

    def add(self, name: str) -> None:
        """Append the name of the action of the next transition."""
        self._names.append(self._known.setdefault(name, len(self._known)))

    def rename(
        self, given: Transitions, states: int, size: int
    ) -> tuple[Transitions, tuple[str, ...], tuple[str, ...]]:
        """Transitions with actions numbered by their names, the names, and notes.

        Names are used only if all choices have names, no state has a name twice, and the table is not too large.
        """
        names, number = tuple(self._known), np.array(self._names, np.int64)
        if names in ((), ("",)):
            return given, (), ()
        if plain_names := all(re.fullmatch(_PLAIN_NAME, name) for name in names):
            number = np.array([int(name[1:]) for name in names])[number]
        choices = given.state * (int(given.action.max()) + 1) + given.action
        pairs, first = np.unique(choices, return_index=True)
        named = given.state * 10**9 + number
        # Names must be unique for each choice, and choices unique for each name.
        fits = "" not in names and states * (int(number.max()) + 1) <= size + SMALL
        fits = fits and bool((named == named[first][np.searchsorted(pairs, choices)]).all())
        if not (fits and len(np.unique(named)) == len(pairs)):
            return given, (), ("names of actions not read: some choices have none, or share theirs with another",)
        return given._replace(action=number), () if plain_names else names, ()


def written_actions(what: Listing, names: Names) -> tuple[list[str], tuple[str, ...]]:
    """The names of actions for a file that identifies them by name, and a note if the model has other names."""
    actions = what.reward.shape[1]
    numbered = [f"a{a}" for a in range(actions)]
    if not names.actions:
        return numbered, ()
    there, first = np.unique(what.transitions.action, return_index=True)
    words = all(re.fullmatch(r"[^\s\[\]{}:]+", name) and plain(name) == name for name in names.actions)
    numbers = all(re.fullmatch(_PLAIN_NAME, name) for name in names.actions)
    if words and not numbers and len(there) == actions and (np.diff(first) > 0).all():
        return list(names.actions), ()
    return numbered, ("names of actions not written: they are no words, or would be read in another order",)


def written_states(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of states if each fits on one line; otherwise none, and a note."""
    if all(name and plain(name) == name == name.strip() for name in names):
        return names, ()
    return (), ("names of states not written: some do not fit on a line",)


def unread(labels: Iterable[str]) -> str:
    """The part of a note about labels that are not read."""
    others = [shown(label) for label in dict.fromkeys(labels) if label not in (*ENDS, "init")]
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return f"; labels not read: {', '.join(others[:5])}{more}" if others else ""


def assemble_labelled(
    source: Source, given: Transitions, states: int, labels: Mapping[str, Set[int]], names: Names
) -> Result:
    """The model of an explicit state space; labelled ends, and absorbing states without reward, are terminal."""
    actions = len(names.actions) or int(given.action.max(initial=0)) + 1
    check_size(states, actions, source.size)
    terminal = np.zeros(states, bool)
    notes: tuple[str, ...] = ()
    for label in ENDS:
        here = np.array(sorted(labels.get(label, ())), np.int64)
        terminal[here] = True
        notes += terminal_notes(len(here), f"labelled {label} made terminal")
    model, more = assemble(
        given,
        (states, actions),
        source.gamma(),
        terminal=terminal,
        absorbing=True,
        rescale=True,
        advice="label it terminal or give it a choice",
    )
    return model, notes + more, names
