"""End components: sets of states in which a policy can stay for ever; and where episodes can be made to end.

An end component is a set of states with some of their actions such that these lead nowhere else, and lead from every
state of the set to every other. A policy that does not end with probability 1 stays in one with positive probability.

Source: de Alfaro (1997), algorithm 3.1; Baier and Katoen (2008), section 10.6.3, for the states that surely reach.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int
from scipy.sparse.csgraph import connected_components

from mdvi.native import njit
from mdvi.planning.problem import Problem, U

NOWHERE = -1  # the component of a state that is in none


class Graph(NamedTuple):
    """The transitions of a problem, without their probabilities.

    Attributes:
        matrix: rows (s, a), columns next states; terminal states are left out.
        columns: the same by columns: the rows that may lead to a state.
        live: the rows that can be met.
        leaks: the rows that end the episode with positive probability.
    """

    matrix: scipy.sparse.csr_array
    columns: scipy.sparse.csc_array
    live: Bool[np.ndarray, " rows"]
    leaks: Bool[np.ndarray, " rows"]

    @property
    def states(self) -> int:
        """How many there are."""
        return int(self.matrix.shape[1])

    @property
    def actions(self) -> int:
        """How many each state has."""
        return int(self.matrix.shape[0]) // self.states


def graph_of(problem: Problem) -> Graph:
    """The graph of a problem that has rows."""
    mdp = problem.mdp
    ends, live = np.asarray(mdp.terminal), np.asarray(mdp.live).ravel()
    whole = mdp.kernel.csr()
    total = np.asarray(whole.sum(1)).ravel()
    inside = whole.copy()
    inside.data = np.where(ends[whole.indices], 0.0, whole.data)
    inside.eliminate_zeros()
    out = whole.copy()
    out.data = (ends[whole.indices] & (whole.data > 0)).astype(float)
    leaks = live & ((np.asarray(out.sum(1)).ravel() > 0) | (total < 1 - 8 * U * (problem.terms + 2)))
    return Graph(inside, inside.tocsc(), live, leaks)


def end_components(
    graph: Graph, allowed: Bool[np.ndarray, " rows"]
) -> tuple[Int[np.ndarray, " states"], Bool[np.ndarray, " rows"]]:
    """The maximal end components of the allowed rows: the number of each state's, or `NOWHERE`, and the rows inside."""
    rows = allowed & graph.live & ~graph.leaks
    actions, states = graph.actions, graph.states
    left = rows.reshape(states, actions).sum(-1)
    _without(graph.columns.indptr, graph.columns.indices, actions, rows, left, np.flatnonzero(left == 0))
    label = np.full(states, NOWHERE)
    while rows.any():
        label = _strongly_connected(graph, rows)
        leaves = _leaving(graph.matrix.indptr, graph.matrix.indices, actions, rows, label)
        if not leaves.any():
            break
        rows &= ~leaves
        before = left
        left = rows.reshape(states, actions).sum(-1)
        _without(
            graph.columns.indptr, graph.columns.indices, actions, rows, left, np.flatnonzero((left == 0) & (before > 0))
        )
    inside = rows.reshape(states, actions).any(-1)
    label = np.where(inside, label, NOWHERE)
    _, numbers = np.unique(label[inside], return_inverse=True)
    label[inside] = numbers
    return label, rows


def surely_ending(graph: Graph) -> tuple[Bool[np.ndarray, " states"], Int[np.ndarray, " states"]]:
    """The live states from which some policy ends with probability 1, and an action of such a policy; −1 elsewhere.

    The action is the most likely one to lead closer to an end.
    """
    states, actions = graph.states, graph.actions
    inside = graph.live.reshape(states, actions).any(-1)
    while True:
        ok = graph.live & ~_touching(graph.matrix.indptr, graph.matrix.indices, ~inside)
        distance = np.where((ok & graph.leaks).reshape(states, actions).any(-1), 0, -1)
        _backwards(graph.columns.indptr, graph.columns.indices, actions, ok, distance)
        reached = np.logical_and(inside, distance >= 0)
        if np.array_equal(reached, inside):
            return reached, _closer(graph, ok, distance)
        inside = reached


