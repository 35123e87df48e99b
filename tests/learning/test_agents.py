"""Agents: what they refuse, how they act, double-Q against brute force, and probes that name a defect each."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi import Scheme
from mdvi.envs import CartPole, FiniteEnvironment
from mdvi.envs.native import probes
from mdvi.learning.agents import catalogue, targets
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.constructions import DIRECT, Explicit
from mdvi.learning.agents.constructions.base import check_logits, logits
from mdvi.learning.agents.networks import Networks, convolve, network
from mdvi.learning.experience.base import Batch

FAMILIES = ("md-direct", "md-indirect", "da", "munchausen")


@pytest.fixture(scope="module")
def cartpole():
    env = CartPole()
    keys = jax.random.split(jax.random.key(0), 5)
    online, target = (Networks(*(network(env, key, "none", (16,)) for key in pair)) for pair in (keys[:2], keys[2:4]))
    obs = jax.random.normal(keys[4], (32, 4))
    return env, online, target, obs


def batch_of(obs):
    generator = np.random.default_rng(0)
    return Batch(
        obs[:16],
        jnp.asarray(generator.integers(2, size=16), jnp.int32),
        jnp.asarray(generator.normal(size=16), jnp.float32),
        jnp.full(16, 0.9),
        obs[16:],
    )


def without_actor(networks):
    return Networks(networks.critic, None)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (8, 4), (4, 2), ((2, 3), (3, 2))])
def test_a_convolution_by_patches_is_a_convolution(kernel, stride):
    convolution = eqx.nn.Conv2d(3, 5, kernel, stride, key=jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (4, 3, 21, 18))
    np.testing.assert_allclose(convolve(convolution, images), jax.vmap(convolution)(images), atol=1e-5)


def test_double_q_selects_by_the_online_network_and_evaluates_by_the_target(cartpole):
    env, online, target, obs = cartpole
    online, target, batch = without_actor(online), without_actor(target), batch_of(obs)
    agent = catalogue.find("dqn").agent(double=True)
    right = [
        r + g * float(target.critic(o[None])[0, int(online.critic(o[None])[0].argmax())])
        for r, g, o in zip(batch.returns, batch.discount, batch.next_obs, strict=True)
    ]
    np.testing.assert_allclose(agent.critic_target(env, online, target, batch), right, rtol=1e-5)
    single = catalogue.find("dqn").agent().critic_target(env, online, target, batch)
    best = batch.returns + batch.discount * target.critic(batch.next_obs).max(-1)
    np.testing.assert_allclose(single, best, rtol=1e-5)
    assert not np.allclose(single, right)


def test_double_soft_q_keeps_the_entropy_of_the_policy_it_evaluates(cartpole):
    env, online, target, obs = cartpole
    online, target, batch = without_actor(online), without_actor(target), batch_of(obs)
    tau = 0.3
    log_policy = jax.nn.log_softmax(online.critic(batch.next_obs) / tau)
    soft = (jnp.exp(log_policy) * (target.critic(batch.next_obs) - tau * log_policy)).sum(-1)
    agent = catalogue.find("soft-dqn").agent(entropy=tau, double=True)
    right = batch.returns + batch.discount * soft
    np.testing.assert_allclose(agent.critic_target(env, online, target, batch), right, rtol=1e-5)


def test_a_dual_agent_may_read_the_online_critic_and_regress_one_action_or_all(cartpole):
    env, online, target, obs = cartpole
    batch = batch_of(obs)
    beta = 0.9
    for double in (False, True):
        q = (online if double else target).critic(batch.obs)
        error = (online.actor(batch.obs) - (beta * target.actor(batch.obs) + (1 - beta) * q)) ** 2
        for every, right in ((False, targets.at(error, batch.action)), (True, error.mean(-1))):
            agent = catalogue.find("da").agent(double=double, every_action=every)
            loss = agent.actor_loss(env, online.actor, online, target, batch)
            np.testing.assert_allclose(loss, right, rtol=1e-4, atol=1e-7)


def test_actions_follow_epsilon_the_policy_and_the_mask(cartpole):
    _, online, _, obs = cartpole
    obs = jnp.tile(obs[:1], (20_000, 1))
    legal = jnp.ones((20_000, 2), bool)
    agent = catalogue.find("md-direct").agent()
    policy = np.exp(np.asarray(targets.log_policy(agent.preferences(online, obs[:1]), legal[:1]))[0])
    for epsilon in (0.0, 0.5, 1.0):
        key = jax.random.key(int(10 * epsilon))
        share = np.asarray(agent.act(online, obs, legal, key, epsilon)).mean()
        assert abs(share - ((1 - epsilon) * policy[1] + epsilon / 2)) < 0.02
    greedy = catalogue.find("dqn").agent().act(without_actor(online), obs, legal, jax.random.key(1), 0.0)
    assert (np.asarray(greedy) == int(online.critic(obs[:1])[0].argmax())).all()
    only = legal.at[:, 0].set(False)
    assert (np.asarray(agent.act(online, obs, only, jax.random.key(2), 0.5)) == 1).all()


def test_epsilon_falls_from_one():
    agent = catalogue.find("dqn").agent(epsilon=0.1, epsilon_steps=100.0)
    assert [round(float(agent.epsilon_at(step)), 3) for step in (0, 50, 100, 1000)] == [1.0, 0.55, 0.1, 0.1]
    assert float(catalogue.find("dqn").agent(epsilon=0.1).epsilon_at(0)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("dqn", {"kl": 0.1}, "has no kl"),
        ("dqn", {"beta": 0.5}, "has no beta"),
        ("da", {"kl": 0.1, "entropy": 0.0}, "dual agent"),
        ("md-direct", {"beta": 0.5, "kl": 0.1}, "either kl or beta"),
        ("md-direct", {"beta": 1.0}, r"beta: must be in \[0, 1\) when an entropy is given"),
        ("md-direct", {"beta": 0.9, "entropy": 0.0}, "beta: set entropy > 0 as well"),
        ("md-direct", {"kl": -1.0}, "kl: expected a finite number"),
        ("munchausen", {"evaluate_kl": False}, "need evaluate_kl=True"),
        ("soft-dqn", {"beta": 0.5}, "has no beta"),
    ],
)
def test_numbers_that_contradict_are_refused(name, numbers, words):
    with pytest.raises(ValueError, match=words):
        catalogue.find(name).agent(**numbers)


def test_beta_and_entropy_give_the_papers_kl():
    scheme = catalogue.find("md-direct").agent(beta=0.9, entropy=0.1).scheme
    assert (float(scheme.kl), float(scheme.entropy)) == pytest.approx((0.9, 0.1))
    assert float(catalogue.find("modqn").agent(beta=0.7).scheme.beta) == pytest.approx(0.7)


def learned(probe, agent, **settings):
    """q of the trained critic (of q + βs if implicit) on every live state of a probe."""
    sizes = {"hidden": (16,), "batch": 32, "replay": 1000, "warmup": 200, "epsilon": 0.5}
    sizes |= {"target_period": 20, "learning_rate": 3e-3, "optimizer_epsilon": 1e-8} | settings
    run = mdvi.train(probe, agent, steps=6000, log_period=2000, **sizes)
    inner = probe.env if hasattr(probe, "env") else probe
    _, networks = run.networks(0)
    return np.asarray(networks.critic(jnp.eye(inner.mdp.states)))[~inner.mdp.terminal]


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        *(("matched", agent) for agent in ("dqn", "modqn", "soft-dqn", "md-direct", "md-indirect", "da")),
        *((name, agent) for name in ("seen", "delayed") for agent in ("dqn", "md-direct")),
    ],
)
def test_agents_learn_what_probes_are_worth(name, agent):
    """With a small temperature the regularised value is close to the plain one: at most τ log 2 a step."""
    probe = probes.ALL[name]()
    numbers = {} if agent in ("dqn", "modqn") else {"entropy": 0.01}
    q = learned(probe, agent, **numbers)
    right = mdvi.solve(probe.mdp, tolerance=1e-9).q[: len(q)]
    np.testing.assert_allclose(q, right, atol=0.02)


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_truncation_is_not_termination(end, n_step):
    """7 steps of reward 1: worth (1 − γ^7)/(1 − γ) if they end there, 1/(1 − γ) if one only stops looking."""
    probe = probes.ALL[end](discount=0.5)
    schedule = {"learning_rate": 1e-3, "target_period": 20, "batch": 64, "n_step": n_step}
    q = learned(probe, "dqn", **schedule)
    right = [[(1 - 0.5 ** (7 - i)) / 0.5] for i in range(7)] if end == "terminated" else [[2.0]]
    np.testing.assert_allclose(q, right, atol=1e-3)


def test_a_finite_model_is_learned_and_its_loss_is_known():
    env = FiniteEnvironment(mdvi.mdp.chain(4, discount=0.8))
    run = mdvi.train(
        mdvi.envs.TimeLimit(env, 20), "munchausen", kl=0.09, entropy=0.01, steps=4000, hidden=(32,), batch=32,
        epsilon=0.5, log_period=40, warmup=200, diagnostics=True, learning_rate=1e-3, target_period=40,
    )  # fmt: skip
    loss = run.metrics["exact_loss"]
    assert loss[-1] < 0.02 < loss[0]
    for column in ("policy_kl", "entropy_nats", "action_gap", "bellman_error", "average_error"):
        assert np.isfinite(run.metrics[column]).all()
    assert run.metrics["policy_kl"][-1] < run.metrics["policy_kl"][0]


def test_a_construction_of_ones_own_is_a_value(cartpole):
    env, online, target, obs = cartpole
    batch, direct = batch_of(obs), DIRECT

    def twice(*arguments):
        return 2 * direct.actor_loss(*arguments)

    mine = Explicit("twice", check_logits, logits, twice)
    theirs = catalogue.find("md-direct").agent()
    agent = Agent(theirs.scheme, mine)
    losses = [one.actor_loss(env, online.actor, online, target, batch) for one in (agent, theirs)]
    np.testing.assert_allclose(losses[0], 2 * losses[1])
    with pytest.raises(ValueError, match=r"twice agents need kl \+ entropy > 0: their actor holds log π"):
        Agent(Scheme(0.0, 0.5), mine)
    with pytest.raises(ValueError, match="construction: unknown 'indirekt'; did you mean 'indirect'"):
        Agent(theirs.scheme, "indirekt")
