"""The text format of Cassandra (.mdp, .POMDP); its fully observed part is read.

    discount: 0.95
    values: reward
    states: 2
    actions: stay go
    T: stay identity
    T: go : 0 : 1 1.0
    T: go : 1
    0.5 0.5
    R: go : 0 : * : * 1.0

Later entries override earlier ones, `*` stands for all indices, and a colon is allowed before numbers too. The state is
treated as observed: rewards that depend on the observation are averaged,

    r(s, a, s') = Σ_o O(o | a, s') R(a, s, s', o),

and O has no other effect; the start is not read. A reward of -inf makes the action illegal. Absorbing states that pay
nothing are terminal.

Source: Cassandra, "POMDP file format", pomdp.org.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterator

import numpy as np

from mdvi.mdp.formats.text import Format, Result, Source, lines, real, shown, terminal_notes, whole
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import Collector, LineError, Transitions, assemble, check_size, count, keys, listing, located
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import NEARLY

KEYWORDS = ("discount", "values", "states", "actions", "observations", "start", "T", "O", "R")
WORDS = (*KEYWORDS, "reward", "rewards", "cost", "costs", "uniform", "identity", "reset", "include", "exclude")
MOST_EXPANDED = 2**20  # the largest number of entries from * and uniform
MOST_OBSERVED = 2**23  # the largest number of rewards that depend on observations
MOST_WORK = 2**29  # the largest number of steps for rewards with *


def read(source: Source) -> Result:
    """The model of a .mdp or .POMDP file."""
    source.check_reward()
    problem = _Problem(source)
    for number, tokens in _statements(source.data):
        with located(number):
            problem.take(number, tokens)
    return problem.model()


def _statements(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The first line and the tokens of each statement, which begins at a keyword and ends before the next one."""
    pending: list[str] = []
    begun = 0
    for number, line in lines(data):
        tokens = line.partition("#")[0].replace(":", " : ").split()
        if tokens[1:2] == [":"] and tokens[0].lower() in KEYWORDS:
            tokens[0] = tokens[0].lower()
        if tokens and tokens[0] in KEYWORDS:
            if pending:
                yield begun, pending
            pending, begun = tokens, number
        elif tokens and not pending:
            raise LineError(f"expected one of {', '.join(KEYWORDS)}, got {shown(tokens[0])}", number)
        else:
            pending += tokens
    if pending:
        yield begun, pending


