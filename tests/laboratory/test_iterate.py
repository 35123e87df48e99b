"""The loop: a grid is its runs, compiles once, says where it diverges; errors are what they claim to be."""

import dataclasses
import logging
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi import DualAveraging, FiniteMDP, Scheme, errors, iterate, mdp, regularizers, schedule
from mdvi.laboratory.inputs import check_request
from mdvi.regularizers import mellowmax
from mdvi.types import namespace
from models import corner, signed_garnet


def compilations(caplog, call):
    """The names of the functions compiled during a call."""
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        caplog.clear()
        call()
    return [r.getMessage().split()[4] for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]


def test_a_grid_of_weights_compiles_once(caplog):
    model = signed_garnet(0)

    def grid(scale):
        schemes = [Scheme.of(scale * kl, scale * tau) for kl in range(5) for tau in range(5)]
        iterate(model, schemes, 12, errors.gaussian(0.1 * scale), seed=[0, 1], initial_q=corner(model, 0))

    first = compilations(caplog, lambda: grid(0.1))
    assert sum("_advance" in name for name in first) == 1
    assert compilations(caplog, lambda: grid(0.2)) == []


def test_a_grid_is_the_product_of_its_runs():
    models = [signed_garnet(seed, 6, 3, 2) for seed in range(3)]
    schemes = [Scheme.of(0.1), Scheme.of(0.1, 0.2)]
    grid = iterate(models, schemes, 15, errors.gaussian(0.1), seed=[4, 7])
    assert grid.axes == ("scheme", "mdp", "seed")
    assert grid.q.shape == (2, 3, 2, 16, 6, 3)
    assert grid.loss.shape == (2, 3, 2, 16)
    # The first model sees the same random numbers in the grid and alone.
    for i, scheme in enumerate(schemes):
        alone = iterate(models[0], scheme, 15, errors.gaussian(0.1), seed=7)
        picked = grid[i, 0, 1]
        assert picked.mdp is models[0]
        assert picked.scheme is scheme
        assert alone.axes == picked.axes == ()
        for name in ("q", "log_policy", "errors", "loss", "bound", "optimal_q"):
            np.testing.assert_allclose(getattr(picked, name), getattr(alone, name), rtol=1e-9, atol=1e-12)
    assert np.abs(grid.errors[:, 1:, :, 1:] - grid.errors[:, :1, :, 1:]).min((3, 4, 5)).max() > 0


def test_the_optimum_of_a_large_grid_is_that_of_each_model():
    """Ties at κ = 0 must survive compilation: whole states once lost all their probability here."""
    models = [mdp.garnet(seed=1000 + i) for i in range(50)]
    grid = iterate(models, [Scheme.of(0.1), Scheme.of(1.0)], 1, record=("bound",))
    q = np.zeros((50, 30, 4))
    p = np.stack([m.dense().kernel.probability for m in models])
    for _ in range(600):
        q = np.stack([m.reward for m in models]) + 0.9 * np.einsum("nsat,nt->nsa", p, q.max(-1))
    for optimal_q in grid.optimal_q:
        np.testing.assert_allclose(optimal_q, q, atol=1e-11)


def test_chunks_do_not_show():
    model = signed_garnet(0)
    long = iterate(model, Scheme.of(0.1, 0.01), 230, errors.gaussian(0.1), initial_q=corner(model, 0))
    short = iterate(model, Scheme.of(0.1, 0.01), 57, errors.gaussian(0.1), initial_q=corner(model, 0))
    assert long.q.shape[0] == 231
    np.testing.assert_allclose(long.q[:58], short.q, atol=1e-12)
    seen = []
    iterate(model, Scheme.of(), 230, progress=seen.append)
    assert seen[-1] == 230
    assert seen == sorted(seen)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    model = signed_garnet(0)
    runs = [iterate(model, Scheme.of(0.1), 10, errors.sampled(1), seed=[0, 1]) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].q, runs[1].q)
    # From q_0 = 0 the first values are the same in every state, and sampling them makes no error.
    assert (runs[0].errors[0, 2:] != runs[0].errors[1, 2:]).any(axis=(1, 2)).all()


