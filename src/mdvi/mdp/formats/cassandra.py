"""Cassandra's text format (.mdp, .POMDP), of which the fully observed part is read.

    discount: 0.95
    values: reward
    states: 2
    actions: stay go
    T: stay identity
    T: go : 0 : 1 1.0
    T: go : 1
    0.5 0.5
    R: go : 0 : * : * 1.0

Later entries override earlier ones, `*` is everything. Observations, their probabilities O and the start are not read;
a reward that depends on the observation is refused. A reward of -inf forbids the action. Absorbing states that pay
nothing are terminal.
"""

from collections.abc import Iterator

import numpy as np

from mdvi.mdp.formats.text import Format, Source, lines, real, shown, terminal_notes, whole
from mdvi.mdp.listing import Collector, LineError, Transitions, assemble, check_size, count, keys, listing, match
from mdvi.mdp.model import FiniteMDP

KEYWORDS = ("discount", "values", "states", "actions", "observations", "start", "T", "O", "R")
MOST_EXPANDED = 2**20


def read(source: Source) -> tuple[FiniteMDP, tuple[str, ...]]:
    """The model of a .mdp or .POMDP file."""
    problem = _Problem(source)
    for number, tokens in _statements(source.data):
        try:
            problem.take(number, tokens)
        except ValueError as error:
            raise LineError(str(error), number) from None
    return problem.model()


def _statements(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The tokens of each statement, which begins at a keyword and ends before the next, and its first line."""
    pending: list[str] = []
    begun = 0
    for number, line in lines(data):
        tokens = line.partition("#")[0].replace(":", " : ").split()
        if tokens and tokens[0] in KEYWORDS:
            if pending:
                yield begun, pending
            pending, begun = tokens, number
        elif tokens and not pending:
            raise LineError(f"{shown(tokens[0])} is none of {', '.join(KEYWORDS)}", number)
        else:
            pending += tokens
    if pending:
        yield begun, pending


class _Problem:
    """What the statements have said so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.sizes: dict[str, int] = {}
        self.names: dict[str, dict[str, int]] = {}
        self.discount: float | None = None
        self.costs = False
        self.ignored: dict[str, int] = {}
        self.moves, self.payments = Collector(), Collector()
        # The last line that set a whole row, and the last reward of a pair whatever the next state.
        self.row_set = self.paid_line = np.zeros((0, 0), np.int64)
        self.paid = np.zeros((0, 0))
        self.budget = source.size + MOST_EXPANDED

    def take(self, number: int, tokens: list[str]) -> None:
        """One statement."""
        keyword, values = tokens[0], tokens[1:]
        if keyword in ("O", "start"):
            self.ignored[keyword] = self.ignored.get(keyword, 0) + 1
            return
        if values[:1] != [":"]:
            raise ValueError(f"{keyword} should be followed by a colon")
        values = values[1:]
        if keyword in ("T", "R"):
            self._ready()
            places = [values[0]] if values else []
            while values[2 * len(places) - 1 : 2 * len(places)] == [":"] and len(values) > 2 * len(places):
                places.append(values[2 * len(places)])
            rest = values[2 * len(places) - 1 :] if places else []
            (self._transition if keyword == "T" else self._reward)(number, places, rest)
        elif keyword in ("states", "actions", "observations"):
            self._declare(keyword, values)
        elif len(values) != 1:
            raise ValueError(f"{keyword} should have one value, not {len(values)}")
        elif keyword == "discount":
            self.discount = real(values[0], "discount")
        elif values[0] not in ("reward", "cost"):
            raise ValueError(f"values should be reward or cost, not {shown(values[0])}")
        else:
            self.costs = values[0] == "cost"

    def _declare(self, keyword: str, values: list[str]) -> None:
        if keyword in self.sizes:
            raise ValueError(f"{keyword} are declared for the second time")
        if len(values) == 1 and values[0].isdecimal():
            size, names = whole(values[0], f"number of {keyword}"), {}
        else:
            size, names = len(values), {name: i for i, name in enumerate(values)}
        if size == 0 or (names and len(names) < size):
            raise ValueError(f"{keyword} should be a number of at least 1, or names that differ")
        if keyword != "observations":
            check_size(size, 1, self.source.size)
        self.sizes[keyword], self.names[keyword] = size, names

    def _ready(self) -> None:
        """The tables, once both sizes are known."""
        if self.row_set.size:
            return
        for needed in ("states", "actions"):
            if needed not in self.sizes:
                raise ValueError(f"{needed} should be declared before T and R")
        shape = self.sizes["states"], self.sizes["actions"]
        check_size(*shape, self.source.size)
        self.row_set, self.paid_line, self.paid = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)

    def _chosen(self, kind: str, token: str) -> range:
        """The indices that a name, a number or `*` stands for."""
        size, place = self.sizes[kind], self.names[kind].get(token, -1)
        if token == "*":
            return range(size)
        if place < 0:
            if not token.isdecimal():
                raise ValueError(f"{shown(token)} is none of the {count(size, kind[:-1])}")
            place = whole(token, kind[:-1])
        if place >= size:
            raise ValueError(f"{kind[:-1]} {place} is outside 0…{size - 1}")
        return range(place, place + 1)

    def _spend(self, *sizes: int) -> None:
        """Wildcards and words such as `uniform` stand for no more entries than the machine can hold."""
        for size in sizes[1:]:
            sizes = (sizes[0] * size,)
        self.budget -= sizes[0]
        if self.budget < 0:
            raise ValueError(f"the entries with * and uniform are more than {self.source.size + MOST_EXPANDED}")

    def _transition(self, number: int, places: list[str], values: list[str]) -> None:
        if not 1 <= len(places) <= 3:
            raise ValueError("T should be followed by `action`, `action : state` or `action : state : next state`")
        states = self.sizes["states"]
        acts = self._chosen("actions", places[0])
        here = self._chosen("states", places[1] if len(places) > 1 else "*")
        if len(places) == 3:
            if len(values) != 1:
                raise ValueError(f"T with an action and two states should have one probability, not {len(values)}")
            p, there = real(values[0], "probability"), self._chosen("states", places[2])
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

    def _reward(self, number: int, places: list[str], values: list[str]) -> None:
        if not 2 <= len(places) <= 4:
            raise ValueError("R should be followed by `action : state [: next state [: observation]]`")
        states, watched = self.sizes["states"], self.sizes.get("observations", 1)
        acts, here = self._chosen("actions", places[0]), self._chosen("states", places[1])
        each = 1
        if len(places) == 4:
            if watched > 1 and places[3] != "*":
                raise ValueError("a reward that depends on the observation; only fully observed models are read")
        elif len(values) == watched * (states if len(places) == 2 else 1):
            each = watched
        rows = [values[i : i + each] for i in range(0, len(values), each)]
        if any(row != [row[0]] * len(row) for row in rows):
            raise ValueError("rewards that depend on the observation; only fully observed models are read")
        if len(rows) != (states if len(places) == 2 else 1):
            raise ValueError(f"R has {count(len(values), 'value')}, which do not fit {count(states, 'state')}")
        paid = [real(row[0], "reward") for row in rows]
        paid = [0.0 - r for r in paid] if self.costs else paid
        self._spend(len(acts), len(here))
        if len(places) > 2 and places[2] == "*":
            block = np.s_[here.start : here.stop, acts.start : acts.stop]
            self.paid[block], self.paid_line[block] = paid[0], number
            return
        there = range(states) if len(places) == 2 else self._chosen("states", places[2])
        self._spend(len(acts), len(here), len(there))
        self.payments.add_block(number, *_grid(here, acts, there), 0.0, np.array(paid))

    def model(self) -> tuple[FiniteMDP, tuple[str, ...]]:
        """The model, after the last statement."""
        self._ready()
        shape = self.row_set.shape[0], self.row_set.shape[1]
        given = self.moves.transitions()
        given = _last(given.at(given.line >= self.row_set[given.state, given.action]), self.row_set.shape)
        given = given._replace(reward=self._rewards(given))
        notes: tuple[str, ...] = ()
        if "observations" in self.sizes:
            notes += (f"{count(self.sizes['observations'], 'observation')} not read: the state is taken as observed",)
        notes += tuple(
            f"{count(n, 'entry').replace('entrys', 'entries')} {k} not read" for k, n in self.ignored.items()
        )
        gamma = self.source.gamma(self.discount)
        model, more = assemble(given, shape, gamma, absorbing=True, advice="give it a T for some action")
        return model, notes + more

    def _rewards(self, given: Transitions) -> np.ndarray:
        """r(s, a, s') of each transition: of its own entry or of one for all next states, whichever came later."""
        paid = self.paid[given.state, given.action]
        own = _last(self.payments.transitions(), self.row_set.shape)
        if not len(own.line):
            return paid
        mine = match(keys(own, self.row_set.shape), keys(given, self.row_set.shape))
        later = (mine >= 0) & (own.line[mine] > self.paid_line[given.state, given.action])
        return np.where(later, own.reward[mine], paid)


