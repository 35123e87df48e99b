"""The planner with a regulariser as a value: those of mdvi, and one that is added from outside."""

from dataclasses import dataclass

import mpmath
import numba
import numpy as np
import pytest

import mdvi
from exact import Operator
from mdvi import mdp
from mdvi.mdp import FiniteMDP, chain, garnet, maze
from mdvi.planning.certificate import regularization_cost
from mdvi.planning.methods import METHODS
from mdvi.planning.problem import problem_of
from mdvi.planning.solve import solve_problem
from mdvi.planning.sweeps import sweeps_of
from mdvi.regularizers import KL_TO_UNIFORM, SHANNON, Divergence, Lazy, Tsallis
from mdvi.regularizers.rows import Rows
from models import signed_garnet


@numba.njit
def _sparse_policy(x, temperature, rare, out):
    """The Euclidean projection of x/κ onto the simplex. Source: Martins and Astudillo (2016), algorithm 1."""
    z = np.sort(x / temperature)[::-1]
    total, threshold = 0.0, 0.0
    for k in range(len(z)):
        total += z[k] if z[k] > -np.inf else 0.0
        if z[k] > -np.inf and 1 + (k + 1) * z[k] > total:
            threshold = (total - 1) / (k + 1)
    for a in range(len(x)):
        out[a] = max(x[a] / temperature - threshold, 0.0)


@numba.njit
def _sparse_maximum(x, best, temperature):
    policy = np.empty(len(x))
    _sparse_policy(x - x[best], temperature, 0.0, policy)
    value = x[best]
    for a in range(len(x)):
        if policy[a] > 0:
            value += policy[a] * (x[a] - x[best]) + temperature * policy[a] * (1 - policy[a]) / 2
    return value


@dataclass(frozen=True)
class Sparse:
    """Ω(π) = (‖π‖² − 1)/2, whose policies are sparse: a regulariser of one's own."""

    name = "sparse"
    rows = Rows("sparse", _sparse_maximum, _sparse_policy)

    def maximum(self, x, temperature, legal=None):
        flat = x.reshape(-1, x.shape[-1])
        allowed = np.broadcast_to(True if legal is None else legal, x.shape).reshape(flat.shape)
        rows = np.where(allowed, flat, -np.inf)
        return np.array([_sparse_maximum(row, row.argmax(), temperature) for row in rows]).reshape(x.shape[:-1])

    def log_policy(self, x, temperature, legal):
        policy = np.empty(x.shape)
        for s, row in enumerate(np.where(legal, x, -np.inf)):
            _sparse_policy(row - row.max(), temperature, 0.0, policy[s])
        return np.log(policy, where=policy > 0, out=np.full(x.shape, -np.inf))

    def least(self, actions):
        return (1 / actions - 1) / 2

    def greatest(self, actions):
        return 0.0

    def rounding(self, actions):
        return 16.0 * actions


SPARSE = Sparse()
FAMILIES = [Tsallis(0.5), Tsallis(1.5), Tsallis(2.0), Tsallis(3.0), Divergence(2.0), Lazy()]


def masked() -> FiniteMDP:
    """A Garnet with illegal actions and terminal states."""
    rng, model = np.random.default_rng(0), signed_garnet(1, 40)
    legal = rng.random((40, 4)) < 0.6
    legal[np.arange(40), rng.integers(4, size=40)] = True
    return FiniteMDP(
        model.kernel.dense(), np.asarray(model.reward), 0.9, terminal=np.isin(np.arange(40), (7, 20)), legal=legal
    )


MODELS = {
    "garnet": garnet(60, 5, 3, discount=0.95, seed=3),
    "masked": masked(),
    "chain": chain(50, discount=0.99),
    "maze": maze(9, 9),
}


COMPILED = [omega for omega in (SHANNON, KL_TO_UNIFORM, SPARSE, *FAMILIES) if omega.rows is not None]