def test_errors_are_what_is_left_of_the_exact_evaluation():
    model = signed_garnet(0)
    for error_model in (errors.gaussian(0.2), errors.sampled(2), errors.projection(errors.random_features(model, 20))):
        trace = iterate(model, Scheme.of(0.3, 0.1), 8, error_model)
        for k in range(8):
            policy = np.exp(trace.log_policy[k + 1])
            kl = (policy * (trace.log_policy[k + 1] - trace.log_policy[k])).sum(-1)
            entropy = -(policy * trace.log_policy[k + 1]).sum(-1)
            exact = model.reward + 0.9 * model.expect((policy * trace.q[k]).sum(-1) - 0.3 * kl + 0.1 * entropy)
            np.testing.assert_allclose(trace.q[k + 1] - exact, trace.errors[k + 1], atol=1e-12)
        assert (trace.errors[0] == 0).all()


def test_error_models_have_their_shape():
    model = signed_garnet(0)

    def errors_of(error_model, iterations=40):
        return iterate(model, Scheme.of(0.1), iterations, error_model, record=("errors", "bound")).errors[1:]

    np.testing.assert_allclose(errors_of(errors.none()), 0, atol=0)
    assert errors_of(errors.gaussian(0.5), 400).std() == pytest.approx(0.5, rel=0.02)
    constant = errors_of(errors.constant(0.5))
    np.testing.assert_allclose(constant, constant[:1].repeat(40, 0), atol=1e-13)
    assert 0.3 < np.abs(constant).max() <= 0.5
    alternating = errors_of(errors.alternating(0.5))
    np.testing.assert_allclose(alternating[1:], -alternating[:-1], atol=1e-13)
    worst = errors_of(errors.worst_sign(0.5))
    np.testing.assert_allclose(np.abs(worst), 0.5, atol=1e-13)
    best = iterate(model, Scheme.of(), 1).optimal_q.argmax(-1)
    assert (worst[0][np.arange(12), best] < 0).all()
    assert (worst[0] < 0).sum() == 12
    values = np.random.default_rng(0).normal(size=(40, 12, 4))
    np.testing.assert_allclose(errors_of(errors.given(values)), values, atol=1e-13)
    few, many = (errors_of(errors.sampled(n), 400)[100:].std() for n in (1, 16))
    assert few > 3 * many
    assert np.abs(errors_of(errors.sampled(1), 2000).mean(0)).max() < 0.15


def test_sampled_models_are_unbiased_in_masked_and_terminal_models():
    model = mdp.gambler(10, discount=0.95)
    trace = iterate(model, Scheme.of(0.1), 3000, errors.sampled(1), record=("errors",))
    assert (trace.errors[:, ~model.live] == 0).all()
    deviation = trace.errors.std(0) / math.sqrt(3000)
    assert (np.abs(trace.errors.mean(0)) <= 6 * deviation + 1e-12).all()


def test_projection_projects():
    model = signed_garnet(0)
    features = errors.random_features(model, 7)
    trace = iterate(model, Scheme.of(0.1), 5, errors.projection(features), record=("q",))
    phi = features.reshape(-1, 7)
    for q in trace.q[1:]:
        residual = q.ravel() - phi @ np.linalg.lstsq(phi, q.ravel(), rcond=None)[0]
        assert np.abs(residual).max() < 1e-10


def test_multi_step_and_exact_evaluation_share_a_limit():
    model = signed_garnet(0)
    far = iterate(model, Scheme.of(0.3, 0.1, backups=300), 10, record=("q",))
    limit = iterate(model, Scheme.of(0.3, 0.1, backups=math.inf), 10, record=("q",))
    np.testing.assert_allclose(far.q, limit.q, atol=1e-10)