def _grid(here: range, acts: range, there: range | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, actions and next states, one axis each."""
    return np.array(here)[:, None, None], np.array(acts)[:, None], np.array(there)


def _table(values: list[str], rows: int, columns: int) -> np.ndarray:
    """A matrix of probabilities."""
    if len(values) != rows * columns:
        raise ValueError(f"{count(len(values), 'value')} where {rows} × {columns} are expected")
    return np.array([real(value, "probability") for value in values]).reshape(rows, columns)


def _last(given: Transitions, shape: tuple[int, int]) -> Transitions:
    """Of the entries for one (s, a, s') the last, in order."""
    key = keys(given, shape)
    order = np.lexsort((given.line, key))
    return given.at(order[np.append(np.diff(key[order]) != 0, True)[: len(order)]])


def write(model: FiniteMDP) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """One T for every transition and one R for every pair that pays; illegal actions stay and pay -inf."""
    what = listing(model, loops=True)
    states, actions = what.reward.shape
    out = [f"discount: {what.discount!r}", "values: reward", f"states: {states}", f"actions: {actions}"]
    rows = zip(*(column.tolist() for column in what.transitions[1:5]), strict=True)
    out += [f"T: {a} : {s} : {t} {p!r}" for s, a, t, p in rows]
    banned = np.argwhere(~what.legal).tolist()
    out += [f"T: {a} : {s} : {s} 1.0" for s, a in banned]
    paid = np.argwhere((what.reward != 0) | np.signbit(what.reward))
    reward = what.reward[*paid.T].tolist()
    out += [f"R: {a} : {s} : * : * {r!r}" for (s, a), r in zip(paid.tolist(), reward, strict=True)]
    out += [f"R: {a} : {s} : * : * -inf" for s, a in banned]
    notes = what.notes + terminal_notes(int(what.terminal.sum()), "written with loops that pay nothing")
    if banned:
        notes += (
            f"{count(len(banned), 'illegal action')} written with reward -inf, which other programs may not read",
        )
    return {".mdp": ("\n".join(out) + "\n").encode()}, notes


FORMAT = Format("cassandra", (".mdp", ".pomdp"), "Cassandra's text format, fully observed", read, write)