@pytest.mark.parametrize("regularizer", COMPILED, ids=lambda value: value.name)
def test_compiled_rows_are_the_maximum_and_the_policy(regularizer):
    rng, sweeps = np.random.default_rng(5), sweeps_of(regularizer.rows)
    x = rng.normal(size=(300, 5)) * 10.0 ** rng.integers(-3, 3, (300, 1))
    x[rng.random(x.shape) < 0.2] = -np.inf
    x = x[(x > -np.inf).any(-1)]
    legal = x > -np.inf
    for temperature in (1e-3, 0.5, 30.0):
        best = x.argmax(-1)
        found = [regularizer.rows.maximum(row, a, temperature) for row, a in zip(x, best, strict=True)]
        expected = regularizer.maximum(np.where(legal, x, 0.0), temperature, legal)
        atol = 1e-14 * max(temperature, temperature * regularizer.rounding(5) / 100)
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=atol)
        if regularizer.rows.maxima is not None:
            together = x.max(-1)
            regularizer.rows.maxima(x.ravel(), temperature, together)
            np.testing.assert_allclose(together, found, rtol=1e-14, atol=atol)
        policy = np.empty(x.shape)
        sweeps.policies(policy, x, temperature, 0.0)
        log_policy = regularizer.log_policy(np.where(legal, x, 0.0), temperature, legal)
        np.testing.assert_allclose(policy, np.exp(log_policy), rtol=0, atol=3e-14)
        few = np.empty(x.shape)
        sweeps.policies(few, x, temperature, 0.1)
        assert (few > 0)[policy > 0.1 * policy.max(-1, keepdims=True)].all()
        rest = np.where(few > 0, policy, 0.0)
        np.testing.assert_allclose(few, rest / rest.sum(-1, keepdims=True), rtol=1e-13)


@pytest.mark.parametrize(
    "row",
    [
        [0.0, -0.06835522988753533, -0.5341776149437676],
        [0.0, -0.23483265128004358, -0.133269848085862, -0.4560341664553018],
        [0.0, -0.21426485694397734, -0.3560807605453467, -0.18266725119231586, -0.4382532171704099],
    ],
)
def test_an_action_at_the_threshold_does_not_come_and_go_for_ever(row):
    row, omega = np.array(row), Tsallis(2)
    np.testing.assert_allclose(omega.rows.maximum(row, 0, 1.0), omega.maximum(row, 1.0), rtol=1e-15)


@pytest.mark.parametrize("regularizer", [SHANNON, KL_TO_UNIFORM, SPARSE], ids=lambda value: value.name)
def test_the_ends_of_omega_bound_the_maximum_and_are_reached(regularizer):
    rng = np.random.default_rng(2)
    x = np.concatenate([np.zeros((1, 4)), 1e9 * np.eye(4), 3 * rng.normal(size=(500, 4))])
    beyond = regularizer.maximum(x, 1.0) - x.max(-1)  # −Ω of some policy, and at least that of one action
    assert (beyond <= -regularizer.least(4) + 1e-15).all()
    assert (beyond >= -regularizer.greatest(4) - 1e-6).all()
    assert beyond[0] == pytest.approx(-regularizer.least(4), abs=1e-15)
    assert beyond[1] == pytest.approx(-regularizer.greatest(4), abs=1e-6)


@pytest.mark.parametrize("temperature", [1e-3, 0.3, 20.0])
@pytest.mark.parametrize("regularizer", [SHANNON, KL_TO_UNIFORM, SPARSE], ids=lambda value: value.name)
@pytest.mark.parametrize("model", MODELS)
def test_every_method_proves_an_interval_that_holds_the_fixed_point(model, regularizer, temperature):
    model = MODELS[model]
    problem = problem_of(model, 0.0, temperature, regularizer=regularizer)
    truth = np.zeros(model.states)
    for _ in range(4000):
        x = np.asarray(model.reward) + float(model.discount) * np.asarray(model.kernel.expect(truth))
        truth = np.where(model.terminal, 0.0, regularizer.maximum(x, temperature, np.asarray(model.live)))
        if np.abs(problem.backup(truth).value - truth).max() < 1e-13:
            break
    for method in ("auto", *METHODS):
        solution = solve_problem(problem, 1e-7, method)
        assert solution.status == "certified", (method, solution)
        assert (solution.lower - 1e-9 <= truth).all(), method
        assert (truth <= solution.upper + 1e-9).all(), method


LAKE = mdp.from_gymnasium("FrozenLake-v1", discount=0.99)


@pytest.mark.parametrize(
    ("alpha", "value", "deterministic"),
    [
        (0.5, 1.090338959163, 0),
        (1.0, 0.598924201344, 0),
        (1.5, 0.545821961376, 9),
        (2.0, 0.542911311622, 10),
        (3.0, 0.542468621811, 10),
    ],
)
def test_golden_values_of_the_lake(alpha, value, deterministic):
    solution = mdvi.solve(LAKE, entropy=0.01, regularizer=f"tsallis:{alpha}", tolerance=1e-11)
    assert solution.status == "certified"
    assert abs(solution.value[0] - value) < 2e-11
    decided = ~np.asarray(LAKE.terminal) & (np.ptp(LAKE.kernel.dense().probability, axis=1).max(-1) > 0)
    assert (solution.policy[decided].max(-1) == 1).sum() == deterministic


