"""The regularised greedy step: what it maximises, its limits, and that nothing extreme makes it a NaN."""

import sys
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mdvi import Scheme
from mdvi import regularizers as R
from mdvi.regularizers import KL_TO_UNIFORM, SHANNON, boltzmann_average, mellowmax, soft_maximum

WEIGHTS = [(0.7, 0.3), (0.7, 0.0), (0.0, 0.3), (2.0, 5.0)]
TINY = 1e-30
finite = st.floats(-1e6, 1e6, allow_nan=False)


def log_policies(rng, *shape):
    return R.log_soft_argmax(2 * rng.normal(size=shape), 1.0)


@pytest.mark.parametrize(("kl", "entropy"), WEIGHTS)
def test_greedy_attains_the_maximum_and_nothing_near_it_does_better(rng, kl, entropy):
    q, prior = rng.normal(size=(7, 4)), log_policies(rng, 7, 4)
    best = R.regularized_greedy(q, prior, kl, entropy)
    value = R.regularized_value(best, q, prior, kl, entropy)
    np.testing.assert_allclose(value, R.regularized_maximum(q, prior, kl, entropy), rtol=0, atol=1e-13)
    beta = kl / (kl + entropy)
    definition = (kl + entropy) * np.log((np.exp(prior) ** beta * np.exp(q / (kl + entropy))).sum(-1))
    np.testing.assert_allclose(value, definition, rtol=0, atol=1e-13)
    for _ in range(200):
        other = R.log_soft_argmax(best + 0.3 * rng.normal(size=best.shape), 1.0)
        assert (R.regularized_value(other, q, prior, kl, entropy) <= value + 1e-13).all()


@pytest.mark.parametrize(("kl", "entropy"), WEIGHTS)
def test_any_policy_falls_short_of_the_maximum_by_its_kl_to_the_greedy_one(rng, kl, entropy):
    q, prior, other = rng.normal(size=(7, 4)), log_policies(rng, 7, 4), log_policies(rng, 7, 4)
    best = R.regularized_greedy(q, prior, kl, entropy)
    shortfall = R.regularized_maximum(q, prior, kl, entropy) - R.regularized_value(other, q, prior, kl, entropy)
    np.testing.assert_allclose(shortfall, (kl + entropy) * R.kl_divergence(other, best), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [TINY, 1e-300])
def test_limits_at_vanishing_temperature(scale):
    q = np.array([1.0, 2.0, 2.0])
    prior = np.log([0.2, 0.3, 0.5])
    expected = {
        (scale, 0.0): np.array([0.0, 0.3, 0.5]) / 0.8,  # the prior on the maximisers
        (0.0, scale): np.array([0.0, 0.5, 0.5]),  # uniform on the maximisers
        (scale, scale): np.array([0.0, 0.3**0.5, 0.5**0.5]) / (0.3**0.5 + 0.5**0.5),  # prior^β on them
        (0.0, 0.0): np.array([0.0, 0.5, 0.5]),
    }
    for (kl, entropy), policy in expected.items():
        np.testing.assert_allclose(np.exp(R.regularized_greedy(q, prior, kl, entropy)), policy, atol=1e-15)
        assert R.regularized_maximum(q, prior, kl, entropy) == pytest.approx(2.0, abs=1e-15)


def test_limits_at_infinite_weights(rng):
    q, prior = rng.normal(size=(5, 4)), log_policies(rng, 5, 4)
    np.testing.assert_allclose(np.exp(R.regularized_greedy(q, prior, 1e12, 0.0)), np.exp(prior), atol=1e-10)
    np.testing.assert_allclose(np.exp(R.regularized_greedy(q, prior, 1.0, 1e12)), 0.25, atol=1e-10)


@given(arrays(float, (3, 4), elements=finite), st.sampled_from([0.0, TINY, 1e-3, 1.0, 1e30]))
@settings(deadline=None, max_examples=100)
def test_soft_maximum_lies_between_maximum_and_its_entropy_above(x, temperature):
    value = R.soft_maximum(x, temperature)
    rounding = 1e-14 * (1 + np.abs(x).max() + temperature)
    assert (value >= x.max(-1) - rounding).all()
    assert (value <= x.max(-1) + temperature * np.log(4) + rounding).all()
    policy = R.soft_argmax(x, temperature)
    np.testing.assert_allclose(policy.sum(-1), 1.0, atol=1e-14)
    np.testing.assert_allclose(np.exp(R.log_soft_argmax(x, temperature)), policy, atol=1e-14)


