"""Families of models: each is a deterministic function of a few numbers."""

from collections.abc import Iterable

import numpy as np
import scipy.sparse
from scipy.special import gammaln, pdtr, pdtrik, xlogy

from mdvi.mdp.labels import COMPASS, Layout, Names
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_table

_NAMES = Names(actions=("up", "right", "down", "left"))  # in the order of COMPASS
_MANY = 100_000  # a Garnet with more rows is drawn in blocks
_BLOCK = 500_000
_DRAWS = 100


def garnet(
    states: int = 30,
    actions: int = 4,
    branching: int = 4,
    discount: float = 0.9,
    seed: int = 0,
    *,
    rewarded: float = 0.1,
) -> FiniteMDP:
    """Garnet(N_S, N_A, N_B) of the paper: random successors, random gaps, reward on a few states.

    Each (s, a) has `branching` distinct successors, drawn uniformly; their probabilities are the gaps between sorted
    uniform numbers in (0, 1). A fraction `rewarded` of the states has a reward, uniform in (0, 1). More than 100 000
    pairs (s, a) are drawn in blocks, with different random numbers, and stored as compressed rows.

    Source: the paper, section 5.1 and appendix; after Archibald, McKinnon and Thomas (1995).
    """
    _at_least(1, states=states, actions=actions, branching=branching)
    _at_least(0, seed=seed)
    if branching > states:
        raise ValueError(f"branching: expected at most the number of states, {states}, got {branching}")
    _probability(rewarded=rewarded)
    check_table(states, actions, branching)
    rng = np.random.default_rng(seed)
    if states * actions > _MANY:
        transition = _many_rows(rng, states, states * actions, branching)
        return FiniteMDP(transition, _sparse_reward(rng, states, rewarded), discount)
    successor = np.zeros((states, actions, branching), np.int64)
    probability = np.zeros(successor.shape)
    for s, a in np.ndindex(states, actions):
        successor[s, a] = rng.choice(states, branching, replace=False)
        cuts = np.sort(np.concatenate([[0.0, 1.0], rng.random(branching - 1)]))
        probability[s, a] = np.diff(cuts)
    return FiniteMDP((successor, probability), _sparse_reward(rng, states, rewarded), discount)


def _sparse_reward(rng: np.random.Generator, states: int, rewarded: float) -> np.ndarray:
    reward = np.zeros(states)
    chosen = rng.choice(states, max(1, round(rewarded * states)), replace=False)
    reward[chosen] = rng.random(len(chosen))
    return reward


def _many_rows(rng: np.random.Generator, states: int, rows: int, branching: int) -> scipy.sparse.csr_array:
    """Rows of distinct successors and random gaps, drawn in blocks to limit temporary memory."""
    successor = np.empty((rows, branching), np.int32)
    probability = np.empty((rows, branching))
    for first in range(0, rows, _BLOCK):
        block = slice(first, min(first + _BLOCK, rows))
        count = block.stop - first
        successor[block] = np.sort(rng.integers(states, size=(count, branching), dtype=np.int32), axis=-1)
        again = np.arange(first, block.stop)
        while (again := again[(np.diff(successor[again], axis=-1) == 0).any(-1)]).size:
            successor[again] = np.sort(rng.integers(states, size=(len(again), branching), dtype=np.int32), axis=-1)
        cuts = np.sort(rng.random((count, branching - 1)), axis=-1)
        probability[block] = np.diff(cuts, axis=-1, prepend=0.0, append=1.0)
    start = np.arange(0, rows * branching + 1, branching)
    index = np.int32 if rows * branching < 2**31 else np.int64
    entries = (probability.reshape(-1), successor.reshape(-1), start.astype(index))
    return scipy.sparse.csr_array(entries, shape=(rows, states), copy=False)


def chain(states: int = 10, slip: float = 0.1, discount: float = 0.9) -> FiniteMDP:
    """A line of states: move left or right, and with probability `slip` the other way. The right end pays 1.

    Both ends are walls. Actions: 0 left, 1 right.
    """
    _at_least(2, states=states)
    _probability(slip=slip)
    check_table(states, 2, 2)
    here = np.arange(states)
    left, right = np.maximum(here - 1, 0), np.minimum(here + 1, states - 1)
    successor = np.stack([np.stack([left, right], -1), np.stack([right, left], -1)], axis=1)
    probability = np.broadcast_to([1 - slip, slip], successor.shape)
    return FiniteMDP((successor, probability), (here == states - 1).astype(float), discount)


