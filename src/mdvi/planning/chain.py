"""What a policy leaves of a model: one row of weights γ P_π per state, and sweeps of x = b + γ P_π x on it.

With b = Tv − v its solution is what is missing to the value of the greedy policy, v_π = v + x.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from mdvi.native import njit, prange
from mdvi.planning.problem import Backup, Problem, Values
from mdvi.planning.sweeps import compiled, expectation
from mdvi.planning.watch import Watch

_ROUNDED = 1e-15  # what an entry may add to the sum of a row by rounding


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


def chain_of(problem: Problem, backup: Backup, rare: float = 0.0) -> Chain:
    """The chain of the policy that is greedy at v.

    Actions less probable than `rare` times the most probable one are left out.
    """
    assert problem.rows is not None
    states, actions = problem.gain.shape
    start = problem.rows[0]
    policy = None if backup.q is None else problem.policies(backup.q, rare)
    first = np.zeros(states + 1, start.dtype)
    _begin(start, actions, backup.best, policy, first)
    out = (first, np.empty(first[-1], np.uint32), np.empty(first[-1]))
    if policy is None:
        _greedy(*problem.rows, problem.discount, backup.best, *out)
    else:
        _soft(*problem.rows, problem.discount, policy, *out)
    return Chain(*out)


def renumbered(chain: Chain, order: np.ndarray) -> Chain:
    """The same chain where order[i] is called i, with one entry for a successor that several actions share."""
    first, to, weight = np.zeros_like(chain.first), np.empty_like(chain.to), np.empty_like(chain.weight)
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    count = _renumber(chain.first, chain.to, chain.weight, order, rank, first, to, weight)
    return Chain(first, to[:count], weight[:count])


def matrix_of(chain: Chain) -> scipy.sparse.csr_array:
    """γ P_π for SciPy."""
    states = len(chain.first) - 1
    first = chain.first.view(np.int32) if chain.first.itemsize == 4 else chain.first.astype(np.int64)
    return scipy.sparse.csr_array((chain.weight, chain.to.view(np.int32), first), shape=(states, states))


def ends(chain: Chain) -> bool:
    """Whether I − γ P_π is regular: from every state the chain comes to one whose weights sum to less than 1.

    False also where a weight is not finite.
    """
    total = matrix_of(chain).sum(1)
    if not np.isfinite(total).all():
        return False
    open_ = total < 1 - _ROUNDED * np.diff(chain.first)
    if open_.all():
        return True
    back = matrix_of(chain).tocsc()
    return bool(_all_reached(back.indptr, back.indices, open_))


def residual(chain: Chain, b: Values, x: Values) -> float:
    """Max |b + γ P_π x − x|; infinite where x is not finite."""
    return float(_residual(chain.first, chain.to, chain.weight, b, x))


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
def _begin(start, actions, best, policy, first):  # type: ignore[no-untyped-def]
    """Writes where the rows of the chain begin, of `best` when there is no policy."""
    for s in range(len(first) - 1):
        first[s + 1] = first[s]
        if policy is None:
            row = s * actions + best[s]
            first[s + 1] += start[row + 1] - start[row]
        else:
            for a in range(actions):
                if policy[s, a] > 0:
                    first[s + 1] += start[s * actions + a + 1] - start[s * actions + a]


@compiled
def _greedy(start, state, probability, discount, best, first, to, weight):  # type: ignore[no-untyped-def]
    """The chain of the policy that takes `best`."""
    states = len(first) - 1
    actions = (len(start) - 1) // states
    for s in prange(states):
        row, k = s * actions + best[s], first[s]
        for j in range(start[row], start[row + 1]):
            to[k] = state[j]
            weight[k] = discount * probability[j]
            k += np.uint32(1)


@compiled
def _soft(start, state, probability, discount, policy, first, to, weight):  # type: ignore[no-untyped-def]
    """The chain of a policy."""
    states, actions = policy.shape
    for s in prange(states):
        k = first[s]
        for a in range(actions):
            if policy[s, a] > 0:
                for j in range(start[s * actions + a], start[s * actions + a + 1]):
                    to[k] = state[j]
                    weight[k] = discount * policy[s, a] * probability[j]
                    k += np.uint32(1)


@njit(cache=True, nogil=True)
def _all_reached(first, source, reached):  # type: ignore[no-untyped-def]
    """Whether every state leads to one that is reached. Overwrites `reached`."""
    queue = np.flatnonzero(reached)
    stack = np.empty(len(reached), np.int64)
    size = len(queue)
    stack[:size] = queue
    count = size
    while size > 0:
        size -= 1
        t = stack[size]
        for k in range(first[t], first[t + 1]):
            s = source[k]
            if not reached[s]:
                reached[s] = True
                stack[size] = s
                size += 1
                count += 1
    return count == len(reached)


@njit(cache=True, error_model="numpy", nogil=True)
def _residual(first, to, weight, b, x):  # type: ignore[no-untyped-def]
    worst = 0.0
    for i in range(len(b)):
        error = abs(b[i] + expectation(first, to, weight, i, x) - x[i])
        if not error <= worst:
            worst = error if error == error else np.inf
    return worst


@njit(cache=True, nogil=True)
def _renumber(old_first, old_to, old_weight, order, rank, first, to, weight):  # type: ignore[no-untyped-def]
    """Writes the chain where order[i] is called i; returns the number of its entries."""
    place, count = np.full(len(order), -1, np.int64), 0  # the last entry written for each successor
    for i in range(len(order)):
        s, begin = np.int64(order[i]), count
        for k in range(old_first[s], old_first[s + 1]):
            t = rank[old_to[k]]
            if place[t] >= begin:
                weight[place[t]] += old_weight[k]
            else:
                to[count], weight[count], place[t] = t, old_weight[k], count
                count += 1
        first[i + 1] = count
    return count


@compiled
def _jacobi(first, to, weight, b, x, out):  # type: ignore[no-untyped-def]
    """Writes b + weight x; returns the smallest and the largest change."""
    low, high = np.inf, -np.inf
    for i in prange(len(b)):
        out[i] = b[i] + expectation(first, to, weight, i, x)
        if first[i + 1] > first[i]:
            low, high = min(low, out[i] - x[i]), max(high, out[i] - x[i])
    return low, high