def test_without_errors_every_fully_evaluated_scheme_finds_its_optimum():
    for model in (signed_garnet(1), mdp.gambler(10, discount=0.95), mdp.grid(3, 4)):
        for scheme in (Scheme.of(), Scheme.of(0.0, 0.1), Scheme.of(0.1, 0.1), Scheme(0.0, 0.5)):
            trace = iterate(model, scheme, 600, record=("loss",))
            assert trace.loss[-1] < 1e-9, (model, scheme)
        prior = np.where(model.legal, 1.0 + np.arange(model.actions), 0.0)
        prior /= prior.sum(-1, keepdims=True)
        fixed = iterate(
            model, Scheme.of(0.2, 0.1, prior="fixed"), 600, initial_policy=prior, record=("loss", "log_policy")
        )
        assert fixed.loss[-1] < 1e-9


def test_unregularised_evaluation_with_entropy_settles_elsewhere():
    model = signed_garnet(5)
    with_terms = iterate(model, Scheme.of(0.3, 0.3), 1000)
    without = iterate(model, Scheme.of(0.3, 0.3, evaluate_kl=False, evaluate_entropy=False), 1000)
    assert with_terms.loss[-1] < 1e-9
    assert without.loss[-1] > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_the_carrier_keeps_single_precision(seed):
    """5 000 iterations at (λ, τ) = (.1, 0), Gaussian errors of .1: q in float32 against float64."""
    model = mdp.garnet(30, 4, 3, 0.9, seed=seed)
    noise = np.random.default_rng(seed).normal(size=(5000, 30, 4)) * 0.1
    runs = [
        iterate(model, Scheme.of(0.1), 5000, errors.given(noise), record=("q",), dtype=dtype).q
        for dtype in (np.float32, np.float64)
    ]
    assert runs[0].dtype == np.float32
    largest = np.abs(runs[0] - runs[1]).max()
    print(f"\nfloat32 carrier, seed {seed}: largest error over 5000 iterations {largest:.1e}")
    assert largest <= 1e-4


def test_divergence_is_named_not_returned():
    model = FiniteMDP(np.ones((1, 1, 1)), [[1.0]], 0.9)
    explode = errors.Errors(regress=lambda moment, q: q * 1e200)
    with pytest.raises(FloatingPointError, match=r"iteration 2 .*scheme 0, model 0, seed 0"):
        iterate(model, Scheme.of(0.1), 50, explode)


def test_what_is_not_recorded_is_missed_by_name():
    trace = iterate(signed_garnet(0), Scheme.of(0.1), 3, record=("loss",))
    assert trace.loss.shape == (4,)
    with pytest.raises(ValueError, match="no q: iterate with 'q'"):
        trace.q
    with pytest.raises(ValueError, match="no q_gap: iterate with 'bound'"):
        trace.q_gap


