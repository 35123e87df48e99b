"""Every row of the table against its own paper's equation, written here from that paper in plain NumPy.

The iterates are compared under the same errors ε, in the variable the paper uses: `trace.q` is the scheme's q.
"""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize

from mdvi import Scheme, algorithms, errors, iterate, schedule
from models import signed_garnet

K = 60
MDP = signed_garnet(5, states=10, actions=4)
P, R, GAMMA = MDP.kernel.probability, MDP.reward, float(MDP.discount)
Q0 = np.random.default_rng(5).uniform(-5, 5, R.shape)  # no ties, whose rule the papers leave open
LOG_N = math.log(MDP.actions)


def run(scheme, iterations=K, **options):
    return iterate(
        MDP,
        scheme,
        iterations,
        errors.gaussian(0.2),
        seed=3,
        initial_q=Q0,
        **{"record": ("q", "log_policy", "errors")} | options,
    )


def lse(x):
    top = x.max(-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(-1, keepdims=True)))[..., 0]


def log_softmax(x):
    return x - lse(x)[..., None]


def mean(policy, x):
    return (policy * x).sum(-1)


def hard(q):
    return np.eye(q.shape[-1])[q.argmax(-1)]


def backup(v):
    return R + GAMMA * P @ v


def q_of(policy, bonus=0.0):
    """The fixed point of q = r + γP(⟨π, q⟩ + bonus)."""
    chain = np.einsum("sa,sat->st", policy, P)
    return backup(np.linalg.solve(np.eye(MDP.states) - GAMMA * chain, mean(policy, R) + bonus))


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def vi(trace):
    q = Q0
    for k in range(K):
        q = backup(q.max(-1)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def pi(trace):
    q = Q0
    for k in range(K):
        q = q_of(hard(q)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def mpi(trace, backups=5):
    q = Q0
    for k in range(K):
        policy = hard(q)
        for _ in range(backups):
            q = backup(mean(policy, q))
        q = q + trace.errors[k + 1]
        yield trace.q[k + 1], q


def soft_q(trace, entropy=0.01):
    q = Q0
    for k in range(K):
        q = backup(entropy * lse(q / entropy)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def sac(trace, entropy=0.01):
    q = Q0
    for k in range(K):
        log_policy = log_softmax(q / entropy)
        q = backup(mean(np.exp(log_policy), q - entropy * log_policy)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def md_vi(trace, kl=0.09, entropy=0.01):
    """MD-MPI(λ, τ) with m = 1: the greedy step as a tilted policy, the evaluation with its two terms written out."""
    q, log_policy, beta = Q0, np.full_like(Q0, -LOG_N), kl / (kl + entropy)
    for k in range(K):
        following = log_softmax(beta * log_policy + q / (kl + entropy))
        policy = np.exp(following)
        bonus = -kl * mean(policy, following - log_policy) - entropy * mean(policy, following)
        q, log_policy = backup(mean(policy, q) + bonus) + trace.errors[k + 1], following
        yield trace.q[k + 1], q


def mellowmax(trace, temperature=0.01):
    q = Q0
    for k in range(K):
        q = backup(temperature * (lse(q / temperature) - LOG_N)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def softmax_dqn(trace, entropy=0.01):
    q = Q0
    for k in range(K):
        q = backup(mean(np.exp(log_softmax(q / entropy)), q)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def reweighted(trace, kl, evaluate):
    """π' = π exp(q/λ)/Z, with the products taken of probabilities' logs."""
    q, log_policy = Q0, np.full(Q0.shape, -LOG_N)
    for k in range(K):
        log_policy = log_softmax(log_policy + q / kl)
        q = evaluate(np.exp(log_policy), q) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def trpo(trace, kl=0.1):
    return reweighted(trace, kl, lambda policy, q: q_of(policy))


def mpo(trace, kl=0.1, backups=5):
    def evaluate(policy, q):
        for _ in range(backups):
            q = backup(mean(policy, q))
        return q

    return reweighted(trace, kl, evaluate)


def politex(trace, learning_rate=10.0):
    q, total = Q0, Q0
    for k in range(K):
        q = q_of(np.exp(log_softmax(learning_rate * total))) + trace.errors[k + 1]
        total = total + q
        yield trace.q[k + 1], q


def preferences(trace, temperature, beta, maximum, zero=LOG_N):
    """ψ' = r + γP m(ψ) + β(ψ − m(ψ)) + ε; the scheme's q is r + γP m(ψ) + ε. At first ψ = q − β κ `zero`."""
    psi = Q0 - beta * temperature * zero
    for k in range(K):
        m = maximum(psi)
        q = backup(m) + trace.errors[k + 1]
        if temperature > 0:
            policy = np.exp(log_softmax(psi / temperature))
            yield np.exp(trace.log_policy[k + 1]), policy
        psi = q + beta * (psi - m[:, None])
        yield trace.q[k + 1], q


def dpp(trace, kl=0.1):
    return preferences(trace, kl, 1.0, lambda psi: kl * lse(psi / kl))


def dpp_boltzmann(trace, kl=0.1):
    return preferences(trace, kl, 1.0, lambda psi: mean(np.exp(log_softmax(psi / kl)), psi))


def cvi(trace, kl=0.1, entropy=0.01):
    temperature = kl + entropy
    return preferences(
        trace, temperature, kl / temperature, lambda psi: temperature * (lse(psi / temperature) - LOG_N), 0.0
    )


def advantage_learning(trace, beta=0.9):
    return preferences(trace, 0.0, beta, lambda psi: psi.max(-1))


def speedy_q(trace):
    """Azar et al.: Q' = Q + α(TQ₋ − Q) + (1 − α)(TQ − TQ₋) + αε with α = 1/(k + 2); Q is the mean of the scheme's q."""
    h = before = Q0
    for k in range(K):
        alpha = 1 / (k + 2)
        now, then = backup(h.max(-1)), backup(before.max(-1))
        step = alpha * (then - h) + (1 - alpha) * (now - then) if k else alpha * (now - h)
        before, h = h, h + step + alpha * trace.errors[k + 1]
        yield trace.q[: k + 2].mean(0), h


def momentum(trace, average, evaluate, h):
    q = Q0
    for k in range(K):
        q = evaluate(hard(h), q) + trace.errors[k + 1]
        h = average(k, h, q)
        yield trace.q[k + 1], q


def movi(trace):
    return momentum(trace, lambda k, h, q: ((k + 1) * h + q) / (k + 2), lambda policy, q: backup(mean(policy, q)), Q0)


def modqn(trace, beta=0.9):
    return momentum(
        trace, lambda k, h, q: beta * h + (1 - beta) * q, lambda policy, q: backup(mean(policy, q)), (1 - beta) * Q0
    )


def softened_lspi(trace, beta=0.9):
    return momentum(trace, lambda k, h, q: beta * h + (1 - beta) * q, lambda policy, q: q_of(policy), (1 - beta) * Q0)


def munchausen(trace, alpha=0.9, temperature=0.03):
    q = Q0 - alpha * temperature * LOG_N
    for k in range(K):
        yield trace.q[k], q - alpha * temperature * trace.log_policy[k]
        log_policy = log_softmax(q / temperature)
        yield np.exp(trace.log_policy[k + 1]), np.exp(log_policy)
        soft = backup(mean(np.exp(log_policy), q - temperature * log_policy))
        q = soft + alpha * temperature * log_policy + trace.errors[k + 1]


def entropy_npg(trace, learning_rate=0.5, entropy=0.01, discount=0.9):
    q, log_policy = Q0, np.full(Q0.shape, -LOG_N)
    for k in range(K):
        step = learning_rate / (1 - discount)
        log_policy = log_softmax((1 - step * entropy) * log_policy + step * q)
        q = q_of(np.exp(log_policy), -entropy * mean(np.exp(log_policy), log_policy)) + trace.errors[k + 1]
        yield trace.q[k + 1], q


def implicit_q(trace, alpha=0.9, temperature=0.03):
    """Fit τ log π + V to r + ατ log π₋ + γPV₋ + ε, and read q off the fit."""
    start = Q0 - alpha * temperature * LOG_N
    v = temperature * lse(start / temperature)
    log_policy = (start - v[:, None]) / temperature
    for k in range(K):
        q = backup(v) + trace.errors[k + 1]
        yield trace.q[k + 1], q
        target = q + alpha * temperature * log_policy
        v = temperature * lse(target / temperature)
        log_policy = (target - v[:, None]) / temperature


def xql(trace, kl=0.1):
    """V minimises the Gumbel loss E_μ[e^z − z − 1] with z = (q − V)/λ; the root of its derivative, by bisection."""
    q = Q0
    for k in range(K):
        v = np.array(
            [
                scipy.optimize.brentq(
                    lambda v, row=row: np.exp((row - v) / kl).mean() - 1, row.min() - kl, row.max() + kl, xtol=1e-14
                )
                for row in q
            ]
        )
        q = backup(v) + trace.errors[k + 1]
        yield trace.q[k + 1], q


@pytest.mark.parametrize("name", algorithms.ALL)
def test_a_row_is_its_papers_algorithm(name):
    direct = globals()[name]
    compared = 0
    for ours, theirs in direct(run(algorithms.ALL[name].scheme())):
        close(ours, theirs)
        compared += 1
    assert compared >= K


LIMITS = {
    "advantage_learning": lambda kappa: Scheme(kappa, 0.9),
    "speedy_q": lambda kappa: Scheme(kappa, 1.0),
    "movi": lambda kappa: Scheme(kappa, 1.0, evaluate_kl=False, evaluate_entropy=False),
    "modqn": lambda kappa: Scheme(kappa, 0.9, evaluate_kl=False, evaluate_entropy=False),
    "softened_lspi": lambda kappa: Scheme(kappa, 0.9, evaluate_kl=False, evaluate_entropy=False, backups=math.inf),
    "vi": lambda kappa: Scheme(kappa, 0.0),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_rows_are_reached_in_proportion_to_the_temperature(name):
    exact = run(algorithms.ALL[name].scheme(), 40).q
    distances = [np.abs(run(LIMITS[name](kappa), 40).q - exact).max() for kappa in (1e-3, 1e-4, 1e-5)]
    assert distances[-1] < 1e-2
    for large, small in itertools.pairwise(distances):
        assert small <= 0.2 * large + 1e-12


def test_with_constant_errors_a_fixed_prior_is_not_the_moving_one():
    fixed = run(algorithms.xql(0.1)).q
    assert np.abs(fixed - run(algorithms.dpp(0.1)).q).max() > 0.1


def test_schedules_follow_the_weighted_sum_of_q(rng):
    kls, entropies = rng.uniform(0.1, 2, K), rng.uniform(0, 0.5, K)
    trace = run(Scheme.of(schedule(kls), schedule(entropies)))
    y = np.zeros_like(Q0)
    for k in range(K):
        y = (kls[k] * y + trace.q[k]) / (kls[k] + entropies[k])
        close(np.exp(trace.log_policy[k + 1]), np.exp(log_softmax(y)))
        policy, change = np.exp(trace.log_policy[k + 1]), trace.log_policy[k + 1] - trace.log_policy[k]
        bonus = -mean(policy, kls[k] * change + entropies[k] * trace.log_policy[k + 1])
        close(trace.q[k + 1], backup(mean(policy, trace.q[k]) + bonus) + trace.errors[k + 1])


def test_a_schedule_may_end_at_zero_temperature():
    kls = np.concatenate([np.linspace(1.0, 0.1, K // 2), np.zeros(K // 2)])
    trace = run(Scheme.of(schedule(kls)))
    assert np.isfinite(trace.q).all()
    q = trace.q[K // 2]
    for k in range(K // 2, K):
        q = backup(q.max(-1)) + trace.errors[k + 1]
    close(trace.q[-1], q)


def test_the_registry_is_complete_and_every_entry_can_be_cited():
    assert len(algorithms.ALL) == 23
    for name, algorithm in algorithms.ALL.items():
        assert algorithm.name == name == algorithm.scheme.__name__
        assert algorithm.bibtex().startswith("@")
        assert algorithm.reference in algorithm.bibtex()
        assert algorithm.summary.endswith(".")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'munchausen'"):
        algorithms.find("munchhausen")


def test_parameters_out_of_range():
    with pytest.raises(ValueError, match=r"alpha: expected a number in \[0, 1\], got 2"):
        algorithms.munchausen(alpha=2)
    for call in (
        lambda: algorithms.politex(0.0),
        lambda: algorithms.entropy_npg(learning_rate=1.0, entropy=0.2),
        lambda: algorithms.munchausen(alpha=1.5),
        lambda: algorithms.soft_q(-1.0),
        lambda: algorithms.mpi(0),
    ):
        with pytest.raises(ValueError):
            call()