@pytest.mark.parametrize("name", ["tsallis:0.5", "tsallis:2", "lazy"])
def test_bounds_without_regularisation_hold_the_optimum(name):
    """Also where paths end: there the regulariser is paid for fewer decisions, see the next test."""
    for model in MODELS.values():
        best = mdvi.solve(model, tolerance=1e-9).value
        for tau in (0.01, 1.0):
            solution = mdvi.solve(model, entropy=tau, regularizer=name, tolerance=1e-7)
            lower, upper = mdvi.unregularized_bounds(solution)
            assert (lower <= best + 1e-9).all()
            assert (best <= upper + 1e-9).all()


def ending_model() -> FiniteMDP:
    """State 0: stop for 1, or take ten decisions, each of which may end everything, and then get 2; γ = .99."""
    p, r = np.zeros((12, 2, 12)), np.zeros((12, 2))
    p[0, 0, 11], r[0, 0] = 1.0, 1.0
    p[0, 1, 1] = 1.0
    for s in range(1, 11):
        p[s, 0, s + 1] = p[s, 1, 11] = 1.0
    r[10, 0] = 2.0
    return FiniteMDP(p, r, 0.99, terminal=np.arange(12) == 11)


def test_a_deterministic_policy_is_not_called_optimal_where_only_the_price_made_it_so():
    model = ending_model()
    solution = mdvi.solve(model, entropy=0.2, regularizer="lazy", tolerance=1e-9)
    hard = mdvi.solve(model, tolerance=1e-9)
    lost = hard.value - mdvi.evaluate(model, solution, tolerance=1e-9).value
    assert solution.policy[0].tolist() == [1.0, 0.0]
    assert lost.max() > 0.8
    cost, optimal = regularization_cost(solution)
    assert not optimal
    assert lost.max() <= cost <= lost.max() + 1e-6
    upper = mdvi.unregularized_bounds(solution)[1]
    assert (hard.value <= upper + 1e-9).all()


def test_a_sparse_policy_is_certified_optimal_where_the_gaps_are_large():
    model = garnet(40, 4, 3, discount=0.9, seed=2)
    soft, sparse = (mdvi.solve(model, entropy=1e-4, regularizer=f"tsallis:{alpha}") for alpha in (1, 2))
    assert regularization_cost(sparse) == (0.0, True)
    assert regularization_cost(soft)[1] is False
    np.testing.assert_array_equal(sparse.policy.argmax(-1), mdvi.solve(model).action)


def test_a_reference_that_is_zero_is_allowed_where_the_slope_of_omega_is_finite():
    model = MODELS["garnet"]
    rho = np.eye(model.actions)[np.zeros(model.states, int)]
    solution = mdvi.solve(model, entropy=50.0, regularizer="tsallis:2", reference=rho)
    assert solution.status == "certified"
    assert (solution.policy[:, 0] > 0.9).all()
    with pytest.raises(ValueError, match=r"reference: state 0, action 1 is legal but has probability 0\.0"):
        mdvi.solve(model, entropy=50.0, reference=rho)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regularizer": "log-barrier"}, "the planner needs a bounded one, and log-barrier is not"),
        ({"regularizer": "tsalis:2"}, "did you mean 'tsallis'"),
        ({"regularizer": "lazy", "kl": 0.1, "prior": np.full((50, 2), 0.5)}, "prior: lazy has no Bregman divergence"),
        ({"entropy": 0.0, "reference": np.full((50, 2), 0.5)}, "reference: its weight is the entropy, which is 0"),
        ({"entropy": 0.0, "regularizer": "lazy", "reference": [0.5, 0.5]}, "reference: its weight is the entropy"),
        ({"regularizer": Divergence(2, np.full((9, 2), 0.5))}, r"reference: expected shape \(50, 2\), got \(9, 2\)"),
        ({"regularizer": Divergence(2, np.full(3, 1 / 3))}, r"reference: expected shape \(50, 2\), got \(3,\)"),
        ({"regularizer": "divergence:2", "reference": [1.0, 0.0]}, "reference: state 0, action 1 is legal but has"),
        ({"regularizer": Lazy(np.full((9, 2), 0.5))}, r"default: expected shape \(50, 2\), got \(9, 2\)"),
        ({"regularizer": Divergence(2, [0.5, 0.5]), "reference": [0.5, 0.5]}, "divergence:2 has its own reference"),
        ({"regularizer": Lazy([0.5, 0.5]), "reference": [0.5, 0.5]}, "lazy has its own default already"),
        ({"regularizer": "lazy", "reference": [0.5, 0.6]}, r"reference: the probabilities .* sum to 1\.1"),
        ({"regularizer": "divergence:3", "reference": [1 - 1e-200, 1e-200]}, "needs a bounded one"),
        (
            {"regularizer": "lazy", "reference": [0.5, 0.5], "method": "gauss-seidel"},
            "gauss-seidel needs a regularizer",
        ),
    ],
)
def test_what_the_planner_cannot_use_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mdvi.solve(MODELS["chain"], **({"entropy": 0.1} | arguments))


