"""Observations that are shifted and scaled by what was seen: a statistic, an affine map, and part of the networks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_longer import equal

import mdvi
from mdvi.envs import CartPole
from mdvi.learning.agents.catalogue import ALL
from mdvi.learning.agents.networks import network

SIZES = {
    "hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 300, "target_period": 20, "log_period": 100,
    "epsilon": 0.5, "seeds": 2, "normalize": True,
}  # fmt: skip
ENVS = ["CartPole-v1", "Acrobot-v1"]  # compiled, and on the host


class Plain(CartPole):
    """With observations that nothing else scales."""

    scale = None


def made(normalize=True):
    return network(Plain(), jax.random.key(0), "none", (8,), normalize)


def test_it_holds_the_mean_and_the_variance_of_what_was_seen():
    rng = np.random.default_rng(0)
    seen = (3 + rng.normal(size=(12, 50, 4)) * [1.0, 10.0, 1e-2, 0.0]).astype(np.float32)
    one = made()
    np.testing.assert_array_equal(one(jnp.asarray(seen[0])), made(False)(jnp.asarray(seen[0])))  # nothing seen yet
    for batch in seen:
        one = one.after(jnp.asarray(batch))
    flat = seen.reshape(-1, 4)
    np.testing.assert_allclose(one.normal.mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(one.normal.variance, flat.var(0), rtol=1e-4, atol=1e-9)
    assert float(one.normal.count) == 600
    scaled = (flat - flat.mean(0)) / np.sqrt(np.maximum(flat.var(0), 1e-6))
    np.testing.assert_allclose(one(jnp.asarray(flat)), made(False)(jnp.asarray(scaled)), rtol=1e-3, atol=1e-4)
    old = one.after(jnp.full((10**7, 4), 5.0))
    assert float(old.normal.count) == 1e6
    np.testing.assert_allclose(old.normal.mean, 5.0, rtol=1e-3)


def test_it_is_folded_into_the_first_layer():
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(30, 4)) * 5 + 2).astype(np.float32)
    one = made().after(jnp.asarray(x))
    (weight, bias), (last, offset) = one.dense()
    by_hand = np.maximum(x @ weight + bias, 0) @ last + offset
    np.testing.assert_allclose(by_hand, one(jnp.asarray(x)), rtol=1e-4, atol=1e-5)
    members = jax.tree.map(lambda *leaves: np.stack(leaves), one, made().after(jnp.asarray(2 * x)))
    np.testing.assert_allclose(members.dense()[0][0][0], weight, rtol=1e-6)
    np.testing.assert_allclose(members.dense()[0][1][0], bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("agent", ["munchausen", "md-direct"])
@pytest.mark.parametrize("env", ENVS)
def test_it_is_trained_acted_by_kept_and_exported(env, agent, tmp_path):
    run = mdvi.train(env, agent, steps=500, **SIZES)
    for steps in (300, 500):
        parts = mdvi.train(env, agent, steps=steps, out=tmp_path / "run", **SIZES)
    equal(run, parts)
    networks = run.networks(0)[1]
    for one in (networks.critic, networks.actor):
        if one is not None:
            assert float(one.normal.count) == 16 * 100
            assert (np.asarray(one.normal.mean) != 0).any()
            np.testing.assert_array_equal(one.normal.mean, networks.critic.normal.mean)
    run.export(tmp_path / "policy.npz")
    space: dict = {}
    exec(compile((tmp_path / "policy.py").read_text(), "policy.py", "exec"), space)  # noqa: S102  as its user runs it
    policy = space["Policy"](str(tmp_path / "policy.npz"))
    obs = np.random.default_rng(0).normal(size=run.env.observation.shape).astype(np.float32)
    np.testing.assert_allclose(policy.probabilities(obs), run.probabilities(obs), rtol=1e-3, atol=1e-6)


def test_a_network_of_ones_own_and_pictures_have_none():
    with pytest.raises(ValueError, match="normalize: pictures are scaled already"):
        mdvi.train("CartPole-v1", steps=300, normalize=True, torso="nature")
    own = dataclasses.replace(ALL["dqn"], network=lambda env, key: made())
    with pytest.raises(ValueError, match="normalize: applies to mdvi's layers only"):
        mdvi.train("CartPole-v1", own, steps=300, **SIZES)
