"""Optimal values without rounding: in rationals where the maximum is hard, in 50 digits where it is soft.

An independent derivation: it reads the model's stored doubles, and shares nothing with the solver.
"""

from fractions import Fraction

import mpmath
import numpy as np

DIGITS = 60


def exact_value(model, kl=0.0, entropy=0.0, prior=None, regularizer="shannon", reference=None):
    """v* as Fractions (λ = τ = 0) or as 60-digit numbers."""
    if kl == 0 and entropy == 0:
        return _hard(model)
    with mpmath.workdps(DIGITS):
        if regularizer == "shannon" and reference is None:
            return _soft(model, kl, entropy, prior)
        return _regularized(model, kl, entropy, prior, regularizer, reference)


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


class Operator:
    """M_κ of one state, the policy that attains it, and the dual variable of a policy, by their definitions.

    With weights w(a): 1 for Tsallis' entropies, ρ(a) for divergences,

        Ω(p) = (Σ w^{1−α} p^α − 1) / (α(α − 1)),     α = 1: Σ p log(p/w),     and for "lazy" Ω(p) = 1 − min p/w.
    """

    def __init__(self, name, actions, reference):
        """The operator in a state with so many legal actions; reference is a list over them, or None."""
        self.family, _, index = name.partition(":")
        self.alpha = mpmath.mpf(float(index or 1))
        weights = [mpmath.mpf(float(r)) for r in reference] if reference is not None else [mpmath.mpf(1)] * actions
        total = mpmath.fsum(weights) if self.family in ("divergence", "lazy", "kl-to-uniform") else 1
        self.w = [x / total for x in weights]

    def slope(self, t):
        """φ'(t) = (t^{α−1} − 1)/(α − 1)."""
        e = self.alpha - 1
        return mpmath.log(t) if e == 0 else (t**e - 1) / e

    def chance(self, u):
        """ψ(u), its inverse, and 0 where that has none."""
        e = self.alpha - 1
        if e == 0:
            return mpmath.exp(u)
        return (1 + e * u) ** (1 / e) if 1 + e * u > 0 else mpmath.mpf(0)

    def best(self, x, kappa):
        """M_κ(x) and the policy."""
        top = max(x)
        y = [(each - top) / kappa for each in x]
        if self.family == "lazy":
            mean = mpmath.fsum(w * each for w, each in zip(self.w, y, strict=True))
            if mean >= -1:
                return top + kappa * mean, self.w
            first = y.index(0)
            return top - kappa, [mpmath.mpf(i == first) for i in range(len(y))]
        nu = self.threshold(y)
        p = [w * self.chance(each - nu) for w, each in zip(self.w, y, strict=True)]
        total = mpmath.fsum(p)
        powers = mpmath.fsum(w * self.chance(each - nu) ** self.alpha for w, each in zip(self.w, y, strict=True))
        return top + kappa * (nu + (powers - 1) / self.alpha), [each / total for each in p]

    def threshold(self, y):
        """The ν with Σ w ψ(y − ν) = 1: Newton's method, kept inside of a bracket."""
        low = max(each - self.slope(1 / w) for each, w in zip(y, self.w, strict=True))
        high = max(y) - self.slope(1 / mpmath.fsum(self.w))
        nu = low
        for _ in range(400):
            ratios = [self.chance(each - nu) for each in y]
            excess = mpmath.fsum(w * t for w, t in zip(self.w, ratios, strict=True)) - 1
            low, high = (nu, high) if excess > 0 else (low, nu)
            slope = mpmath.fsum(w * t ** (2 - self.alpha) for w, t in zip(self.w, ratios, strict=True) if t > 0)
            step = nu + excess / slope
            following = step if low < step < high else (low + high) / 2
            if abs(following - nu) <= mpmath.mpf(10) ** (6 - DIGITS) * (1 + abs(nu)):
                return following
            nu = following
        return nu

    def omega(self, policy):
        """Ω(π)."""
        if self.family == "lazy":
            return 1 - min(p / w for p, w in zip(policy, self.w, strict=True) if w > 0)
        pairs = [(p, w) for p, w in zip(policy, self.w, strict=True) if p > 0]
        if self.alpha == 1:
            return mpmath.fsum(p * mpmath.log(p / w) for p, w in pairs)
        return (mpmath.fsum(w * (p / w) ** self.alpha for p, w in pairs) - 1) / (self.alpha * (self.alpha - 1))

    def dual(self, policy):
        """s(μ)/κ = ∇Ω(μ) − Ω*(∇Ω(μ)) of a policy on the legal actions; 0 for "lazy", which has that of μ alone."""
        if self.family == "lazy":
            return [mpmath.mpf(0)] * len(policy)
        mu = [mpmath.mpf(m) for m in policy]
        z = [self.slope(m / w) if m > 0 else -1 / (self.alpha - 1) for m, w in zip(mu, self.w, strict=True)]
        mean = mpmath.fsum(m * each for m, each in zip(mu, z, strict=True))
        return [each - (1 - 1 / self.alpha) * mean for each in z]


