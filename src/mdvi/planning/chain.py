"""What a policy leaves of a model: one row of weights γ P_π per state, and sweeps of x = b + γ P_π x on it.

With b = Tv − v its solution is what is missing to the value of the greedy policy, v_π = v + x.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numba import njit, prange

from mdvi.planning.problem import Backup, Problem, Values
from mdvi.planning.sweeps import compiled, expectation, unsigned
from mdvi.planning.watch import Watch


@dataclass(frozen=True)
class Chain:
    """γ P_π in compressed rows.

    Attributes:
        first: where each row begins.
        to: the successors.
        weight: γ P_π.
    """

    first: np.ndarray
    to: np.ndarray
    weight: np.ndarray


def chain_of(problem: Problem, backup: Backup, order: np.ndarray | None = None, rare: float = 0.0) -> Chain:
    """The chain of the policy that is greedy at v, its states renumbered such that order[i] becomes i.

    Actions less probable than `rare` times the most probable one are left out.
    """
    assert problem.rows is not None
    states, actions = problem.gain.shape
    start = problem.rows[0]
    rank = None
    if order is not None:
        rank = np.empty(states, np.uint32)
        rank[order] = np.arange(states, dtype=np.uint32)
    policy = None
    if backup.q is not None:
        policy = np.empty((states, actions))
        _likely(policy, backup.q, problem.temperature, rare)
    first = np.zeros(states + 1, start.dtype)
    _begin(start, actions, backup.best, policy, order, first)
    out = (first, np.empty(first[-1], np.uint32), np.empty(first[-1]))
    if policy is None:
        _greedy(*problem.rows, problem.discount, backup.best, order, rank, *out)
        return Chain(*out)
    _soft(*problem.rows, problem.discount, policy, order, rank, *out)
    return Chain(*out) if order is None else _merged(Chain(*out))


def _merged(chain: Chain) -> Chain:
    """The same chain with one entry for a successor that several actions share."""
    states = len(chain.first) - 1
    matrix = scipy.sparse.csr_array((chain.weight, chain.to.view(np.int32), chain.first), shape=(states, states))
    matrix.sum_duplicates()
    return Chain(unsigned(matrix.indptr), unsigned(matrix.indices), matrix.data)


def swept(chain: Chain, b: Values, count: int, enough: Callable[[float, float], bool], watch: Watch) -> Values:
    """X after sweeps x ← b + γ P_π x, at most so many, until the smallest and the largest change are `enough`."""
    x, other = b.copy(), np.empty_like(b)
    for _ in range(count):
        watch()
        change = _jacobi(chain.first, chain.to, chain.weight, b, x, other)
        x, other = other, x
        if enough(*change):
            break
    return x


@njit(cache=True, nogil=True)
def _begin(start, actions, best, policy, order, first):  # type: ignore[no-untyped-def]
    """Writes where the rows of the chain begin, of `best` when there is no policy."""
    for i in range(len(first) - 1):
        s = np.int64(i) if order is None else np.int64(order[i])
        first[i + 1] = first[i]
        if policy is None:
            row = s * actions + best[s]
            first[i + 1] += start[row + 1] - start[row]
        else:
            for a in range(actions):
                if policy[s, a] > 0:
                    first[i + 1] += start[s * actions + a + 1] - start[s * actions + a]


@compiled
def _greedy(start, state, probability, discount, best, order, rank, first, to, weight):  # type: ignore[no-untyped-def]
    """The chain of the policy that takes `best`; no order is the given one."""
    states = len(first) - 1
    actions = (len(start) - 1) // states
    for i in prange(states):
        s = np.int64(i) if order is None else np.int64(order[i])
        row, k = s * actions + best[s], first[i]
        for j in range(start[row], start[row + 1]):
            to[k] = state[j] if rank is None else rank[state[j]]
            weight[k] = discount * probability[j]
            k += np.uint32(1)


@compiled
def _likely(policy, q, temperature, rare):  # type: ignore[no-untyped-def]
    """Writes π(a|s) ∝ exp(q(s, a) / t), zero where that is below `rare` times the largest."""
    states, actions = q.shape
    for s in prange(states):
        top, total = -np.inf, 0.0
        for a in range(actions):
            top = max(top, q[s, a])
        for a in range(actions):
            chance = np.exp((q[s, a] - top) / temperature) if q[s, a] > -np.inf else 0.0
            policy[s, a] = chance if chance >= rare else 0.0
            total += policy[s, a]
        for a in range(actions):
            policy[s, a] /= max(total, 1.0)


@compiled
def _soft(start, state, probability, discount, policy, order, rank, first, to, weight):  # type: ignore[no-untyped-def]
    """The chain of a policy."""
    states, actions = policy.shape
    for i in prange(states):
        s = np.int64(i) if order is None else np.int64(order[i])
        k = first[i]
        for a in range(actions):
            if policy[s, a] > 0:
                for j in range(start[s * actions + a], start[s * actions + a + 1]):
                    to[k] = state[j] if rank is None else rank[state[j]]
                    weight[k] = discount * policy[s, a] * probability[j]
                    k += np.uint32(1)


@compiled
def _jacobi(first, to, weight, b, x, out):  # type: ignore[no-untyped-def]
    """Writes b + weight x; returns the smallest and the largest change."""
    low, high = np.inf, -np.inf
    for i in prange(len(b)):
        out[i] = b[i] + expectation(first, to, weight, i, x)
        if first[i + 1] > first[i]:
            low, high = min(low, out[i] - x[i]), max(high, out[i] - x[i])
    return low, high
