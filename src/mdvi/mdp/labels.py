"""What states and actions are called, and where states lie on a map: for people, never for the mathematics."""

import re
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from mdvi.words import did_you_mean

COMPASS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # the moves (down, right) of up, right, down and left
_MENTIONED = re.compile(r"\b(state|action) ([0-9]+)")


class Names(NamedTuple):
    """The names of states and actions, in their order; empty where they have none but their numbers.

    A name is text, a number, or any other value that can be hashed, a pair (row, column) among others. Files hold
    names as text.

    Attributes:
        states: one name for each state, or none at all.
        actions: one name for each action, or none at all.
    """

    states: tuple[Any, ...] = ()
    actions: tuple[Any, ...] = ()

    def states_of(self, size: int) -> tuple[Any, ...]:
        """The names of `size` states, of which the last may be a terminal state that was added."""
        names = self.states
        if names and len(names) == size - 1:
            names = (*names, next(name for name in ("end", *(f"end{i}" for i in range(size))) if name not in names))
        return names

    def check(self, states: int, actions: int) -> "Names":
        """These names, if every state and action has one of its own.

        Raises:
            ValueError: otherwise.
        """
        for kind, names, size in (("states", self.states, states), ("actions", self.actions, actions)):
            if names and len(names) != size:
                raise ValueError(f"{len(names)} names of {kind}, but there are {size}")
            if names and len(set(names)) < size:
                raise ValueError(f"names of {kind}: two are the same")
        return self

    def as_text(self) -> "Names":
        """The names as files hold them.

        Raises:
            ValueError: when two names are the same as text.
        """
        text = Names(*(tuple(map(str, names)) for names in self))
        return text.check(len(text.states), len(text.actions))

    def state(self, index: int | Any) -> Any:
        """The name of a state; its number where states have no names."""
        return self.states[index] if self.states else int(index)

    def action(self, index: int | Any) -> Any:
        """The name of an action; its number where actions have no names."""
        return self.actions[index] if self.actions else int(index)

    def in_words(self, message: str) -> str:
        """A message that counts states and actions, with the names in place of the numbers.

        >>> Names(("low", "high"), ("wait",)).in_words("state 1, action 0 has reward inf")
        "state 'high', action 'wait' has reward inf"
        """

        def named(found: re.Match[str]) -> str:
            names, index = (self.states if found[1] == "state" else self.actions), int(found[2])
            return f"{found[1]} {names[index]!r}" if index < len(names) else found[0]

        return _MENTIONED.sub(named, message)


def names_of(kind: str, given: Iterable[Hashable] | None) -> tuple[Any, ...]:
    """Names as somebody gives them: no text by itself, and nothing that cannot be hashed."""
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
    """The number of the state or action of that name; without such a name, a number stands for itself.

    Raises:
        ValueError: when there is none.
    """
    if name in names:
        return names.index(name)
    if isinstance(name, bool) or not hasattr(name, "__index__"):
        hint = did_you_mean(str(name), [str(each) for each in names[:1000]]) if names else f"; they are 0…{size - 1}"
        raise ValueError(f"{kind}: there is none called {name!r}{hint}")
    if not 0 <= int(name) < size:
        raise ValueError(f"{kind}: {name} is outside 0…{size - 1}")
    return int(name)


class Layout(NamedTuple):
    """Where states lie on a map: state i in row i // columns and column i % columns; further states lie nowhere.

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
