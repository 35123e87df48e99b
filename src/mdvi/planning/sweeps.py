"""Compiled sweeps over compressed rows: what a solver spends its time in.

A problem is given by rows of P (CSR; row s · actions + a), a gain g(s, a) that is −∞ where (s, a) cannot be met, a
discount γ and a temperature t. A chain is what a policy leaves of it: one row of weights γ P_π per state, and a gain.
Values of states without any possible action, the terminal ones, are zero.

Every sweep is a pure function of its arrays but for the outputs named last. Large ones run on all cores; the result
does not depend on how many there are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

_PARALLEL_FROM = 20_000  # entries; below, starting threads takes longer than the sweep
_BLOCK = 256  # states
_NEGLIGIBLE = -40.0  # e to that is a twentieth of what rounding leaves of 1


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on one core for small inputs and on all for large ones; the successors, second, tell which."""
    options: Any = {"cache": True, "error_model": "numpy", "nogil": True}
    alone = njit(**options)(function)
    together = njit(parallel=True, **options)(function)

    def run(*arrays: Any) -> Any:
        return (together if len(arrays[1]) >= _PARALLEL_FROM else alone)(*arrays)

    run.__doc__ = function.__doc__
    return run


def unsigned(index: np.ndarray) -> np.ndarray:
    """Row starts or successors as 32-bit unsigned integers, if they fit: Numba then skips its test for negative ones.

    That halves the time of a sweep. What is 32 bits wide already is not copied.
    """
    if index.dtype.itemsize == 4:
        return index.view(np.uint32)
    return index.astype(np.uint32) if index.max(initial=0) < 2**32 else index


# Inlined by Numba: left to LLVM, the sweep of a large model takes 1.7 times as long.
@njit(error_model="numpy", inline="always")
def _expectation(start, state, probability, row, v):  # type: ignore[no-untyped-def]
    """(Pv)(row)."""
    expected = 0.0
    for j in range(start[row], start[row + 1]):
        expected += probability[j] * v[state[j]]
    return expected


@njit(error_model="numpy", inline="always")
def _soft(top, temperature, x, first, actions):  # type: ignore[no-untyped-def]
    """T log Σ_a exp(x_a / t) of the numbers from x[first] on, whose maximum is top."""
    total = 0.0
    for a in range(actions):
        below = (x[first + a] - top) / temperature
        if below > _NEGLIGIBLE:
            total += np.exp(below) if below < 0 else 1.0
    return top + temperature * np.log(total)