def grid(rows: int = 5, columns: int = 5, slip: float = 0.1, discount: float = 0.95) -> FiniteMDP:
    """An empty room: start at the top left, terminal goal at the bottom right, reward 1 for entering the goal.

    With probability `slip` the move goes to the left or the right side, with equal probability. Actions: up, right,
    down, left; a move into a wall stays.
    """
    _at_least(1, rows=rows, columns=columns)
    _at_least(2, cells=rows * columns)
    _probability(slip=slip)
    check_table(rows * columns, 4, 3)
    goal = rows * columns - 1
    step = np.stack([_move(rows, columns, direction) for direction in range(4)], axis=1)
    marks = _marks(rows * columns, S=[0], G=[goal])
    return _slippery(step, slip, discount, ends=np.arange(goal + 1) == goal, goal=goal).replace(
        layout=Layout(rows, columns, COMPASS, marks)
    )


def maze(
    rows: int = 20, columns: int = 20, slip: float = 0.1, openings: float = 0.05, discount: float = 0.99, seed: int = 0
) -> FiniteMDP:
    """A maze: a random spanning tree of corridors, with a fraction `openings` of the other walls removed.

    The goal is at the bottom right, with reward 1 for entering it; moves and slips are as in `grid`.
    """
    _at_least(1, rows=rows, columns=columns)
    _at_least(2, cells=rows * columns)
    _at_least(0, seed=seed)
    _probability(slip=slip, openings=openings)
    check_table(rows * columns, 4, 3)
    rng = np.random.default_rng(seed)
    cells = np.arange(rows * columns)
    pairs = [(cells, _move(rows, columns, direction)) for direction in (1, 2)]
    here, there = (np.concatenate(side) for side in zip(*((a[a != b], b[a != b]) for a, b in pairs), strict=True))
    ends = here.astype(np.int32), there.astype(np.int32)  # graphs in SciPy before 1.16 require 32-bit indices
    walls = scipy.sparse.csr_array((1.0 + rng.random(len(here)), ends), shape=(cells.size, cells.size))
    tree = scipy.sparse.csgraph.minimum_spanning_tree(walls).tocoo()
    opened = rng.random(len(here)) < openings
    ways = np.concatenate([tree.row.astype(np.int64) * cells.size + tree.col, (here * cells.size + there)[opened]])
    ways = np.unique(np.concatenate([ways, ways % cells.size * cells.size + ways // cells.size]))
    step = np.empty((cells.size, 4), np.int64)
    for direction in range(4):
        there = _move(rows, columns, direction)
        wanted = cells * cells.size + there
        found = ways[np.minimum(np.searchsorted(ways, wanted), len(ways) - 1)] == wanted
        step[:, direction] = np.where(found, there, cells)
    marks = _marks(cells.size, G=[cells.size - 1])
    return _slippery(step, slip, discount, ends=cells == cells[-1], goal=cells.size - 1).replace(
        layout=Layout(rows, columns, COMPASS, marks)
    )


def lake(size: int = 8, holes: float = 0.2, slip: float = 2 / 3, discount: float = 0.99, seed: int = 0) -> FiniteMDP:
    """A frozen lake of size × size: reward 1 for reaching the bottom right; holes end the episode without a reward.

    Each cell other than start and goal is a hole with probability `holes`; the holes are drawn again until the start is
    connected to the goal. The default slip is as in Gymnasium, a third to each side. Actions: up, right, down, left.

    Raises:
        ValueError: if none of a hundred draws connects start and goal.
    """
    _at_least(2, size=size)
    _at_least(0, seed=seed)
    _probability(holes=holes, slip=slip)
    check_table(size * size, 4, 3)
    rng, goal = np.random.default_rng(seed), size * size - 1
    step = np.stack([_move(size, size, direction) for direction in range(4)], axis=1)
    for _ in range(_DRAWS):
        ends = rng.random(size * size) < holes
        ends[0], ends[goal] = False, False
        here, there = (
            cells[~ends[step].ravel() & ~np.repeat(ends, 4)]
            for cells in (np.repeat(np.arange(goal + 1), 4), step.ravel())
        )
        ways = scipy.sparse.csr_array((np.ones(len(here)), (here, there)), shape=(goal + 1, goal + 1))
        _, part = scipy.sparse.csgraph.connected_components(ways, directed=False)
        if part[0] == part[goal]:
            marks = _marks(size * size, S=[0], H=np.flatnonzero(ends), G=[goal])
            return _slippery(step, slip, discount, ends=ends | (np.arange(goal + 1) == goal), goal=goal).replace(
                layout=Layout(size, size, COMPASS, marks)
            )
    raise ValueError(f"holes: with {holes} of them the goal cannot be reached in any of {_DRAWS} draws; ask for fewer")


def cliff(rows: int = 4, columns: int = 12, discount: float = 0.99) -> FiniteMDP:
    """Cliff walking: −1 a step, −100 and back to the start for the bottom edge, terminal at its right end.

    Source: Sutton and Barto (2018), example 6.6. Start bottom left; actions: up, right, down, left.
    """
    _at_least(2, rows=rows)
    _at_least(3, columns=columns)
    check_table(rows * columns, 4, 1)
    start, goal = (rows - 1) * columns, rows * columns - 1
    step = np.stack([_move(rows, columns, direction) for direction in range(4)], axis=1)
    fallen = (step > start) & (step < goal)
    terminal = np.arange(rows * columns) == goal
    successor = np.where(fallen, start, step)[..., None]
    reward = np.where(fallen, -100.0, -1.0)
    marks = _marks(rows * columns, S=[start], C=range(start + 1, goal), G=[goal])
    return FiniteMDP(
        (successor, np.ones(successor.shape)), reward, discount, terminal=terminal,
        actions=_NAMES.actions, layout=Layout(rows, columns, COMPASS, marks),
    )  # fmt: skip


def deep_sea(size: int = 10, discount: float = 0.99) -> FiniteMDP:
    """Deep sea of size × size: only `size` consecutive moves right reach the treasure of 1; each move costs .01/size.

    A move left is free and leads down the other diagonal. The sea floor ends the episode. Actions: 0 left, 1 right.
    State 0 is the start, and the last state is terminal. Source: Osband et al. (2020), bsuite.
    """
    _at_least(1, size=size)
    check_table(size * size + 1, 2, 1)
    row, column = np.divmod(np.arange(size * size), size)
    end = size * size
    successor = np.full((end + 1, 2, 1), end)
    below = np.where(row + 1 < size, (row + 1) * size, end)
    for action, move in enumerate((np.maximum(column - 1, 0), np.minimum(column + 1, size - 1))):
        successor[:end, action, 0] = np.where(below < end, below + move, end)
    reward = np.zeros((end + 1, 2))
    reward[:end, 1] = -0.01 / size
    reward[end - 1, 1] += 1.0
    return FiniteMDP(
        (successor, np.ones(successor.shape)), reward, discount, terminal=np.arange(end + 1) == end,
        actions=("left", "right"), layout=Layout(size, size, ((1, -1), (1, 1)), _marks(end, S=[0])),
    )  # fmt: skip


def gambler(goal: int = 100, heads: float = 0.4, discount: float = 0.999) -> FiniteMDP:
    """The gambler's problem: stake a part of the capital on a coin; reaching `goal` pays 1, ruin pays 0.

    The state is the capital 0…goal; both ends are terminal. Action a stakes a + 1, which is legal up to
    min(capital, goal − capital). Source: Sutton and Barto (2018), example 4.3, with a discount below 1.
    """
    _at_least(2, goal=goal)
    _probability(heads=heads)
    check_table(goal + 1, goal // 2, 2)
    capital = np.arange(goal + 1)[:, None]
    stake = np.arange(1, goal // 2 + 1)[None, :]
    legal = stake <= np.minimum(capital, goal - capital)
    win, lose = np.where(legal, capital + stake, 0), np.where(legal, capital - stake, 0)
    terminal = (capital[:, 0] == 0) | (capital[:, 0] == goal)
    return FiniteMDP(
        (np.stack([win, lose], -1), np.broadcast_to([heads, 1 - heads], (*legal.shape, 2))),
        heads * (legal & (win == goal)),
        discount,
        terminal=terminal,
        legal=legal,
    )


def forest(ages: int = 3, fire: float = 0.1, wait_reward: float = 4.0, discount: float = 0.9) -> FiniteMDP:
    """Forest management: wait (action 0) or cut (action 1) a forest that grows a year or burns down.

    Waiting in the oldest age pays `wait_reward`; cutting pays 1 between the youngest and oldest age, and 2 in the
    oldest. Source: the `forest` example of MDPtoolbox (Chadès et al. 2014).
    """
    _at_least(2, ages=ages)
    _probability(fire=fire)
    check_table(ages, 2, 2)
    age = np.arange(ages)
    older = np.minimum(age + 1, ages - 1)
    young = np.zeros(ages, int)
    successor = np.stack([np.stack([older, young], -1), np.stack([young, older], -1)], axis=1)
    probability = np.broadcast_to([[1 - fire, fire], [1.0, 0.0]], successor.shape)
    reward = np.stack([np.where(age == ages - 1, wait_reward, 0.0), np.minimum(age, 1.0)], axis=1)
    reward[-1, 1] = 2.0
    return FiniteMDP((successor, probability), reward, discount)


def inventory(
    capacity: int = 100,
    orders: int = 10,
    batch: int = 5,
    demand: float = 8.0,
    fixed_cost: float = 4.0,
    discount: float = 0.99,
) -> FiniteMDP:
    """A store: order some batches each day, then sell the minimum of the stock and a Poisson demand.

    The state is the stock 0…capacity. Action a orders a batches and is legal if they fit. The reward is 3 for each unit
    sold, −1 for each unit ordered, −`fixed_cost` for an order, and −0.02 for each unit in stock. Source: Puterman
    (1994), section 3.2.
    """
    _at_least(1, capacity=capacity, batch=batch)
    _at_least(0, orders=orders)
    if not 0 < demand < np.inf or not 0 <= fixed_cost < np.inf:
        raise ValueError(f"inventory: expected a demand above 0 and a cost of at least 0, got {demand}, {fixed_cost}")
    most = _demand_at_most(1 - 1e-12, demand) + 1
    check_table(capacity + 1, orders + 1, most + 1)
    number = np.arange(most + 1)
    chance = np.exp(xlogy(number, demand) - gammaln(number + 1) - demand)
    chance /= chance.sum()
    sold_out = np.append(np.cumsum(chance[::-1])[::-1], 0.0)  # the probability that the demand is at least d
    stock, ordered, wanted = np.arange(capacity + 1), batch * np.arange(orders + 1), np.arange(most + 1)
    ready = stock[:, None] + ordered
    legal = ready <= capacity
    left = np.maximum(ready[..., None] - wanted, 0)
    probability = np.where(wanted < ready[..., None], chance, np.where(wanted == ready[..., None], sold_out[:-1], 0.0))
    sold = (probability * np.minimum(wanted, ready[..., None])).sum(-1)
    reward = 3.0 * sold - ordered - fixed_cost * (ordered > 0) - 0.02 * ready
    probability /= np.where(legal, probability.sum(-1), 1.0)[..., None]
    return FiniteMDP((np.where(legal[..., None], left, 0), probability), reward, discount, legal=legal)


def _demand_at_most(chance: float, demand: float) -> int:
    """The least number that a Poisson demand of mean `demand` does not exceed with probability `chance`."""
    most = max(np.ceil(pdtrik(chance, demand)), 1)
    return int(most - 1 if pdtr(most - 1, demand) >= chance else most)


def _move(rows: int, columns: int, direction: int) -> np.ndarray:
    """The next cell from every cell; a move into a wall stays."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    down, right = COMPASS[direction]
    return np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1)


def _slippery(step: np.ndarray, slip: float, discount: float, *, ends: np.ndarray, goal: int) -> FiniteMDP:
    """Moves that go to each side with probability slip / 2 instead; reward 1 for entering the goal.

    If several outcomes lead to the same cell, their probabilities are added.
    """
    sides = [np.stack([step[:, a], step[:, (a + 1) % 4], step[:, (a + 3) % 4]], -1) for a in range(4)]
    successor = np.stack(sides, axis=1)
    probability = np.broadcast_to([1 - slip, slip / 2, slip / 2], successor.shape).copy()
    for later in range(1, successor.shape[-1]):
        for earlier in range(later):
            same = successor[..., later] == successor[..., earlier]
            probability[..., earlier] += np.where(same, probability[..., later], 0.0)
            probability[..., later] = np.where(same, 0.0, probability[..., later])
    reward = np.where(successor == goal, probability, 0.0).sum(-1)
    return FiniteMDP((successor, probability), reward, discount, terminal=ends, actions=_NAMES.actions)


def _marks(count: int, **cells: Iterable[int]) -> str:
    """A letter for each cell, blank for cells without a mark."""
    marks = [" "] * count
    for letter, places in cells.items():
        for place in places:
            marks[place] = letter
    return "".join(marks)


def _at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {number!r}")


def _probability(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number <= 1:
            raise ValueError(f"{name}: expected a probability in [0, 1], got {number!r}")
