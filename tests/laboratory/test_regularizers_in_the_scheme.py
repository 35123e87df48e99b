"""The scheme with regularisers other than Shannon's: its twin, its theorems, and where they do not hold."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi import DualAveraging, Scheme, errors, iterate, mdp
from mdvi.laboratory import bounds
from mdvi.mdp import FiniteMDP
from mdvi.regularizers import Divergence, Lazy, Tsallis
from models import lost_of, masked, reference_of

GENERAL = [Tsallis(0.5), Tsallis(1.5), Tsallis(2.0), Tsallis(3.0), Divergence(2.0), Lazy()]
general = pytest.mark.parametrize("omega", GENERAL, ids=lambda value: value.name)
ERRORS = {
    "gaussian": lambda model: errors.gaussian(0.05),
    "constant": lambda model: errors.constant(0.05),
    "alternating": lambda model: errors.alternating(0.05),
    "worst sign": lambda model: errors.worst_sign(0.05),
    "sampled": lambda model: errors.sampled(1),
    "inexact steps": lambda model: errors.greedy(0.2),
}


@pytest.mark.parametrize(
    ("omega", "coefficients", "structure"),
    [
        *((omega, (0.1, 0.05), {}) for omega in GENERAL),
        (Tsallis(2.0), (0.1, 0.0), {"backups": 3}),
        (Divergence(2.0), (0.1, 0.0), {"evaluate_kl": False}),
        (Tsallis(1.5), (0.1, 0.05), {"backups": np.inf, "reference": True}),
    ],
    ids=str,
)
def test_lazy_mirror_descent_is_dual_averaging(omega, coefficients, structure):
    model = masked()
    reference = {"reference": reference_of(model)} if "reference" in structure else {}
    scheme = Scheme.of(*coefficients, regularizer=omega, **(structure | reference))
    one, two = (
        iterate(model, form, 40, errors.gaussian(0.05), record=("q", "log_policy"))
        for form in (scheme, DualAveraging(scheme))
    )
    np.testing.assert_allclose(np.exp(one.log_policy), np.exp(two.log_policy), atol=1e-9)
    np.testing.assert_allclose(np.where(model.live, one.q, 0), np.where(model.live, two.q, 0), atol=1e-11)


def worst_of(models, omega, error, seeds, iterations=40, **structure):
    """The largest ratio of loss to bound of both theorems, and how many pairs (trace, k) each has."""
    numbers = ((0.1, 0.0), (1.0, 0.0), (0.1, 0.1), (0.0, 0.05))
    first, second = (
        iterate(models, schemes, iterations, error, seed=seeds, record=("loss", "bound"))
        for schemes in (
            [Scheme.of(*pair, regularizer=omega) for pair in numbers[:2]],
            [Scheme.of(*pair, regularizer=omega, **structure) for pair in numbers[2:]],
        )
    )
    assert {first[i, 0, 0].theorem for i in range(2)} == {"theorem 1"}
    assert {second[i, 0, 0].theorem for i in range(2)} == {"theorem 2"}
    return (first.loss / first.bound).max(), (second.loss / second.bound).max(), np.isfinite(first.bound).sum()


@general
def test_both_theorems_hold(omega):
    models = [masked(), masked(0.97), masked(0.5)]
    first, second, _ = worst_of(models, omega, ERRORS["sampled"](models[0]), [0, 1])
    assert max(first, second) <= 1


@pytest.mark.slow
@general
def test_both_theorems_hold_everywhere(omega):
    models = [masked(gamma, seed) for gamma in (0.3, 0.7, 0.9, 0.95, 0.97) for seed in range(5)]
    worst, total = np.zeros(2), 0
    for make in ERRORS.values():
        first, second, pairs = worst_of(models, omega, make(models[0]), [0, 1])
        worst, total = np.maximum(worst, [first, second]), total + pairs
    if omega.differentiable:  # the reference fits the legal actions of one model
        for model in models[::5]:
            _, second, pairs = worst_of(
                [model], omega, ERRORS["gaussian"](model), [0, 1, 2], reference=reference_of(model)
            )
            worst, total = np.maximum(worst, [0, second]), total + pairs
    print(f"{omega.name}: {total} pairs of each theorem, at most {worst[0]:.2f} and {worst[1]:.2f} of the bounds")
    assert total >= 20_000
    assert worst.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("coefficients", [(0.1, 0.0), (0.1, 0.1)], ids=["theorem 1", "theorem 2"])
@general
def test_no_search_for_bad_errors_breaks_a_theorem(omega, coefficients):
    """Errors and q_0 that are changed, one entry or all, wherever that brings the last loss closer to its bound."""
    rng, iterations, worst = np.random.default_rng(0), 12, 0.0
    for number in range(3):
        model = mdp.garnet(3, 3, 2, (0.5, 0.8, 0.9)[number], seed=number)
        size, most = float(np.abs(model.reward).max()), 0.0
        best = rng.choice([-1.0, 1.0], (iterations + 1, 3, 3)) * size
        for _ in range(400):
            tried = np.where(rng.random(best.shape) < rng.choice([0.02, 0.2]), rng.uniform(-2, 2, best.shape), best)
            tried[0] = np.clip(tried[0], -size / (1 - model.discount), size / (1 - model.discount))
            scheme = Scheme.of(*coefficients, regularizer=omega)
            trace = iterate(
                model, scheme, iterations, errors.given(tried[1:]), initial_q=tried[0], record=("loss", "bound")
            )
            ratios = trace.loss / trace.bound
            assert (ratios <= 1).all()
            if ratios[-1] > most:
                best, most = tried, float(ratios[-1])
        worst = max(worst, most)
    print(f"{omega.name}, {coefficients}: at most {worst:.2f} of the bound after three searches")


@pytest.mark.parametrize("omega", [Tsallis(0.5), Tsallis(2.0), Divergence(2.0), Lazy()], ids=lambda value: value.name)
def test_the_component_wise_and_sharp_forms_hold(omega):
    model, noise = masked(), errors.gaussian(0.1)
    everything = ("q", "log_policy", "errors", "loss", "bound")
    trace = iterate(model, Scheme.of(0.2, regularizer=omega), 25, noise, record=everything)
    lost = lost_of(trace)
    for bound in (bounds.theorem1(trace), bounds.theorem1_sharp(trace)):
        assert (lost <= bound + 1e-10)[:, np.asarray(model.live)].all()
    reference = {"reference": reference_of(model)} if omega.differentiable else {}
    trace = iterate(model, Scheme.of(0.2, 0.1, regularizer=omega, **reference), 25, noise, record=everything)
    assert (lost_of(trace) <= bounds.theorem2(trace) + 1e-10)[:, np.asarray(model.live)].all()
    assert (trace.loss <= trace.bound).all()


@general
def test_a_run_without_errors_ends_at_its_optimum(omega):
    trace = iterate(masked(), Scheme.of(0.1, 0.1, regularizer=omega), 400, record=("loss",))
    assert trace.loss[-1] < 1e-9


def test_the_agile_form_breaks_theorem_1_and_no_theorem_is_printed_for_it():
    """One state, rewards 1 and 0, γ = 1/2: 998 small errors, and a large one of the other sign."""
    model = FiniteMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), 0.5)
    given = np.zeros((1000, 1, 2))
    given[:998, 0, 1], given[998, 0, 1] = 4 / 998, -4.0
    given = -given
    runs = {
        floor: iterate(model, Scheme.of(1.0, regularizer="tsallis:2", floor=floor), 1000, errors.given(given))
        for floor in (None, "own")
    }
    lazy, agile = runs[None], runs["own"]
    assert (lazy.theorem, agile.theorem) == ("theorem 1", None)
    assert np.isinf(agile.bound).all()
    assert (lazy.loss <= lazy.bound).all()
    assert lazy.loss[1000] / lazy.bound[1000] < 0.1
    assert agile.loss[1000] / lazy.bound[1000] > 30


def test_lazy_and_agile_remember_dropped_actions_differently():
    """α = 2, κ = λ = 1, one state: q = (3, 0) five times, then (0, 3/2)."""
    legal = jnp.ones((1, 2), bool)
    chosen = {}
    for floor in (None, "own"):
        scheme = Scheme(jnp.float32(1.0), jnp.float32(1.0), regularizer="tsallis:2", floor=floor)
        state = scheme.init(jnp.zeros((1, 2), jnp.float32), jnp.log(jnp.full((1, 2), 0.5, jnp.float32)), legal)
        for q in 5 * [[[3.0, 0.0]]] + [[[0.0, 1.5]]]:
            state = dataclasses.replace(state, q=jnp.asarray(q, jnp.float32))
            step = scheme.greedy(state, legal)
            state = scheme.advance(state, step, state.q)
        chosen[floor] = np.asarray(step.policy)[0]
    np.testing.assert_allclose(chosen[None], [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(chosen["own"], [0.25, 0.75], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_both_forms_are_one_where_no_action_is_dropped(alpha):
    model = mdp.garnet(12, 4, 3, 0.9, seed=5)
    one, two = (
        iterate(model, Scheme.of(0.1, 0.05, regularizer=Tsallis(alpha), floor=floor), 20, errors.gaussian(0.1))
        for floor in (None, "own")
    )
    np.testing.assert_array_equal(one.q, two.q)


def test_evaluation_without_its_terms_and_several_backups_reach_the_optimum_without_errors():
    model = mdp.garnet(12, 4, 3, 0.9, seed=5)
    for structure in ({"evaluate_kl": False}, {"backups": 5}, {"backups": np.inf}):
        trace = iterate(model, Scheme.of(0.1, regularizer="tsallis:1.5", **structure), 300, record=("loss", "bound"))
        assert trace.loss[-1] < 1e-9, structure
        assert trace.theorem is None


def test_an_unbounded_regulariser_has_no_theorem():
    model = mdp.garnet(8, 3, 2, 0.9)
    for alpha in (0.0, -0.5):
        trace = iterate(model, Scheme.of(0.1, 0.1, regularizer=Tsallis(alpha)), 5)
        assert trace.theorem is None
        assert np.isinf(trace.bound).all()
        with pytest.raises(ValueError, match=r"R = max Ω − min Ω of (tsallis:-0.5|log-barrier) is infinite"):
            bounds.entropy_bias(model, 0.1, Tsallis(alpha))


def test_a_reference_is_what_the_planner_solves_with():
    model = masked()
    rho = reference_of(model)
    for name in ("shannon", "tsallis:1.5", "tsallis:0.5"):
        trace = iterate(model, Scheme.of(0.1, 0.2, regularizer=name, reference=rho), 500, record=("q", "loss"))
        solution = mdvi.solve(model, entropy=0.2, regularizer=name, reference=rho, tolerance=1e-10)
        assert solution.status == "certified"
        np.testing.assert_allclose(np.where(model.live, trace.q[-1], 0), np.where(model.live, solution.q, 0), atol=1e-8)
        assert trace.loss[-1] < 1e-8


def test_a_fixed_prior_is_what_the_planner_solves_with():
    model = masked()
    rho = reference_of(model)
    for name in ("shannon", "tsallis:2"):
        scheme = Scheme.of(0.2, 0.1, regularizer=name, prior="fixed")
        trace = iterate(model, scheme, 500, initial_policy=rho, record=("q", "loss"))
        solution = mdvi.solve(model, kl=0.2, entropy=0.1, prior=rho, regularizer=name, tolerance=1e-10)
        np.testing.assert_allclose(np.where(model.live, trace.q[-1], 0), np.where(model.live, solution.q, 0), atol=1e-8)
        assert trace.loss[-1] < 1e-8


def test_the_lazy_regulariser_is_a_model_with_one_more_action():
    """Staying with the default policy for nothing, or choosing for κ, as actions of another model."""
    model, eta = mdp.garnet(12, 3, 3, 0.9, seed=2), 0.05
    p, r = model.kernel.dense().probability, np.asarray(model.reward)
    more = FiniteMDP(
        np.concatenate([p, p.mean(1, keepdims=True)], 1), np.concatenate([r - eta, r.mean(1, keepdims=True)], 1), 0.9
    )
    lazy = mdvi.solve(model, entropy=eta, regularizer="lazy", tolerance=1e-10)
    np.testing.assert_allclose(lazy.value, mdvi.solve(more, tolerance=1e-10).value, atol=1e-9)
    scheme = iterate(model, Scheme.of(0.0, eta, regularizer="lazy"), 300, record=("q",))
    np.testing.assert_allclose(scheme.q[-1], lazy.q, atol=1e-9)


def check_the_corrections(omega, gammas):
    """The factor 2 of g² and the minus of A² are needed with this Ω as well, and are nearly attained."""
    for gamma in gammas:
        model, q, k = mdp.late_start(gamma)
        trace = iterate(model, Scheme.of(0.0, 1e-7, regularizer=omega), k + 1, initial_q=q)
        loss = trace.loss[k + 1]
        assert loss / bounds.theorem2_norm(trace, printed=True)[k + 1] == pytest.approx(2 * gamma, abs=0.01)
        assert loss / bounds.theorem2_norm(trace)[k + 1] == pytest.approx(gamma, abs=0.01)
    model, values = mdp.wrong_sign()
    trace = iterate(model, Scheme.of(0.0, 1e-3, regularizer=omega), len(values), errors.given(values))
    lost = lost_of(trace)[-1]
    assert (lost / bounds.theorem2(trace, printed=True)[-1]).max() > 100
    assert 0.99 < (lost / bounds.theorem2(trace)[-1]).max() <= 1


def test_the_corrections_of_theorem_2_are_needed():
    check_the_corrections(Tsallis(2.0), [0.9])


@pytest.mark.slow
@general
def test_the_corrections_of_theorem_2_are_needed_everywhere(omega):
    check_the_corrections(omega, [0.8, 0.9, 0.95])


@pytest.mark.slow
def test_small_gaps_under_noise_are_decided_in_the_lazy_form_only_everywhere():
    """Errors N(0, 1) on a gap of .1, α = 2, λ = 5, k = 2000 … 3000: the probability of the worse action."""
    model = FiniteMDP(np.ones((1, 2, 1)), np.array([[0.1, 0.0]]), 0.0)
    worse = {}
    for floor in (None, "own"):
        scheme = Scheme.of(5.0, regularizer="tsallis:2", floor=floor)
        trace = iterate(model, scheme, 3000, errors.gaussian(1.0), seed=list(range(8)), record=("log_policy",))
        worse[floor] = np.exp(trace.log_policy[:, 2000:, 0, 1]).mean()
    print(f"probability of the worse action: lazy {worse[None]:.4f}, agile {worse['own']:.4f}")
    assert worse[None] < 0.01
    assert worse["own"] > 0.3


@pytest.mark.parametrize("name", ["shannon", "tsallis:0.5", "tsallis:2", "divergence:2", "lazy"])
def test_a_reference_says_nothing_about_where_episodes_end(name):
    """Zeros on legal actions of terminal states, or whole rows of zeros, as `evaluate(...).policy` has them."""
    model = masked()
    rho = reference_of(model)
    traces = []
    for ends in (rho[7], np.eye(4)[3], np.zeros(4)):
        reference = np.where(np.asarray(model.terminal)[:, None], ends, rho)
        scheme = Scheme.of(0.1, 0.2, regularizer=name, reference=reference)
        traces.append(iterate(model, scheme, 5, record=("q",)).q)
        assert mdvi.solve(model, entropy=0.2, regularizer=name, reference=reference).status == "certified"
    np.testing.assert_array_equal(traces[0], traces[1])
    np.testing.assert_array_equal(traces[0], traces[2])
    rho[0] = 0
    for refused in (
        lambda: iterate(model, Scheme.of(0.1, 0.2, regularizer=name, reference=rho), 5),
        lambda: mdvi.solve(model, entropy=0.2, regularizer=name, reference=rho),
    ):
        with pytest.raises(ValueError, match=r"(reference|default): state 0"):
            refused()
