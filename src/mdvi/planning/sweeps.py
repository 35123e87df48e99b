"""Compiled sweeps over compressed rows: what a solver spends its time in.

A problem is given by rows of P (CSR; row s · actions + a), a gain g(s, a) that is −∞ where (s, a) cannot be met, a
discount γ and a temperature t. Values of states without any possible action, the terminal ones, are zero.

Every sweep is a pure function of its arrays but for the outputs named last. Large ones run on all cores; the result
does not depend on how many there are.
"""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from mdvi import regularizers
from mdvi.native import njit, prange
from mdvi.regularizers.rows import Rows

_PARALLEL_FROM = 100_000  # entries; below, threads gain little, and on a busy machine they wait for one another
_BLOCK = 256  # states


class Sweeps(NamedTuple):
    """The compiled functions that apply a regulariser.

    Attributes:
        backup: see `_backup`.
        ordered: see `_ordered_sweeps`.
        policies: see `_policies`.
    """

    backup: Callable[..., Any]
    ordered: Callable[..., Any]
    policies: Callable[..., Any]


@functools.cache
def sweeps_of(rows: Rows) -> Sweeps:
    """The sweeps with M_κ and ∇M_κ of a regulariser, compiled for it when they are first called.

    The disk keeps the machine code of the regularisers of mdvi; of others Numba cannot tell there when they change.
    """
    kept = rows.maximum.__module__.partition(".")[0] == "mdvi"
    with_ = functools.partial(_with, f"{rows.name}_{_version_of_rows()}")
    maxima = rows.maxima
    if maxima is None:
        maxima = njit(error_model="numpy")(with_(_one_by_one, _maximum=rows.maximum))
    improved = njit(error_model="numpy", inline="always")(with_(_improved, _maximum=rows.maximum))
    ordered = njit(cache=kept, error_model="numpy", nogil=True)(with_(_ordered_sweeps, _improved=improved))
    return Sweeps(
        compiled(with_(_backup, _maxima=maxima), kept), ordered, compiled(with_(_policies, _policy=rows.policy), kept)
    )


@functools.cache
def _version_of_rows() -> str:
    """A number that changes with the files that rows are written in.

    The machine code of a sweep contains that of its rows, but Numba looks only at the file of the sweep to tell whether
    what it has stored is still right.
    """
    files = sorted(Path(regularizers.__file__).parent.glob("*rows.py"))
    return f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}"


def _with(name: str, function: Callable[..., Any], **parts: Any) -> FunctionType:
    """The function with these globals. Numba stores what it has compiled under the qualified name: it needs its own."""
    assert isinstance(function, FunctionType)
    twin = FunctionType(function.__code__, function.__globals__ | parts, function.__name__)
    twin.__qualname__, twin.__doc__ = f"{function.__qualname__}_{name}", function.__doc__
    return twin


def compiled(function: Callable[..., Any], kept: bool = True) -> Callable[..., Any]:
    """The function on one core for small inputs and on all for large ones; the successors, second, tell which."""
    options: Any = {"cache": kept, "error_model": "numpy", "nogil": True}
    alone = njit(**options)(function)
    together = njit(parallel=True, **options)(_with("together", function))

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
def expectation(start, state, probability, row, v):  # type: ignore[no-untyped-def]
    """(Pv)(row)."""
    expected = 0.0
    for j in range(start[row], start[row + 1]):
        expected += probability[j] * v[state[j]]
    return expected


# The functions below that are not compiled here call these three names, which `sweeps_of` replaces; see `Rows`.
_maximum: Callable[..., Any]
_policy: Callable[..., Any]
_maxima: Callable[..., Any]


def _one_by_one(x, temperature, top):  # type: ignore[no-untyped-def]
    """From maxima to M_κ, row by row."""
    actions = len(x) // len(top)
    for s in range(len(top)):
        row = x[s * actions : (s + 1) * actions]
        if top[s] > -np.inf:
            top[s] = _maximum(row, row.argmax(), temperature)


