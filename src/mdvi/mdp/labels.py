"""The names of states and actions, and the positions of states on a map; computations do not use them."""

import re
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from mdvi.words import did_you_mean

COMPASS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # the moves (down, right) of up, right, down and left
_MENTIONED = re.compile(r"\b(state|action) ([0-9]+)")


class Names(NamedTuple):
    """The names of states and actions.

    A name is a text, a number, or any other hashable value, such as a pair (row, column). Files store names as text.

    Attributes:
        states: the names of the states, in their order; empty if states are identified by their numbers.
        actions: the names of the actions, likewise.
    """

    states: tuple[Any, ...] = ()
    actions: tuple[Any, ...] = ()

    def states_of(self, size: int) -> tuple[Any, ...]:
        """The names of `size` states; the last may be an additional terminal state."""
        names = self.states
        if names and len(names) == size - 1:
            names = (*names, next(name for name in ("end", *(f"end{i}" for i in range(size))) if name not in names))
        return names

    def check(self, states: int, actions: int) -> "Names":
        """These names, after a check that every state and every action has a different name.

        Raises:
            ValueError: if names are missing or repeated.
        """
        for kind, names, size in (("states", self.states, states), ("actions", self.actions, actions)):
            if names and len(names) != size:
                raise ValueError(f"names of {kind}: expected {size} names, got {len(names)}")
            if names and len(set(names)) < size:
                raise ValueError(f"names of {kind}: expected different names, but two are the same")
        return self

    def as_text(self) -> "Names":
        """The names as text, for files.

        Raises:
            ValueError: if two names are the same as text.
        """
        text = Names(*(tuple(map(str, names)) for names in self))
        return text.check(len(text.states), len(text.actions))

    def state(self, index: int | Any) -> Any:
        """The name of a state; its number if states have no names."""
        return self.states[index] if self.states else int(index)

    def action(self, index: int | Any) -> Any:
        """The name of an action; its number if actions have no names."""
        return self.actions[index] if self.actions else int(index)

    def in_words(self, message: str) -> str:
        """A message with the numbers of states and actions replaced by their names.

        >>> Names(("low", "high"), ("wait",)).in_words("state 1, action 0 has reward inf")
        "state 'high', action 'wait' has reward inf"
        """

        def named(found: re.Match[str]) -> str:
            names, index = (self.states if found[1] == "state" else self.actions), int(found[2])
            return f"{found[1]} {names[index]!r}" if index < len(names) else found[0]

        return _MENTIONED.sub(named, message)


def names_of(kind: str, given: Iterable[Hashable] | None) -> tuple[Any, ...]:
    """The names in an argument, after a check that it is a list of hashable values and not one text."""
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{kind}: expected a list of names, got {given!r}")
    names = tuple(given.tolist() if hasattr(given, "tolist") else given)
    for name in names:
        if not isinstance(name, Hashable):
            raise ValueError(f"{kind}: expected text, numbers or tuples as names, got {name!r}")
    return names


def place_of(kind: str, name: Any, names: tuple[Any, ...], size: int) -> int:
    """The number of the state or action with a name; a number that is not a name is returned unchanged.

    Raises:
        ValueError: if there is no such state or action.
    """
    if name in names:
        return names.index(name)
    if isinstance(name, bool) or not hasattr(name, "__index__"):
        hint = did_you_mean(str(name), [str(each) for each in names[:1000]]) if names else f"; known are 0…{size - 1}"
        raise ValueError(f"{kind}: unknown name {name!r}{hint}")
    if not 0 <= int(name) < size:
        raise ValueError(f"{kind}: {name} is outside 0…{size - 1}")
    return int(name)


class Layout(NamedTuple):
    """The positions of states on a map: state i is in row i // columns and column i % columns, if that row exists.

    Attributes:
        rows: the number of rows.
        columns: the number of columns.
        moves: the step (down, right) of each action.
        marks: a letter for each cell, such as G for a goal, or none.
    """

    rows: int
    columns: int
    moves: tuple[tuple[int, int], ...]
    marks: str = ""
