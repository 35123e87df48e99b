"""The halves are one: on one-hot features the targets are the scheme; on random outputs, the paper's formulas."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvi import algorithms, iterate, mdp
from mdvi.laboratory.bellman import BellmanOperator
from mdvi.learning.agents import constructions, targets
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.constructions.direct import direct_loss
from mdvi.learning.agents.constructions.dual import dual_target
from mdvi.learning.agents.constructions.implicit import implicit_step, munchausen_term
from mdvi.learning.agents.constructions.indirect import indirect_loss
from mdvi.learning.agents.targets import Preferences
from mdvi.scheme import Scheme

MODEL = mdp.garnet(12, 3, 3, 0.9, seed=4)
STEPS = 6
EXPLICIT = ("direct", "indirect", "dual")


def representable(scheme, construction):
    """Where the equality is a theorem: what `Agent` accepts, said once more."""
    if scheme.backups != 1 or scheme.prior != "previous":
        return False
    if construction == "implicit":
        return bool(scheme.evaluate_kl or scheme.beta == 0)
    if not scheme.entropic:
        return False
    return bool(scheme.beta < 1 if construction == "dual" else scheme.temperature > 0 or scheme.beta == 0)


CASES = [(name, construction) for name in algorithms.ALL for construction in (*EXPLICIT, "implicit")]
THEOREMS = [case for case in CASES if representable(algorithms.ALL[case[0]].scheme(), case[1])]


def test_agents_accept_what_they_can_represent_and_nothing_else():
    for name, construction in CASES:
        scheme = algorithms.ALL[name].scheme()
        if (name, construction) in THEOREMS:
            Agent(scheme, construction)
        else:
            with pytest.raises(ValueError):
                Agent(scheme, construction)
    assert len(THEOREMS) >= 28


def trajectory(scheme):
    """States and greedy steps of the scheme itself, checked against the laboratory's loop."""
    legal, operator = jnp.asarray(MODEL.legal), BellmanOperator(MODEL)
    state = scheme.init(jnp.zeros(legal.shape), jnp.full(legal.shape, -math.log(3)), legal)
    path = []
    for _ in range(STEPS):
        step = scheme.greedy(state, legal)
        path.append((state, step))
        state = scheme.advance(state, step, scheme.evaluate(state.q, step, operator))
    trace = iterate(MODEL, scheme, STEPS, record=("q",))
    np.testing.assert_allclose(state.q, trace.q[STEPS], atol=1e-10)
    return path, state, operator, legal


@pytest.mark.parametrize(("name", "construction"), THEOREMS)
def test_exact_targets_on_one_hot_features_are_one_step_of_the_scheme(name, construction):
    scheme = algorithms.ALL[name].scheme()
    with jax.enable_x64(True):
        path, last, operator, legal = trajectory(scheme)
        states = [state for state, _ in path] + [last]
        average, before = (1 - scheme.beta) * states[0].q, jnp.zeros((12, 3))
        actions = jnp.arange(3)
        for k, (state, step) in enumerate(path):
            following = states[k + 1]
            if construction == "implicit":
                x, wanted = (s.q + scheme.beta * s.scaled_log_policy for s in (state, following))
                mine = implicit_step(scheme, x, legal)
                v = targets.critic_target(scheme, jnp.zeros(12), jnp.ones(12), x, mine)
                extra = jnp.stack([munchausen_term(scheme, mine, jnp.full(12, a), -jnp.inf) for a in actions], -1)
                np.testing.assert_allclose(operator.backup(v) + extra, wanted, atol=1e-6)
                np.testing.assert_allclose(mine.policy, step.policy, atol=1e-6)
                continue
            if construction == "dual":
                new, old = (constructions.find("dual").preferences(scheme, h) for h in (average, before))
                before = average
                average = dual_target(scheme, average, following.q)
            else:
                logits = jnp.maximum(step.log_policy, -1e5)
                before_logits = jnp.log(jnp.full((12, 3), 1 / 3)) if k == 0 else before_logits
                new, old = (constructions.find(construction).preferences(scheme, x) for x in (logits, before_logits))
                before_logits = logits
            mine = targets.follow(new, old, legal)
            v = targets.critic_target(scheme, jnp.zeros(12), jnp.ones(12), state.q, mine)
            np.testing.assert_allclose(operator.backup(v), following.q, atol=1e-6)
            np.testing.assert_allclose(mine.policy, step.policy, atol=1e-6)
            if construction == "indirect":
                assert float(np.abs(indirect_loss(scheme, state.q, mine, legal)).max()) < 1e-6