def routes(
    graph: Graph, rows: Bool[np.ndarray, " rows"], goal: Int[np.ndarray, " goals"]
) -> Int[np.ndarray, " states"]:
    """Actions among these rows that lead to a goal with probability 1, where they stay inside; −1 elsewhere."""
    distance = np.full(graph.states, -1)
    distance[goal] = 0
    _backwards(graph.columns.indptr, graph.columns.indices, graph.actions, rows, distance)
    return _closer(graph, rows, distance)


def _closer(graph: Graph, rows: Bool[np.ndarray, " rows"], distance: np.ndarray) -> Int[np.ndarray, " states"]:
    """The action of these rows that is most likely to lead to a smaller distance; −1 where there is none."""
    matrix, choice = graph.matrix, np.full(graph.states, -1)
    _closest(matrix.indptr, matrix.indices, matrix.data, graph.actions, rows, distance, choice)
    return choice


def _strongly_connected(graph: Graph, rows: np.ndarray) -> np.ndarray:
    """The number of each state's strongly connected component under these rows."""
    matrix, actions = graph.matrix, graph.actions
    kept = np.repeat(rows, np.diff(matrix.indptr))
    source = np.repeat(np.arange(len(rows)) // actions, np.diff(matrix.indptr))[kept]
    shape = (graph.states, graph.states)
    edges = scipy.sparse.coo_array((np.ones(len(source), bool), (source, matrix.indices[kept])), shape=shape)
    _, label = connected_components(edges, directed=True, connection="strong")
    return label.astype(np.int64)


@njit(cache=True, nogil=True)
def _without(first, row_of, actions, rows, left, dead):  # type: ignore[no-untyped-def]
    """Takes away, one after the other, the rows that may lead to a state without rows. Overwrites rows and left."""
    stack = np.empty(len(left), np.int64)
    size = len(dead)
    stack[:size] = dead
    while size > 0:
        size -= 1
        t = stack[size]
        for k in range(first[t], first[t + 1]):
            row = row_of[k]
            if rows[row]:
                rows[row] = False
                s = row // actions
                left[s] -= 1
                if left[s] == 0:
                    stack[size] = s
                    size += 1


@njit(cache=True, nogil=True)
def _leaving(first, state, actions, rows, label):  # type: ignore[no-untyped-def]
    """The rows that may lead out of their component."""
    out = np.zeros(len(rows), np.bool_)
    for row in range(len(rows)):
        if rows[row]:
            own = label[row // actions]
            for k in range(first[row], first[row + 1]):
                out[row] = out[row] or label[state[k]] != own
    return out


@njit(cache=True, nogil=True)
def _touching(first, state, outside):  # type: ignore[no-untyped-def]
    """The rows that may lead to one of these states."""
    out = np.zeros(len(first) - 1, np.bool_)
    for row in range(len(out)):
        for k in range(first[row], first[row + 1]):
            out[row] = out[row] or outside[state[k]]
    return out


@njit(cache=True, nogil=True)
def _backwards(first, row_of, actions, rows, distance):  # type: ignore[no-untyped-def]
    """Writes how many decisions the states with distance 0 are away from each other one, at the least, by these."""
    queue = np.empty(len(distance), np.int64)
    seeds = np.flatnonzero(distance == 0)
    size = len(seeds)
    queue[:size] = seeds
    begin = 0
    while begin < size:
        t = queue[begin]
        begin += 1
        for k in range(first[t], first[t + 1]):
            row = row_of[k]
            s = row // actions
            if rows[row] and distance[s] < 0:
                distance[s], queue[size] = distance[t] + 1, s
                size += 1


@njit(cache=True, nogil=True)
def _closest(first, state, probability, actions, rows, distance, choice):  # type: ignore[no-untyped-def]
    """Writes the action that is most likely to end at once, or to lead to a state that is closer to an end."""
    for s in range(len(choice)):
        likely = 0.0
        for a in range(actions):
            row = s * actions + a
            if rows[row]:
                stays = 0.0  # what does not lead closer
                for k in range(first[row], first[row + 1]):
                    stays += probability[k] if distance[state[k]] >= distance[s] else 0.0
                if 1.0 - stays > likely:
                    choice[s], likely = a, 1.0 - stays
