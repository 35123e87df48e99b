"""Conversion between a `FiniteMDP` and a list of its transitions (s, a, s', p, r), for tables and files."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from mdvi.mdp.kernels import MatrixFree
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import NEARLY, row_tolerance

SMALL = 2**20  # the number of pairs (s, a) that an input of any size may declare


class LineError(ValueError):
    """An error with a line number (0 for none) and the suffix of the file, if it is not the first file of the input."""

    def __init__(self, message: str, line: int = 0, suffix: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.suffix = suffix


@contextmanager
def located(line: int = 0, suffix: str = "") -> Iterator[None]:
    """Add a line and a suffix to a ValueError that has none."""
    try:
        yield
    except ValueError as error:
        line = getattr(error, "line", 0) or line
        raise LineError(str(error), line, getattr(error, "suffix", "") or suffix) from None


class Transitions(NamedTuple):
    """One array per column, all of the same length; `line` is the line of a transition in a file, 0 for none."""

    line: np.ndarray
    state: np.ndarray
    action: np.ndarray
    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray

    def at(self, chosen: np.ndarray) -> "Transitions":
        """The transitions that a mask or indices select."""
        return Transitions(*(column[chosen] for column in self))

    def name(self, place: int | np.integer) -> str:
        """The description of a transition in messages."""
        return f"state {self.state[place]}, action {self.action[place]}, next state {self.successor[place]}"


class Collector:
    """A growing list of transitions that uses little memory."""

    def __init__(self) -> None:
        self._indices = array("q")
        self._numbers = array("d")

    def __len__(self) -> int:
        return len(self._numbers) // 2

    def add(self, line: int, state: int, action: int, successor: int, probability: float, reward: float = 0.0) -> None:
        """Append one transition."""
        self._indices.extend((line, state, action, successor))
        self._numbers.extend((probability, reward))

    def add_block(self, line: int, state: Any, action: Any, successor: Any, p: Any, reward: Any = 0.0) -> None:
        """Append all transitions of a block: arrays that broadcast against each other."""
        indices = np.broadcast_arrays(line, state, action, successor, p)[:4]
        numbers = np.broadcast_arrays(p, reward, indices[1])[:2]
        self._indices.frombytes(np.stack(indices, -1).astype(np.int64).tobytes())
        self._numbers.frombytes(np.stack(numbers, -1).astype(np.float64).tobytes())

    def transitions(self) -> Transitions:
        """The collected transitions."""
        indices = np.array(self._indices, np.int64).reshape(-1, 4)
        numbers = np.array(self._numbers, np.float64).reshape(-1, 2)
        return Transitions(*indices.T, *numbers.T)


class Listing(NamedTuple):
    """The input of a writer: the transitions of all live pairs, sorted by state and action, and the tables."""

    transitions: Transitions
    reward: np.ndarray
    terminal: np.ndarray
    legal: np.ndarray
    discount: float
    notes: tuple[str, ...]


def count(number: int, thing: str) -> str:
    """A number with its noun in the singular or the plural."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def check_size(states: int, actions: int, size: int) -> None:
    """Check that a model is not too large for an input of `size` bytes, or for 32-bit indices."""
    if states < 1 or actions < 1:
        raise ValueError(f"expected at least one state and one action, got {states} and {actions}")
    if states * actions > np.iinfo(np.int32).max:
        raise ValueError(f"{states} states × {actions} actions are more pairs than 32-bit indices can count")
    if states > size or states * actions > size + SMALL:
        raise ValueError(f"{states} states × {actions} actions are more than {size} bytes of input can describe")


def check_range(given: Transitions, shape: tuple[int, int]) -> None:
    """Check that states, actions and next states exist in a model of shape (states, actions)."""
    states, actions = shape
    for what, index, size in (
        ("state", given.state, states),
        ("action", given.action, actions),
        ("next state", given.successor, states),
    ):
        for place in np.flatnonzero((index < 0) | (index >= size))[:1]:
            raise LineError(f"{what} {index[place]} is outside 0…{size - 1}", int(given.line[place]))


def keys(given: Transitions, shape: tuple[int, int]) -> np.ndarray:
    """One integer for each (s, a, s'), in lexicographic order."""
    return (given.state * shape[1] + given.action) * shape[0] + given.successor