class _Problem:
    """The content of the statements so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.sizes: dict[str, int] = {}
        self.names: dict[str, dict[str, int]] = {}
        self.discount: float | None = None
        self.costs = False
        self.ignored: dict[str, int] = {}
        self.moves = Collector()
        self.row_set = np.zeros((0, 0), np.int64)  # the last line that set a whole row
        # Of each R: action, state, next state and observation (-1 for all), rows and columns of its numbers.
        self.paid, self.rewards = array("q"), array("d")
        self.budget = source.size + MOST_EXPANDED

    def take(self, number: int, tokens: list[str]) -> None:
        """Process one statement."""
        keyword, values = tokens[0], tokens[1 + (tokens[1:2] == [":"]) :]
        if keyword in ("O", "start"):
            self.ignored[keyword] = self.ignored.get(keyword, 0) + 1
        elif keyword == "T":
            self._ready()
            self._transition(number, *self._places(values, ("actions", "states", "states"), self._fits_transition))
        elif keyword == "R":
            self._ready()
            self._reward(*self._places(values, ("actions", "states", "states", "observations"), self._fits_reward))
        elif keyword in ("states", "actions", "observations"):
            self._declare(keyword, values)
        elif len(values) != 1:
            raise ValueError(f"{keyword}: expected one value, got {len(values)}")
        elif keyword == "discount":
            self.discount = real(values[0], "discount")
        elif values[0].lower() not in ("reward", "rewards", "cost", "costs"):
            raise ValueError(f"values: expected reward or cost, got {shown(values[0])}")
        else:
            self.costs = values[0].lower().startswith("cost")

    def _declare(self, keyword: str, values: list[str]) -> None:
        if keyword in self.sizes:
            raise ValueError(f"{keyword} are declared twice; declare them once")
        if len(values) == 1 and values[0].isdecimal():
            size, names = whole(values[0], f"number of {keyword}"), {}
        else:
            size, names = len(values), {name: i for i, name in enumerate(values)}
        if size == 0 or (names and len(names) < size):
            raise ValueError(f"{keyword}: expected a number of at least 1, or different names")
        if keyword != "observations":
            check_size(size, 1, self.source.size)
        self.sizes[keyword], self.names[keyword] = size, names

    def _ready(self) -> None:
        """Make the table of rows, once both sizes are known."""
        if self.row_set.size:
            return
        for needed in ("states", "actions"):
            if needed not in self.sizes:
                raise ValueError(f"{needed} should be declared before T and R")
        shape = self.sizes["states"], self.sizes["actions"]
        check_size(*shape, self.source.size)
        self.row_set = np.zeros(shape, np.int64)

    def _places(
        self, values: list[str], kinds: tuple[str, ...], fits: Callable[[int, int, str], bool]
    ) -> tuple[list[range], list[str]]:
        """The indices of the fields between the colons, and the numbers after them, with or without another colon."""
        groups: list[list[str]] = [[]]
        for value in values:
            if value != ":":
                groups[-1].append(value)
            elif len(groups) > len(kinds):
                raise ValueError(f"expected at most {len(kinds) + 1} colons, got more")
            else:
                groups.append([])
        *before, last = groups
        if any(len(group) != 1 for group in before):
            raise ValueError("expected one name or number between two colons")
        places = [group[0] for group in before]
        # The last field, if the numbers follow it without a colon.
        if len(places) < len(kinds) and last and self._is_place(kinds[len(places)], last[0]):
            if not places or fits(len(places) + 1, len(last) - 1, last[-1]):
                places, last = [*places, last[0]], last[1:]
        elif len(places) < len(kinds) and not fits(len(places), len(last), last[-1] if last else ""):
            places, last = [*places, *last[:1]], last[1:]  # `_chosen` refuses it by its name
        return [self._chosen(kind, place) for kind, place in zip(kinds, places, strict=False)], last

    def _is_place(self, kind: str, token: str) -> bool:
        return token == "*" or token in self.names.get(kind, {}) or token.isdecimal()

    def _fits_transition(self, places: int, values: int, last: str) -> bool:
        if last in ("uniform", "identity"):
            return values == 1 and places <= (2 if last == "uniform" else 1)
        return values == (0, self.sizes["states"] ** 2, self.sizes["states"], 1)[places]

    def _fits_reward(self, places: int, values: int, last: str) -> bool:
        states, watched = self.sizes["states"], self.sizes.get("observations", 1)
        return values in ((), (), (states, states * watched), (1, watched), (1,))[places]

    def _chosen(self, kind: str, token: str) -> range:
        """The indices of a name, a number or `*`."""
        # Without a declaration there is one observation.
        size, place = self.sizes.get(kind, 1), self.names.get(kind, {}).get(token, -1)
        if token == "*":
            return range(size)
        if place < 0:
            if not token.isdecimal():
                raise ValueError(f"{shown(token)} is not one of the {count(size, kind[:-1])}")
            place = whole(token, kind[:-1])
        if place >= size:
            raise ValueError(f"{kind[:-1]} {place} is outside 0…{size - 1}")
        return range(place, place + 1)

    def _spend(self, *sizes: int) -> None:
        """Limit the number of entries from wildcards and words such as `uniform`."""
        self.budget -= math.prod(sizes)
        if self.budget < 0:
            raise ValueError(f"* and uniform make more than {self.source.size + MOST_EXPANDED} entries; write fewer")

    def _transition(self, number: int, places: list[range], values: list[str]) -> None:
        if not places:
            raise ValueError("T should be followed by `action`, `action : state` or `action : state : next state`")
        states = self.sizes["states"]
        acts, here = places[0], places[1] if len(places) > 1 else range(states)
        if len(places) == 3:
            if len(values) != 1:
                raise ValueError(f"T with an action and two states: expected one probability, got {len(values)}")
            p, there = real(values[0], "probability"), places[2]
            self._spend(len(acts), len(here), len(there))
            if len(acts) == len(here) == len(there) == 1:
                self.moves.add(number, here.start, acts.start, there.start, p)
            else:
                self.moves.add_block(number, *_grid(here, acts, there), p)
            return
        self.row_set[here.start : here.stop, acts.start : acts.stop] = number
        if values == ["identity"] and len(places) == 1:
            self._spend(len(acts), states)
            s, a, _ = _grid(here, acts, range(1))
            self.moves.add_block(number, s, a, s, 1.0)
        elif values == ["uniform"]:
            self._spend(len(acts), len(here), states)
            self.moves.add_block(number, *_grid(here, acts, range(states)), 1 / states)
        else:
            table = _table(values, states if len(places) == 1 else 1, states)
            row, successor = np.nonzero(table)
            if len(table) == 1:  # one row for all the states
                self._spend(len(acts), len(here), len(successor))
                self.moves.add_block(number, *_grid(here, acts, successor), table[0, successor])
            else:
                self._spend(len(acts), len(row))
                self.moves.add_block(number, row, np.array(acts)[:, None], successor, table[row, successor])

    def _reward(self, places: list[range], values: list[str]) -> None:
        if len(places) < 2:
            raise ValueError("R should be followed by `action : state [: next state [: observation]]`")
        states, watched = self.sizes["states"], self.sizes.get("observations", 1)
        if not self._fits_reward(len(places), len(values), ""):
            raise ValueError(f"R has {count(len(values), 'value')}, which do not fit {count(states, 'state')}")
        table = np.array([real(value, "reward") for value in values]).reshape(states if len(places) == 2 else 1, -1)
        if len(values) > 1 and (table == table[:, :1]).all():
            table = table[:, :1]
        observed = len(places) == 4 and len(places[3]) < watched
        chosen = [place.start if len(place) == 1 else -1 for place in places[:3]] + [-1] * (3 - len(places[:3]))
        self.paid.extend((*chosen, places[3].start if observed else -1, *table.shape))
        self.rewards.frombytes((0.0 - table if self.costs else table).tobytes())

    def model(self) -> Result:
        """The model, after the last statement."""
        self._ready()
        shape = self.row_set.shape[0], self.row_set.shape[1]
        given = self.moves.transitions()
        given = _last(given.at(given.line >= self.row_set[given.state, given.action]), shape)
        paid = self._rewards(given)
        notes: tuple[str, ...] = ()
        observed = paid.shape[1] > 1
        if observed:
            given, more = _averaged(given, paid, self._observations())
            notes += (*more, "rewards of observations averaged with O; the state is taken as observed")
        else:
            given = given._replace(reward=paid[:, 0])
        if "observations" in self.sizes and not observed:
            notes += (f"{count(self.sizes['observations'], 'observation')} not read: the state is taken as observed",)
        notes += tuple(
            f"{n} {'entry' if n == 1 else 'entries'} {k} not read"
            for k, n in self.ignored.items()
            if not (observed and k == "O")
        )
        if not len(self.rewards):
            notes += ("there is no R, so every reward is 0",)
        gamma = self.source.gamma(self.discount)
        advice = "give it a T for some action"
        model, more = assemble(given, shape, gamma, absorbing=True, rescale=True, advice=advice)
        return model, notes + more, Names(tuple(self.names["states"]), tuple(self.names["actions"]))

    def _rewards(self, given: Transitions) -> np.ndarray:
        """R(a, s, s', o) of each transition, shape (transitions, observations), or (transitions, 1) without o."""
        states, actions = self.row_set.shape
        kinds = np.array(self.paid, np.int64).reshape(-1, 6)
        watched = self.sizes["observations"] if (kinds[:, 3] >= 0).any() or (kinds[:, 5] > 1).any() else 1
        if len(given.line) * watched > self.source.size + MOST_OBSERVED:
            raise ValueError(f"{len(given.line)} transitions × {watched} observations are too many rewards")
        paid = np.zeros((len(given.line), watched))
        start = np.searchsorted(given.state * actions + given.action, np.arange(states * actions + 1))
        numbers, first, work = np.array(self.rewards), 0, 0
        columns = iter(self.paid)
        chosen: slice | np.ndarray
        for a, s, t, o, rows, width in zip(*[columns] * 6, strict=True):
            values = numbers[first : first + rows * width].reshape(rows, width)
            first += rows * width
            low, high = 0, len(paid)
            if s >= 0:
                low, high = start[s * actions + max(a, 0)], start[s * actions + (a + 1 if a >= 0 else actions)]
            chosen = slice(low, high)
            if t >= 0 or a >= 0 > s:
                fits = (given.action[chosen] == a) | (a < 0)
                chosen = low + np.flatnonzero(fits & ((given.successor[chosen] == t) | (t < 0)))
            work += (high - low) * watched
            if work > MOST_WORK:
                raise ValueError("the rewards with * need too many steps; write fewer of them")
            pay = values[given.successor[chosen]] if rows > 1 else values
            if o >= 0:
                paid[chosen, o] = pay[:, 0]
            else:
                paid[chosen] = pay
        return paid

    def _observations(self) -> np.ndarray:
        """O(o | a, s'), shape (actions, states, observations)."""
        states, watched = self.sizes["states"], self.sizes["observations"]
        shape = self.sizes["actions"], states, watched
        if math.prod(shape) > self.source.size + MOST_OBSERVED:
            raise ValueError(f"{shape[0]} actions × {states} states × {watched} observations are too many")
        table = np.zeros(shape)

        def fits(places: int, values: int, last: str) -> bool:
            if last == "uniform":
                return values == 1 and places < 3
            return values == (0, states * watched, watched, 1)[places]

        for number, tokens in _statements(self.source.data):
            if tokens[0] == "O":
                with located(number):
                    values = tokens[1 + (tokens[1:2] == [":"]) :]
                    places, numbers = self._places(values, ("actions", "states", "observations"), fits)
                    if not places or not fits(len(places), len(numbers), (numbers or [""])[-1]):
                        raise ValueError(f"O has {count(len(numbers), 'value')}, which do not fit its places")
                    block = tuple(slice(place.start, place.stop) for place in places)
                    if numbers == ["uniform"]:
                        table[block] = 1 / watched
                    else:
                        size = table[block].shape[-1 if len(places) == 2 else -2 :] if len(places) < 3 else ()
                        table[block] = np.array([real(item, "probability") for item in numbers]).reshape(size)
        return table


def _averaged(given: Transitions, paid: np.ndarray, seen: np.ndarray) -> tuple[Transitions, tuple[str, ...]]:
    """The mean reward of each transition over the possible observations, exact if all have the same reward."""
    weight = seen[given.action, given.successor]
    total = weight.sum(-1)
    off = np.abs(total - 1)
    unlike = (paid != paid[:, :1]).any(-1)
    for place in np.flatnonzero(unlike & ~((weight >= 0).all(-1) & (off <= NEARLY)))[:1]:
        where = f"action {given.action[place]}, state {given.successor[place]}"
        raise ValueError(f"O: the probabilities of {where} sum to {total[place]:.6g}, not 1, or are negative")
    possible = weight > 0
    least = np.where(possible, paid, np.inf).min(-1)
    most = np.where(possible, paid, -np.inf).max(-1)
    for place in np.flatnonzero(unlike & np.isneginf(least) & (most > -np.inf))[:1]:
        raise ValueError(f"{given.name(place)} has reward -inf for some observations only")
    mean = np.where(possible & np.isfinite(paid), weight * paid, 0.0).sum(-1) / np.where(total > 0, total, 1.0)
    mean = np.where(np.isfinite(most), mean, most)  # infinite rewards are refused later
    reward = np.where(unlike, np.where(least == most, least, mean), paid[:, 0])
    rescaled = np.unique(np.stack([given.action, given.successor])[:, unlike & (off > 1e-10)], axis=1).shape[1]
    notes = (f"{count(rescaled, 'row')} of O rescaled to sum to 1",) if rescaled else ()
    return given._replace(reward=reward), notes


def _grid(here: range, acts: range, there: range | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, actions and next states, one axis each."""
    return np.array(here)[:, None, None], np.array(acts)[:, None], np.array(there)


def _table(values: list[str], rows: int, columns: int) -> np.ndarray:
    """A matrix of probabilities."""
    if len(values) != rows * columns:
        raise ValueError(f"expected {rows} × {columns} values, got {len(values)}")
    return np.array([real(value, "probability") for value in values]).reshape(rows, columns)


def _last(given: Transitions, shape: tuple[int, int]) -> Transitions:
    """The last entry for each (s, a, s'), in order."""
    key = keys(given, shape)
    order = np.lexsort((given.line, key))
    return given.at(order[np.append(np.diff(key[order]) != 0, True)[: len(order)]])


def _names(kind: str, names: tuple[str, ...], size: int) -> tuple[str, tuple[str, ...]]:
    """The declaration of states or actions, by their names if the format can hold them, otherwise with a note."""
    if not names:
        return f"{kind}: {size}", ()
    if any(not re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) or name in WORDS for name in names):
        return f"{kind}: {size}", (f"names of {kind} not written: the format allows only words of letters and digits",)
    rows = [" ".join(names[i : i + 100]) for i in range(0, size, 100)]
    return "\n".join([f"{kind}: {rows[0]}", *rows[1:]]), ()


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """One T for every transition and one R for every pair that pays; illegal actions stay and pay -inf."""
    what = listing(model, loops=True)
    states, actions = what.reward.shape
    (here, unnamed), (acts, unnamed_too) = (
        _names("states", names.states_of(states), states),
        _names("actions", names.actions, actions),
    )
    out = [f"discount: {what.discount!r}", "values: reward", here, acts]
    rows = zip(*(column.tolist() for column in what.transitions[1:5]), strict=True)
    out += [f"T: {a} : {s} : {t} {p!r}" for s, a, t, p in rows]
    banned = np.argwhere(~what.legal).tolist()
    out += [f"T: {a} : {s} : {s} 1.0" for s, a in banned]
    paid = np.argwhere((what.reward != 0) | np.signbit(what.reward))
    reward = what.reward[*paid.T].tolist()
    out += [f"R: {a} : {s} : * : * {r!r}" for (s, a), r in zip(paid.tolist(), reward, strict=True)]
    out += [f"R: {a} : {s} : * : * -inf" for s, a in banned]
    notes = what.notes + unnamed + unnamed_too
    notes += terminal_notes(int(what.terminal.sum()), "written with loops that pay nothing")
    if banned:
        notes += (
            f"{count(len(banned), 'illegal action')} written with reward -inf, which other programs may not read",
        )
    return {".mdp": ("\n".join(out) + "\n").encode()}, notes


FORMAT = Format("cassandra", (".mdp", ".pomdp"), "Cassandra's text format, fully observed", read, write)