BAD_CALLS = {
    "iterations": (lambda m: iterate(m, Scheme.of(), 0), "iterations: expected an integer of at least 1, got 0"),
    "record": (lambda m: iterate(m, Scheme.of(), 3, record=("losses",)), "record: expected several of .*got 'losses'"),
    "record of one": (lambda m: iterate(m, Scheme.of(), 3, record="loss"), "record: expected several of .*got 'loss'"),
    "no models": (lambda m: iterate([], Scheme.of(), 3), "mdp: expected at least one"),
    "mixed shapes": (lambda m: iterate([m, mdp.chain()], Scheme.of(), 3), "mdp: number 1 differs"),
    "mixed structure": (
        lambda m: iterate(m, [Scheme.of(), Scheme.of(backups=2)], 3),
        "scheme: number 1 differs from number 0",
    ),
    "no seeds": (lambda m: iterate(m, Scheme.of(), 3, seed=[]), "seed: expected"),
    "initial q shape": (lambda m: iterate(m, Scheme.of(), 3, initial_q=np.zeros(3)), "initial_q: expected shape"),
    "initial q nan": (
        lambda m: iterate(m, Scheme.of(), 3, initial_q=np.full((12, 4), np.nan)),
        "initial_q: state 0, action 0 has value nan",
    ),
    "prior with a zero": (
        lambda m: iterate(m, Scheme.of(0.1), 3, initial_policy=np.tile([1.0, 0, 0, 0], (12, 1))),
        "state 0, action 1 is legal but has probability 0.0",
    ),
    "prior sum": (
        lambda m: iterate(m, Scheme.of(0.1), 3, initial_policy=np.full((12, 4), 0.3)),
        "initial_policy: state 0 has probabilities that sum to 1.2",
    ),
    "prior shape": (lambda m: iterate(m, Scheme.of(0.1), 3, initial_policy=[[1.0]]), "initial_policy: expected shape"),
    "schedule length": (
        lambda m: iterate(m, Scheme.of(schedule([0.1, 0.2])), 3),
        "schedule of 2 coefficients for 3 iterations",
    ),
    "array without a schedule": (
        lambda m: Scheme.of([0.1, 0.2]),
        r"kl: .*mdvi\.schedule\(.* a list of schemes is a grid",
    ),
    "grid as beta": (lambda m: Scheme(0.1, [0.1, 0.2]), r"beta: .*mdvi\.schedule"),
    "table as a schedule": (lambda m: schedule([[0.1]]), r"schedule: expected one number for each iteration"),
    "empty schedule": (lambda m: schedule([]), r"schedule: expected one number for each iteration"),
    "text as a schedule": (lambda m: schedule("x"), r"schedule: expected a sequence of numbers, got 'x'"),
    "negative kl": (lambda m: Scheme.of(-0.1), "kl: expected a finite number of at least 0, got -0.1"),
    "nan entropy": (lambda m: Scheme.of(0.1, float("nan")), "entropy: expected a finite number.*nan"),
    "beta": (lambda m: Scheme(1.0, 1.5), r"beta: expected numbers in \[0, 1\], got 1.5"),
    "backups": (lambda m: Scheme.of(backups=0), "backups: expected an integer of at least 1"),
    "half backups": (lambda m: Scheme.of(backups=1.5), "backups: expected an integer of at least 1"),
    "rising from zero": (lambda m: Scheme.of(schedule([0.0, 0.1])), "a schedule that reaches 0 must stay there"),
    "dual schedule": (lambda m: DualAveraging(Scheme.of(schedule([0.2, 0.1]))), "constant coefficients"),
    "dual prior": (lambda m: DualAveraging(Scheme.of(0.1, prior="fixed")), "prior='previous'"),
    "boltzmann backups": (
        lambda m: Scheme(0.1, 0.0, maximum=mdvi.regularizers.boltzmann_average, backups=2),
        "needs backups=1",
    ),
    "regularizer": (lambda m: Scheme.of(0.1, regularizer="tsalis:2"), "regularizer: unknown name.*'tsallis'"),
    "floor": (
        lambda m: Scheme.of(0.1, floor="agile"),
        r"floor: expected None \(lazy\) or 'own' \(agile\), got 'agile'",
    ),
    "lazy floor": (lambda m: Scheme.of(0.1, regularizer="lazy", floor="own"), "floor: lazy has no Bregman divergence"),
    "lazy reference": (
        lambda m: Scheme.of(0, 0.1, regularizer=regularizers.Lazy(np.full(4, 0.25)), reference=np.full((12, 4), 0.25)),
        "reference: lazy has its own default already",
    ),
    "lazy start": (
        lambda m: iterate(m, Scheme.of(0.1, regularizer="lazy"), 3, initial_policy=np.full((12, 4), 0.25)),
        "initial_policy: lazy starts from its default policy only",
    ),
    "reference without entropy": (
        lambda m: Scheme.of(0.1, reference=np.full((12, 4), 0.25)),
        "reference: its weight is the entropy, which is 0",
    ),
    "reference of another shape": (
        lambda m: iterate(m, Scheme.of(0.1, 0.1, reference=np.full((3, 4), 0.25)), 3),
        r"reference: expected shape \(12, 4\), got \(3, 4\)",
    ),
    "reference of zero": (
        lambda m: iterate(m, Scheme.of(0.1, 0.1, reference=np.eye(4)[np.zeros(12, int)]), 3),
        "reference: state 0, action 1 is legal but has probability 0.0; reference must be positive",
    ),
    "reference that sums to 2": (
        lambda m: Scheme.of(0.1, 0.1, reference=np.full((12, 4), 0.5)),
        "reference: the probabilities of state 0 sum to 2.0, not 1",
    ),
    "agile dual averaging": (lambda m: DualAveraging(Scheme.of(0.1, floor="own")), "and no floor"),
    "scale": (lambda m: errors.gaussian(-1.0), "scale: expected a finite number of at least 0"),
    "samples": (lambda m: errors.sampled(0), "samples: expected an integer of at least 1"),
    "features": (lambda m: errors.projection(np.zeros((3, 2))), "features: expected finite numbers of shape"),
    "greedy error and boltzmann": (
        lambda m: iterate(m, mdvi.algorithms.dpp_boltzmann(), 3, errors.greedy(0.1)),
        "a greedy-step error needs the maximum of a regularizer",
    ),
    "errors of another model": (
        lambda m: iterate(m, Scheme.of(), 3, errors.given(np.zeros((3, 2, 2)))),
        r"errors: given values have shape \(3, 2, 2\), the runs \(3, 12, 4\)",
    ),
    "too few errors": (
        lambda m: iterate(m, Scheme.of(), 3, errors.given(np.zeros((2, 12, 4)))),
        "errors: given values",
    ),
    "features of another model": (
        lambda m: iterate(m, Scheme.of(), 3, errors.projection(np.ones((2, 2, 2)))),
        "errors: features of 4 pairs for 48 of the model",
    ),
    "dtype": (
        lambda m: iterate(m, Scheme.of(), 3, dtype=np.float16),
        "dtype: expected float32 or float64, got .*float16",
    ),
    "jax number": (lambda m: Scheme.of(jnp.asarray(-1.0)), "kl: expected a finite number of at least 0, got -1.0"),
    "jax beta": (lambda m: Scheme(jnp.asarray(1.0), jnp.asarray(5.0)), "beta: expected numbers in"),
    "lost entropy": (lambda m: Scheme.of(1.0, 1e-17), "entropy: 1e-17 is lost to rounding beside kl 1"),
    "schedules": (
        lambda m: Scheme.of(schedule([0.1, 0.2]), schedule([0.1] * 3)),
        "schedules differ in length: 2 and 3",
    ),
    "name of no model": (lambda m: iterate("garnett", Scheme.of(), 3), "unknown model 'garnett'.*'garnet'"),
    "name of no algorithm": (lambda m: iterate(m, "munchhausen", 3), "unknown algorithm .*'munchausen'"),
    "name of no errors": (lambda m: iterate(m, Scheme.of(), 3, "gausian=1"), "unknown error model .*'gaussian'"),
    "no record": (lambda m: check_request(3, None, ("q",), float), "record: expected several of .*got None"),
    "unknown dtype": (lambda m: iterate(m, Scheme.of(), 3, dtype="banana"), "dtype: .*got 'banana'"),
    "initial q text": (lambda m: iterate(m, Scheme.of(), 3, initial_q="x"), "initial_q: expected an array of real"),
    "too many states": (
        lambda m: iterate(mdp.chain(200_000), Scheme.of(), 3),
        "the exact evaluation of 200000 states",
    ),
    "too much": (
        lambda m: iterate([m] * 50, [Scheme.of()] * 50, 100_000, seed=list(range(50))),
        "record: the trace would need",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_arguments_are_refused_in_one_line(case):
    call, message = BAD_CALLS[case]
    with pytest.raises(ValueError, match=message) as caught:
        call(signed_garnet(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [mdp.gambler(20), mdp.grid(3, 3), signed_garnet(0)], ids=str)
@pytest.mark.parametrize(
    "scheme", [mdvi.algorithms.mellowmax(0.1), mdvi.algorithms.cvi(0.05, 0.05)], ids=["mellowmax", "cvi"]
)
def test_mellowmax_is_judged_by_the_problem_it_solves(model, scheme):
    assert iterate(model, scheme, 400).normalized_loss[-1] < 1e-6


def test_mellowmax_is_the_kl_to_the_uniform_policy_also_with_masks_and_an_end():
    for model in (mdp.gambler(20), mdp.grid(3, 3)):
        mellow = iterate(model, mdvi.algorithms.mellowmax(0.1), 50)
        prior = iterate(model, mdvi.algorithms.xql(0.1), 50)
        np.testing.assert_allclose(mellow.optimal_q, prior.optimal_q, atol=1e-12)
        np.testing.assert_allclose(mellow.q, prior.q, atol=1e-12)


def test_illegal_actions_are_never_the_optimal_ones_of_the_worst_sign():
    model = FiniteMDP(np.ones((1, 3, 1)), [[-1.0, -2.0, -3.0]], 0.9, legal=[[True, True, False]])
    assert iterate(model, Scheme.of(0.1), 3, errors.worst_sign(1.0)).errors[-1].tolist() == [[-1, 1, 0]]


def test_a_projection_leaves_out_what_cannot_be_met():
    model = FiniteMDP(np.ones((1, 3, 1)), [[-1.0, -2.0, -3.0]], 0.9, legal=[[True, True, False]])
    features = np.ones((1, 3, 1))
    with pytest.raises(ValueError, match="features: state 0, action 2 is illegal or terminal; its features must be"):
        iterate(model, Scheme.of(0.1), 3, errors.projection(features))
    features[0, 2] = 0
    without = FiniteMDP(np.ones((1, 2, 1)), [[-1.0, -2.0]], 0.9)
    masked = iterate(model, Scheme.of(0.1), 50, errors.projection(features)).q[..., :2]
    np.testing.assert_allclose(masked, iterate(without, Scheme.of(0.1), 50, errors.projection(np.ones((1, 2, 1)))).q)
    assert (errors.random_features(mdp.grid(2, 2), 3)[-1] == 0).all()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_values_that_are_no_numbers_do_not_pass_the_greedy_step(number):
    with pytest.raises(FloatingPointError, match="at iteration 1 "):
        iterate(signed_garnet(0), Scheme.of(0.1), 3, errors.Errors(perturb=lambda moment, x: x + number))


def test_a_function_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match=r"a function returned shape \(4,\) for \(12, 4\)"):
        iterate(signed_garnet(0), Scheme.of(0.1), 3, errors.Errors(regress=lambda moment, q: q[0]))


def test_a_model_without_reward_loses_nothing():
    trace = iterate(FiniteMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)), 0.9), Scheme.of(0.1), 5)
    assert (trace.loss == 0).all()
    assert (trace.normalized_loss == 0).all()