@given(arrays(float, (3, 4), elements=finite), arrays(bool, (3, 4)), st.sampled_from([0.0, TINY, 0.5]))
@settings(deadline=None, max_examples=100)
def test_a_mask_is_the_same_as_not_having_the_actions(x, legal, temperature):
    for row, allowed in zip(x, legal, strict=True):
        policy = R.soft_argmax(row, temperature, allowed)
        assert (policy[~allowed] == 0).all()
        if allowed.any():
            np.testing.assert_array_equal(policy[allowed], R.soft_argmax(row[allowed], temperature))
            assert R.soft_maximum(row, temperature, allowed) == R.soft_maximum(row[allowed], temperature)
            assert R.mellowmax(row, temperature, allowed) == R.mellowmax(row[allowed], temperature)
        else:
            assert R.soft_maximum(row, temperature, allowed) == -np.inf
            assert (policy == 0).all()


EXTREMES = {
    "spread of 1e30 temperatures": (np.array([[0.0, -1e30, 5.0]]), np.log(np.full((1, 3), 1 / 3)), 0.5, 0.5),
    "temperature of 1e-30": (np.array([[0.0, -7.0, 5.0]]), np.log(np.full((1, 3), 1 / 3)), 5e-31, 5e-31),
    "kl * log prior of -1e4": (np.array([[0.0, 1.0, 2.0]]), np.array([[-1e4, -1e4, 0.0]]), 1.0, 0.0),
    "both": (np.array([[0.0, 1e30, 2.0]]), np.array([[-1e4, -1e4, 0.0]]), 1.0, 1e-30),
    "zero temperature": (np.array([[0.0, 5.0, 5.0]]), np.array([[-1e4, -1.0, -2.0]]), 0.0, 0.0),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", EXTREMES)
def test_extremes_give_finite_values_and_gradients(case, masked):
    q, prior, kl, entropy = EXTREMES[case]
    legal = np.array([[True, True, False]]) if masked else None
    with jax.enable_x64(True):

        def functions(x):
            policy = R.regularized_greedy(x, jnp.asarray(prior), kl, entropy, legal)
            yield R.regularized_maximum(x, jnp.asarray(prior), kl, entropy, legal)[0]
            yield R.regularized_value(policy, x, jnp.asarray(prior), kl, entropy)[0]
            yield R.soft_maximum(x, kl + entropy, legal)[0]
            yield R.entropy(R.log_soft_argmax(x, kl + entropy, legal))[0]
            yield R.soft_argmax(x, kl + entropy, legal)[0, 0]

        for i in range(5):
            value, gradient = jax.value_and_grad(lambda x, i=i: list(functions(x))[i])(jnp.asarray(q))
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            if masked:
                assert gradient[0, 2] == 0


@pytest.mark.parametrize("temperature", [0.0, TINY, 1e-3, 1.0])
def test_the_gradient_of_the_soft_maximum_is_the_soft_argmax(temperature):
    x = jnp.array([[1.0, 2.0, 2.0, -3.0], [0.0, 0.0, 0.0, 0.0]])
    gradient = jax.grad(lambda y: R.soft_maximum(y, temperature).sum())(x)
    np.testing.assert_allclose(gradient, R.soft_argmax(x, temperature), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 1e-3, 1.0])
def test_numpy_and_jax_agree(rng, temperature):
    x, prior = rng.normal(size=(6, 5)), log_policies(rng, 6, 5)
    legal = rng.random((6, 5)) < 0.8
    legal[:, 0] = True
    with jax.enable_x64(True):
        for function in (R.soft_maximum, R.mellowmax, R.boltzmann_average, R.soft_argmax, R.log_soft_argmax):
            ours, theirs = function(x, temperature, legal), jax.jit(function)(x, temperature, legal)
            assert isinstance(ours, np.ndarray)
            np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14)
        for function in (R.regularized_greedy, R.regularized_maximum):
            ours = function(x, prior, temperature, 0.5 * temperature, legal)
            theirs = jax.jit(function)(x, prior, temperature, 0.5 * temperature, legal)
            np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14)


