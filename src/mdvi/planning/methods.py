"""Roads to v*: each takes a backup and returns a better v, and a backup proves how good it is.

What differs is what follows a backup: nothing; a few sweeps of the greedy policy's chain v = g_π + γ P_π v, one row
per state, instead of the whole model; sweeps of the model in an order that carries rewards far; or the chain solved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from mdvi.planning import sweeps
from mdvi.planning.problem import Backup, Problem, Values

_CHAIN_SWEEPS = 6  # for one of the model: the latter costs about as much as seven of the former
_CHAIN_SHARE = 0.1  # of the interval: when the chain is known better than that, it is time to improve the policy
_ORDERED_SWEEPS = 6
_KRYLOV_ITERATIONS = 200
_NEARLY_SORTED = 0.9


class Stopped(Exception):  # noqa: N818
    """Time is up, or the user has asked to stop."""


Watch = Callable[[], None]  # called between sweeps; raises Stopped


@dataclass(frozen=True)
class Chain:
    """v = gain + weight v of the greedy policy, its states in the order in which they are swept.

    Attributes:
        order: state number order[i] is swept as number i.
        first: where each row begins.
        to: the successors, numbered in that order.
        weight: γ P_π.
        gain: g_π, such that gain + weight v = Tv.
    """

    order: np.ndarray
    first: np.ndarray
    to: np.ndarray
    weight: np.ndarray
    gain: np.ndarray


def chain_of(problem: Problem, backup: Backup, order: np.ndarray | None = None) -> Chain:
    """The chain of the policy that is greedy at v."""
    assert problem.rows is not None
    states, actions = problem.gain.shape
    start = problem.rows[0]
    if order is None:
        order = np.arange(states, dtype=np.int32)
    rank = np.empty(states, np.int32)
    rank[order] = np.arange(states, dtype=np.int32)
    if problem.temperature > 0:
        length = start[actions::actions] - start[:-1:actions]
    else:
        row = np.arange(states) * actions + backup.best
        length = start[row + 1] - start[row]
    first = np.concatenate([[0], np.cumsum(length[order])])
    to, weight, gain = np.empty(first[-1], np.int32), np.empty(first[-1]), np.empty(states)
    out = (first, to, weight, gain)
    if problem.temperature > 0:
        values = (backup.value, backup.v)
        sweeps.soft_chain(
            *problem.rows, problem.gain, problem.discount, problem.temperature, order, rank, *values, *out
        )
    else:
        sweeps.greedy_chain(*problem.rows, problem.gain, problem.discount, backup.best, order, rank, *out)
    return Chain(order, *out)


Method = Callable[[Problem, Backup, np.ndarray, float, Watch], Values]  # the order of sweeps; the accuracy of solves


def value_iteration(problem: Problem, backup: Backup, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """v ← Tv."""
    return backup.value


def modified_policy_iteration(
    problem: Problem, backup: Backup, order: np.ndarray, accuracy: float, watch: Watch
) -> Values:
    """v ← T_π^m v, a few sweeps of the chain for each of the model."""
    chain = chain_of(problem, backup)
    v, other = backup.value.copy(), np.empty_like(backup.v)
    target = _CHAIN_SHARE * problem.width(backup.low, backup.high)
    for _ in range(_CHAIN_SWEEPS):
        watch()
        low, high = sweeps.jacobi(chain.first, chain.to, chain.weight, chain.gain, v, other)
        v, other = other, v
        if problem.width(low, high) <= target:
            break
    return v


def gauss_seidel(problem: Problem, backup: Backup, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """T state by state, each new value at once in use, in an order in which successors come first."""
    return _ordered_sweeps(problem, backup.value, order, accuracy, watch)


def policy_iteration(problem: Problem, backup: Backup, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """Newton's method, v ← v_π, and then ordered sweeps: an improvement of the policy travels as far as it reaches.

    Without them it travels one transition per solve. Solved by BiCGSTAB (van der Vorst 1992), preconditioned by a
    Gauss-Seidel sweep S: x = S x + f.
    """
    chain = chain_of(problem, backup, order)
    v = backup.value[order]
    swept, nothing = v.copy(), np.zeros_like(v)
    sweeps.gauss_seidel(chain.first, chain.to, chain.weight, chain.gain, swept)

    def remaining(x: np.ndarray) -> np.ndarray:
        """x − S x, without gains."""
        watch()
        y = x.copy()
        sweeps.gauss_seidel(chain.first, chain.to, chain.weight, nothing, y)
        return x - y

    operator: Any = scipy.sparse.linalg.LinearOperator((len(v), len(v)), matvec=remaining, dtype=float)
    residual = swept - v
    step, _ = scipy.sparse.linalg.bicgstab(operator, residual, rtol=accuracy, maxiter=_KRYLOV_ITERATIONS)
    # It may break down or run out of iterations; what it brought is taken if it brought anything.
    helps = np.linalg.norm(residual - remaining(step)) < np.linalg.norm(residual)
    out = np.empty_like(v)
    out[order] = v + step if helps else swept
    return _ordered_sweeps(problem, out, order, accuracy, watch)


METHODS: dict[str, Method] = {
    "value-iteration": value_iteration,
    "modified-policy-iteration": modified_policy_iteration,
    "gauss-seidel": gauss_seidel,
    "policy-iteration": policy_iteration,
}


def _ordered_sweeps(problem: Problem, v: Values, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """A few sweeps of the model in order, fewer if they soon change little."""
    assert problem.rows is not None
    v, first = v.copy(), 0.0
    for _ in range(_ORDERED_SWEEPS):
        watch()
        change = sweeps.ordered_backup(*problem.rows, problem.gain, problem.discount, problem.temperature, order, v)
        first = max(first, change)
        if change <= accuracy * first:
            break
    return v


def outward(problem: Problem) -> np.ndarray:
    """The states by their distance, in transitions, to where episodes end or the highest reward is paid."""
    assert problem.rows is not None
    states, actions = problem.gain.shape
    top = problem.gain.max(-1)
    ends = np.asarray(problem.mdp.terminal)
    source = ends | (top == top.max())
    if source.sum() > max(states // 2, 1):
        source = ends
    start, state, probability = problem.rows
    pattern = scipy.sparse.csr_array((probability, state, start[::actions]), shape=(states, states))
    backwards = scipy.sparse.csr_array(pattern.T)
    distance = np.full(states, states, np.int32)
    sweeps.breadth_first(backwards.indptr, backwards.indices, np.flatnonzero(source).astype(np.int32), distance)
    numbers = np.arange(states, dtype=np.int32)
    step = np.diff(distance)
    if np.count_nonzero(step <= 0) > _NEARLY_SORTED * states and step.any():
        return numbers[::-1].copy()  # memory is read fastest in its own order
    if np.count_nonzero(step >= 0) > _NEARLY_SORTED * states:
        return numbers
    return np.argsort(distance, kind="stable").astype(np.int32)