def test_the_users_settings_of_jax_are_left_alone():
    before = jax.config.jax_enable_x64
    iterate(signed_garnet(0), Scheme.of(0.1), 2, record=("loss",))
    assert jax.config.jax_enable_x64 == before


def test_the_public_names():
    assert set(mdvi.__all__) <= set(dir(mdvi))
    for name in mdvi.__all__:
        assert getattr(mdvi, name) is not None
    with pytest.raises(AttributeError):
        mdvi.nothing


SHOWN = {
    "Scheme.of(kl=0.1, entropy=0.05)": Scheme.of(kl=0.1, entropy=0.05),
    "Scheme.of(kl=0, entropy=0)": Scheme.of(),
    "Scheme(temperature=0, beta=0.5)": Scheme(0.0, 0.5),
    "Scheme.of(kl=0.1, entropy=0, backups=inf, prior='fixed')": Scheme.of(0.1, backups=math.inf, prior="fixed"),
    "Scheme.of(kl=0, entropy=0.1, regularizer=Shannon(uniform=True))": Scheme.of(0.0, 0.1, maximum=mellowmax),
    "Scheme.of(kl=[4, 3, 2, …, 0] (5 numbers), entropy=[0, 0, 0, …, 0] (5 numbers))": Scheme.of(
        schedule([4, 3, 2, 1, 0])
    ),
    "DualAveraging(Scheme.of(kl=0.1, entropy=0))": DualAveraging(Scheme.of(0.1)),
    "Errors()": errors.none(),
    "Errors(regress=Gaussian(scale=0.1))": errors.gaussian(0.1),
    "Errors(kernel=Sampled(samples=3))": errors.sampled(3),
    "Errors(perturb=Gaussian(scale=0.5))": errors.greedy(0.5),
    "Errors(regress=Given(values=[0, 0, 0, …, 0] (8 numbers)))": errors.given(np.zeros((2, 2, 2))),
    "Errors(regress=hypot)": errors.Errors(regress=math.hypot),
}