REFERENCE = np.random.default_rng(8).dirichlet(np.ones(4), 40)
REFERENCE = np.where(masked().legal, REFERENCE + 1e-3, 0.0)
REFERENCE /= REFERENCE.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("divergence:2", Divergence(2, REFERENCE)),
        ("divergence:0.5", Divergence(0.5, REFERENCE)),
        ("lazy", Lazy(REFERENCE)),
    ],
)
def test_a_reference_belongs_to_the_regularizer_that_has_one(name, value):
    """A name with reference= is the value with it, and every method that needs no compiled rows proves the same."""
    model = MODELS["masked"]
    found = mdvi.solve(model, entropy=0.3, regularizer=name, reference=REFERENCE, tolerance=1e-10)
    np.testing.assert_array_equal(found.value, mdvi.solve(model, entropy=0.3, regularizer=value, tolerance=1e-10).value)
    for method in ("value-iteration", "modified-policy-iteration", "policy-iteration"):
        other = mdvi.solve(model, entropy=0.3, regularizer=value, method=method)
        assert other.status == "certified"
        assert (other.lower <= found.upper).all()
        assert (found.lower <= other.upper).all()
    still = mdvi.solve(model, entropy=1e6, regularizer=value, tolerance=1e-3)
    live = np.asarray(model.live)
    np.testing.assert_allclose(still.policy[live], REFERENCE[live], atol=1e-5)


@pytest.mark.parametrize("omega", [Divergence(2, REFERENCE), Divergence(0.5, REFERENCE), Lazy(REFERENCE)])
def test_bounds_without_regularisation_hold_the_optimum_with_references_too(omega):
    model = MODELS["masked"]
    best = mdvi.solve(model, tolerance=1e-9).value
    for tau in (0.01, 1.0):
        lower, upper = mdvi.unregularized_bounds(mdvi.solve(model, entropy=tau, regularizer=omega, tolerance=1e-7))
        assert (lower <= best + 1e-9).all()
        assert (best <= upper + 1e-9).all()


def test_one_reference_for_all_states_is_that_of_each():
    model, rho = MODELS["chain"], [0.2, 0.8]
    for name in ("divergence:1.5", "divergence:1", "lazy"):
        one = mdvi.solve(model, entropy=0.3, regularizer=name, reference=rho)
        many = mdvi.solve(model, entropy=0.3, regularizer=name, reference=np.tile(rho, (50, 1)))
        np.testing.assert_array_equal(one.value, many.value)


def test_the_divergence_of_index_one_to_a_reference_is_the_kl_to_it():
    model = MODELS["masked"]
    one = mdvi.solve(model, entropy=0.3, regularizer="divergence:1", reference=REFERENCE, tolerance=1e-10)
    kl = mdvi.solve(model, entropy=0.3, reference=REFERENCE, tolerance=1e-10)
    np.testing.assert_allclose(one.value, kl.value, atol=2e-10)
    for alpha, differs in ((1, False), (2, True)):  # tsallis: the Bregman divergence, which is another one
        bregman = mdvi.solve(model, entropy=0.3, regularizer=f"tsallis:{alpha}", reference=REFERENCE)
        own = mdvi.solve(model, entropy=0.3, regularizer=f"divergence:{alpha}", reference=REFERENCE)
        assert (np.abs(bregman.value - own.value).max() > 1e-3) == differs


def test_a_scheme_and_the_planner_mean_the_same_reference():
    model = MODELS["masked"]
    for name in ("divergence:2", "lazy", "tsallis:2", "shannon"):
        scheme = mdvi.Scheme.of(entropy=0.3, regularizer=name, reference=REFERENCE)
        last = mdvi.iterate(model, scheme, 300, record=("q",)).q[-1]
        best = mdvi.solve(model, entropy=0.3, regularizer=name, reference=REFERENCE, tolerance=1e-9)
        live = np.asarray(model.live)
        np.testing.assert_allclose(last[live], best.q[live], atol=1e-7)
    with pytest.raises(ValueError, match="divergence:2 has its own reference already"):
        mdvi.Scheme.of(entropy=0.3, regularizer=Divergence(2, REFERENCE), reference=REFERENCE)


