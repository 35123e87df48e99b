"""Solve for the average reward: all states at once where they share one gain, else end component by end component.

In the long run a policy stays inside end components. So where there are several, each has the best gain of its own
decisions, and the best gain of a state is that of the best components that it can get to:

    in a component      M_t over the decisions that stay inside; Ω is still that over all legal actions
    between them        max_π E g(the component where π stays), without Ω: what is paid on the way does not count

Terminal states are worth 0 for ever.

Sources: Odoni (1969) for the bounds; de Alfaro (1997) for the quotient; Puterman (1994), chapters 8 and 9.
"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from mdvi.mdp.validation import row_tolerance
from mdvi.native import clock
from mdvi.planning.collapse import Collapsed, collapsed, obstacle, restricted
from mdvi.planning.components import Graph, end_components, graph_of
from mdvi.planning.criteria.average import Average
from mdvi.planning.problem import Problem, U, Values, problem_of
from mdvi.planning.relative import METHODS, SLOW, Relative
from mdvi.planning.solution import CERTIFIED, UNDECIDED, Progress, Solution
from mdvi.planning.total import solve_total
from mdvi.planning.watch import stoppable

_INSIDE, _BETWEEN = 0.45, 0.5  # of the tolerance, for components and for the way to them; rounding takes its part


def solve_average(
    problem: Problem,
    tolerance: float,
    method: str,
    time_limit: float | None,
    progress: Progress | None,
    began: float,
    start: Values | None,
) -> Solution:
    """The optimal gain of each state, `solve(…, criterion="average")`.

        g*(s) = max_π lim E_π (1/n) Σ (r − λ KL(π‖μ) + τ H(π)),
        g* + h = M_{λ+τ}(r + λ log μ + P h)                         where g* is the same in all states

    >>> import mdvi, numpy as np
    >>> paths = mdvi.FiniteMDP(np.array([[[1.0, 0], [0, 1]], [[1, 0], [1, 0]]]), np.zeros((2, 2)), 1.0,
    ...                        legal=np.array([[True, True], [True, False]]))
    >>> found = mdvi.solve(paths, entropy=1.0, criterion="average", tolerance=1e-9)
    >>> print(found.status, found.value.round(6))  # log of the golden ratio: no two steps to the second state in a row
    certified [0.481212 0.481212]

    Args:
        problem: with discount 1.
        tolerance: how wide the interval may be, in units of one reward.
        method: "auto" or one of `METHODS`, for relative values.
        time_limit: in seconds.
        progress: called after every backup with their number and the gap.
        began: when the time began to count.
        start: relative values to start from, shape (states,); None for zero.

    Returns:
        A `Solution` whose `value`, `lower` and `upper`, shape (states,), are gains, with a `bias`. `undecided` where
        several components are left by an Ω that cannot do without single actions.

    Raises:
        ValueError: for rows that do not sum to 1, for "gauss-seidel", for rewards that overflow, and for a matrix-free
            model with terminal states.
    """
    problem = _whole_rows(problem)
    if method not in ("auto", *METHODS):
        raise ValueError(f"method: {method} is not for criterion='average'; take auto, {', '.join(METHODS)}")
    ends = np.asarray(problem.mdp.terminal)
    if problem.rows is None and ends.any():
        raise ValueError(
            "criterion: average needs the rows of P of a model with terminal states, and a matrix-free model has none"
        )
    Average().check(problem)
    v = np.zeros(len(ends)) if start is None else start
    with stoppable(began, time_limit) as watch:
        search = Relative(problem, Average(), tolerance, method, progress)
        status = SLOW if ends.any() else search.run(watch, v, cautious=problem.rows is not None)
        if status != SLOW:
            return _of_one_gain(search, status, method, began)
        graph = _graph(problem)
        label, inside = end_components(graph, graph.live)
        if not ends.any() and label.max() == 0:  # every policy comes to it, and no decision leaves it
            return _of_one_gain(search, search.run(watch, search.bias), method, began)
        reason = obstacle(problem, label, inside)
        if reason is not None:
            return _undecided(problem, reason, tolerance, method, began)
        parts = Relative(restricted(problem, label, inside), Average(label), _INSIDE * tolerance, method, progress)
        status = parts.run(watch, v) if label.max() >= 0 else CERTIFIED
    return _of_several(problem, graph, label, inside, parts, status, tolerance, method, time_limit, began)


def _whole_rows(problem: Problem) -> Problem:
    """The problem with rows that sum to 1; by how much those that are given do not counts as rounding.

    Raises:
        ValueError: naming a row with which an episode may end.
    """
    mdp = problem.mdp
    live = np.asarray(mdp.live)
    total = np.where(live, mdp.kernel.row_sums(), 1.0)
    missing = np.abs(total - 1)
    if missing.max(initial=0.0) > row_tolerance(problem.terms):
        s, a = np.unravel_index(missing.argmax(), missing.shape)
        raise ValueError(
            f"criterion: average needs rows of P that sum to 1, and that of state {mdp.names.state(int(s))!r}, action "
            f"{int(a)} sums to {total[s, a]:.6g}; let the rest lead to a terminal state, which is worth 0 for ever, or "
            "take criterion='total'"
        )
    return replace(problem, slack=problem.slack + problem.terms + 2 + math.ceil(missing.max(initial=0.0) / U))


def _graph(problem: Problem) -> Graph:
    """The graph, in which only transitions to terminal states end episodes."""
    graph, mdp = graph_of(problem), problem.mdp
    return graph._replace(leaks=graph.live & (mdp.kernel.csr() @ np.asarray(mdp.terminal).astype(float) > 0))


def _of_one_gain(search: Relative, status: str, method: str, began: float) -> Solution:
    """The solution where one interval holds the gain of all states."""
    found = search.proof.solution(status, method, clock() - began)
    return replace(found, action=search.action, bias=search.bias)


def _of_several(
    problem: Problem,
    graph: Graph,
    label: Int[np.ndarray, " states"],
    inside: Bool[np.ndarray, " rows"],
    parts: Relative,
    status: str,
    tolerance: float,
    method: str,
    time_limit: float | None,
    began: float,
) -> Solution:
    """The solution from the gains of components: g* is monotone in them, and moves no more than they do."""
    ends, proof = np.asarray(problem.mdp.terminal), parts.proof
    inert = problem.mdp.changed(reward=np.zeros(problem.gain.shape))
    tree = collapsed(problem_of(inert), graph)
    if tree is None:  # every policy ends
        zero = np.zeros(len(ends))
        found = _stated(problem, zero, zero, CERTIFIED, "every episode ends: average rewards are 0", tolerance, method)
        return replace(found, seconds=clock() - began)
    roots = tree.order[tree.start]
    low, high = proof.lower[roots], proof.upper[roots]
    middle = (low + high) / 2
    half = float((high - low).max()) / 2 * (1 + 8 * U) + 8 * U * float(np.abs(middle).max())
    way = solve_total(
        _quotient(problem, tree, middle), _BETWEEN * tolerance, "auto", time_limit, None, began, start=None
    )
    least, most = (float(f(bound, 0.0) if ends.any() else bound) for f, bound in ((min, low.min()), (max, high.max())))
    lower = np.where(ends, 0.0, np.maximum(tree.values(way.lower) - half, least))
    upper = np.where(ends, 0.0, np.minimum(tree.values(way.upper) + half, most))
    action, staying = _actions(tree, way, parts.action, inside)
    gap = float((upper - lower).max()) * (1 + 4 * U)
    stopped, words = (status, proof.solution(status, method, 0.0).message)
    if status == CERTIFIED:
        stopped, words = way.status, f"the way to components: {way.message}"
    if gap <= tolerance:
        stopped, words = CERTIFIED, f"every value is known to within {gap:.2g}"
    shape = problem.gain.shape
    kept = np.where(staying[:, None] & ~inside.reshape(shape), -np.inf, problem.gain)
    found = _stated(replace(problem, gain=kept), lower, upper, stopped, words, tolerance, method)
    return replace(
        found,
        action=action,
        backups=len(proof.trace) + way.backups,
        trace=np.r_[proof.trace, gap],
        bias=parts.bias,
        forced=~staying & ~ends,
        seconds=clock() - began,
    )


def _quotient(problem: Problem, tree: Collapsed, gains: np.ndarray) -> Problem:
    """The problem of coming to the best component: to stay in one pays its gain once, and ends."""
    reward = np.zeros(tree.problem.gain.shape)
    reward[tree.order[tree.start], -1] = gains
    return replace(problem_of(tree.problem.mdp.changed(reward=reward)), slack=tree.problem.slack + problem.slack)


def _actions(
    tree: Collapsed, way: Solution, within: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]
) -> tuple[Int[np.ndarray, " states"], Bool[np.ndarray, " states"]]:
    """The best actions, and the states of components in which they stay for good."""
    chosen = tree.actions(way.action)
    leaves = ~inside.reshape(len(chosen), -1)[np.arange(len(chosen)), chosen]
    left = np.logical_or.reduceat(leaves[tree.order], tree.start)
    staying = np.zeros(len(chosen), bool)
    staying[tree.order] = np.repeat(~left, np.diff(np.r_[tree.start, len(tree.order)]))
    return np.where(staying, within, chosen), staying


def _undecided(problem: Problem, reason: str, tolerance: float, method: str, began: float) -> Solution:
    """What rewards alone say, and why no more."""
    ends, (least, most) = np.asarray(problem.mdp.terminal), problem.immediate
    least, most = (min(least, 0.0), max(most, 0.0)) if ends.any() else (least, most)
    bounds = np.where(ends, 0.0, least), np.where(ends, 0.0, most)
    return replace(_stated(problem, *bounds, UNDECIDED, reason, tolerance, method), seconds=clock() - began)


def _stated(
    problem: Problem, lower: Values, upper: Values, status: str, message: str, tolerance: float, method: str
) -> Solution:
    """A solution with these bounds."""
    return Solution(
        value=(lower + upper) / 2,
        lower=lower,
        upper=upper,
        gap=float((upper - lower).max(initial=0.0)) * (1 + 4 * U),
        status=status,
        message=message,
        method=method,
        tolerance=tolerance,
        backups=0,
        seconds=0.0,
        action=np.asarray(problem.mdp.legal).argmax(-1).astype(np.int32),
        trace=np.zeros(0),
        problem=problem,
        criterion=Average(),
        bias=np.zeros(len(lower)),
    )