@pytest.mark.parametrize("text", SHOWN)
def test_schemes_and_errors_show_the_numbers_they_were_made_with_and_can_be_compared(text):
    shown = SHOWN[text]
    assert repr(shown) == text
    assert shown == shown
    assert shown != Scheme.of(7.0)
    assert {shown: 1}[shown] == 1


def test_models_algorithms_and_errors_are_named_as_in_the_shell():
    named = iterate(["garnet:states=8,seed=1", "garnet:states=8,seed=2"], "munchausen:alpha=.5", 5, "gaussian=.1")
    models = [mdp.garnet(8, seed=1), mdp.garnet(8, seed=2)]
    given = iterate(models, mdvi.algorithms.munchausen(0.5), 5, errors.gaussian(0.1))
    np.testing.assert_array_equal(named.q, given.q)


@dataclasses.dataclass(frozen=True)
class ToReference:
    """KL(π‖ρ) with the same ρ in every state."""

    reference: tuple[float, ...]
    name = "kl-to-reference"
    differentiable = True

    def log_reference(self, x):
        return namespace(x).log(namespace(x).asarray(self.reference))[None, :]

    def _shifted(self, x, temperature):
        return x + temperature * self.log_reference(x)

    def omega(self, log_policy, legal=None):
        rho = self.log_reference(log_policy)
        return -regularizers.entropy(log_policy) - regularizers.expectation(namespace(rho).exp(log_policy), rho)

    def dual(self, log_policy, legal=None):
        return log_policy - self.log_reference(log_policy)

    def floor(self, log_policy, legal=None):
        return np.full(log_policy.shape[:-1], -np.inf)

    def least(self, actions):
        return 0.0

    def greatest(self, actions):
        return -math.log(min(self.reference))

    def at_vertices(self, actions):
        return -math.log(max(self.reference)), -math.log(min(self.reference))

    def maximum(self, x, temperature, legal=None):
        return regularizers.soft_maximum(self._shifted(x, temperature), temperature, legal)

    def policy(self, x, temperature, legal=None):
        return regularizers.soft_argmax(self._shifted(x, temperature), temperature, legal)

    def log_policy(self, x, temperature, legal=None):
        return regularizers.log_soft_argmax(self._shifted(x, temperature), temperature, legal)


