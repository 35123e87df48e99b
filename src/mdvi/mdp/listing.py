"""A model as a list of its transitions (s, a, s', p, r), as tables and files hold it, and back to a `FiniteMDP`."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from mdvi.mdp.kernels import MatrixFree
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import NEARLY, row_tolerance

SMALL = 2**20  # pairs (s, a) that any input may ask for


class LineError(ValueError):
    """What is wrong, in which line of the input (0 is no line), and in which file beside the first, by its suffix."""

    def __init__(self, message: str, line: int = 0, suffix: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.suffix = suffix


@contextmanager
def located(line: int = 0, suffix: str = "") -> Iterator[None]:
    """Tell an error that does not know its place that it is here."""
    try:
        yield
    except ValueError as error:
        line = getattr(error, "line", 0) or line
        raise LineError(str(error), line, getattr(error, "suffix", "") or suffix) from None


class Transitions(NamedTuple):
    """One array per column, all of the same length; `line` is where a transition was read, 0 if nowhere."""

    line: np.ndarray
    state: np.ndarray
    action: np.ndarray
    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray

    def at(self, chosen: np.ndarray) -> "Transitions":
        """The chosen transitions, by a mask or by their places."""
        return Transitions(*(column[chosen] for column in self))

    def name(self, place: int | np.integer) -> str:
        """The words for one transition in a message."""
        return f"state {self.state[place]}, action {self.action[place]}, next state {self.successor[place]}"


class Collector:
    """Transitions one after the other, in little memory."""

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
        """What has been collected."""
        indices = np.array(self._indices, np.int64).reshape(-1, 4)
        numbers = np.array(self._numbers, np.float64).reshape(-1, 2)
        return Transitions(*indices.T, *numbers.T)


class Listing(NamedTuple):
    """What a writer needs: the transitions of all live pairs by state, action and next state, and the tables."""

    transitions: Transitions
    reward: np.ndarray
    terminal: np.ndarray
    legal: np.ndarray
    discount: float
    notes: tuple[str, ...]


def count(number: int, thing: str) -> str:
    """The words for a number of things."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def check_size(states: int, actions: int, size: int) -> None:
    """A model is not larger than an input of `size` bytes can justify, nor than 32-bit indices can count."""
    if states < 1 or actions < 1:
        raise ValueError(f"{count(states, 'state')} and {count(actions, 'action')} make no model; give at least one")
    if states * actions > np.iinfo(np.int32).max:
        raise ValueError(f"{states} states × {actions} actions are more pairs than 32-bit indices can count")
    if states > size or states * actions > size + SMALL:
        raise ValueError(f"{states} states × {actions} actions are more than {size} bytes of input can describe")


def check_range(given: Transitions, shape: tuple[int, int]) -> None:
    """States, actions and next states exist in a model of shape (states, actions)."""
    states, actions = shape
    for what, index, size in (
        ("state", given.state, states),
        ("action", given.action, actions),
        ("next state", given.successor, states),
    ):
        for place in np.flatnonzero((index < 0) | (index >= size))[:1]:
            raise LineError(f"{what} {index[place]} is outside 0…{size - 1}", int(given.line[place]))


def keys(given: Transitions, shape: tuple[int, int]) -> np.ndarray:
    """One number for each (s, a, s') in range, in their order."""
    return (given.state * shape[1] + given.action) * shape[0] + given.successor