def operators(model, kl, entropy, prior, regularizer, reference):
    """For each state the operator, and what its prior and its Bregman reference add to rewards; None where terminal."""
    own = regularizer.partition(":")[0] in ("divergence", "lazy")
    found = []
    for s in range(model.states):
        actions = np.flatnonzero(model.legal[s])
        if model.terminal[s]:
            found.append(None)
            continue
        rho = None if reference is None else np.broadcast_to(reference, model.legal.shape)[s, actions]
        operator = Operator(regularizer, len(actions), rho if own else None)
        mu = [mpmath.mpf(1) / len(actions)] * len(actions) if prior is None else prior[s, actions]
        shift = [mpmath.mpf(0)] * len(actions)
        for weight, policy in ((kl, mu), (entropy, None if own else rho)):
            if weight > 0 and policy is not None:
                shift = [x + mpmath.mpf(weight) * z for x, z in zip(shift, operator.dual(policy), strict=True)]
        found.append((operator, shift))
    return found


def _regularized(model, kl, entropy, prior, regularizer, reference):
    """Newton's method on v = M_κ(r + λ s(μ)/κ + … + γPv), from the hard optimum: M_κ is convex, so it rises."""
    rows, gamma = _rows(model, mpmath.mpf)
    kappa = mpmath.mpf(kl) + mpmath.mpf(entropy)
    states = operators(model, kl, entropy, prior, regularizer, reference)
    v = [mpmath.mpf(x.numerator) / x.denominator for x in _hard(model)]
    n = len(rows)
    for _ in range(200):
        system, right, change = mpmath.eye(n), mpmath.zeros(n, 1), mpmath.mpf(0)
        for s, actions in enumerate(rows):
            if not actions:
                continue
            operator, shift = states[s]
            flows = [gamma * sum((p * v[u] for u, p in row.items()), mpmath.mpf(0)) for _, _, row in actions]
            x = [r + c + f for (_, r, _), c, f in zip(actions, shift, flows, strict=True)]
            value, policy = operator.best(x, kappa)
            change = max(change, abs(value - v[s]))
            right[s] = value
            for chance, flow, (_, _, row) in zip(policy, flows, actions, strict=True):
                right[s] -= chance * flow
                for u, p in row.items():
                    system[s, u] -= gamma * chance * p
        if change < mpmath.mpf(10) ** (-DIGITS + 14) * (1 + kappa + max(abs(x) for x in v)) / (1 - gamma):
            return v
        v = list(mpmath.lu_solve(system, right))
    raise AssertionError("Newton's method did not settle")


def exact_value_of_policy(model, policy, kl, entropy, prior, regularizer, reference):
    """v_π with −λ D_Ω(π‖μ) − τ Ω(π), or −τ D_Ω(π‖ρ), as 60-digit numbers: a linear system."""
    with mpmath.workdps(DIGITS):
        rows, gamma = _rows(model, mpmath.mpf)
        kappa = mpmath.mpf(kl) + mpmath.mpf(entropy)
        system, right = mpmath.eye(len(rows)), mpmath.zeros(len(rows), 1)
        for s, found in enumerate(operators(model, kl, entropy, prior, regularizer, reference)):
            if found is None:
                continue
            chances = [mpmath.mpf(float(policy[s, a])) for a, _, _ in rows[s]]
            total = mpmath.fsum(chances)
            chances = [chance / total for chance in chances]
            right[s] = -kappa * found[0].omega(chances)
            for chance, shift, (_, r, row) in zip(chances, found[1], rows[s], strict=True):
                right[s] += chance * (r + shift) if chance > 0 else 0
                for u, p in row.items():
                    system[s, u] -= gamma * chance * p
        return list(mpmath.lu_solve(system, right))
