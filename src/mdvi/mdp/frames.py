"""A model from a table with one row for each transition, with any names of states and actions."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from mdvi.mdp.labels import Names, names_of, place_of
from mdvi.mdp.listing import Transitions, assemble, keys, located
from mdvi.mdp.model import FiniteMDP
from mdvi.words import nearest

DUPLICATES = ("refuse", "sum")
Column = str | Sequence[str]  # several columns make each row a tuple


def model_of_frame(
    frame: Any,
    discount: float,
    columns: tuple[Column, Column, Column],
    probability: str,
    reward: str | None,
    terminal: Iterable[Hashable],
    states: Iterable[Hashable] | None,
    actions: Iterable[Hashable] | None,
    duplicates: str,
    normalize: bool,
) -> FiniteMDP:
    """`FiniteMDP.from_frame`, with the columns of states, actions and next states in one tuple."""
    here, chosen, there = (
        _labels(frame, name, column) for name, column in zip(("state", "action", "next"), columns, strict=True)
    )
    ends = names_of("terminal", terminal)
    known = names_of("states", states) or in_order([*here, *there])
    able = names_of("actions", actions) or in_order(chosen)
    paid = np.zeros(len(here)) if reward is None else _numbers(frame, "reward", reward)
    given = Transitions(
        np.zeros(len(here), np.int64),
        _places("state", here, known, "states"),
        _places("action", chosen, able, "actions"),
        _places("next", there, known, "states"),
        _numbers(frame, "probability", probability),
        paid,
    )
    return named_model(given, Names(known, able), discount, ends, duplicates, normalize, _two_rows)


def named_model(
    given: Transitions,
    names: Names,
    discount: float,
    terminal: Iterable[Hashable],
    duplicates: str,
    normalize: bool,
    where: Any = lambda first, second: "",
) -> FiniteMDP:
    """The model of transitions between states with names; errors use the names.

    Args:
        given: the transitions.
        names: the names of all states and actions; names 0, 1, … are not stored, since they equal the numbers.
        discount: γ in [0, 1].
        terminal: the names of the terminal states.
        duplicates: "refuse" or "sum".
        normalize: divide rows whose sums differ from 1 by at most 1e-4 by their sums.
        where: describes the place of two equal transitions in messages.
    """
    if duplicates not in DUPLICATES:
        raise ValueError(f"duplicates: expected 'refuse' or 'sum', got {duplicates!r}")
    shape = len(names.states), len(names.actions)
    if not all(shape):
        raise ValueError("a model needs at least one transition")
    ends = np.zeros(shape[0], bool)
    for name in terminal:
        ends[place_of("terminal", name, names.states, shape[0])] = True
    counted = (() if each == tuple(range(len(each))) else each for each in names)
    try:
        if duplicates == "refuse":
            _check_repetitions(given.at(~ends[given.state]), shape, where)
        model, _ = assemble(
            given,
            shape,
            discount,
            terminal=ends,
            merge=duplicates == "sum",
            rescale=normalize,
            advice="give it transitions, or list it in terminal=[…] if episodes end there",
        )
    except ValueError as error:
        raise ValueError(names.in_words(str(error))) from None
    return model.replace(names=Names(*counted))


def in_order(labels: Iterable[Hashable]) -> tuple[Any, ...]:
    """The distinct labels: numbers, or tuples of numbers, in ascending order; other labels in order of appearance."""
    try:
        found: tuple[Any, ...] = tuple(dict.fromkeys(labels))
    except TypeError as error:
        raise ValueError(f"states and actions must be text, numbers or tuples: {error}") from None
    return tuple(sorted(found)) if all(map(_is_number, found)) or all(map(_are_numbers, found)) else found


def _is_number(label: Any) -> bool:
    return isinstance(label, int | float)


def _are_numbers(label: Any) -> bool:
    return isinstance(label, tuple) and all(map(_is_number, label))


def _check_repetitions(given: Transitions, shape: tuple[int, int], where: Any) -> None:
    """Check that no next state is listed twice for one state and action."""
    key = keys(given, shape)
    order = np.argsort(key, kind="stable")
    for place in np.flatnonzero(np.diff(key[order]) == 0)[:1]:
        first, second = order[place], order[place + 1]
        with located():
            raise ValueError(
                f"{given.name(second)} is listed twice{where(first, second)}; add the probabilities up, or set "
                "duplicates='sum'"
            )


def _two_rows(first: int, second: int) -> str:
    return f" (rows {first} and {second}, counted from 0)"


def _column(frame: Any, argument: str, name: str) -> Any:
    """One column of a data frame, a mapping, an Arrow table or a structured array."""
    known = getattr(frame, "column_names", None) or getattr(getattr(frame, "dtype", None), "names", None)
    if known is None:
        known = frame.keys() if hasattr(frame, "keys") else getattr(frame, "columns", None)
    if known is None or isinstance(frame, str):
        raise ValueError(f"frame: expected a data frame or a mapping of columns, got {type(frame).__name__}")
    if name not in list(known):
        columns = list(map(str, known))
        near, listed = nearest(str(name).lower(), columns, 0.8), ", ".join(columns[:20]) + ", …" * (len(columns) > 20)
        none = ", and reward=None sets rewards of 0" if argument == "reward" else ""
        raise ValueError(
            f"{argument}: there is no column {name!r}; "
            + (f"did you mean {near!r}? " if near else f"the columns are {listed}; ")
            + f"{argument}='…' says which one it is{none}"
        )
    return frame[name]


def _labels(frame: Any, argument: str, column: Column) -> list[Any]:
    """The labels of a column, or of several columns together, as plain values."""
    if not isinstance(column, str):
        return list(zip(*(_labels(frame, argument, name) for name in column), strict=True))
    found = _column(frame, argument, column)
    listed = next((getattr(found, way) for way in ("to_pylist", "to_list", "tolist") if hasattr(found, way)), None)
    labels = list(found) if listed is None else listed()
    for row, label in enumerate(labels):
        if label is None or (label == label) is not True:  # NaN is not equal to itself
            raise ValueError(
                f"{argument}: row {row} of column {column!r} has no value; give terminal states a name and list them "
                "in terminal=[…]"
            )
    return labels


def _numbers(frame: Any, argument: str, name: str) -> np.ndarray:
    column = _column(frame, argument, name)
    try:
        return np.asarray(column, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{argument}: column {name!r} has values that are not numbers") from None


def _places(argument: str, labels: list[Any], known: tuple[Any, ...], among: str) -> np.ndarray:
    index = {label: i for i, label in enumerate(known)}
    try:
        return np.fromiter(map(index.__getitem__, labels), np.int64, len(labels))
    except KeyError as error:
        label = error.args[0]
        raise ValueError(
            f"{argument}: row {labels.index(label)} has {label!r}, which is not in {among}=[…]; add it there"
        ) from None
