"""A model in which one can go round for nothing, without that: its free end components become one state each.

Where every decision of an end component is worth 0, T has many fixed points: staying there and leaving for 1/2 allows
every v ≥ 1/2. The component is worth the best way out of any of its states, or 0 for staying.

Its states are kept, as a binary tree: whoever enters the component comes to its root, from which decisions worth 0
lead on to the other states, and each has the actions that leave the component. So no row becomes longer, and no state
has more than three actions more.

Source: Baier, Klein, Leuschner, Parker and Wunderlich (2017), section 3.
"""

import contextlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int

from mdvi.mdp.kernels import Sparse
from mdvi.planning.components import NOWHERE, Graph, end_components, routes
from mdvi.planning.problem import Problem, Values, problem_of
from mdvi.planning.sweeps import unsigned


class Collapsed(NamedTuple):
    """A problem without free end components, and the way back from it.

    Attributes:
        problem: with three more actions: two that lead down the tree of a component, and one that stays in it for good.
        graph: of the problem before.
        inside: the rows that stay in a component.
        root: the state that stands for each state's component; itself outside of components.
        order: the states of components, one component after the other, each in the order of its tree.
        start: where each component begins there.
    """

    problem: Problem
    graph: Graph
    inside: Bool[np.ndarray, " rows"]
    root: Int[np.ndarray, " states"]
    order: Int[np.ndarray, " members"]
    start: Int[np.ndarray, " components"]

    def values(self, v: Values) -> Values:
        """Values of the problem before."""
        return v[self.root]

    @property
    def members(self) -> Bool[np.ndarray, " states"]:
        """The states of components."""
        found = np.zeros(len(self.root), bool)
        found[self.order] = True
        return found

    def actions(self, best: Int[np.ndarray, " states"]) -> Int[np.ndarray, " states"]:
        """From the best actions here to actions before: inside a component, to the way out, or on and on."""
        count, place = self.graph.actions, np.zeros(len(self.start), np.int64)
        while True:  # down the trees
            side = best[self.order[self.start + place]] - count
            further = (side == 0) | (side == 1)
            if not further.any():
                break
            place = np.where(further, 2 * place + 1 + side, place)
        exits = self.order[self.start + place]
        exits = exits[best[exits] < count]
        way = routes(self.graph, self.inside, exits)
        stay = self.inside.reshape(-1, count).argmax(-1)
        chosen = np.where(self.members, np.where(way >= 0, way, stay), best)
        chosen[exits] = best[exits]
        return chosen


def collapsed(problem: Problem, graph: Graph) -> Collapsed | None:
    """The problem without free end components, if it has any; t = 0."""
    label, inside = end_components(graph, (problem.gain == 0).ravel())
    members = np.flatnonzero(label != NOWHERE)
    if not len(members):
        return None
    states, actions = problem.gain.shape
    leaving = (graph.live & ~inside).reshape(states, actions).any(-1)
    # States without a way out come last in each tree, and nothing leads to them: they would be worth 0.
    order = members[np.lexsort((~leaving[members], label[members]))]
    first = np.r_[True, np.diff(label[order]) > 0]
    start = np.flatnonzero(first)
    own = label[order]
    place = np.arange(len(order)) - start[own]
    size = np.add.reduceat(leaving[order].astype(np.int64), start)[own]
    root = np.arange(states)
    root[order] = order[start[own]]
    legal = np.zeros((states, actions + 3), bool)
    legal[:, :actions] = graph.live.reshape(states, actions) & ~inside.reshape(states, actions)
    rows, columns = [], []
    for side in (0, 1):
        child = 2 * place + 1 + side
        there = child < size
        legal[order[there], actions + side] = True
        rows.append(order[there] * (actions + 3) + actions + side)
        columns.append(order[start[own] + np.minimum(child, size - 1)][there])
    legal[order[start], actions + 2] = True
    matrix = graph.matrix.tocoo()
    old, target = matrix.row // actions * (actions + 3) + matrix.row % actions, root[matrix.col]
    kept = legal.ravel()[old]
    entries = (
        np.r_[matrix.data[kept], np.ones(sum(map(len, rows)))],
        (np.r_[old[kept], *rows], np.r_[target[kept], *columns]),
    )
    kernel = scipy.sparse.coo_array(entries, shape=(states * (actions + 3), states)).tocsr()
    kernel.sum_duplicates()
    reward = np.pad(np.where(np.isfinite(problem.gain), problem.gain, 0.0), ((0, 0), (0, 3)))
    there = Sparse(kernel.indptr, kernel.indices, kernel.data, states)
    over = np.count_nonzero(legal, axis=-1) == 0  # ends of episodes, and leaves from which nothing leads out
    other = problem.mdp.changed(kernel=there, reward=reward, legal=legal | over[:, None], terminal=over)
    # What several next states of a component have in common is summed up, which rounds.
    tree = replace(problem_of(other), slack=problem.terms + 2)
    return Collapsed(tree, graph, inside, root, order, start)


def ended(problem: Problem, graph: Graph) -> Problem:
    """The problem where episodes end in free components without a choice, t > 0: no regulariser counts there."""
    alone = np.count_nonzero(problem.mdp.legal, axis=-1, keepdims=True) == 1
    label, _ = end_components(graph, ((problem.gain == 0) & alone).ravel())
    over = label != NOWHERE
    if not over.any():
        return problem
    matrix = problem.mdp.kernel.csr().copy()
    matrix.data = np.where(np.repeat(over, problem.mdp.actions)[_row_of(matrix)], 0.0, matrix.data)
    matrix.eliminate_zeros()
    kernel = Sparse(matrix.indptr, matrix.indices, matrix.data, problem.mdp.states)
    mdp = problem.mdp.changed(kernel=kernel, terminal=np.asarray(problem.mdp.terminal) | over)
    rows = (unsigned(matrix.indptr), unsigned(matrix.indices), matrix.data)
    return replace(problem, mdp=mdp, rows=rows, gain=np.where(over[:, None], -np.inf, problem.gain))


def obstacle(problem: Problem, label: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]) -> str | None:
    """Why the components cannot be looked at one by one; None where they can."""
    if problem.temperature == 0 or problem.regularizer.differentiable:
        return None
    live = np.asarray(problem.mdp.live)
    leaving = (label != NOWHERE) & (live & ~inside.reshape(live.shape)).any(-1)
    for s in np.flatnonzero(leaving)[:1]:
        return (
            f"several sets of states keep a gain of their own, and state {problem.mdp.names.state(int(s))!r} has "
            f"actions that leave one: {problem.regularizer.name} says nothing of policies that are not to take some "
            "actions"
        )
    return None


def restricted(problem: Problem, label: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]) -> Problem:
    """The components alone, each with the decisions that stay inside.

    An Ω that refers to the uniform policy goes on to refer to the one over all legal actions.
    """
    legal, omega = np.asarray(problem.mdp.legal), problem.regularizer
    if problem.temperature > 0:
        with contextlib.suppress(ValueError):  # it has a reference of its own
            omega = omega.referring(legal / legal.sum(-1, keepdims=True))[0]
    stays, outside = inside.reshape(legal.shape), label == NOWHERE
    mdp = problem.mdp.changed(terminal=outside, legal=stays | outside[:, None])
    return replace(problem, mdp=mdp, gain=np.where(stays, problem.gain, -np.inf), regularizer=omega)


def _row_of(matrix: scipy.sparse.csr_array) -> np.ndarray:
    """The row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
