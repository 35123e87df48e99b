"""Theorem 1 for schedules of λ, in both of their forms, and all theorems for inexact greedy steps."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi import Scheme, errors, iterate, schedule
from mdvi.laboratory import bounds
from mdvi.mdp import FiniteMDP
from mdvi.regularizers import regularizer_of
from models import lost_of, masked

EVERYTHING = ("q", "log_policy", "errors", "loss", "bound")
K = 24
ROOT = 0.1 * np.sqrt(np.arange(1.0, K + 1))
SCHEDULES = {
    "root": ROOT,
    "falling": ROOT[::-1] ** 3,
    "ragged": np.exp(np.random.default_rng(0).normal(size=K) - 1),
}
OMEGAS = ("shannon", "tsallis:0.5", "tsallis:1.5", "tsallis:2", "divergence:2", "lazy")


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("omega", ["shannon", "tsallis:2"])
def test_the_policy_of_a_schedule_is_a_weighted_average_of_q(omega, rescale):
    """∇Ω*(Σ_{j≤k} q_j/λ_j) where s is rescaled, ∇Ω*((q_0 + … + q_k)/λ_k) where it is kept."""
    model, value = masked(), regularizer_of(omega)
    for lambdas in SCHEDULES.values():
        scheme = Scheme.of(schedule(lambdas), regularizer=omega, rescale=rescale)
        trace = iterate(model, scheme, K, errors.gaussian(0.1), record=("q", "log_policy"))
        q = np.where(model.legal, trace.q, 0.0)[:-1]
        x = np.cumsum(q / lambdas[:, None, None], 0) if rescale else np.cumsum(q, 0) / lambdas[:, None, None]
        expected = np.stack([value.policy(row, 1.0, np.asarray(model.legal)) for row in x])
        np.testing.assert_allclose(np.exp(trace.log_policy[1:]), expected, atol=1e-9)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("omega", ["shannon", "tsallis:2", "lazy"])
def test_theorem_1_holds_for_schedules(omega, rescale):
    model, live = masked(), np.asarray(masked().live)
    for error in (errors.gaussian(0.1), errors.greedy(0.1)):
        for lambdas in SCHEDULES.values():
            scheme = Scheme.of(schedule(lambdas), regularizer=omega, rescale=rescale)
            trace = iterate(model, scheme, K, error, record=EVERYTHING)
            assert trace.theorem == "theorem 1"
            assert np.isfinite(trace.bound[1:]).all()
            lost = lost_of(trace)
            for bound in (bounds.theorem1(trace), bounds.theorem1_sharp(trace)):
                assert (lost <= bound + 1e-10)[:, live].all()
            np.testing.assert_allclose(np.abs(np.where(live, lost, 0)).max((1, 2)), trace.loss, atol=1e-10)
            assert (trace.loss <= trace.bound).all()


def test_a_schedule_of_equal_numbers_has_the_bounds_of_the_number():
    model = masked()
    one = iterate(model, Scheme.of(0.3), K, errors.gaussian(0.1), record=EVERYTHING)
    for rescale in (True, False):
        scheme = Scheme.of(schedule(np.full(K, 0.3)), rescale=rescale)
        other = iterate(model, scheme, K, errors.gaussian(0.1), record=EVERYTHING)
        np.testing.assert_allclose(other.average_error_norm, one.average_error_norm, rtol=1e-12)
        np.testing.assert_allclose(bounds.theorem1_sharp(other)[1:], bounds.theorem1_sharp(one)[1:], rtol=1e-9)
        assert (other.bound <= one.bound + 1e-12).all()  # the paper's form is rounder


def alone(gamma, gap):
    """One state with two actions, of which the first is better by `gap`."""
    return FiniteMDP(np.ones((1, 2, 1)), np.array([[gap, 0.0]]), gamma)


@pytest.mark.parametrize(
    ("rescale", "lambdas", "at"),
    [(True, np.geomspace(0.001, 1.0, K), 1), (True, np.geomspace(1.0, 0.001, K), K - 1), (False, ROOT, 1)],
)
def test_the_weights_of_errors_are_those_of_the_scheme(rescale, lambdas, at):
    """An error at an iteration of large weight changes the policy: a plain average of the errors would not see it."""
    model, values = alone(0.5, 1.0), np.zeros((K, 1, 2))
    values[at - 1, 0] = -40.0, 40.0
    trace = iterate(model, Scheme.of(schedule(lambdas), rescale=rescale), K, errors.given(values), record=EVERYTHING)
    weight = 1 / lambdas if rescale else np.ones(K)
    expected = 40 * np.where(np.arange(1, K + 1) >= at, weight[at - 1] / np.cumsum(weight), 0.0)
    np.testing.assert_allclose(trace.average_error_norm[1:], expected, rtol=1e-12)
    lost = lost_of(trace)
    assert lost.max() > 0.4
    assert (lost <= bounds.theorem1_sharp(trace) + 1e-12).all()
    assert (trace.loss <= trace.bound).all()


def test_a_kept_schedule_that_grows_pays_for_a_long_life():
    """State 0: end with a reward of 1, or go to state 1 for ever, whose eight actions earn λ_k − λ_{k−1} each time.

    The sharp form needs what the regulariser adds, Δ_k: with γ ≈ 1 its other terms are far below the loss.
    """
    gamma, steps, transition = 0.95, 400, np.zeros((4, 8, 4))
    transition[0, 0, 3] = transition[0, 1, 1] = transition[2, 0, 0] = 1.0  # 3 is terminal, 2 leads to 0
    transition[1, :, 1] = transition[3, :, 3] = 1.0
    legal = np.ones((4, 8), bool)
    legal[0, 2:] = legal[2, 1:] = False
    reward = np.zeros((4, 8))
    reward[0, 0] = 1.0
    transition[~legal] = np.eye(4)[3]
    model = FiniteMDP(transition, reward, gamma, terminal=np.arange(4) == 3, legal=legal)
    slope = 1.5 * (1 - gamma) / gamma / math.log(8)
    lambdas = slope * np.arange(1.0, steps + 1)
    trace = iterate(model, Scheme.of(schedule(lambdas), rescale=False), steps, record=EVERYTHING)
    lost, sharp = lost_of(trace)[-1, 2, 0], bounds.theorem1_sharp(trace)[-1, 2, 0]
    assert lost > 0.9
    assert lost <= sharp
    without = sharp - slope * gamma * math.log(8) / (1 - gamma)
    assert without < lost
    assert (trace.loss <= trace.bound).all()


@pytest.mark.parametrize("rescale", [True, False])
def test_the_bound_of_a_schedule_is_the_formula(rescale):
    model, lambdas = masked(), SCHEDULES["ragged"]
    trace = iterate(model, Scheme.of(schedule(lambdas), rescale=rescale), K, errors.gaussian(0.1), record=EVERYTHING)
    weight = 1 / lambdas if rescale else np.ones(K)
    counts = np.asarray(model.live).sum(-1)
    for k in range(1, K + 1):
        w, total, largest = weight[:k], weight[:k].sum(), trace.q_norm[: k + 1].max()
        average = np.abs((w[:, None, None] * trace.errors[1 : k + 1]).sum(0)).max() / total
        variation = w[0] + np.abs(np.diff(w)).sum() + w[-1]
        price = 1.0 if rescale else lambdas[k - 1]
        least = -np.log(np.maximum(counts, 1))
        drift = 0.0 if rescale else 0.9 * (lambdas[k - 1] - lambdas[0]) * np.asarray(model.expect(least))
        shift = np.maximum(drift, 0).max() + np.maximum(-np.asarray(drift), 0).max()
        moved = 2 * variation * largest + 0.9 * price * math.log(counts.max()) + shift
        assert trace.bound[k] == pytest.approx(20 * average + 10 * moved / total, rel=1e-12)


def test_where_a_schedule_has_no_theorem():
    model = masked()
    ending = np.concatenate([ROOT[:-2], [0.0, 0.0]])
    for scheme, theorem in (
        (Scheme.of(schedule(ROOT), evaluate_kl=False), None),
        (Scheme.of(schedule(ROOT), 0.1), None),
        (Scheme.of(0.1, schedule(ROOT)), None),
        (Scheme.of(schedule(ROOT), regularizer="log-barrier"), None),
        (Scheme(schedule(ending), 1.0), None),
        (Scheme(schedule(ending), 1.0, rescale=False), "theorem 1"),
        (Scheme.of(schedule(np.zeros(K))), "avi"),
        (Scheme(0.1, schedule(np.ones(K))), "theorem 1"),
    ):
        trace = iterate(model, scheme, K, errors.gaussian(0.1), record=("loss", "bound"))
        assert trace.theorem == theorem, scheme
        assert np.isfinite(trace.bound[1:]).all() == (theorem is not None)
        assert (trace.loss <= trace.bound).all()


def test_fields_of_a_schedule_that_have_no_meaning_together_are_refused():
    for arguments, message in (
        ({"kl": 0.1, "rescale": False}, "rescale: it has a meaning for a schedule of κ only"),
        ({"kl": schedule(ROOT), "rescale": False, "prior": "fixed"}, "it needs prior='previous'"),
        ({"kl": schedule(ROOT), "rescale": False, "regularizer": "tsallis:2", "floor": "own"}, "and no floor"),
        ({"kl": schedule(ROOT), "rescale": False, "evaluate_kl": False}, "keep both terms in the evaluation"),
        ({"kl": schedule([1.0, 0.0, 1.0])}, "must stay there, or use rescale=False"),
    ):
        with pytest.raises(ValueError, match=message):
            Scheme.of(**arguments)


@pytest.mark.parametrize("omega", ["shannon", "tsallis:2", "lazy"])
def test_an_inexact_greedy_step_is_covered(omega):
    model = masked()
    schemes = [Scheme.of(*numbers, regularizer=omega) for numbers in ((0, 0), (0.1, 0), (0, 0.1), (0.3, 0.1))]
    for scale in (0.01, 1.0):
        grid = iterate(model, schemes, 40, errors.greedy(scale), seed=[0, 1], record=("loss", "bound"))
        assert [grid[i, 0].theorem for i in range(4)] == ["avi", "theorem 1", "theorem 2", "theorem 2"]
        assert (grid.loss <= grid.bound).all()
        assert np.isfinite(grid.bound[..., 1:]).all()
    trace = iterate(model, schemes[1], 40, errors.greedy(0.5), record=EVERYTHING)
    lost, live = lost_of(trace), np.asarray(model.live)
    assert (lost <= bounds.theorem1(trace) + 1e-10)[:, live].all()
    assert (lost <= bounds.theorem1_sharp(trace) + 1e-10)[:, live].all()
    soft = iterate(model, schemes[3], 40, errors.greedy(0.5), record=EVERYTHING)
    with pytest.raises(ValueError, match="component-wise for exact greedy steps only"):
        bounds.theorem2(soft)
    averages = iterate(model, mdvi.DualAveraging(schemes[1]), 40, errors.greedy(0.5), record=("loss", "bound"))
    assert averages.theorem is None


def favour(moment, x):
    """Errors that lift the second action by one, at every step but the first."""
    return x + jnp.where(moment.iteration > 1, 1.0, 0.0) * jnp.array([[0.0, 1.0]], x.dtype)


@pytest.mark.parametrize("beta", [0.0, 0.9, 1.0])
def test_what_an_inexact_step_adds_to_the_average(beta):
    """q̃ = q + e obeys the scheme with errors e_{k+1} − γP⟨π_k, e_k⟩: the same run, with errors of the evaluation."""
    model, tau = alone(0.5, 0.5), 0.1
    scheme = Scheme.of(0.2) if beta == 1 else Scheme(tau / (1 - beta), beta)
    trace = iterate(model, scheme, K, errors.Errors(perturb=favour), record=EVERYTHING)
    pi, e = np.exp(trace.log_policy), np.zeros((K + 1, 1, 2))
    e[2:, 0, 1] = 1.0
    passed = 0.5 * (pi * e).sum(-1)[..., None]
    np.testing.assert_allclose(trace.errors, e - passed, atol=1e-12)
    given = errors.given(np.concatenate([e[2:], np.zeros((1, 1, 2))]) - passed[1:])
    same = iterate(model, scheme, K, given, record=EVERYTHING)
    np.testing.assert_allclose(same.log_policy, trace.log_policy, atol=1e-9)
    assert (trace.loss <= trace.bound).all()
    if beta < 1:  # the averages of the two descriptions are the same, an index apart
        np.testing.assert_allclose(trace.average_error_norm[1:], same.average_error_norm[:-1], atol=1e-10)
        np.testing.assert_allclose(trace.bound[2:], same.bound[2:], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("omega", OMEGAS)
@pytest.mark.parametrize("rescale", [True, False])
def test_theorem_1_holds_for_schedules_everywhere(omega, rescale):
    rng = np.random.default_rng(1)
    models = [masked(gamma, seed) for gamma in (0.3, 0.7, 0.9, 0.95, 0.97) for seed in range(5)]
    schedules = [
        *SCHEDULES.values(),
        *(np.exp(rng.normal(size=K) * rng.choice([0.3, 1, 3])) * 10 ** rng.uniform(-2, 1) for _ in range(5)),
    ]
    schemes = [Scheme.of(schedule(lambdas), regularizer=omega, rescale=rescale) for lambdas in schedules]
    most, pairs = 0.0, 0
    for error in (
        errors.gaussian(0.05),
        errors.constant(0.05),
        errors.alternating(0.5),
        errors.worst_sign(0.05),
        errors.sampled(1),
        errors.greedy(0.5),
    ):
        grid = iterate(models, schemes, K, error, seed=[0], record=("loss", "bound"))
        assert grid[0, 0, 0].theorem == "theorem 1"
        most, pairs = max(most, (grid.loss / grid.bound).max()), pairs + np.isfinite(grid.bound).sum()
    print(f"{omega}, {'rescaled' if rescale else 'kept'}: {pairs} pairs, at most {most:.2f} of the bound")
    assert pairs >= 20_000
    assert most <= 1
