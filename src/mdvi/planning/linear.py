"""The equation x = b + γ P_π x solved: BiCGSTAB, preconditioned by an incomplete factorisation.

With W = γ P_π, L its part towards states that come earlier in the order and U the part towards later ones,

    A = I − W,   M = (D − L) D⁻¹ (D − U),   d_i = 1 − w_ii − Σ_{j<i} w_ij (w_ji + ω Σ_{k>j, k≠i} w_jk) / d_j.

ω = 0 makes the diagonals of M and A the same, ω = 1 their row sums. The latter gets right what sweeps take longest for,
differences between states far from one another, but with too little left on its diagonal BiCGSTAB goes astray; hence
an ω below 1. On a walk, whose states have one neighbour on either side, M = A whatever ω.

Source: Gustafsson (1978) for M, Eisenstat (1981) for how to apply it with a single pass over W, van der Vorst (1992)
for BiCGSTAB.
"""

import numpy as np

from mdvi.native import njit
from mdvi.planning.chain import Chain
from mdvi.planning.problem import Values
from mdvi.planning.watch import Watch

_KEPT = 0.9  # ω
_ROUNDS, _ITERATIONS = 40, 5  # of the Krylov method; between two rounds it may be stopped


@np.errstate(over="ignore", invalid="ignore")  # where the iteration diverges, which is looked at
def solved(chain: Chain, b: Values, accuracy: float, watch: Watch) -> Values | None:
    """X = b + γ P_π x with max |b − A x| ≤ accuracy · max |b|, or as far as it goes. Overwrites the chain.

    None if it goes nowhere. The iteration itself makes the 2-norm of (I − D⁻¹ L)⁻¹ D⁻¹ (b − A x) small.
    """
    middle, last, own, inverse = (np.empty(len(b), kind) for kind in (*2 * [chain.first.dtype], float, float))
    model = (chain.first, chain.to, chain.weight, middle, last, own)
    vectors = np.zeros((8, len(b)))
    _factorized(*model, inverse)
    if not np.isfinite(inverse).all():
        return None  # a zero on the diagonal of D, which undiscounted chains can have
    _behind(*model, b * inverse, vectors[1])
    vectors[2] = vectors[1]
    size = float(np.linalg.norm(vectors[1]))
    numbers = np.array([1.0, 1.0, 1.0, accuracy * size])
    enough = accuracy * float(np.abs(b).max())
    for _ in range(_ROUNDS):
        watch()
        goes_on = _bicgstab(*model, vectors, numbers, _ITERATIONS)
        if _farthest(*model, inverse, vectors[1]) <= enough:
            break
        if not goes_on:
            if not np.linalg.norm(vectors[1]) <= numbers[3]:
                break  # it has broken down
            numbers[3] /= 10
    if not np.linalg.norm(vectors[1]) < size:
        return None
    _ahead(*model, vectors[0], vectors[7])
    return vectors[7]


@njit(cache=True, error_model="numpy", nogil=True)
def _factorized(first, to, weight, middle, last, own, inverse):  # type: ignore[no-untyped-def]
    """Divides the rows of A by D, and sorts each: what is behind up to `middle`, what is ahead up to `last`.

    Writes the diagonal of D⁻¹ A, less 2, into `own`, and 1 / D.
    """
    ahead = np.empty(len(own))  # Σ_{k>i} w_ik / d_i
    for i in range(len(own)):
        itself, d, further = 0.0, 1.0, 0.0
        middle[i], last[i] = first[i], first[i + 1]
        k = middle[i]
        while k < last[i]:
            j, w = np.int64(to[k]), weight[k]
            if j < i:
                back = 0.0  # w_ji / d_j
                for m in range(middle[j], last[j]):
                    back += weight[m] if to[m] == i else 0.0
                d -= w * (back + _KEPT * (ahead[j] - back))
                to[k], weight[k] = to[middle[i]], weight[middle[i]]
                to[middle[i]], weight[middle[i]] = j, w
                middle[i] += 1
                k += 1
            elif j > i:
                further += w
                k += 1
            else:
                itself += w
                last[i] -= 1
                to[k], weight[k] = to[last[i]], weight[last[i]]
        d -= itself
        ahead[i], inverse[i], own[i] = further / d, 1.0 / d, (1.0 - itself) / d - 2.0
        for k in range(first[i], last[i]):
            weight[k] /= d


@njit(cache=True, error_model="numpy", nogil=True)
def _behind(first, to, weight, middle, last, own, b, x):  # type: ignore[no-untyped-def]
    """Writes x = b + D⁻¹ L x."""
    for i in range(len(x)):
        total = b[i]
        for k in range(first[i], middle[i]):
            total += weight[k] * x[to[k]]
        x[i] = total


@njit(cache=True, error_model="numpy", nogil=True)
def _ahead(first, to, weight, middle, last, own, b, x):  # type: ignore[no-untyped-def]
    """Writes x = b + D⁻¹ U x."""
    for i in range(len(x) - 1, -1, -1):
        total = b[i]
        for k in range(middle[i], last[i]):
            total += weight[k] * x[to[k]]
        x[i] = total


@njit(cache=True, error_model="numpy", nogil=True)
def _farthest(first, to, weight, middle, last, own, inverse, r):  # type: ignore[no-untyped-def]
    """Max |D (I − D⁻¹ L) r|: the residual that is seen as r."""
    worst = 0.0
    for i in range(len(r)):
        total = r[i]
        for k in range(first[i], middle[i]):
            total -= weight[k] * r[to[k]]
        worst = max(worst, abs(total / inverse[i]))
    return worst


@njit(error_model="numpy", inline="always")
def _applied(first, to, weight, middle, last, own, x, work, out):  # type: ignore[no-untyped-def]
    """Writes (I − D⁻¹ L)⁻¹ D⁻¹ A (I − D⁻¹ U)⁻¹ x, which is t + (I − D⁻¹ L)⁻¹ (x + own t) with t = (I − D⁻¹ U)⁻¹ x."""
    _ahead(first, to, weight, middle, last, own, x, work)
    for i in range(len(x)):
        total = x[i] + own[i] * work[i]
        for k in range(first[i], middle[i]):
            total += weight[k] * out[to[k]]
        out[i] = total
    for i in range(len(x)):
        out[i] += work[i]


@njit(cache=True, error_model="numpy", nogil=True)
def _bicgstab(first, to, weight, middle, last, own, vectors, numbers, iterations):  # type: ignore[no-untyped-def]
    """Some iterations of BiCGSTAB.

    `vectors` are x = 0, r = b, a copy of b, p = 0, w = 0 and three more, `numbers` are ρ = α = ω = 1 and the ‖r‖ at
    which to stop; both are overwritten, such that the next call goes on. Returns whether there is more to do.
    """
    x, r, shadow, p = vectors[0], vectors[1], vectors[2], vectors[3]
    w, s, t, work = vectors[4], vectors[5], vectors[6], vectors[7]
    for _ in range(iterations):
        rho = np.dot(shadow, r)
        beta = (rho / numbers[0]) * (numbers[1] / numbers[2])
        for i in range(len(x)):
            p[i] = r[i] + beta * (p[i] - numbers[2] * w[i])
        _applied(first, to, weight, middle, last, own, p, work, w)
        alpha = rho / np.dot(shadow, w)
        for i in range(len(x)):
            s[i] = r[i] - alpha * w[i]
        if np.isfinite(alpha) and np.sqrt(np.dot(s, s)) <= numbers[3]:
            x += alpha * p
            r[:] = s
            return False
        _applied(first, to, weight, middle, last, own, s, work, t)
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
