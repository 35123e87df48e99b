"""In which order to sweep: states whose values others wait for come first."""

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from mdvi.native import njit
from mdvi.planning.problem import Problem

_NEARLY_SORTED = 0.9
_NEARLY_ACYCLIC = 0.9
_SAMPLE = 1000  # states


def outward(problem: Problem) -> np.ndarray:
    """The states by their distance, in transitions, to where episodes end or the highest reward is paid.

    Where nearly all lead into no cycle, these come first instead, each after its successors: one sweep solves them.
    """
    assert problem.rows is not None
    states, actions = problem.gain.shape
    top, ends = np.empty(states), np.asarray(problem.mdp.terminal)
    _highest(problem.gain, top)
    source = ends | (top == top.max())
    if source.sum() > max(states // 2, 1):
        source = ends
    first, predecessor = _backwards(*problem.rows[:2], states, actions)
    acyclic = np.empty(states, np.int32)
    count = _without_cycles(first, predecessor, acyclic)
    distance = np.full(states, states, np.int32)
    _breadth_first(first, predecessor, np.flatnonzero(source).astype(np.int32), distance)
    if count > _NEARLY_ACYCLIC * states:
        distance[acyclic[:count]] = -1
        others = np.argsort(distance, kind="stable")[count:]
        return np.concatenate([acyclic[:count], others.astype(np.int32)])
    numbers = np.arange(states, dtype=np.int32)
    step = np.diff(distance)
    if np.count_nonzero(step <= 0) > _NEARLY_SORTED * states and step.any():
        return numbers[::-1].copy()  # memory is read fastest in its own order
    if np.count_nonzero(step >= 0) > _NEARLY_SORTED * states:
        return numbers
    return np.argsort(distance, kind="stable").astype(np.int32)


def leaps(problem: Problem, order: np.ndarray, width: int) -> float:
    """The share of the probability that leads further ahead in the order than half a window of so many states.

    Of a sample of the states; values that lie behind are known when a state is swept.
    """
    assert problem.rows is not None
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return float(_leaps(*problem.rows, problem.gain.shape[1], rank, width // 2, max(len(order) // _SAMPLE, 1)))


def banded(first: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The states of a chain such that those that lead to each other are close together.

    Source: Cuthill and McKee (1969).
    """
    states = len(first) - 1
    begin, neighbour = _both_ways(first, to)
    graph = scipy.sparse.csr_array((np.empty(len(neighbour), np.int8), neighbour, begin), shape=(states, states))
    return np.asarray(reverse_cuthill_mckee(graph, symmetric_mode=True), np.int32)


def filled(first: np.ndarray, to: np.ndarray, order: np.ndarray, most: float) -> tuple[float, float]:
    """Entries of both triangular factors of I − γ P_π in this order, and multiplications that the factorisation takes.

    No less than there are, without pivots; infinite above `most` entries. Source: Liu (1990), section 5.
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    column = np.zeros(len(order))
    if not _eliminated(*_both_ways(first, to), order, rank, most / 2, column):
        return np.inf, np.inf
    return float(2 * column.sum() + len(order)), float(column @ column)


@njit(cache=True, nogil=True)
def _both_ways(first, to):  # type: ignore[no-untyped-def]
    """The successors and predecessors of each state, in compressed rows; SciPy takes 32-bit indices."""
    states = len(first) - 1
    begin = np.zeros(states + 1, np.int32)
    for s in range(states):
        begin[s + 1] += first[s + 1] - first[s]
        for k in range(first[s], first[s + 1]):
            begin[to[k] + 1] += 1
    begin = np.cumsum(begin).astype(np.int32)
    free, neighbour = begin[:-1].copy(), np.empty(begin[-1], np.int32)
    for s in range(states):
        for k in range(first[s], first[s + 1]):
            t = to[k]
            neighbour[free[s]], neighbour[free[t] + (s == t)] = t, s
            free[s] += 1
            free[t] += 1
    return begin, neighbour


@njit(cache=True, nogil=True)
def _eliminated(begin, neighbour, order, rank, most, column):  # type: ignore[no-untyped-def]
    """Counts the entries below the diagonal of each column of a factor; returns False once there are more than `most`.

    Row i has an entry in column j if i is reached from j, by the tree of eliminations, from a neighbour of i on.
    """
    parent, seen, total = np.full(len(order), -1), np.full(len(order), -1), 0
    for i in range(len(order)):
        seen[i] = i
        for k in range(begin[order[i]], begin[order[i] + 1]):
            j = rank[neighbour[k]]
            while j < i and seen[j] != i:
                if parent[j] < 0:
                    parent[j] = i
                seen[j] = i
                column[j] += 1
                total += 1
                j = parent[j]
        if total > most:
            return False
    return True


@njit(cache=True, nogil=True)
def _leaps(start, state, probability, actions, rank, reach, step):  # type: ignore[no-untyped-def]
    far, total = 0.0, 1e-300
    for s in range(0, len(rank), step):
        for j in range(start[s * actions], start[(s + 1) * actions]):
            total += probability[j]
            far += probability[j] if rank[state[j]] > rank[s] + reach else 0.0
    return far / total


@njit(cache=True, nogil=True)
def _highest(gain, top):  # type: ignore[no-untyped-def]
    """Writes the highest reward of each state; NumPy is slow where the axis is short."""
    for s in range(len(gain)):
        top[s] = -np.inf
        for a in range(gain.shape[1]):
            top[s] = max(top[s], gain[s, a])


@njit(cache=True, nogil=True)
def _backwards(start, state, states, actions):  # type: ignore[no-untyped-def]
    """The states that can go to each state, in compressed rows; each once, whatever its actions."""
    first, newest = np.zeros(states + 1, np.int64), np.full(states, -1, np.int32)
    for s in range(states):
        for j in range(start[s * actions], start[(s + 1) * actions]):
            if newest[state[j]] != s:
                newest[state[j]] = s
                first[state[j] + 1] += 1
    first = np.cumsum(first)
    free, predecessor = first[:-1].copy(), np.empty(first[-1], np.int32)
    newest[:] = -1
    for s in range(states):
        for j in range(start[s * actions], start[(s + 1) * actions]):
            t = state[j]
            if newest[t] != s:
                newest[t] = s
                predecessor[free[t]] = s
                free[t] += 1
    return first, predecessor


@njit(cache=True, nogil=True)
def _without_cycles(first, predecessor, queue):  # type: ignore[no-untyped-def]
    """Writes the states that lead into no cycle but one of their own, each after its successors; returns how many.

    Source: Kahn (1962).
    """
    states = len(queue)
    ahead = np.zeros(states, np.int32)  # successors that are not written yet
    for t in range(states):
        for j in range(first[t], first[t + 1]):
            ahead[predecessor[j]] += predecessor[j] != t
    tail = 0
    for s in range(states):
        if ahead[s] == 0:
            queue[tail] = s
            tail += 1
    head = 0
    while head < tail:
        t = queue[head]
        head += 1
        for j in range(first[t], first[t + 1]):
            s = predecessor[j]
            if s != t:
                ahead[s] -= 1
                if ahead[s] == 0:
                    queue[tail] = s
                    tail += 1
    return tail


@njit(cache=True, nogil=True)
def _breadth_first(start, neighbour, front, distance):  # type: ignore[no-untyped-def]
    """Writes the number of steps from the nearest state of the front; unreached states keep what they had."""
    queue = np.empty(len(distance), front.dtype)
    queue[: len(front)] = front
    distance[front] = 0
    head, tail = 0, len(front)
    while head < tail:
        s = queue[head]
        head += 1
        for j in range(start[s], start[s + 1]):
            t = neighbour[j]
            if distance[t] > distance[s] + 1:
                distance[t] = distance[s] + 1
                queue[tail] = t
                tail += 1
