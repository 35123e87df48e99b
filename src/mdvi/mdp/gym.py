"""Models from Gymnasium environments that publish their table `P`, such as the toy-text family."""

import itertools
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from mdvi import door
from mdvi.mdp.labels import COMPASS, Layout, Names
from mdvi.mdp.listing import Collector, Listing, assemble, count, listing
from mdvi.mdp.model import FiniteMDP

_MAPS = {  # Gymnasium environments on a map: the names of the actions, and their moves
    "FrozenLakeEnv": (("left", "down", "right", "up"), ((0, -1), (1, 0), (0, 1), (-1, 0))),
    "CliffWalkingEnv": (("up", "right", "down", "left"), COMPASS),
}


def from_gymnasium(environment: Any, /, discount: float = 0.99, **options: Any) -> FiniteMDP:
    """The model of a Gymnasium environment.

    `P[s][a]` is a list of (probability, next state, reward, terminated). A terminated transition pays its reward and
    leads to a terminal state of value zero. Here all terminated transitions lead to one additional state, the last, so
    that a state can be entered both with and without termination.

    Args:
        environment: an id such as "FrozenLake-v1" (or `module:ID`, which executes the code of that module), an
            environment with a table `P`, or such a table.
        discount: γ in [0, 1).
        options: options of `gymnasium.make`, if `environment` is an id, for example `map_name="8x8"`.

    Raises:
        ValueError: if the id is unknown, or the environment has no table.
        ModuleNotFoundError: if Gymnasium is not installed.
    """
    if isinstance(environment, str):
        environment = _make(environment, options)
    bare = getattr(environment, "unwrapped", environment)
    model = _without_map(bare, discount)
    kind = type(bare).__name__
    if kind not in _MAPS:
        return model
    names, moves = _MAPS[kind]
    marks = bare.desc.astype(str) if kind == "FrozenLakeEnv" else np.full(bare.shape, " ")
    marks = np.where(marks == "F", " ", marks)
    rows, columns = marks.shape
    layout = Layout(rows, columns, moves, "".join(marks.ravel().tolist()))
    return model.replace(names=Names(actions=names), layout=layout)


def _without_map(bare: Any, discount: float) -> FiniteMDP:
    table = bare if isinstance(bare, Mapping | list | tuple) else getattr(bare, "P", None)
    if table is None:
        if type(bare).__name__ == "BlackjackEnv":
            return from_table(_blackjack_entries(bare), discount)[0]
        raise ValueError(
            f"{type(bare).__name__} has no transition table `P`, which a model is read from; `mdvi.train` needs none"
        )
    return from_table(table, discount)[0]


def _make(name: str, options: dict[str, Any]) -> Any:
    gymnasium = door.library()
    try:
        with warnings.catch_warnings(record=True) as remarks:
            environment = door.maker(name)(**options)
    except gymnasium.error.Error as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    except Exception as error:  # an environment may raise anything for unknown options
        raise ValueError(f"{name} with {options}: {type(error).__name__}: {error}") from None
    for remark in remarks:
        warnings.warn(remark.message, stacklevel=3)
    return environment


def from_table(
    table: Any, discount: float, *, own_ends: bool = False, rescale: bool = False
) -> tuple[FiniteMDP, tuple[str, ...]]:
    """A model from P[s][a] = [(probability, next state, reward, terminated), …], and notes.

    Args:
        table: dictionaries or sequences; the keys of dictionaries are 0, 1, … as numbers or text. An empty list makes
            the action illegal.
        discount: γ in [0, 1).
        own_ends: make a state terminal if all its transitions stay, pay nothing and terminate; terminated transitions
            into other states lead to one additional state, the last. Without it, all terminated transitions do.
        rescale: divide rows whose sums differ from 1 by at most 1e-4 by their sums.
    """
    found = Collector()
    states = _members(table, "P", None)
    actions = len(_members(states[0], "state 0", None))
    ended = []
    for s, row in enumerate(states):
        for a, outcomes in enumerate(_members(row, f"state {s}", actions)):
            if not isinstance(outcomes, list | tuple):
                raise ValueError(f"state {s}, action {a}: expected a list of outcomes, got {type(outcomes).__name__}")
            for outcome in outcomes:
                p, successor, reward, terminated = _outcome(outcome, s, a)
                if not 0 <= successor < len(states):
                    raise ValueError(f"state {s}, action {a} names next state {successor}, outside 0…{len(states) - 1}")
                found.add(0, s, a, successor, p, reward)
                ended.append(terminated)
    given, done = found.transitions(), np.array(ended, bool)
    terminal = np.zeros(len(states) + 1, bool)
    if own_ends:
        goes_on = ~(done & (given.successor == given.state) & (given.reward == 0))
        terminal[given.state] = True
        terminal[given.state[goes_on]] = False
    notes = [f"{count(int(terminal.sum()), 'state')} that only terminated made terminal"] if terminal.any() else []
    to_extra = done & ~terminal[given.successor]
    if own_ends and not to_extra.any():
        terminal = terminal[:-1]
    else:
        notes.append(f"{count(int(to_extra.sum()), 'terminated transition')} lead to one more terminal state, the last")
        terminal[-1] = True
        given = given._replace(successor=np.where(to_extra, len(states), given.successor))
    advice = "give it an action, or let its actions stay and terminate"
    shape = len(terminal), actions
    model, more = assemble(given, shape, discount, terminal=terminal, merge=True, rescale=rescale, advice=advice)
    return model, (*notes, *more)