@_compiled
def backup(start, state, probability, gain, discount, temperature, v, value, best):  # type: ignore[no-untyped-def]
    """(Tv)(s) = t log Σ_a exp((g(s, a) + γ (Pv)(s, a)) / t), the maximum when t = 0; writes it and an argmax.

    Returns min and max over the states that are not terminal of Tv − v.
    """
    states, actions = gain.shape
    low, high = np.inf, -np.inf
    # All q of a block before any maximum: a branch that waits for v would keep later loads of v from starting.
    for block in prange((states + _BLOCK - 1) // _BLOCK):
        begin, end = block * _BLOCK, min((block + 1) * _BLOCK, states)
        q = np.empty((end - begin) * actions)
        j = start[begin * actions]
        for s in range(begin, end):
            for a in range(actions):
                last = start[s * actions + a + 1]
                expected = 0.0
                while j < last:
                    expected += probability[j] * v[state[j]]
                    j += np.uint32(1)
                q[(s - begin) * actions + a] = gain[s, a] + discount * expected
        least, most = np.inf, -np.inf
        for s in range(begin, end):
            first, top, chosen = (s - begin) * actions, -np.inf, 0
            for a in range(actions):
                better = q[first + a] > top
                chosen = a if better else chosen
                top = q[first + a] if better else top
            best[s] = chosen
            if top == -np.inf:
                value[s] = 0.0
                continue
            value[s] = top if temperature == 0 else _soft(top, temperature, q, first, actions)
            least, most = min(least, value[s] - v[s]), max(most, value[s] - v[s])
        low, high = min(low, least), max(high, most)
    return low, high


@_compiled
def action_values(start, state, probability, gain, discount, v, q):  # type: ignore[no-untyped-def]
    """Writes q(s, a) = g(s, a) + γ (Pv)(s, a)."""
    states, actions = gain.shape
    for s in prange(states):
        for a in range(actions):
            q[s, a] = gain[s, a] + discount * _expectation(start, state, probability, s * actions + a, v)


@njit(cache=True, error_model="numpy", nogil=True)
def ordered_backup(start, state, probability, gain, discount, temperature, order, v):  # type: ignore[no-untyped-def]
    """Tv state by state in the given order, each at once in use: a Gauss-Seidel sweep. Overwrites v.

    Returns the largest change.
    """
    actions, change = gain.shape[1], 0.0
    q = np.empty(actions)
    for s in order:
        top = -np.inf
        j = start[s * actions]
        for a in range(actions):
            end = start[s * actions + a + 1]
            expected = 0.0
            while j < end:
                expected += probability[j] * v[state[j]]
                j += np.uint32(1)
            x = gain[s, a] + discount * expected
            if temperature > 0:
                q[a] = x
            top = max(top, x)  # no branch: it would be mispredicted half the time
        if top > -np.inf:
            value = top if temperature == 0 else _soft(top, temperature, q, 0, actions)
            change = max(change, abs(value - v[s]))
            v[s] = value
    return change


@_compiled
def greedy_chain(start, state, probability, gain, discount, best, order, rank, first, to, weight, reward):  # type: ignore[no-untyped-def]
    """The chain of the policy that takes `best`, its states renumbered by `rank`; writes weights and gain."""
    actions = gain.shape[1]
    for i in prange(len(order)):
        s = order[i]
        row = s * actions + best[s]
        reward[i] = gain[s, best[s]] if gain[s, best[s]] > -np.inf else 0.0  # a terminal state
        k = first[i]
        for j in range(start[row], start[row + 1]):
            to[k] = rank[state[j]]
            weight[k] = discount * probability[j]
            k += 1


@_compiled
def soft_chain(  # type: ignore[no-untyped-def]
    start, state, probability, gain, discount, temperature, order, rank, value, v, first, to, weight, reward
):
    """The chain of π(a|s) ∝ exp(q(s, a) / t), its states renumbered by `rank`; writes weights and gain."""
    actions = gain.shape[1]
    for i in prange(len(order)):
        s = order[i]
        x, expected = np.empty(actions), np.empty(actions)
        top, total = -np.inf, 0.0
        for a in range(actions):
            expected[a] = _expectation(start, state, probability, s * actions + a, v)
            x[a] = gain[s, a] + discount * expected[a]
            top = max(top, x[a])
        reward[i] = value[s]
        if top == -np.inf:
            continue
        for a in range(actions):
            x[a] = np.exp((x[a] - top) / temperature)
            total += x[a]
        k = first[i]
        for a in range(actions):
            chance = discount * x[a] / total
            for j in range(start[s * actions + a], start[s * actions + a + 1]):
                to[k] = rank[state[j]]
                weight[k] = chance * probability[j]
                k += 1
            reward[i] -= chance * expected[a]


@_compiled
def jacobi(first, to, weight, reward, v, value):  # type: ignore[no-untyped-def]
    """Writes reward + weight v; returns the smallest and the largest change."""
    low, high = np.inf, -np.inf
    for i in prange(len(reward)):
        x = reward[i] + _expectation(first, to, weight, i, v)
        value[i] = x
        if first[i + 1] > first[i]:
            low, high = min(low, x - v[i]), max(high, x - v[i])
    return low, high


@njit(cache=True, error_model="numpy", nogil=True)
def gauss_seidel(first, to, weight, reward, v):  # type: ignore[no-untyped-def]
    """V ← reward + weight v, state by state, each new value at once in use. Overwrites v; returns max |change|."""
    change = 0.0
    for i in range(len(v)):
        x = reward[i] + _expectation(first, to, weight, i, v)
        change = max(change, abs(x - v[i]))
        v[i] = x
    return change


@njit(error_model="numpy", inline="always")
def _unswept(first, to, weight, x, work, out):  # type: ignore[no-untyped-def]
    """Writes x − S x, where S is a Gauss-Seidel sweep without gains."""
    work[:] = x
    for i in range(len(x)):
        work[i] = _expectation(first, to, weight, i, work)
        out[i] = x[i] - work[i]


@njit(cache=True, error_model="numpy", nogil=True)
def bicgstab(first, to, weight, vectors, numbers, iterations):  # type: ignore[no-untyped-def]
    """Some iterations of BiCGSTAB on x − S x = b, S a Gauss-Seidel sweep of the chain without gains.

    `vectors` are x = 0, r = b, a copy of b, p = 0, w = 0 and three more, `numbers` are ρ = α = ω = 1 and the ‖r‖ at
    which to stop; both are overwritten, such that the next call goes on. Returns whether there is more to do.

    Source: van der Vorst (1992).
    """
    x, r, shadow, p = vectors[0], vectors[1], vectors[2], vectors[3]
    w, s, t, work = vectors[4], vectors[5], vectors[6], vectors[7]
    for _ in range(iterations):
        rho = np.dot(shadow, r)
        beta = (rho / numbers[0]) * (numbers[1] / numbers[2])
        for i in range(len(x)):
            p[i] = r[i] + beta * (p[i] - numbers[2] * w[i])
        _unswept(first, to, weight, p, work, w)
        alpha = rho / np.dot(shadow, w)
        for i in range(len(x)):
            s[i] = r[i] - alpha * w[i]
        _unswept(first, to, weight, s, work, t)
        omega = np.dot(t, s) / np.dot(t, t)
        if not (np.isfinite(alpha) and np.isfinite(omega)) or rho == 0 or omega == 0:
            return False  # it breaks down, or there is nothing left to solve
        for i in range(len(x)):
            x[i] += alpha * p[i] + omega * s[i]
            r[i] = s[i] - omega * t[i]
        numbers[0], numbers[1], numbers[2] = rho, alpha, omega
        if np.sqrt(np.dot(r, r)) <= numbers[3]:
            return False
    return True


@njit(cache=True, nogil=True)
def breadth_first(start, neighbour, front, distance):  # type: ignore[no-untyped-def]
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
