"""Replay: uniform over what is there, n steps that stop where episodes do, against lists of steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvi.envs.base import Transition
from mdvi.learning import draws
from mdvi.learning.experience import ring

GAMMA = 0.9


def story(environments, steps, seed):
    """Steps with random ends, each observation a number of its own."""
    generator = np.random.default_rng(seed)
    kind = generator.choice(3, p=[0.7, 0.15, 0.15], size=(steps, environments))
    obs = np.arange(steps * environments, dtype=np.float32).reshape(steps, environments, 1)
    return {
        "obs": obs,
        "action": generator.integers(3, size=(steps, environments)).astype(np.int32),
        "reward": generator.normal(size=(steps, environments)).astype(np.float32),
        "terminated": kind == 1,
        "truncated": kind == 2,
        "next_obs": -obs - 1,
    }


def filled(rows, environments, steps, seed=0):
    told = story(environments, steps, seed)
    replay = ring.empty(jax.ShapeDtypeStruct((1,), jnp.float32), rows, environments)
    add = jax.jit(ring.Ring.add)
    for t in range(steps):
        replay = add(replay, Transition(**{name: jnp.asarray(column[t]) for name, column in told.items()}))
    return replay, told


def by_hand(told, t, e, n):
    """G, γ^m (1 − d) and the observation to bootstrap from, of n steps from (t, e)."""
    total, factor = 0.0, 1.0
    for i in range(n):
        total += factor * told["reward"][t + i, e]
        factor *= GAMMA
        if told["terminated"][t + i, e]:
            return total, 0.0, told["next_obs"][t + i, e]
        if told["truncated"][t + i, e]:
            break
    return total, factor, told["next_obs"][t + i, e]


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize(("rows", "environments", "steps"), [(40, 1, 25), (16, 3, 53), (8, 2, 8)])
def test_n_step_samples_equal_the_steps_counted_by_hand(n, rows, environments, steps):
    replay, told = filled(rows, environments, steps)
    batch = jax.jit(ring.Ring.sample, static_argnums=(2, 3))(replay, jax.random.key(0), 4000, n, GAMMA)
    start = np.asarray(batch.obs)[:, 0].astype(int)
    oldest = max(0, steps - rows)
    wanted = {t * environments + e for t in range(oldest, steps - n + 1) for e in range(environments)}
    assert set(start) == wanted  # every sequence that is whole, and none that runs over the end
    counts = np.bincount(start, minlength=steps * environments)[sorted(wanted)]
    mean = 4000 / len(wanted)
    assert (np.abs(counts - mean) <= 5 * np.sqrt(mean)).all()
    for i in range(500):
        t, e = divmod(start[i], environments)
        total, factor, after = by_hand(told, t, e, n)
        np.testing.assert_allclose(batch.returns[i], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.discount[i], factor, rtol=1e-6)
        np.testing.assert_array_equal(batch.next_obs[i], after)
        assert batch.action[i] == told["action"][t, e]


def test_observations_keep_their_dtype():
    for dtype in (jnp.bool_, jnp.uint8, jnp.float32):
        replay = ring.empty(jax.ShapeDtypeStruct((10, 10, 4), dtype), 5, 2)
        assert replay.steps.obs.dtype == replay.steps.next_obs.dtype == dtype
        assert replay.steps.obs.shape == (5, 2, 10, 10, 4)


COUNTS = [1, 2, 3, 1000, 2**16, 2**16 + 1, 10**6, 3 * 2**20, 2**24 + 1, 2**26, 2**30 - 1, 2**31 + 7, 2**32 - 1]


@pytest.mark.parametrize("count", COUNTS)
def test_whole_numbers_are_drawn_by_exact_arithmetic(count, rng):
    bits = rng.integers(0, 2**32, (3000, 2), dtype=np.uint32)
    bits[:4] = np.array([[0, 0], [2**32 - 1, 2**32 - 1], [2**32 - 1, 0], [0, 2**32 - 1]], np.uint32)
    right = [count * ((int(high) << 32) | int(low)) >> 64 for high, low in bits]
    assert draws.below(bits, np.uint32(count)).tolist() == right
    assert draws.below(bits, np.full(3000, count, np.uint32)).tolist() == right
    assert jax.jit(draws.below)(jnp.asarray(bits), jnp.uint32(count)).tolist() == right
    assert right[:2] == [0, count - 1]


@pytest.mark.parametrize("count", [3 * 2**20, 2**26, 2**30 - 1])
def test_every_number_can_be_drawn_and_none_is_preferred(count):
    drawn = np.asarray(draws.below(draws.words(jax.random.key(3), (200_000,)), jnp.uint32(count)), np.int64)
    for parts in (2, 3, 7, 8):
        shares = np.bincount(drawn % parts, minlength=parts) / len(drawn)
        assert (np.abs(shares - 1 / parts) < 5 * np.sqrt(1 / parts / len(drawn))).all()
    halves = np.bincount(drawn * 8 // count, minlength=8)
    assert (np.abs(halves - 25_000) < 5 * np.sqrt(25_000)).all()


def test_a_choice_is_the_legal_action_of_the_number_that_was_drawn(rng):
    legal = rng.random((500, 9)) < 0.4
    legal[:, 3] |= ~legal.any(-1)
    bits = rng.integers(0, 2**32, (500, 2), dtype=np.uint32)
    numbers = draws.below(bits, legal.sum(-1, dtype=np.uint32))
    right = [np.flatnonzero(mask)[number] for mask, number in zip(legal, numbers, strict=True)]
    assert draws.choice(bits, legal).tolist() == right == draws.choice(jnp.asarray(bits), jnp.asarray(legal)).tolist()


def test_odd_rows_of_a_large_ring_are_drawn_as_often_as_even_ones():
    rows = 2**24  # more than 23 random bits can tell apart
    odd = (np.arange(rows) % 2 == 1)[:, None]
    nothing = np.zeros((rows, 1), np.float32)
    steps = Transition(odd, odd.view(np.int8), nothing, odd & False, odd & False, odd)
    drawn = ring.Ring(steps, jnp.int32(rows)).sample(jax.random.key(0), 20_000, 1, GAMMA)
    assert abs(np.asarray(drawn.obs).mean() - 0.5) < 0.02