def test_a_traced_reference_is_no_part_of_a_value():
    import jax
    import jax.numpy as jnp

    def made(rho):
        return mdvi.Scheme.of(entropy=0.3, regularizer="divergence:2", reference=rho).temperature

    with pytest.raises(ValueError, match="give an array that is not traced"):
        jax.jit(made)(jnp.full((2, 2), 0.5))


@dataclass(frozen=True)
class WithoutRows(Sparse):
    """The same, for which nothing is compiled."""

    rows = None

    def policy(self, x, temperature, legal=None):
        return np.exp(self.log_policy(x, temperature, legal))

    def log_policy(self, x, temperature, legal):
        some = legal.any(-1)
        found = np.full(x.shape, -np.inf)
        found[some] = super().log_policy(x[some], temperature, legal[some])
        return found

    def maximum(self, x, temperature, legal=None):
        some = legal.any(-1)
        found = np.zeros(len(x))
        found[some] = super().maximum(x[some], temperature, legal[some])
        return found


@pytest.mark.parametrize("model", ["masked", "chain"])
def test_a_regularizer_without_compiled_rows_is_solved_by_its_own_functions(model):
    for temperature in (1e-3, 0.3):
        compiled, own = (
            problem_of(MODELS[model], 0.0, temperature, regularizer=omega) for omega in (SPARSE, WithoutRows())
        )
        expected = solve_problem(compiled, 1e-9)
        for method in ("auto", *(method for method in METHODS if method != "gauss-seidel")):
            found = solve_problem(own, 1e-7, method)
            assert found.status == "certified", (method, found)
            assert (found.lower <= expected.upper).all()
            assert (expected.lower <= found.upper).all()
            np.testing.assert_allclose(found.policy, expected.policy, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_the_numpy_maximum_errs_by_less_than_its_rounding(alpha, rng):
    for actions in (2, 30):
        for kappa in (1e-5, 1.0, 1e4):
            rho = rng.dirichlet(np.ones(actions) * 0.1) + 10.0 ** rng.integers(-14, -2)
            omega, x = Divergence(alpha, rho / rho.sum()), rng.normal(size=actions)
            with mpmath.workdps(50):
                operator = Operator(f"divergence:{alpha}", actions, omega.reference.table)
                exact = operator.best([mpmath.mpf(each) for each in x.tolist()], mpmath.mpf(kappa))[0]
                error = abs(mpmath.mpf(float(omega.maximum(x, kappa))) - exact)
            assert error <= 2.0**-53 * (kappa * omega.rounding(actions) + 17 * np.abs(x).max())


@pytest.mark.parametrize(
    ("name", "actions", "discount"),
    [
        *((f"divergence:{alpha!r}", 4, 0.9) for alpha in (1 + 1e-12, 1 + 1e-10, 1 - 1e-10, 1 + 1e-6, 1.0001, 0.9999)),
        *((f"divergence:{alpha}", n, g) for alpha, n, g in ((2, 1000, 0), (3, 300, 0), (3, 2000, 0.9), (6, 300, 0.9))),
        ("tsallis:1.0000000001", 4, 0.9),
        ("tsallis:40", 1000, 0.9),
        ("lazy", 2000, 0.9),
    ],
)
def test_a_model_without_rewards_is_worth_what_the_regulariser_says(name, actions, discount):
    """One state, all rewards 0: v* = −τ min Ω/(1 − γ), also for indices near 1 and for very many actions."""
    model = FiniteMDP(np.ones((1, actions, 1)), np.zeros((1, actions)), discount)
    found = mdvi.solve(model, entropy=1.0, regularizer=name, tolerance=1.0)
    with mpmath.workdps(40):
        alpha = mpmath.mpf(name.partition(":")[2] or 2)
        least = (mpmath.mpf(actions) ** (1 - alpha) - 1) / (alpha * (alpha - 1)) if "tsallis" in name else mpmath.mpf(0)
        truth = -least / (1 - mpmath.mpf(discount))
        assert found.lower[0] <= truth <= found.upper[0]


def test_bounds_that_contradict_each_other_are_an_error():
    class Wrong(Tsallis):
        def rounding(self, actions):
            return -1e9

    with pytest.raises(ValueError, match=r"two proofs about state . contradict each other; the `rounding`, `least` or"):
        mdvi.solve(garnet(20, 3, 2, 0.9), entropy=0.1, regularizer=Wrong(), tolerance=1e-30)