def test_a_regularizer_of_ones_own_is_a_value():
    """The KL to a reference is what the planner calls a prior: the scheme ends at the optimum that is certified."""
    model, rho = mdp.garnet(12, 4, 3, 0.9, seed=6), (0.4, 0.3, 0.2, 0.1)
    trace = iterate(model, Scheme(0.2, 0.0, regularizer=ToReference(rho)), 300)
    solution = mdvi.solve(model, kl=0.2, prior=np.tile(rho, (12, 1)), tolerance=1e-10)
    np.testing.assert_allclose(trace.q[-1], solution.q, atol=1e-9)
    assert trace.loss[-1] < 1e-9
    assert trace.theorem == "theorem 2"
    assert (trace.loss <= trace.bound).all()


def test_a_scheme_with_a_schedule_can_be_made_again_from_its_parts():
    scheme = Scheme.of(kl=schedule([1.0, 0.5, 0.25]), entropy=0.1)
    changed = dataclasses.replace(scheme, backups=2)
    assert (changed.backups, scheme.backups) == (2, 1)
    for again in (dataclasses.replace(changed, backups=1), Scheme(scheme.temperature, scheme.beta)):
        assert again == scheme
    assert repr(Scheme.of(kl=scheme.kl, entropy=scheme.entropy)) == repr(scheme)
    model = mdp.garnet(6)
    np.testing.assert_array_equal(iterate(model, scheme, 3).q, iterate(model, [scheme], 3).q[0])