def match(key: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted number stands among rising ones, -1 if nowhere."""
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
    """The model of a list of transitions: pairs (s, a) without any are illegal, rewards are averaged over s'.

    Args:
        given: the transitions, in any order.
        shape: (states, actions).
        discount: γ.
        terminal: Boolean, shape (states,). What is listed for terminal states is not looked at.
        merge: whether a next state may be listed twice for one (s, a), which adds up; otherwise it is refused.
        absorbing: whether a state that cannot be left and pays nothing is terminal.
        rescale: whether rows whose sums are off by at most 1e-4 are divided by them; otherwise they are refused.
        advice: what to do about a state without any transition.

    Returns:
        The model, and notes on what was translated.
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
    """The states whose every legal action stays there for certain and pays nothing, shape (states,)."""
    stays = np.zeros(legal.shape, bool)
    loops = (given.successor == given.state) & (np.abs(given.probability - 1) <= row_tolerance(1))
    stays[given.state[loops], given.action[loops]] = True
    stays[given.state[~loops & (given.probability != 0)], given.action[~loops & (given.probability != 0)]] = False
    return legal.any(-1) & ((stays & (reward == 0)) | ~legal).all(-1)


def listing(model: FiniteMDP, *, loops: bool = False) -> Listing:
    """A model as a list; what rows miss goes to one more terminal state, the last; `loops` list terminal states too."""
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
    """What the rows of live pairs miss to a sum of 1, zero where that is rounding; shape (states, actions)."""
    total = model.kernel.row_sums()
    # As strict as a model that stores nothing but its transitions.
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
    """No next state twice for one (s, a); `merge` adds probabilities up and averages the rewards."""
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
    """The words for rows that are divided by their sums; both arrays have shape (states, actions)."""
    if not rows.any():
        return ()
    number, change = int(np.count_nonzero(rows)), float(np.abs(total - 1)[rows].max())
    return (f"{count(number, 'row')} of probabilities rescaled to sum to 1; the largest change was {change:.2g}",)


def rows_to_rescale(total: np.ndarray, terms: int, epsilon: float = float(np.finfo(float).eps)) -> np.ndarray:
    """Which rows, by their sums, are no rounding of 1 in a sum of `terms` numbers, but one to a few decimals."""
    off = np.abs(total - 1)
    return (off > row_tolerance(terms, epsilon)) & (off <= NEARLY)


def _rescaled(given: Transitions, shape: tuple[int, int]) -> tuple[Transitions, tuple[str, ...]]:
    """Rows that were rounded to a few decimals are divided by their sums."""
    pair = given.state * shape[1] + given.action
    total = np.bincount(pair, given.probability, shape[0] * shape[1])
    terms = int(np.bincount(pair, minlength=1).max())
    rows = rows_to_rescale(total, terms)
    if not rows.any():
        return given, ()
    probability = given.probability / np.where(rows, total, 1.0)[pair]
    return given._replace(probability=probability), rescaling_note(total, rows)


def _pair_rewards(given: Transitions, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """r(s, a) = Σ p r(s, a, s'), exactly r where all are alike; and which pairs are listed."""
    reward, legal = np.zeros(shape), np.zeros(shape, bool)
    legal[given.state, given.action] = True
    pair = given.state * shape[1] + given.action
    first = np.flatnonzero(np.concatenate([[True], np.diff(pair) != 0])[: len(pair)])
    if len(first):
        reward[given.state[first], given.action[first]] = _mean(given, first)
    return reward, legal


def _mean(given: Transitions, first: np.ndarray) -> np.ndarray:
    """The mean reward of each group of transitions, which begin at `first`; impossible ones have no say."""
    possible = given.probability > 0
    least = np.minimum.reduceat(np.where(possible, given.reward, np.inf), first)
    most = np.maximum.reduceat(np.where(possible, given.reward, -np.inf), first)
    for group in np.flatnonzero(np.isneginf(least) & (most > -np.inf))[:1]:
        place = int(first[group])
        raise LineError(
            f"state {given.state[place]}, action {given.action[place]} has reward -inf for some next states only; "
            "to forbid an action give -inf to all of them",
            int(given.line[place]),
        )
    mass = np.add.reduceat(given.probability, first)
    weighted = np.where(possible & np.isfinite(given.reward), given.probability * given.reward, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(weighted, first) / np.where(mass > 0, mass, 1.0)
    return np.where(least == most, least, np.where(most < least, 0.0, mean))
