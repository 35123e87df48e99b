"""How networks are moved: learning rates that fall, gradients that are cut, target networks that follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi.envs import CartPole, TimeLimit
from mdvi.learning.agents import catalogue
from mdvi.learning.experience.base import Batch
from mdvi.learning.settings import Settings
from mdvi.learning.training import learner

ENV = TimeLimit(CartPole(), 500)
SIZES = {"hidden": (8,), "batch": 16, "warmup": 100, "replay": 500, "target_period": 20}


def batch(seed=0, size=16):
    rng = np.random.default_rng(seed)
    obs, following = (jnp.asarray(rng.normal(size=(size, 4)), jnp.float32) for _ in range(2))
    action = jnp.asarray(rng.integers(2, size=size), jnp.int32)
    return Batch(obs, action, jnp.asarray(rng.normal(size=size), jnp.float32), jnp.full(size, 0.99), following)


def moved(before, after):
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return np.concatenate([np.ravel(new - old) for old, new in pairs])


def step(settings, agent, start=None, seed=0):
    """A learner before and after a gradient step."""
    settings = Settings(**SIZES | settings)
    before = learner.start(settings, ENV, agent, 0)[0] if start is None else start
    return before, learner.learn(settings, ENV, agent, before, batch(seed), batch(seed + 1))[0]


def test_the_learning_rate_falls_to_zero_in_a_line():
    agent = catalogue.find("dqn").agent(learning_rate=1e-2, learning_rate_steps=1000.0)
    for steps, rate in ((0, 1e-2), (250, 0.75e-2), (1000, 0.0), (5000, 0.0)):
        assert float(agent.learning_rate_at(steps)) == pytest.approx(rate, abs=1e-9)
    assert float(catalogue.find("dqn").agent(learning_rate=0.3).learning_rate_at(10**9)) == np.float32(0.3)
    steady = catalogue.find("dqn").agent(learning_rate=1e-2)
    before, plain = step({}, steady)
    _, slower = step({}, agent)  # after the 100 environment steps that fill the replay
    full = moved(before.online, plain.online)
    np.testing.assert_allclose(moved(before.online, slower.online), 0.9 * full, rtol=2e-3, atol=1e-8)


def test_gradients_are_cut_to_a_norm():
    agent = catalogue.find("dqn").agent(learning_rate=1.0)
    plain = {"optimizer": "rmsprop", "optimizer_epsilon": 1e6}  # so large that the step is a multiple of the gradient
    before, free = step(plain, agent)
    direction = moved(before.online, free.online)
    _, wide = step(plain | {"clip_gradients": 1e9}, agent)
    np.testing.assert_allclose(moved(before.online, wide.online), direction, rtol=1e-6, atol=1e-12)
    _, cut = step(plain | {"clip_gradients": 1e-3}, agent)
    change = moved(before.online, cut.online)
    assert np.linalg.norm(change) < 0.1 * np.linalg.norm(direction)
    cosine = change @ direction / np.linalg.norm(change) / np.linalg.norm(direction)
    assert cosine == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("agent", ["munchausen", "md-direct"])
def test_target_networks_follow_at_every_step_and_are_not_copied(agent):
    agent, settings = catalogue.find(agent).agent(learning_rate=1e-2), Settings(**SIZES, polyak=0.25)
    state, target = learner.start(settings, ENV, agent, 0)[0], None
    target = state.target
    for seed in range(3):
        _, state = step({"polyak": 0.25}, agent, state, seed)
        target = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, target, state.online)
        np.testing.assert_allclose(moved(target, state.target), 0, atol=1e-6)
    copied, _ = learner.copied(settings, ENV, agent, state)
    assert (moved(copied.target, state.target) == 0).all()
    assert (moved(copied.online, copied.target) != 0).any()
    hard, _ = learner.copied(Settings(**SIZES), ENV, agent, state)
    assert (moved(hard.online, hard.target) == 0).all()


def test_they_are_settings_of_a_run_on_both_kinds_of_environments():
    sizes = SIZES | {"log_period": 100, "seeds": 2, "steps": 300}
    for env in ("CartPole-v1", "Acrobot-v1"):
        plain = mdvi.train(env, "munchausen", **sizes)
        for name, value in (("polyak", 0.1), ("clip_gradients", 0.01), ("learning_rate_steps", 200)):
            other = mdvi.train(env, "munchausen", **sizes, **{name: value})
            assert other.summary["status"] == "ok"
            assert (moved(plain.networks(0)[1], other.networks(0)[1]) != 0).any(), name


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"polyak": 1.5}, "polyak: .* got 1.5"),
        ({"polyak": float("nan")}, "polyak: "),
        ({"clip_gradients": -1.0}, "clip_gradients: .* got -1.0"),
        ({"clip_gradients": float("inf")}, "clip_gradients: "),
        ({"learning_rate_steps": -1}, "learning_rate_steps: expected a number of at least 0, got -1"),
    ],
)
def test_numbers_out_of_range_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        mdvi.train("CartPole-v1", "dqn", steps=300, **setting)
