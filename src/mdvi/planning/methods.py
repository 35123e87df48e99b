"""Roads to v*: each takes a backup and returns a better v, and a backup proves how good it is.

What differs is what follows a backup: nothing; a few sweeps of the greedy policy's chain v = g_π + γ P_π v, one row
per state, instead of the whole model; sweeps of the model in an order that carries rewards far; or the chain solved.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse

from mdvi.planning import sweeps
from mdvi.planning.problem import Backup, Problem, Values

_CHAIN_SWEEPS = 12
_CHAIN_SHARE = 0.02  # of the interval: when the chain is known better than that, it is time to improve the policy
_ORDERED_SWEEPS, _BETWEEN_SOLVES = 20, 6
_LITTLE = 1e-4
_KRYLOV_ROUNDS, _KRYLOV_ITERATIONS = 10, 20  # between two rounds it may be stopped
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
    rank = np.empty(states, np.uint32)
    rank[order] = np.arange(states, dtype=np.uint32)
    if problem.temperature > 0:
        length = start[actions::actions] - start[:-1:actions]
    else:
        row = np.arange(states) * actions + backup.best
        length = start[row + 1] - start[row]
    first = sweeps.unsigned(np.concatenate([[0], np.cumsum(length[order], dtype=np.int64)]))
    to, weight, gain = np.empty(first[-1], np.uint32), np.empty(first[-1]), np.empty(states)
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
    return _ordered_sweeps(problem, backup.value, order, _ORDERED_SWEEPS, watch)


def policy_iteration(problem: Problem, backup: Backup, order: np.ndarray, accuracy: float, watch: Watch) -> Values:
    """Newton's method, v ← v_π, and then ordered sweeps: an improvement of the policy travels as far as it reaches.

    Without them it travels one transition per solve. The solver is BiCGSTAB, preconditioned by a Gauss-Seidel sweep.
    """
    chain = chain_of(problem, backup, order)
    if problem.temperature > 0:
        chain = _merged(chain)
    v = backup.value[order]
    swept = v.copy()
    sweeps.gauss_seidel(chain.first, chain.to, chain.weight, chain.gain, swept)
    out = np.empty_like(v)
    out[order] = v + _solved(chain, swept - v, accuracy, watch)
    return _ordered_sweeps(problem, out, order, _BETWEEN_SOLVES, watch)


def _merged(chain: Chain) -> Chain:
    """The same chain with one entry for a successor that several actions share."""
    matrix = scipy.sparse.csr_array((chain.weight, chain.to.view(np.int32), chain.first), shape=2 * chain.gain.shape)
    matrix.sum_duplicates()
    return replace(chain, first=sweeps.unsigned(matrix.indptr), to=sweeps.unsigned(matrix.indices), weight=matrix.data)


def _solved(chain: Chain, b: np.ndarray, accuracy: float, watch: Watch) -> np.ndarray:
    """X with x − S x = b, to a relative accuracy or as far as it goes; b itself, one sweep, where that is better."""
    vectors = np.zeros((8, len(b)))
    vectors[1:3] = b
    size = float(np.linalg.norm(b))
    numbers = np.array([1.0, 1.0, 1.0, accuracy * size])
    for _ in range(_KRYLOV_ROUNDS):
        watch()
        if not sweeps.bicgstab(chain.first, chain.to, chain.weight, vectors, numbers, _KRYLOV_ITERATIONS):
            break
    x, r = vectors[:2]
    return x if np.linalg.norm(r) < size else b


METHODS: dict[str, Method] = {
    "value-iteration": value_iteration,
    "modified-policy-iteration": modified_policy_iteration,
    "gauss-seidel": gauss_seidel,
    "policy-iteration": policy_iteration,
}


def _ordered_sweeps(problem: Problem, v: Values, order: np.ndarray, count: int, watch: Watch) -> Values:
    """A few sweeps of the model in order, fewer if they soon change little."""
    assert problem.rows is not None
    v, first = v.copy(), 0.0
    for _ in range(count):
        watch()
        change = sweeps.ordered_backup(*problem.rows, problem.gain, problem.discount, problem.temperature, order, v)
        first = max(first, change)
        if change <= _LITTLE * first:
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
    matrix = problem.mdp.kernel.csr()
    pattern = scipy.sparse.csr_array((matrix.data, matrix.indices, matrix.indptr[::actions]), shape=(states, states))
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
