"""Optimal values without rounding: in rationals where the maximum is hard, in 50 digits where it is soft.

An independent derivation: it reads the model's stored doubles, and shares nothing with the solver.
"""

from fractions import Fraction

import mpmath
import numpy as np

DIGITS = 60


def exact_value(model, kl=0.0, entropy=0.0, prior=None):
    """v* as Fractions (λ = τ = 0) or as 60-digit numbers."""
    if kl == 0 and entropy == 0:
        return _hard(model)
    with mpmath.workdps(DIGITS):
        return _soft(model, kl, entropy, prior)


def _rows(model, number):
    p = np.asarray(model.dense().kernel.probability)
    ends, legal = np.asarray(model.terminal), np.asarray(model.legal)
    rows = []
    for s in range(model.states):
        actions = [] if ends[s] else np.flatnonzero(legal[s])
        rows.append(
            [
                (
                    a,
                    number(float(model.reward[s, a])),
                    {t: number(float(p[s, a, t])) for t in np.flatnonzero(p[s, a]) if not ends[t]},
                )
                for a in actions
            ]
        )
    return rows, number(float(model.discount))


def _hard(model):
    """Policy iteration in rationals; it ends because an action changes only when that is strictly better."""
    rows, gamma = _rows(model, Fraction)
    v = [Fraction(x).limit_denominator(10**6) for x in np.zeros(model.states)]
    choice = [0] * model.states
    while True:
        v = _evaluated(rows, gamma, choice)
        better = list(choice)
        for s, actions in enumerate(rows):
            q = [r + gamma * sum(p * v[t] for t, p in row.items()) for _, r, row in actions]
            if q and max(q) > q[choice[s]]:
                better[s] = q.index(max(q))
        if better == choice:
            return v
        choice = better


def _evaluated(rows, gamma, choice):
    n = len(rows)
    system = [[Fraction(int(i == j)) for j in range(n)] + [Fraction(0)] for i in range(n)]
    for s, actions in enumerate(rows):
        if actions:
            _, r, row = actions[choice[s]]
            system[s][n] = r
            for t, p in row.items():
                system[s][t] -= gamma * p
    for i in range(n):
        pivot = next(k for k in range(i, n) if system[k][i] != 0)
        system[i], system[pivot] = system[pivot], system[i]
        inverse = 1 / system[i][i]
        system[i] = [x * inverse for x in system[i]]
        for k in range(n):
            if k != i and system[k][i] != 0:
                factor = system[k][i]
                system[k] = [x - factor * y for x, y in zip(system[k], system[i], strict=True)]
    return [row[n] for row in system]


def _soft(model, kl, entropy, prior):
    """Newton's method on v = t log Σ exp((r + λ log μ + γPv) / t), from the hard optimum."""
    rows, gamma = _rows(model, mpmath.mpf)
    t = mpmath.mpf(kl) + mpmath.mpf(entropy)
    lam = mpmath.mpf(kl)
    legal = np.asarray(model.legal)

    def offset(s, a):
        if kl == 0:
            return mpmath.mpf(0)
        mu = mpmath.mpf(1) / int(legal[s].sum()) if prior is None else mpmath.mpf(float(prior[s, a]))
        return lam * mpmath.log(mu)

    gains = [[r + offset(s, a) for a, r, _ in actions] for s, actions in enumerate(rows)]
    v = [mpmath.mpf(x.numerator) / x.denominator for x in _hard(model)]
    n = len(rows)
    for _ in range(200):
        system, right, change = mpmath.eye(n), mpmath.zeros(n, 1), mpmath.mpf(0)
        for s, actions in enumerate(rows):
            if not actions:
                continue
            flows = [gamma * sum((p * v[u] for u, p in row.items()), mpmath.mpf(0)) for _, _, row in actions]
            x = [g + f for g, f in zip(gains[s], flows, strict=True)]
            top = max(x)
            weights = [mpmath.exp((y - top) / t) for y in x]
            total = mpmath.fsum(weights)
            value = top + t * mpmath.log(total)
            change = max(change, abs(value - v[s]))
            right[s] = value
            for weight, flow, (_, _, row) in zip(weights, flows, actions, strict=True):
                right[s] -= weight / total * flow
                for u, p in row.items():
                    system[s, u] -= gamma * weight / total * p
        if change < mpmath.mpf(10) ** (-DIGITS + 12) * (1 + max(abs(x) for x in v)) / (1 - gamma):
            return v
        v = list(mpmath.lu_solve(system, right))
    raise AssertionError("Newton's method did not settle")