def test_entropy_and_kl_of_certain_and_forbidden_actions():
    certain = np.array([0.0, -np.inf])
    assert R.entropy(certain) == 0
    assert R.entropy(np.log([0.5, 0.5])) == pytest.approx(np.log(2))
    assert R.kl_divergence(certain, np.log([0.25, 0.75])) == pytest.approx(np.log(4))
    assert R.kl_divergence(np.log([0.5, 0.5]), certain) == np.inf


def test_boltzmann_average_is_the_soft_maximum_less_its_entropy(rng):
    x = rng.normal(size=(6, 5))
    entropy = R.entropy(R.log_soft_argmax(x, 0.3))
    np.testing.assert_allclose(R.boltzmann_average(x, 0.3), R.soft_maximum(x, 0.3) - 0.3 * entropy, atol=1e-14)


def test_mellowmax_is_the_regularised_maximum_with_a_uniform_prior(rng):
    x = rng.normal(size=(6, 5))
    uniform = np.full((6, 5), -np.log(5))
    np.testing.assert_allclose(R.mellowmax(x, 0.3), R.regularized_maximum(x, uniform, 0.3, 0.0), atol=1e-14)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_a_nan_that_comes_in_is_not_hidden(temperature):
    for x in (np.array([np.nan, 1.0]), jnp.array([1.0, np.nan])):
        assert np.isnan(R.soft_maximum(x, temperature))
        assert np.isnan(R.soft_argmax(x, temperature)).all()
    assert R.soft_maximum(np.array([np.nan, 1.0]), temperature, np.array([False, True])) == 1.0


@pytest.mark.parametrize("omega", [SHANNON, KL_TO_UNIFORM], ids=lambda omega: omega.name)
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_a_regularizer_is_attained_by_its_policy(omega, xp, rng):
    """M_κ(x) = ⟨π, x⟩ − κ Σ π log(π/ρ) for π = ∇M_κ(x), and less for any other policy; at κ = 0 it is the maximum."""
    legal = rng.random((40, 5)) < 0.7
    legal[:, 0] = True
    with jax.enable_x64(True):
        x, mask = xp.asarray(rng.normal(size=(40, 5))), xp.asarray(legal)

        def worth(policy, kappa):
            rho = 1 / legal.sum(-1, keepdims=True) if omega.uniform else 1.0
            terms = np.log(np.where(policy > 0, policy / rho, 1.0))
            with np.errstate(divide="ignore"):
                np.testing.assert_allclose(omega.omega(np.log(policy), legal), (policy * terms).sum(-1), atol=1e-12)
            return (policy * (np.asarray(x) - kappa * terms)).sum(-1)

        for kappa in (0.3, 2.0):
            top, policy = (np.asarray(part(x, kappa, mask)) for part in (omega.maximum, omega.policy))
            np.testing.assert_allclose(worth(policy, kappa), top, atol=1e-12)
            other = np.where(legal, rng.random((40, 5)), 0.0)
            assert (worth(other / other.sum(-1, keepdims=True), kappa) < top).all()
            log_policy = np.asarray(omega.log_policy(x, kappa, mask))
            np.testing.assert_allclose(np.exp(log_policy), policy, atol=1e-12)
        np.testing.assert_array_equal(omega.maximum(x, 0.0, mask), np.where(legal, x, -np.inf).max(-1))


def test_maxima_that_have_a_regularizer_are_names_of_it():
    assert Scheme(0.1, maximum=mellowmax) == Scheme(0.1, regularizer=KL_TO_UNIFORM)
    assert Scheme(0.1, maximum=soft_maximum) == Scheme(0.1)
    assert Scheme(0.1, maximum=boltzmann_average).maximum is boltzmann_average
    assert not Scheme(0.1, maximum=boltzmann_average).entropic
    assert not Scheme(0.1, regularizer=KL_TO_UNIFORM).entropic


def test_arrays_of_numpy_stay_numpys_while_another_thread_imports_jax(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", ModuleType("jax"))  # as it is at the beginning of its import
    assert isinstance(soft_maximum(np.zeros((2, 3)), 0.1), np.ndarray)
