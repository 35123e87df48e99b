"""Optimal gains: of every deterministic policy in rationals, or as the limit of discounted values in 160 digits.

An independent derivation: it reads the model's stored doubles, and shares nothing with the solver.
"""

import itertools
from fractions import Fraction

import mpmath
import numpy as np

from exact import DIGITS, operators
from mdvi import FiniteMDP


def dyadic_case(seed):
    """A small model whose rows sum to exactly 1: (model, kind)."""
    rng = np.random.default_rng([23, seed])
    states, actions = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    actions = min(actions, 2) if states > 5 else actions
    kind = str(rng.choice(["dense", "sparse", "moves", "traps", "cycle", "slow"]))
    p = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        if kind == "cycle":  # a period, and now and then a short cut
            p[s, a, (s + (2 if a and rng.random() < 0.3 else 1)) % states] = 1.0
            continue
        count = {"dense": states, "moves": 1}.get(kind, int(rng.integers(1, min(states, 3) + 1)))
        cuts = np.sort(rng.integers(0, 65, count - 1)) / 64
        p[s, a, rng.choice(states, count, replace=False)] = np.diff(np.r_[0.0, cuts, 1.0])
    if kind == "traps":
        for s in rng.choice(states, (states + 1) // 2, replace=False):
            p[s, 0] = np.eye(states)[s]
    if kind == "slow":
        p = p / 1024 + np.eye(states)[:, None, :] * (1 - 1 / 1024)
    scale = float(rng.choice([1e-8, 1.0, 1.0, 1e3]))
    reward = scale * (
        rng.integers(-2, 3, (states, actions)) if rng.random() < 0.4 else rng.normal(size=(states, actions))
    )
    legal = rng.random((states, actions)) < (0.6 if rng.random() < 0.3 else 1.0)
    legal[np.arange(states), rng.integers(actions, size=states)] = True
    terminal = rng.random(states) < (0.3 if rng.random() < 0.25 else 0.0)
    return FiniteMDP(p, reward, 1.0, terminal=terminal, legal=legal), kind


def soft_case(seed):
    """A small model with a regulariser: (model, kl, entropy, regularizer)."""
    model, _ = dyadic_case(10**6 + seed)
    rng = np.random.default_rng([24, seed])
    name = str(rng.choice(["shannon", "shannon", "tsallis:0.5", "tsallis:1.5", "tsallis:2", "divergence:2", "lazy"]))
    kl = float(rng.choice([0.0, 0.1, 1.0])) if name != "lazy" else 0.0
    entropy = float(rng.choice([0.01, 0.3, 3.0]))
    size = model.max_abs_reward or 1.0
    return model, kl * size, entropy * size, name


def exact_gain(model):
    """The largest gain of each state, over all deterministic policies."""
    p = np.asarray(model.dense().kernel.probability)
    choices = [np.flatnonzero(model.legal[s]) if not model.terminal[s] else [None] for s in range(model.states)]
    rows = {
        (s, a): {s: Fraction(1)}
        if a is None
        else {int(t): Fraction(float(p[s, a, t])) for t in np.flatnonzero(p[s, a])}
        for s in range(model.states)
        for a in choices[s]
    }
    best = None
    for policy in itertools.product(*choices):
        chain = [rows[s, a] for s, a in enumerate(policy)]
        pays = [Fraction(0) if a is None else Fraction(float(model.reward[s, a])) for s, a in enumerate(policy)]
        gain = _gain_of_chain(chain, pays)
        best = gain if best is None else [max(pair) for pair in zip(best, gain, strict=True)]
    return best


def _gain_of_chain(chain, pays):
    """Of each state: the mean of its recurrent class, or what it comes to on average."""
    n = len(chain)
    reach = [{s} for s in range(n)]
    while True:
        further = [set().union(*(reach[t] for t in chain[s])) | reach[s] for s in range(n)]
        if further == reach:
            break
        reach = further
    recurrent = [all(s in reach[t] for t in reach[s]) for s in range(n)]
    gain = [None] * n
    for s in range(n):
        if recurrent[s] and gain[s] is None:
            members = sorted(reach[s])
            share = _stationary(chain, members)
            mean = sum((x * pays[t] for x, t in zip(share, members, strict=True)), Fraction(0))
            for t in members:
                gain[t] = mean
    transient = [s for s in range(n) if not recurrent[s]]
    place = {s: i for i, s in enumerate(transient)}
    system = [[Fraction(int(i == j)) for j in range(len(transient))] + [Fraction(0)] for i in range(len(transient))]
    for s in transient:
        for t, x in chain[s].items():
            if t in place:
                system[place[s]][place[t]] -= x
            else:
                system[place[s]][-1] += x * gain[t]
    for s, x in zip(transient, _solved(system), strict=True):
        gain[s] = x
    return gain


def _stationary(chain, members):
    """π = πP, Σπ = 1."""
    place, n = {s: i for i, s in enumerate(members)}, len(members)
    system = [[Fraction(0)] * (n + 1) for _ in members]
    for s in members:
        for t, x in chain[s].items():
            system[place[t]][place[s]] += x
        system[place[s]][place[s]] -= 1
    system[0] = [Fraction(1)] * (n + 1)
    return _solved(system)


def _solved(system):
    """Gauss and Jordan."""
    n = len(system)
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


def regularized_gain(model, kl, entropy, regularizer):
    """(1 − γ) v_γ at γ = 1 − 10⁻⁶⁰, by policy iteration: the gain to about 30 digits."""
    with mpmath.workdps(100 + DIGITS):
        n, kappa, epsilon = model.states, mpmath.mpf(kl) + mpmath.mpf(entropy), mpmath.mpf(10) ** -60
        p = np.asarray(model.dense().kernel.probability)
        states = operators(model, kl, entropy, None, regularizer, None)
        rows = [[] for _ in range(n)]
        for s, a in np.argwhere(np.asarray(model.live)):
            row = {int(t): mpmath.mpf(float(p[s, a, t])) for t in np.flatnonzero(p[s, a])}
            rows[s].append((mpmath.mpf(float(model.reward[s, a])), row))
        v = [mpmath.mpf(0)] * n
        for _ in range(300):
            system, right, change = mpmath.eye(n), mpmath.zeros(n, 1), mpmath.mpf(0)
            for s, found in enumerate(states):
                if found is None:
                    continue
                operator, shift = found
                flows = [(1 - epsilon) * mpmath.fsum(x * v[t] for t, x in row.items()) for _, row in rows[s]]
                pays = [r + c for (r, _), c in zip(rows[s], shift, strict=True)]
                value, policy = operator.best([r + f for r, f in zip(pays, flows, strict=True)], kappa)
                change = max(change, abs(value - v[s]))
                right[s] = value - mpmath.fsum(x * f for x, f in zip(policy, flows, strict=True))
                for x, (_, row) in zip(policy, rows[s], strict=True):
                    for t, y in row.items():
                        system[s, t] -= (1 - epsilon) * x * y
            if change <= mpmath.mpf(10) ** -40 * (kappa + model.max_abs_reward):
                return [epsilon * x for x in v]
            v = list(mpmath.lu_solve(system, right))
        raise AssertionError("policy iteration did not settle")