@pytest.mark.parametrize(("kl", "entropy"), [(0.3, 0.2), (0.5, 0.0), (0.0, 0.4)])
def test_the_direct_loss_is_a_kl_to_the_greedy_policy(kl, entropy):
    """∇ L_direct = ∇ κ KL(Π‖G_Π̄(q̄)), and L_direct = κ KL(Π‖Π*) − maximum."""
    scheme = Scheme.of(kl=kl, entropy=entropy, evaluate_kl=False, evaluate_entropy=False)
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        q, old, new = (jnp.asarray(generator.normal(size=(50, 4))) for _ in range(3))
        legal = jnp.ones((50, 4), bool)
        anchor = targets.scaled_log_policy(Preferences(old, 1.0, scheme.temperature), legal)
        greedy = scheme.greedy(targets.state_of(scheme, q, anchor), legal)

        def step(x):
            return targets.follow(
                Preferences(x, 1.0, scheme.temperature), Preferences(old, 1.0, scheme.temperature), legal
            )

        def direct(x):
            return direct_loss(scheme, q, step(x)).sum()

        def divergence(x):
            log_policy = jax.nn.log_softmax(x)
            return (kl + entropy) * (jnp.exp(log_policy) * (log_policy - greedy.log_policy)).sum()

        np.testing.assert_allclose(jax.grad(direct)(new), jax.grad(divergence)(new), atol=1e-12)
        np.testing.assert_allclose(direct(new), divergence(new) - greedy.v.sum(), atol=1e-10)
        at_optimum = jax.grad(direct)(greedy.log_policy)
        np.testing.assert_allclose(at_optimum, 0, atol=1e-12)


def test_the_kl_term_vanishes_right_after_a_copy():
    scheme = Scheme.of(kl=0.5, entropy=0.0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)), jnp.float32)
    same = constructions.find("direct").preferences(scheme, x)
    legal = jnp.ones((20, 3), bool)
    q = 2 * x
    step = targets.follow(same, same, legal)
    np.testing.assert_allclose(scheme.value(q, step), (jax.nn.softmax(x) * q).sum(-1), rtol=1e-6)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def reference(construction, kl, entropy, with_kl, with_entropy, out, bar, q, returns, discount):
    """The regression target out of the paper's symbols, in float64, for κ > 0."""
    if construction == "dual":
        pi, pi_bar = log_softmax(out / entropy), log_softmax(bar / entropy)
    else:
        pi, pi_bar = log_softmax(out), log_softmax(bar)
    p = np.exp(pi)
    v = (p * q).sum(-1)
    v -= kl * (p * (pi - pi_bar)).sum(-1) if with_kl else 0
    v -= entropy * (p * pi).sum(-1) if with_entropy else 0
    return returns + discount * v


SWITCHES = list(itertools.product((True, False), repeat=2))


@pytest.mark.parametrize("construction", EXPLICIT)
@pytest.mark.parametrize(("with_kl", "with_entropy"), SWITCHES)
@pytest.mark.parametrize(("kl", "entropy"), [(0.9, 0.1), (0.027, 0.003), (0.5, 5.0)])
def test_explicit_targets_equal_a_plain_reference(construction, with_kl, with_entropy, kl, entropy):
    generator = np.random.default_rng(1)
    out, bar, q = (generator.normal(size=(64, 5)) for _ in range(3))
    returns, discount = generator.normal(size=64), generator.uniform(size=64)
    scheme = Scheme.of(kl=kl, entropy=entropy, evaluate_kl=with_kl, evaluate_entropy=with_entropy)
    single = [jnp.asarray(x, jnp.float32) for x in (out, bar, q, returns, discount)]
    new, old = (constructions.find(construction).preferences(scheme, x) for x in single[:2])
    step = targets.follow(new, old, jnp.ones((64, 5), bool))
    mine = targets.critic_target(scheme, single[3], single[4], single[2], step)
    right = reference(construction, kl, entropy, with_kl, with_entropy, out, bar, q, returns, discount)
    np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize("lowest", [-1.0, -math.inf])
