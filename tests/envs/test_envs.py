"""Environments: CartPole is Gymnasium's, a finite model is sampled as it is, and ends are told apart."""

import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import mdvi
from mdvi import FiniteMDP, mdp, solve
from mdvi.envs import NAMES, Box, CartPole, Discrete, FiniteEnvironment, TimeLimit
from mdvi.envs.base import advance
from mdvi.envs.native import minatar, probes
from mdvi.envs.spaces import actions_of


@pytest.fixture(scope="module")
def cartpole_steps():
    """Gymnasium's own states, actions and answers, over many episodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make("CartPole-v1").unwrapped
    generator, rows = np.random.default_rng(0), []
    env.reset(seed=0)
    for _ in range(4000):
        action = int(generator.integers(2))
        before = np.array(env.state)
        after, reward, terminated, truncated, _ = env.step(action)
        rows.append((before, action, after, reward, terminated))
        assert not truncated
        if terminated:
            env.reset()
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_cartpole_equals_gymnasium_step_by_step(cartpole_steps):
    before, action, after, reward, terminated = cartpole_steps
    keys = jax.random.split(jax.random.key(0), len(action))
    step = jax.jit(jax.vmap(CartPole().step))
    mine, gain, fell, cut = step(jnp.asarray(before, jnp.float32), jnp.asarray(action, jnp.int32), keys)
    np.testing.assert_allclose(mine, after, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(gain, reward)
    np.testing.assert_array_equal(fell, terminated)
    assert terminated.sum() > 100
    assert not np.asarray(cut).any()


def test_cartpole_follows_whole_episodes_of_gymnasium():
    env = gymnasium.make("CartPole-v1")
    mine = jax.jit(CartPole().step)
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        state, generator = jnp.asarray(obs), np.random.default_rng(seed)
        for _ in range(500):
            action = int(generator.integers(2))
            obs, _, terminated, _, _ = env.step(action)
            state, _, fell, _ = mine(state, jnp.asarray(action), jax.random.key(0))
            np.testing.assert_allclose(state, obs, atol=2e-5)
            assert bool(fell) == terminated
            if terminated:
                break


def test_cartpole_starts_where_gymnasium_does():
    states = np.asarray(jax.vmap(CartPole().reset)(jax.random.split(jax.random.key(1), 2000)))
    assert np.abs(states).max() <= 0.05
    np.testing.assert_allclose(states.mean(0), 0, atol=0.003)
    np.testing.assert_allclose(states.std(0), 0.1 / np.sqrt(12), rtol=0.05)


def test_time_limit_truncates_and_termination_wins():
    env, key = TimeLimit(CartPole(), 3), jax.random.key(0)
    state, cuts = env.reset(key), []
    for _ in range(3):
        state, _, fell, cut = env.step(state, 0, key)
        cuts.append((bool(fell), bool(cut)))
    assert cuts == [(False, False), (False, False), (False, True)]
    outside = jnp.array([3.0, 1.0, 0.0, 0.0])
    at_limit = type(state)(outside, jnp.asarray(2, jnp.int32))
    _, _, fell, cut = env.step(at_limit, 0, key)
    assert (bool(fell), bool(cut)) == (True, False)


@pytest.mark.parametrize("name", list(NAMES))
def test_every_environment_keeps_the_contract(name):
    env = NAMES[name]()
    count = 300 if name.startswith("minatar") else 60

    def one(state, key):
        acting, moving = jax.random.split(key)
        legal = env.legal(env.observe(state)[None])[0]
        action = jax.random.categorical(acting, jnp.where(legal, 0.0, -jnp.inf))
        following, seen = advance(env, state, action, moving)
        return following, (seen, env.observe(following))

    def play(key):
        start, life = jax.random.split(key)
        return jax.lax.scan(one, env.reset(start), jax.random.split(life, count))[1]

    with jax.debug_key_reuse(False):  # it takes keys that are split under vmap and then scanned over for used
        seen, going_on = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(3), 4))
    assert seen.obs.shape == seen.next_obs.shape == (4, count, *env.observation.shape)
    assert seen.obs.dtype == env.observation.dtype
    assert seen.reward.dtype == jnp.float32
    ended = np.asarray(seen.terminated | seen.truncated)
    assert not np.asarray(seen.terminated & seen.truncated).any()
    if name not in ("minatar-freeway", "CartPole-v1"):
        assert ended.any()
    # The next observation is the one that followed; where no episode ended, one goes on from it.
    same = (np.asarray(seen.next_obs) == np.asarray(going_on)).reshape(4, count, -1).all(-1)
    assert same[~ended].all()
    assert (np.asarray(seen.obs)[:, 1:] == np.asarray(going_on)[:, :-1]).all()


def test_the_true_last_observation_survives_the_reset():
    env = probes.terminated(steps=3)
    state = env.reset(jax.random.key(0))
    for key in jax.random.split(jax.random.key(1), 3):
        state, seen = advance(env, state, jnp.asarray(0), key)
    assert bool(seen.terminated)
    assert int(np.argmax(seen.next_obs)) == 3  # the terminal state
    assert int(state) == 0  # the next episode


@pytest.mark.parametrize("sparse", [False, True])
def test_a_finite_model_is_sampled_as_it_is(sparse):
    model = mdp.garnet(6, 3, 3, 0.9, seed=2)
    exact = model.dense()
    if sparse:
        model = FiniteMDP(scipy.sparse.csr_array(exact.kernel.probability.reshape(18, 6)), exact.reward, 0.9)
    env = FiniteEnvironment(model)
    draws = 20_000
    for state, action in ((0, 0), (3, 2), (5, 1)):
        keys = jax.random.split(jax.random.key(state), draws)
        after, reward, ended, cut = jax.vmap(env.step, (None, None, 0))(jnp.asarray(state), action, keys)
        frequency = np.bincount(np.asarray(after), minlength=6) / draws
        expected = exact.kernel.probability[state, action]
        assert (np.abs(frequency - expected) <= 4 * np.sqrt(expected * (1 - expected) / draws)).all()
        np.testing.assert_allclose(reward, exact.reward[state, action], rtol=1e-6)
        assert not np.asarray(ended | cut).any()


def test_missing_probability_and_terminal_states_terminate():
    leaky = FiniteMDP(np.array([[[0.25, 0.25], [0.0, 1.0]]] * 2), np.zeros((2, 2)), 0.9, substochastic=True)
    step = jax.vmap(FiniteEnvironment(leaky).step, (None, None, 0))
    _, _, ended, _ = step(jnp.asarray(0), 0, jax.random.split(jax.random.key(0), 4000))
    assert abs(np.asarray(ended).mean() - 0.5) < 0.04
    _, _, ended, _ = step(jnp.asarray(0), 1, jax.random.split(jax.random.key(1), 4000))
    assert not np.asarray(ended).any()
    env = probes.constant()
    after, reward, ended, _ = env.step(env.reset(jax.random.key(0)), 0, jax.random.key(1))
    assert (int(after), float(reward), bool(ended)) == (1, 1.0, True)


def test_a_finite_model_tells_its_legal_actions_and_its_starts():
    legal = np.array([[True, False], [False, True]])
    model = FiniteMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)), 0.9, legal=legal)
    env = FiniteEnvironment(model, start=1)
    assert {int(env.reset(key)) for key in jax.random.split(jax.random.key(0), 10)} == {1}
    np.testing.assert_array_equal(env.legal(jnp.eye(2, dtype=bool)), legal)
    with pytest.raises(ValueError, match="start: state 2"):
        FiniteEnvironment(model, start=2)


@pytest.mark.parametrize(
    ("probe", "q"),
    [
        (probes.constant(), [[1.0]]),
        (probes.seen(), [[-1.0], [1.0]]),
        (probes.delayed(), [[0.5], [1.0]]),
        (probes.chosen(), [[-1.0, 1.0]]),
        (probes.matched(), [[1.0, -1.0], [-1.0, 1.0]]),
        (probes.truncated().env, [[10.0]]),
        (probes.terminated(), [[(1 - 0.9 ** (7 - i)) / 0.1] for i in range(7)]),
    ],
    ids=list(probes.ALL),
)
def test_probes_are_worth_what_they_say(probe, q):
    np.testing.assert_allclose(solve(probe.mdp, tolerance=1e-9).q[: len(q)], q, atol=1e-8)


@pytest.mark.parametrize("game", minatar.GAMES)
def test_minatar_pictures_and_boards(game):
    env = minatar.MinAtar(game)
    state = env.reset(jax.random.key(0))
    assert env.observe(state).shape == env.observation.shape
    assert env.frame(state).shape == (240, 240, 3)
    assert env.actions >= 3


def test_pictures_show_the_state():
    upright = CartPole().frame(np.zeros(4))
    leaning = CartPole().frame(np.array([0.0, 0.0, 0.2, 0.0]))
    assert upright.shape == leaning.shape == (160, 240, 3)
    assert (upright != leaning).any()
    env = probes.matched()
    assert (env.frame(0) != env.frame(1)).any()


def wearing(space):
    """CartPole with an `action_space` of its own."""

    class Wearing(CartPole):
        @property
        def action_space(self):
            return space

    return Wearing()


def test_an_action_space_of_ours_is_believed_and_one_of_others_is_not_looked_at():
    for env in (CartPole(), wearing(gymnasium.spaces.Discrete(2)), wearing(lambda params: None), wearing(None)):
        assert actions_of(env) == actions_of(TimeLimit(env, 5)) == Discrete(2)
    env = wearing(Discrete(2, first=5))
    assert actions_of(env) == actions_of(TimeLimit(env, 5)) == Discrete(2, first=5)
    run = mdvi.train(TimeLimit(env, 9), "dqn", steps=60, hidden=[4], batch=4, warmup=20, replay=40, target_period=20)
    assert run.first_action == 5
    assert run.policy(np.zeros(4)) in (5, 6)


def test_a_box_of_actions_is_refused_by_name():
    env = wearing(Box(low=(-1.0,), high=(1.0,)))
    for one in (env, TimeLimit(env, 5)):
        with pytest.raises(ValueError, match="env: the action space is a Box"):
            mdvi.train(one, "dqn", steps=60, hidden=[4], batch=4, warmup=20, replay=40, target_period=20)