def match(key: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The index of each wanted number in the ascending array `key`, −1 if it is not there."""
    if not len(key):
        return np.full(len(wanted), -1)
    slot = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    return np.where(key[slot] == wanted, slot, -1)


def assemble(
    given: Transitions,
    shape: tuple[int, int],
    discount: float,
    *,
    terminal: np.ndarray | None = None,
    merge: bool = False,
    absorbing: bool = False,
    rescale: bool = False,
    advice: str = "mark it terminal or give it an action",
) -> tuple[FiniteMDP, tuple[str, ...]]:
    """The model of a list of transitions: pairs (s, a) without transitions are illegal, rewards are averaged over s'.

    Args:
        given: the transitions, in any order.
        shape: (states, actions).
        discount: γ.
        terminal: Boolean, shape (states,). Transitions of terminal states are ignored.
        merge: add the probabilities of repeated transitions (s, a, s'); otherwise they are refused.
        absorbing: make states that cannot be left and pay nothing terminal.
        rescale: divide rows whose sums differ from 1 by at most 1e-4 by their sums; otherwise they are refused.
        advice: the remedy for a state without transitions, in messages.

    Returns:
        The model, and notes on translations.
    """
    states, actions = shape
    notes: list[str] = []
    check_range(given, shape)
    ends = np.zeros(states, bool) if terminal is None else terminal.copy()
    given = _in_order(given.at(~ends[given.state]) if ends.any() else given, actions)
    _check_numbers(given)
    given, merged = _without_repetitions(given, actions, merge)
    if merged:
        notes.append(f"{count(merged, 'repeated next state')} added up")
    reward, legal = _pair_rewards(given, shape)
    forbidden = legal & np.isneginf(reward)
    if forbidden.any():
        notes.append(f"{count(int(forbidden.sum()), 'action')} with reward -inf made illegal")
        legal &= ~forbidden
        reward[forbidden] = 0.0
        given = given.at(~forbidden[given.state, given.action])
    if rescale:
        given, rescaled = _rescaled(given, shape)
        notes += rescaled
    if absorbing:
        stuck = absorbing_states(given, reward, legal)
        if stuck.any():
            notes.append(f"{count(int(stuck.sum()), 'state')} absorbing without reward made terminal")
            ends |= stuck
            given = given.at(~ends[given.state])
    for state in np.flatnonzero(~legal.any(-1) & ~ends)[:1]:
        raise ValueError(f"state {state} has no action; {advice}")
    given = given.at(given.probability != 0)
    start = np.concatenate([[0], np.cumsum(np.bincount(given.state * actions + given.action, minlength=legal.size))])
    matrix = scipy.sparse.csr_array((given.probability, given.successor, start), shape=(legal.size, states))
    return FiniteMDP(matrix, reward, discount, terminal=ends, legal=legal | ends[:, None]), tuple(notes)


def absorbing_states(given: Transitions, reward: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """The states in which every legal action stays with probability 1 and pays nothing, shape (states,)."""
    stays = np.zeros(legal.shape, bool)
    loops = (given.successor == given.state) & (np.abs(given.probability - 1) <= row_tolerance(1))
    stays[given.state[loops], given.action[loops]] = True
    stays[given.state[~loops & (given.probability != 0)], given.action[~loops & (given.probability != 0)]] = False
    return legal.any(-1) & ((stays & (reward == 0)) | ~legal).all(-1)


def listing(model: FiniteMDP, *, loops: bool = False) -> Listing:
    """The transitions of a model; with `loops`, terminal states have transitions to themselves.

    The missing probability of rows that sum to less than 1 leads to an additional terminal state, the last.
    """
    if isinstance(model.kernel, MatrixFree):
        raise ValueError("a matrix-free model has no list of transitions and cannot be written")
    states, actions = model.states, model.actions
    matrix = model.kernel.csr()
    pair = np.repeat(np.arange(states * actions), np.diff(matrix.indptr))
    listed = matrix.data != 0
    pair, successor, probability = pair[listed], matrix.indices[listed].astype(np.int64), matrix.data[listed]
    reward, legal, terminal = (np.asarray(table) for table in (model.reward, model.legal, model.terminal))
    short = missing(model)
    notes: tuple[str, ...] = ()
    more = [(pair, successor, probability)]
    if short.any():
        rows = np.flatnonzero(short)
        more.append((rows, np.full(len(rows), states), short.ravel()[rows]))
        reward = np.vstack([reward, np.zeros((1, actions))])
        legal, terminal = np.vstack([legal, np.ones((1, actions), bool)]), np.append(terminal, True)
        notes = (f"{count(len(rows), 'row')} summing to less than 1 lead to one more terminal state, state {states}",)
    if loops:
        ends = np.repeat(np.flatnonzero(terminal), actions)
        more.append((ends * actions + np.arange(len(ends)) % actions, ends, np.ones(len(ends))))
    pair, successor, probability = (np.concatenate(column) for column in zip(*more, strict=True))
    order = np.argsort(pair, kind="stable")
    pair, successor, probability = pair[order], successor[order], probability[order]
    state, action = np.divmod(pair, actions)
    transitions = Transitions(np.zeros_like(pair), state, action, successor, probability, reward[state, action])
    stuck = absorbing_states(transitions, reward, legal) & ~terminal
    if loops and stuck.any():
        notes += (f"{count(int(stuck.sum()), 'absorbing state')} without reward will be read as terminal",)
    return Listing(transitions, reward, terminal, legal, float(model.discount), notes)


def missing(model: FiniteMDP) -> np.ndarray:
    """1 − the sum of each row of a live pair, and zero if that is a rounding error; shape (states, actions)."""
    total = model.kernel.row_sums()
    # The tolerance of a model that stores its transitions only.
    tolerance = row_tolerance(int(np.diff(model.kernel.csr().indptr).max(initial=1)))
    for s, a in np.argwhere(model.live & (total - 1 > tolerance))[:1]:
        raise ValueError(f"state {s}, action {a} has probabilities that sum to {total[s, a]!r}; divide them by that")
    return np.where(model.live & (1 - total > tolerance), 1 - total, 0.0)


def _in_order(given: Transitions, actions: int) -> Transitions:
    pair = given.state * actions + given.action
    order = np.lexsort((given.successor, pair))
    return given.at(order)


def _check_numbers(given: Transitions) -> None:
    for place in np.flatnonzero(~((given.probability >= 0) & np.isfinite(given.probability)))[:1]:
        raise LineError(f"{given.name(place)} has probability {given.probability[place]}", int(given.line[place]))
    for place in np.flatnonzero(np.isnan(given.reward) | np.isposinf(given.reward))[:1]:
        raise LineError(f"{given.name(place)} has reward {given.reward[place]}", int(given.line[place]))


def _without_repetitions(given: Transitions, actions: int, merge: bool) -> tuple[Transitions, int]:
    """Refuse repeated transitions, or with `merge` add their probabilities and average their rewards."""
    pair = given.state * actions + given.action
    again = np.concatenate([[False], (np.diff(pair) == 0) & (np.diff(given.successor) == 0)]).astype(bool)[: len(pair)]
    if not again.any():
        return given, 0
    if not merge:
        place = int(np.flatnonzero(again)[0])
        earlier, later = sorted((int(given.line[place - 1]), int(given.line[place])))
        where = f" (lines {earlier} and {later})" if earlier else ""
        raise LineError(f"{given.name(place)} is listed twice{where}; add the probabilities up", later)
    first = np.flatnonzero(~again)
    mass = np.add.reduceat(given.probability, first)
    reward = _mean(given, first)
    return given.at(first)._replace(probability=mass, reward=reward), int(again.sum())


def rescaling_note(total: np.ndarray, rows: np.ndarray) -> tuple[str, ...]:
    """The note on rows that are divided by their sums; both arrays have shape (states, actions)."""
    if not rows.any():
        return ()
    number, change = int(np.count_nonzero(rows)), float(np.abs(total - 1)[rows].max())
    return (f"{count(number, 'row')} of probabilities rescaled to sum to 1; the largest change was {change:.2g}",)


def rows_to_rescale(total: np.ndarray, terms: int, epsilon: float = float(np.finfo(float).eps)) -> np.ndarray:
    """The rows whose sums differ from 1 by more than the rounding of `terms` numbers, but by at most 1e-4."""
    off = np.abs(total - 1)
    return (off > row_tolerance(terms, epsilon)) & (off <= NEARLY)


def _rescaled(given: Transitions, shape: tuple[int, int]) -> tuple[Transitions, tuple[str, ...]]:
    """Divide rows that were rounded to a few decimals by their sums."""
    pair = given.state * shape[1] + given.action
    total = np.bincount(pair, given.probability, shape[0] * shape[1])
    terms = int(np.bincount(pair, minlength=1).max())
    rows = rows_to_rescale(total, terms)
    if not rows.any():
        return given, ()
    probability = given.probability / np.where(rows, total, 1.0)[pair]
    return given._replace(probability=probability), rescaling_note(total, rows)


def _pair_rewards(given: Transitions, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """r(s, a) = Σ p r(s, a, s'), exactly r if all r(s, a, s') are equal; and the pairs that have transitions."""
    reward, legal = np.zeros(shape), np.zeros(shape, bool)
    legal[given.state, given.action] = True
    pair = given.state * shape[1] + given.action
    first = np.flatnonzero(np.concatenate([[True], np.diff(pair) != 0])[: len(pair)])
    if len(first):
        reward[given.state[first], given.action[first]] = _mean(given, first)
    return reward, legal


def _mean(given: Transitions, first: np.ndarray) -> np.ndarray:
    """The mean reward of each group of transitions, which begin at `first`; impossible transitions do not count."""
    possible = given.probability > 0
    least = np.minimum.reduceat(np.where(possible, given.reward, np.inf), first)
    most = np.maximum.reduceat(np.where(possible, given.reward, -np.inf), first)
    for group in np.flatnonzero(np.isneginf(least) & (most > -np.inf))[:1]:
        place = int(first[group])
        raise LineError(
            f"state {given.state[place]}, action {given.action[place]} has reward -inf for some next states only; "
            "to forbid an action, set -inf for all its next states",
            int(given.line[place]),
        )
    mass = np.add.reduceat(given.probability, first)
    weighted = np.where(possible & np.isfinite(given.reward), given.probability * given.reward, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(weighted, first) / np.where(mass > 0, mass, 1.0)
    return np.where(least == most, least, np.where(most < least, 0.0, mean))
