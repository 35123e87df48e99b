"""Models out of Gymnasium: environments that publish their table `P`, such as the toy-text family."""

import itertools
import warnings
from typing import Any

import numpy as np

from mdvi.mdp.model import FiniteMDP


def from_gymnasium(environment: Any, /, discount: float = 0.99, **options: Any) -> FiniteMDP:
    """The model behind a Gymnasium environment.

    `P[s][a]` is a list of (probability, next state, reward, terminated). A terminated transition pays its
    reward and leads to a terminal state of value zero: here all of them lead to one extra state, the last,
    so that a state which is left normally by one action and ends the episode by another stays exact.

    Args:
        environment: an environment id such as "FrozenLake-v1", or an environment that has `P`.
        discount: γ in [0, 1).
        options: passed to `gymnasium.make` with an id, for example `map_name="8x8"`.

    Raises:
        ValueError: for an unknown id, or an environment without a table.
        ModuleNotFoundError: when Gymnasium is not installed.
    """
    if isinstance(environment, str):
        environment = _make(environment, options)
    bare = getattr(environment, "unwrapped", environment)
    table = getattr(bare, "P", None)
    if table is None:
        if type(bare).__name__ == "BlackjackEnv":
            return _from_entries(_blackjack_entries(bare), discount)
        raise ValueError(f"{type(bare).__name__} publishes no transition table `P`; only finite models can be read")
    return _from_entries(table, discount)


def _make(name: str, options: dict[str, Any]) -> Any:
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise ModuleNotFoundError("Gymnasium is not installed: pip install 'mdvi[envs]'", name="gymnasium") from None
    try:
        with warnings.catch_warnings(record=True) as remarks:
            environment = gymnasium.make(name, **options)
    except gymnasium.error.Error as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    except Exception as error:  # an environment may answer options it does not know with anything
        raise ValueError(f"{name} with {options}: {type(error).__name__}: {error}") from None
    for remark in remarks:
        warnings.warn(remark.message, stacklevel=3)
    return environment


def _from_entries(table: Any, discount: float) -> FiniteMDP:
    """A model from P[s][a] = [(probability, next state, reward, terminated), …]."""
    states, actions = len(table), len(table[0])
    end = states
    reward = np.zeros((states + 1, actions))
    rows: dict[tuple[int, int], dict[int, float]] = {}
    for s, a in itertools.product(range(states), range(actions)):
        row = rows.setdefault((s, a), {})
        for probability, successor, gain, terminated in table[s][a]:
            target = end if terminated else int(successor)
            row[target] = row.get(target, 0.0) + float(probability)
            reward[s, a] += float(probability) * float(gain)
    width = max(len(row) for row in rows.values())
    successors = np.zeros((states + 1, actions, width), np.int64)
    probabilities = np.zeros(successors.shape)
    for (s, a), row in rows.items():
        successors[s, a, : len(row)] = list(row)
        probabilities[s, a, : len(row)] = list(row.values())
    terminal = np.arange(states + 1) == end
    return FiniteMDP((successors, probabilities), reward, discount, terminal=terminal)


_CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}  # an infinite deck; 10 is also J, Q, K


def _blackjack_entries(environment: Any) -> list[list[list[tuple[float, int, float, bool]]]]:
    """Blackjack's table, which the environment plays but does not publish, from its rules.

    States: hard sums 4…21, then sums 12…21 with a usable ace, then a natural (ace and ten as dealt, which
    the observation does not tell from other soft 21s but the rewards may); for each the dealer's card 1…10,
    so that `hand * 10 + dealer - 1` is the index. Actions: 0 stick, 1 hit.
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
    """Sticking on a natural: `sab` beats all but another natural, `natural` pays one and a half for a win."""
    if environment.sab:
        tie = {1: _CARDS[10], 10: _CARDS[1]}.get(dealer, 0.0)
        return [(tie, 0, 0.0, True), (1 - tie, 0, 1.0, True)]
    win = 1.5 if environment.natural else 1.0
    return [(p, state, win if reward == 1.0 else reward, end) for p, state, reward, end in stick]


def _add_card(total: int, usable_ace: bool, card: int) -> tuple[int, bool]:
    """The sum after one more card, counting an ace as 11 while that does not bust."""
    hard = total - 10 * usable_ace + card
    ace = usable_ace or card == 1
    return (hard + 10, True) if ace and hard + 10 <= 21 else (hard, False)


def _dealer_finals(total: int, usable_ace: bool) -> dict[int, float]:
    """The dealer's final score, 0 for bust, with its probability; the dealer draws up to 17."""
    if total >= 17:
        return {total if total <= 21 else 0: 1.0}
    finals: dict[int, float] = {}
    for card, p in _CARDS.items():
        for final, chance in _dealer_finals(*_add_card(total, usable_ace, card)).items():
            finals[final] = finals.get(final, 0.0) + p * chance
    return finals
