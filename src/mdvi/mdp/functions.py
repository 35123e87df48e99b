"""A model from functions of states and actions of any hashable type."""

import inspect
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from mdvi.mdp.frames import in_order, named_model
from mdvi.mdp.labels import Names, names_of
from mdvi.mdp.listing import Collector
from mdvi.mdp.model import FiniteMDP

Outcomes = Mapping[Any, float] | Iterable[tuple[Any, float]]
Ends = Collection[Hashable] | Callable[[Any], bool]


def model_of_functions(
    states: Iterable[Hashable],
    actions: Iterable[Hashable] | Callable[[Any], Iterable[Hashable]],
    transitions: Callable[[Any, Any], Outcomes],
    reward: Callable[..., float] | None,
    discount: float,
    terminal: Ends,
    explore: bool,
    most: int,
    duplicates: str,
    normalize: bool,
) -> FiniteMDP:
    """`FiniteMDP.from_functions`."""
    queue = list(dict.fromkeys(names_of("states", states)))
    able = actions if callable(actions) else _always(names_of("actions", actions))
    ends = terminal if callable(terminal) else frozenset(names_of("terminal", terminal)).__contains__
    paid, found, over = _reward_of(reward), Collector(), []
    index = {state: i for i, state in enumerate(queue)}
    names = {} if callable(actions) else {action: i for i, action in enumerate(able(None))}
    for here in queue:  # grows while new states are found
        if ends(here):
            over.append(here)
            continue
        for action in able(here):
            place = names.setdefault(action, len(names))
            for there, probability in _outcomes(transitions(here, action), here, action):
                if there not in index:
                    _check_new(there, here, action, explore, len(index), most)
                    index[there] = len(index)
                    queue.append(there)
                found.add(0, index[here], place, index[there], probability, paid(here, action, there))
    given, called = found.transitions(), list(names)
    if explore:
        queue, (state, successor) = _ordered(queue, given.state, given.successor)
        given = given._replace(state=state, successor=successor)
    if callable(actions):
        called, (action,) = _ordered(called, given.action)
        given = given._replace(action=action)
    return named_model(given, Names(tuple(queue), tuple(called)), discount, over, duplicates, normalize)


def _check_new(there: Any, here: Any, action: Any, explore: bool, count: int, most: int) -> None:
    """Check that a new state is allowed."""
    if not explore:
        raise ValueError(
            f"transitions: state {here!r}, action {action!r} leads to {there!r}, which is not in states; add it "
            "there, or set explore=True to find all reachable states"
        )
    if count >= most:
        raise ValueError(f"states: the search found more than {most} states; bound the states, or increase most=…")


def _ordered(found: list[Any], *places: np.ndarray) -> tuple[list[Any], list[np.ndarray]]:
    """Labels sorted by `in_order`, and `places` renumbered accordingly."""
    order = list(in_order(found))
    index = {label: i for i, label in enumerate(order)}
    new = np.array([index[label] for label in found], np.int64)
    return order, [new[place] if len(new) else place for place in places]


def _always(actions: tuple[Any, ...]) -> Callable[[Any], Iterable[Any]]:
    return lambda state: actions


def _outcomes(given: Any, here: Any, action: Any) -> list[tuple[Any, float]]:
    """The next states and their probabilities."""
    try:
        pairs = given.items() if isinstance(given, Mapping) else given
        found = [(there, float(probability)) for there, probability in pairs]
        hash(tuple(there for there, _ in found))
    except (TypeError, ValueError):
        raise ValueError(
            f"transitions: state {here!r}, action {action!r} returned {repr(given)[:80]}; expected a mapping "
            "{next state: probability} or a list of pairs (next state, probability)"
        ) from None
    return found


def _reward_of(reward: Callable[..., float] | None) -> Callable[[Any, Any, Any], float]:
    """r(s, a, s') from a function of two or three arguments."""
    if reward is None:
        return lambda here, action, there: 0.0
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    taken = [p for p in inspect.signature(reward).parameters.values() if p.kind in kinds and p.default is p.empty]
    if len(taken) not in (2, 3):
        raise ValueError(f"reward: expected a function of (s, a) or (s, a, s'), got one with {len(taken)} arguments")
    if len(taken) == 2:
        return lambda here, action, there: float(reward(here, action))
    return lambda here, action, there: float(reward(here, action, there))
