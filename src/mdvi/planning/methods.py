"""Roads to v*: each takes a backup and returns a better v, and a backup proves how good it is.

Between two backups the greedy policy stays, and its chain v = g_π + γ P_π v, one row per state, is swept instead
of the whole model: modified policy iteration. How far the chain is solved, and how, is the method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from mdvi.planning import sweeps
from mdvi.planning.problem import Backup, Problem, Values

_JACOBI_SWEEPS = 6  # of the chain for one of the model: the latter costs about as much as seven of the former
_GAUSS_SEIDEL_SWEEPS = 40
_BASIS = 20  # vectors that GMRES keeps
_CYCLES = 50  # of multigrid
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


@dataclass(frozen=True)
class Step:
    """What a method hands back.

    Attributes:
        v: the next v.
        slow: the evaluation gave up before it had done its share, so a stronger method should take over.
    """

    v: Values
    slow: bool = False


Method = Callable[[Problem, Backup, np.ndarray, float, Watch], Step]  # the order of sweeps; the share of the interval
# that an evaluation may leave


def value_iteration(problem: Problem, backup: Backup, order: np.ndarray, share: float, watch: Watch) -> Step:
    """v ← Tv."""
    return Step(backup.value)


def modified_policy_iteration(problem: Problem, backup: Backup, order: np.ndarray, share: float, watch: Watch) -> Step:
    """v ← T_π^m v, a few sweeps of the chain for each of the model."""
    chain = chain_of(problem, backup)
    v, other = backup.value.copy(), np.empty_like(backup.v)
    target = share * problem.width(backup.low, backup.high)
    for _ in range(_JACOBI_SWEEPS):
        watch()
        low, high = sweeps.jacobi(chain.first, chain.to, chain.weight, chain.gain, v, other)
        v, other = other, v
        if problem.width(low, high) <= target:
            break
    return Step(v)


def gauss_seidel(problem: Problem, backup: Backup, order: np.ndarray, share: float, watch: Watch) -> Step:
    """As before, but each new value is at once in use, in an order in which successors come first."""
    chain = chain_of(problem, backup, order)
    v = backup.value[order]
    target = share * max(abs(backup.low), abs(backup.high))
    for _ in range(_GAUSS_SEIDEL_SWEEPS):
        watch()
        if sweeps.gauss_seidel(chain.first, chain.to, chain.weight, chain.gain, v) <= target:
            return Step(_placed(order, v))
    return Step(_placed(order, v), slow=True)


def policy_iteration(problem: Problem, backup: Backup, order: np.ndarray, share: float, watch: Watch) -> Step:
    """Newton's method: v ← v_π, solved until the interval of v_π is a share of what it was.

    First by GMRES, preconditioned by a Gauss-Seidel sweep; where that gives up, by algebraic multigrid.
    """
    chain = chain_of(problem, backup, order)
    v = backup.value[order]
    target = share * problem.width(backup.low, backup.high)
    changed = np.empty_like(v)
    for linear_solver, accuracy in _LINEAR_SOLVES:
        v, solved = linear_solver(chain, v, accuracy, watch)
        low, high = sweeps.jacobi(chain.first, chain.to, chain.weight, chain.gain, v, changed)
        if solved and problem.width(low, high) <= target:
            break
    return Step(_placed(order, changed))


def _krylov(chain: Chain, v: np.ndarray, accuracy: float, watch: Watch) -> tuple[np.ndarray, bool]:
    """The chain's values by GMRES on x = S x + f, S one Gauss-Seidel sweep; and whether it got there."""
    swept = v.copy()
    sweeps.gauss_seidel(chain.first, chain.to, chain.weight, chain.gain, swept)
    nothing = np.zeros_like(v)

    def remaining(x: np.ndarray) -> np.ndarray:
        """x − S x, without gains."""
        watch()
        y = np.array(x, dtype=float).reshape(-1)
        sweeps.gauss_seidel(chain.first, chain.to, chain.weight, nothing, y)
        return x - y

    operator: Any = scipy.sparse.linalg.LinearOperator((len(v), len(v)), matvec=remaining, dtype=float)
    step, unsolved = scipy.sparse.linalg.gmres(operator, swept - v, rtol=accuracy, restart=_BASIS, maxiter=1)
    return (v, False) if unsolved else (v + step, True)


def _multigrid(chain: Chain, v: np.ndarray, accuracy: float, watch: Watch) -> tuple[np.ndarray, bool]:
    """The chain's values by smoothed aggregation: mixing that is slow on every scale is solved scale by scale."""
    import pyamg

    moving = scipy.sparse.csr_matrix((chain.weight, chain.to, chain.first), shape=(len(v), len(v)))
    matrix = scipy.sparse.csr_matrix(scipy.sparse.eye_array(len(v), format="csr") - moving)
    matrix.sum_duplicates()
    state = np.random.get_state()  # noqa: NPY002 – PyAMG draws from it, and runs should repeat
    np.random.seed(0)  # noqa: NPY002
    try:
        hierarchy = pyamg.smoothed_aggregation_solver(matrix, symmetry="nonsymmetric")
    finally:
        np.random.set_state(state)  # noqa: NPY002
    watch()
    residual = chain.gain - matrix @ v
    step = hierarchy.solve(residual, tol=accuracy, maxiter=_CYCLES, accel="bicgstab", callback=lambda _: watch())
    return v + step, True


_LINEAR_SOLVES = ((_krylov, 1e-2), (_krylov, 1e-8), (_multigrid, 1e-2), (_multigrid, 1e-8))


METHODS: dict[str, Method] = {
    "value-iteration": value_iteration,
    "modified-policy-iteration": modified_policy_iteration,
    "gauss-seidel": gauss_seidel,
    "policy-iteration": policy_iteration,
}


def ordered_sweeps(problem: Problem, v: Values, order: np.ndarray, count: int) -> Values:
    """T state by state in order: carries rewards through the whole model in a few sweeps."""
    assert problem.rows is not None
    v = v.copy()
    for _ in range(count):
        sweeps.ordered_backup(*problem.rows, problem.gain, problem.discount, problem.temperature, order, v)
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


def _placed(order: np.ndarray, v: np.ndarray) -> Values:
    """Values in the order of the model."""
    out = np.empty_like(v)
    out[order] = v
    return out