def _members(table: Any, name: str, size: int | None) -> list[Any]:
    """The entries 0, 1, … of a dictionary or sequence, after a check that there are `size` entries."""
    if isinstance(table, Mapping):
        found = {str(key): entry for key, entry in table.items()}
        for key in range(len(found)):
            if str(key) not in found:
                raise ValueError(f"{name} has no entry {key}; entries should be numbered 0…{len(found) - 1}")
        entries = [found[str(key)] for key in range(len(found))]
    elif isinstance(table, list | tuple):
        entries = list(table)
    else:
        raise ValueError(f"{name}: expected a dictionary or a list, got {type(table).__name__}")
    if not entries or (size is not None and len(entries) != size):
        raise ValueError(f"{name} has {len(entries)} entries, expected {'at least one' if size is None else size}")
    return entries


def _outcome(outcome: Any, s: int, a: int) -> tuple[float, int, float, bool]:
    """(probability, next state, reward, terminated), after a check of the types."""
    if isinstance(outcome, list | tuple) and len(outcome) == 4:
        p, successor, reward, terminated = outcome
        numbers = all(
            isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
            for number in (p, reward)
        )
        index = isinstance(successor, int | np.integer) and not isinstance(successor, bool)
        if numbers and index and isinstance(terminated, bool | np.bool_):
            try:
                return float(p), int(successor), float(reward), bool(terminated)
            except OverflowError:
                pass
    raise ValueError(
        f"state {s}, action {a}: expected [probability, next state, reward, terminated], got {repr(outcome)[:60]}"
    )


def to_gymnasium(model: FiniteMDP) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    """The table P[s][a] = [(probability, next state, reward, terminated), …] of a model.

    Transitions into terminal states terminate, and terminal states stay and terminate; illegal actions have an empty
    list. If a row sums to p < 1, an outcome of probability 1 − p leads to an additional terminal state, the last.
    """
    return table_of(listing(model))


def table_of(what: Listing) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    """The table of a list of transitions."""
    states, actions = what.reward.shape
    ends = what.terminal.tolist()
    table = {s: {a: [(1.0, s, 0.0, True)] if ends[s] else [] for a in range(actions)} for s in range(states)}
    for s, a, t, p, r in zip(*(column.tolist() for column in what.transitions[1:]), strict=True):
        table[s][a].append((p, t, r, ends[t]))
    return table


_CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}  # an infinite deck; 10 is also J, Q, K


def _blackjack_entries(environment: Any) -> list[list[list[tuple[float, int, float, bool]]]]:
    """The table of Blackjack, which the environment does not publish, from the rules.

    States: hard sums 4…21, then sums 12…21 with a usable ace, then a natural (ace and ten as dealt, whose observation
    equals other soft 21s but whose rewards may differ); each with the card 1…10 of the dealer, so that the index is
    `hand * 10 + dealer - 1`. Actions: 0 stick, 1 hit.
    """
    hands = [(total, False) for total in range(4, 22)] + [(total, True) for total in range(12, 22)]
    index = {hand: i for i, hand in enumerate(hands)}
    entries = []
    for (hand, natural), dealer in itertools.product(
        [*((hand, False) for hand in hands), ((21, True), True)], range(1, 11)
    ):
        finals = _dealer_finals(*_add_card(0, False, dealer))
        stick = [(p, 0, float(np.sign(hand[0] - final)), True) for final, p in finals.items()]
        if natural:
            stick = _natural_entries(environment, dealer, stick)
        hit = []
        for card, p in _CARDS.items():
            drawn = _add_card(*hand, card)
            bust = drawn[0] > 21
            hit.append((p, 0 if bust else index[drawn] * 10 + dealer - 1, -1.0 if bust else 0.0, bust))
        entries.append([stick, hit])
    return entries


def _natural_entries(
    environment: Any, dealer: int, stick: list[tuple[float, int, float, bool]]
) -> list[tuple[float, int, float, bool]]:
    """Sticking on a natural: with `sab` it beats everything but another natural; with `natural` a win pays 1.5."""
    if environment.sab:
        tie = {1: _CARDS[10], 10: _CARDS[1]}.get(dealer, 0.0)
        return [(tie, 0, 0.0, True), (1 - tie, 0, 1.0, True)]
    win = 1.5 if environment.natural else 1.0
    return [(p, state, win if reward == 1.0 else reward, end) for p, state, reward, end in stick]


def _add_card(total: int, usable_ace: bool, card: int) -> tuple[int, bool]:
    """The sum after one more card; an ace counts as 11 unless that exceeds 21."""
    hard = total - 10 * usable_ace + card
    ace = usable_ace or card == 1
    return (hard + 10, True) if ace and hard + 10 <= 21 else (hard, False)


@cache
def _dealer_finals(total: int, usable_ace: bool) -> dict[int, float]:
    """The probabilities of the final scores of the dealer, 0 for bust; the dealer draws up to 17."""
    if total >= 17:
        return {total if total <= 21 else 0: 1.0}
    finals: dict[int, float] = {}
    for card, p in _CARDS.items():
        for final, chance in _dealer_finals(*_add_card(total, usable_ace, card)).items():
            finals[final] = finals.get(final, 0.0) + p * chance
    return finals