@pytest.mark.parametrize(("alpha", "temperature"), [(0.9, 0.03), (0.0, 0.5), (1.0, 0.2)])
def test_the_implicit_target_is_munchausens(alpha, temperature, lowest):
    """r + α clip(τ' log π̄(a|s)) + γ Σ π̄(a'|s')(q̄(s', a') − τ' log π̄(a'|s')), in float64."""
    generator = np.random.default_rng(2)
    here, there = (generator.normal(size=(64, 4)) for _ in range(2))
    action, returns, discount = generator.integers(4, size=64), generator.normal(size=64), np.full(64, 0.99)
    log_here, log_there = (log_softmax(x / temperature) for x in (here, there))
    taken = temperature * log_here[np.arange(64), action]
    soft = (np.exp(log_there) * (there - temperature * log_there)).sum(-1)
    right = returns + alpha * np.maximum(taken, lowest) + discount * soft

    scheme, legal = algorithms.munchausen(alpha, temperature), jnp.ones((64, 4), bool)
    x, y = (jnp.asarray(table, jnp.float32) for table in (here, there))
    value = targets.critic_target(
        scheme, jnp.asarray(returns, jnp.float32), jnp.asarray(discount, jnp.float32), y,
        implicit_step(scheme, y, legal),
    )  # fmt: skip
    term = munchausen_term(scheme, implicit_step(scheme, x, legal), jnp.asarray(action, jnp.int32), lowest)
    np.testing.assert_allclose(value + term, right, rtol=1e-5, atol=1e-5)


def test_the_corner_of_the_implicit_target_is_dqn_and_advantage_learning():
    generator = np.random.default_rng(3)
    here, there = (jnp.asarray(generator.normal(size=(32, 4)), jnp.float32) for _ in range(2))
    action, legal = jnp.asarray(generator.integers(4, size=32), jnp.int32), jnp.ones((32, 4), bool)
    for beta in (0.0, 0.7):
        scheme = Scheme(0.0, beta)
        value = targets.critic_target(scheme, jnp.zeros(32), jnp.ones(32), there, implicit_step(scheme, there, legal))
        np.testing.assert_allclose(value, there.max(-1), rtol=1e-6)
        term = munchausen_term(scheme, implicit_step(scheme, here, legal), action, -jnp.inf)
        np.testing.assert_allclose(term, beta * (targets.at(here, action) - here.max(-1)), rtol=1e-5, atol=1e-6)


def test_the_dual_and_indirect_targets_equal_a_plain_reference():
    generator = np.random.default_rng(4)
    out, bar, q = (generator.normal(size=(40, 3)) for _ in range(3))
    kl, entropy = 0.6, 0.2
    scheme, beta = Scheme.of(kl=kl, entropy=entropy), kl / (kl + entropy)
    single = [jnp.asarray(x, jnp.float32) for x in (out, bar, q)]
    np.testing.assert_allclose(
        dual_target(scheme, single[1], single[2]), beta * bar + (1 - beta) * q, rtol=1e-5, atol=1e-6
    )
    goal = log_softmax(beta * log_softmax(bar) + q / (kl + entropy))
    right = (np.exp(goal) * (goal - log_softmax(out))).sum(-1)
    legal = jnp.ones((40, 3), bool)
    step = targets.follow(*(constructions.find("indirect").preferences(scheme, x) for x in single[:2]), legal)
    np.testing.assert_allclose(indirect_loss(scheme, single[2], step, legal), right, rtol=1e-4, atol=1e-6)


def test_illegal_actions_count_for_nothing():
    generator = np.random.default_rng(5)
    legal = jnp.asarray(generator.random((30, 4)) < 0.6).at[:, 0].set(True)
    scheme = Scheme.of(kl=0.3, entropy=0.1)
    x, q = (jnp.asarray(generator.normal(size=(30, 4)), jnp.float32) for _ in range(2))
    for construction in ("direct", "dual"):
        values = []
        for illegal in (-50.0, 1e6):
            poisoned = [jnp.where(legal, table, illegal) for table in (x, q)]
            of = constructions.find(construction).preferences(scheme, poisoned[0])
            values.append(scheme.value(poisoned[1], targets.follow(of, of, legal)))
        np.testing.assert_array_equal(*values)


def test_the_action_gap():
    of = Preferences(jnp.array([[1.0, 4.0, 2.5], [3.0, 3.0, 0.0], [9.0, 1.0, 0.0]]), 1.0, 1.0)
    legal = jnp.array([[True, True, True], [True, True, True], [False, True, False]])
    np.testing.assert_allclose(targets.action_gap(of, legal), [1.5, 0.0, 0.0])
