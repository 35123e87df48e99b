"""What PRISM's and Storm's files have in common: choices with names, labels that end an episode, and notes on both."""

from array import array
from collections.abc import Mapping, Set

import numpy as np

from mdvi.mdp.formats.text import Source, action_number, terminal_notes
from mdvi.mdp.listing import SMALL, Listing, Transitions, assemble, check_size, count
from mdvi.mdp.model import FiniteMDP

ENDS = ("terminal", "deadlock")


def writing_notes(what: Listing) -> tuple[str, ...]:
    """What such a file says in its own way, or not at all."""
    notes = terminal_notes(int(what.terminal.sum()), "written with loops and the label terminal")
    last = np.flatnonzero(what.legal.any(0))[-1]
    if last < what.legal.shape[1] - 1:
        notes += (f"{count(what.legal.shape[1] - 1 - int(last), 'action')} legal nowhere not written",)
    return (*what.notes, *notes, "the discount is not written")


class Names:
    """The action names of transitions, kept as the N of aN, or -1 for any other name."""

    def __init__(self) -> None:
        self._numbers = array("q")

    def add(self, name: str) -> None:
        """Append the name of the next transition's action."""
        self._numbers.append(action_number(name))

    def rename(self, given: Transitions, states: int, size: int) -> Transitions:
        """Actions by their names a0, a1, …, where all have such names, small enough, and no state has one twice."""
        named = np.array(self._numbers, np.int64)
        if not len(named) or named.min() < 0 or states * (int(named.max()) + 1) > size + SMALL:
            return given
        names, choices = given.state * 10**9 + named, given.state * (int(given.action.max()) + 1) + given.action
        pairs, first = np.unique(choices, return_index=True)
        # One name for each choice, and one choice for each name.
        if (names == names[first][np.searchsorted(pairs, choices)]).all() and len(np.unique(names)) == len(pairs):
            return given._replace(action=named)
        return given


def assemble_labelled(
    source: Source, given: Transitions, states: int, labels: Mapping[str, Set[int]]
) -> tuple[FiniteMDP, tuple[str, ...]]:
    """The model of an explicit state space; labelled ends, and absorbing states without reward, are terminal."""
    actions = int(given.action.max(initial=0)) + 1
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
        advice="label it terminal or give it a choice",
    )
    return model, notes + more