def _backup(start, state, probability, gain, discount, temperature, v, value, best, kept):  # type: ignore[no-untyped-def]
    """(Tv)(s) = M_t(g(s, ·) + γ (Pv)(s, ·)), the maximum when t = 0; writes it and an argmax.

    And all of g + γ P v into `kept`, if that is not None.

    Returns min and max over the states that are not terminal of Tv − v.
    """
    states, actions = gain.shape
    low, high = np.inf, -np.inf
    # All q of a block before any maximum: a branch that waits for v would keep later loads of v from starting.
    for block in prange((states + _BLOCK - 1) // _BLOCK):
        begin, end = block * _BLOCK, min((block + 1) * _BLOCK, states)
        q = np.empty((end - begin) * actions) if kept is None else kept[begin:end].reshape(-1)
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
            best[s], value[s] = chosen, top
        if temperature > 0:
            _maxima(q, temperature, value[begin:end])
        for s in range(begin, end):
            if value[s] == -np.inf:
                value[s] = 0.0
                continue
            least, most = min(least, value[s] - v[s]), max(most, value[s] - v[s])
        low, high = min(low, least), max(high, most)
    return low, high


@compiled
def action_values(start, state, probability, gain, discount, v, q):  # type: ignore[no-untyped-def]
    """Writes q(s, a) = g(s, a) + γ (Pv)(s, a)."""
    states, actions = gain.shape
    for s in prange(states):
        for a in range(actions):
            q[s, a] = gain[s, a] + discount * expectation(start, state, probability, s * actions + a, v)


def _improved(
    start: Any, state: Any, probability: Any, gain: Any, discount: Any, temperature: Any, order: Any, begin: Any,
    middle: Any, end: Any, back: Any, v: Any, best: Any, q: Any,
) -> Any:  # fmt: skip
    """T state by state from order[begin] to order[end], or back, each value at once in use; overwrites v and best.

    Returns the largest change before order[middle].
    """
    actions, change = gain.shape[1], 0.0
    for k in range(begin, end):
        i = begin + end - 1 - k if back else k
        s = order[i]
        top, chosen = -np.inf, -1
        j = start[s * actions]
        for a in range(actions):
            last = start[s * actions + a + 1]
            expected = 0.0
            while j < last:
                expected += probability[j] * v[state[j]]
                j += np.uint32(1)
            q[a] = gain[s, a] + discount * expected
            better = q[a] > top  # no branch: it would be mispredicted half the time
            chosen = a if better else chosen
            top = q[a] if better else top
        best[i - begin] = chosen
        if chosen >= 0:
            value = top if temperature == 0 else _maximum(q, chosen, temperature)
            if i < middle:
                change = max(change, abs(value - v[s]))
            v[s] = value
    return change


@njit(error_model="numpy", inline="always")
def _entries(start, actions, order, begin, end, best):  # type: ignore[no-untyped-def]
    """Successors of the actions in `best`."""
    total = 0
    for i in range(begin, end):
        row = order[i] * actions + max(best[i - begin], 0)
        total += start[row + 1] - start[row]
    return total


@njit(error_model="numpy", inline="always")
def _gathered(start, state, probability, gain, discount, order, begin, end, best, at, reward, first, to, weight):  # type: ignore[no-untyped-def]
    """Writes the rows of the actions in `best` side by side, v(at) = reward + weight v(to), loops of one state solved.

    Returns how many they are; states without an action are left out.
    """
    actions = gain.shape[1]
    count, k = 0, 0
    for i in range(begin, end):
        s, a = order[i], best[i - begin]
        if a < 0:
            continue
        row, stays = s * actions + a, 0.0
        at[count], first[count] = s, k
        for j in range(start[row], start[row + 1]):
            if state[j] == s:
                stays += discount * probability[j]
            else:
                to[k], weight[k] = state[j], discount * probability[j]
                k += 1
        leaves = 1.0 - stays
        reward[count] = gain[s, a] / leaves
        if stays > 0:
            for j in range(first[count], k):
                weight[j] /= leaves
        count += 1
    first[count] = k
    return count


@njit(error_model="numpy", inline="always")
def _evaluated(count, at, reward, first, to, weight, v):  # type: ignore[no-untyped-def]
    """Overwrites v, state by state, with what these rows say; returns the largest change."""
    change = 0.0
    for i in range(count):
        value = reward[i]
        for k in range(first[i], first[i + 1]):
            value += weight[k] * v[to[k]]
        change = max(change, abs(value - v[at[i]]))
        v[at[i]] = value
    return change


def _ordered_sweeps(  # type: ignore[no-untyped-def]
    start, state, probability, gain, discount, temperature, order, begin, end, width, settled, rounds, evaluations, v
):
    """Gauss-Seidel sweeps of T in windows that move along the order from order[begin] to order[end]. Overwrites v.

    A window of `width` states, and half as many that follow, is swept until the `width` change by no more than
    `settled`, in at most so many `rounds`; then it moves on. The last one takes all that are left, when these are two
    windows or less, since nothing follows that would get them right. Where values depend on states further back in
    the order with small probability only, a few sweeps do, however many states there are: swept as a whole, a model
    with n states between the first and the last would need a number that grows with n. Between two sweeps with all
    actions are some with the best ones only; every third of the former goes back, or every second where there are none
    of the latter, and takes better actions along against the order.

    Returns the number of windows that have not settled.
    """
    best, q = np.empty(2 * width, np.int32), np.empty(gain.shape[1])
    at, reward, starts = np.empty(len(best), order.dtype), np.empty(len(best)), np.empty(len(best) + 1, np.uint32)
    to, weight = np.empty(0, np.uint32), np.empty(0)
    unsettled = 0
    for first in range(begin, end, width):
        last = first + width + width // 2
        middle = first + width
        if first + len(best) >= len(order):
            middle = last = len(order)
        for turn in range(rounds):
            back = turn % 2 == 1 if evaluations == 0 else temperature == 0 and turn % 3 == 2
            change = _improved(
                start, state, probability, gain, discount, temperature, order, first, middle, last, back, v, best, q
            )
            if change <= settled:
                break
            if temperature == 0 and evaluations > 0:
                needed = _entries(start, gain.shape[1], order, first, last, best)
                if needed > len(to):
                    to, weight = np.empty(needed, np.uint32), np.empty(needed)
                rows = _gathered(
                    start, state, probability, gain, discount, order, first, last, best, at, reward, starts, to, weight
                )
                for _ in range(evaluations):
                    if _evaluated(rows, at, reward, starts, to, weight, v) <= settled:
                        break
        else:
            unsettled += 1
    return unsettled


def _policies(policy, q, temperature, rare):  # type: ignore[no-untyped-def]
    """Writes ∇M_t(q(s, ·)), zero where that is below `rare` times the largest, and where nothing can be chosen."""
    states, actions = q.shape
    for s in prange(states):
        possible = False
        for a in range(actions):
            policy[s, a] = 0.0
            possible = possible or q[s, a] > -np.inf
        if possible:
            _policy(q[s], temperature, rare, policy[s])


@compiled
def narrowed(lower, upper, value, below, above, under, over, terminal):  # type: ignore[no-untyped-def]
    """Cuts the intervals [lower, upper] to [value − below · under, value + above · over] and overwrites them.

    The weights may be None, for 1.

    Returns the widest, in how many states one has become narrower, and the least width: below 0 it is a contradiction.
    """
    widest, count, least = 0.0, 0, np.inf
    for s in prange(len(lower)):
        if not terminal[s]:
            down = below if under is None else below * under[s]
            up = above if over is None else above * over[s]
            low, high = max(lower[s], value[s] - down), min(upper[s], value[s] + up)
            count += low > lower[s] or high < upper[s]
            lower[s], upper[s] = low, high
            widest, least = max(widest, high - low), min(least, high - low)
    return widest, count, least


@compiled
def survey(start, state, probability, reward, offset, legal, terminal, gain, facts):  # type: ignore[no-untyped-def]
    """Writes g = r + c, −∞ where (s, a) cannot be met; the offset c may be None.

    And of each share of the states: minus the smallest and the largest sum of a row that can be met, terminal states
    left out, the longest such row, the most actions that are possible in a state, max |g| and max |c|.
    """
    states, actions = reward.shape
    shares = len(facts)
    for share in prange(shares):
        least, greatest, longest, widest, size, shift = 1.0, 0.0, 1.0, 1.0, 0.0, 0.0
        for s in range(share * states // shares, (share + 1) * states // shares):
            possible = 0.0
            for a in range(actions):
                gain[s, a] = -np.inf
                if terminal[s] or not legal[s, a]:
                    continue
                c = 0.0 if offset is None else offset[s, a]
                gain[s, a] = reward[s, a] + c
                shift, size, possible = max(shift, abs(c)), max(size, abs(gain[s, a])), possible + 1
                total, row = 0.0, s * actions + a
                for j in range(start[row], start[row + 1]):
                    total += 0.0 if terminal[state[j]] else probability[j]
                least, greatest = min(least, total), max(greatest, total)
                longest = max(longest, float(start[row + 1] - start[row]))
            widest = max(widest, possible)
        facts[share, 0], facts[share, 1], facts[share, 2] = -least, greatest, longest
        facts[share, 3], facts[share, 4], facts[share, 5] = widest, size, shift
