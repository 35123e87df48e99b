"""Regularisers other than Shannon's: against 40 digits, NumPy against JAX, derivatives, masks, limits, and names."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from mdvi import Scheme, solve
from mdvi.regularizers import Divergence, Lazy, LogBarrier, Shannon, Tsallis, regularizer_of
from mdvi.regularizers.power_rows import rows_of

INDICES = (-1.0, -0.5, 0.0, 0.3, 0.5, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
RHO = np.random.default_rng(8).dirichlet(np.ones(6), 40)
FAMILIES = [
    *map(Tsallis, INDICES),
    *(Divergence(alpha) for alpha in (0.0, 0.5, 1.0, 2.0, 3.0)),
    *(Divergence(alpha, RHO) for alpha in (0.5, 1.0, 1.5, 2.0, 3.0)),
    Lazy(),
    Lazy(RHO),
    Shannon(),
    Shannon(uniform=True),
]
TRACED = [Tsallis(0.0), Tsallis(0.5), Tsallis(1.5), Tsallis(2.0), Tsallis(3.0), Divergence(1.5, RHO), Lazy(RHO)]


def given(omega):
    """The policy that a regulariser refers to, if there is one."""
    return getattr(omega, "reference", None) or getattr(omega, "default", None)


def label(omega):
    return omega.name + ("-rho" if given(omega) else "")


def log(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


families = pytest.mark.parametrize("omega", FAMILIES, ids=label)
traced = pytest.mark.parametrize("omega", TRACED, ids=label)


def inputs(seed=0):
    """Values and a mask, shape (40, 6)."""
    rng = np.random.default_rng(seed)
    legal = rng.random((40, 6)) < 0.7
    legal[:, 1] = True
    return 2 * rng.normal(size=(40, 6)), legal


def over(legal, omega):
    """A regulariser whose reference is zero nowhere that counts: references are restricted to legal actions."""
    if given(omega) is None:
        return omega
    rho = np.where(legal, given(omega).table, 0.0)
    return type(omega)(*([omega.alpha] if isinstance(omega, Divergence) else []), rho / rho.sum(-1, keepdims=True))


def exactly(y, alpha):
    """argmax and max of ⟨p, y⟩ − Ω_α(p), with 60 digits and by bisection on the sum of the policy."""
    with mpmath.workdps(60):
        y, alpha, n = [mpmath.mpf(float(value)) for value in y], mpmath.mpf(alpha), len(y)
        e = alpha - 1

        def chances(nu):
            if e == 0:
                return [mpmath.exp(value - nu) for value in y]
            inside = [1 + e * (value - nu) for value in y]
            return [base ** (1 / e) if base > 0 else mpmath.mpf(0 if e > 0 else "inf") for base in inside]

        low, high = max(y), max(y) - (mpmath.log(mpmath.mpf(1) / n) if e == 0 else (mpmath.mpf(n) ** -e - 1) / e)
        for _ in range(190):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(chances(middle)) > 1 else (low, middle)
        p = chances(high)
        p = [value / sum(p) for value in p]
        if alpha == 1:
            omega = sum(value * mpmath.log(value) for value in p)
        elif alpha == 0:
            omega = -sum(mpmath.log(value) for value in p) - n * mpmath.log(n)
        else:
            unit = 1 if alpha > 0 else mpmath.mpf(n) ** (1 - alpha)
            omega = (sum(value**alpha for value in p if value > 0) - unit) / (alpha * e)
        return np.array([float(value) for value in p]), float(sum(a * b for a, b in zip(p, y, strict=True)) - omega)


@pytest.mark.parametrize("alpha", INDICES)
def test_the_solver_is_right_to_rounding(alpha):
    rng, omega = np.random.default_rng(1), Tsallis(alpha)
    for size in (0.1, 1.0, 30.0):
        for _ in range(4):
            y = size * rng.normal(size=5)
            p, value = exactly(y, alpha)
            np.testing.assert_allclose(omega.policy(y, 1.0), p, rtol=0, atol=2e-14 if alpha < 4 else 1e-12)
            np.testing.assert_allclose(omega.maximum(y, 1.0), value, rtol=2e-14, atol=2e-14)


@pytest.mark.parametrize(
    ("alpha", "first", "value"),
    [
        (0.0, 0.561552812809, 0.531010801646),
        (0.5, 0.586718389402, 3.857480578190),
        (1.0, 0.622459331202, 1.948153968360),
        (1.5, 0.673992636338, 1.368742757840),
        (2.0, 0.75, 1.125),
        (3.0, 1.0, 1.0),
    ],
)
def test_golden_values(alpha, first, value):
    x = np.array([1.0, 0.0])
    assert abs(Tsallis(alpha).policy(x, 2.0)[0] - first) < 1e-11
    assert abs(Tsallis(alpha).maximum(x, 2.0) - value) < 1e-11


def test_golden_values_of_entmax():
    x = np.array([-2.0, 0.0, 0.5])
    np.testing.assert_allclose(Tsallis(2).policy(x, 1.0), [0, 0.25, 0.75], atol=1e-15)
    np.testing.assert_allclose(Tsallis(1.5).policy(x, 1.0), [0, 0.3260, 0.6740], atol=5e-5)
    np.testing.assert_allclose(Tsallis(1.33).policy(np.array([1, 2, 3.5]), 1.0), [0.0026, 0.1012, 0.8963], atol=5e-5)


@families
def test_the_policy_attains_the_maximum_and_no_other_exceeds_it(omega):
    x, legal = inputs()
    omega, rng = over(legal, omega), np.random.default_rng(2)
    for kappa in (1e-3, 0.4, 20.0):
        value, p = omega.maximum(x, kappa, legal), omega.policy(x, kappa, legal)
        assert (p >= 0).all()
        assert (p[~legal] == 0).all()
        np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-14)
        worth = (np.where(legal, x, 0.0) * p).sum(-1) - kappa * omega.omega(log(p), legal)
        np.testing.assert_allclose(value, worth, rtol=1e-12, atol=1e-12 * max(kappa, 1))
        for _ in range(20):
            other = rng.dirichlet(np.ones(6), 40) * legal
            other = 0.9 * p + 0.1 * other / other.sum(-1, keepdims=True)
            assert (value >= (x * other).sum(-1) - kappa * omega.omega(log(other), legal) - 1e-12 * max(kappa, 1)).all()
        np.testing.assert_allclose(omega.maximum(x + 7, kappa, legal), value + 7, rtol=1e-13, atol=1e-12)
        log_policy = omega.log_policy(x, kappa, legal)
        np.testing.assert_allclose(np.exp(log_policy), p, atol=1e-15)
        assert (p[np.isneginf(log_policy)] == 0).all()
        assert np.isfinite(log_policy[p > 0]).all()


@families
def test_zero_temperature_is_the_maximum_and_tiny_ones_lead_there(omega):
    x, legal = inputs()
    x[:, 0] = x[:, 1]  # a tie, which is the best of some rows
    omega, best = over(legal, omega), np.where(legal, x, -np.inf).max(-1)
    ties = legal & (x == best[:, None])
    np.testing.assert_array_equal(omega.maximum(x, 0.0, legal), best)
    np.testing.assert_allclose(omega.policy(x, 0.0, legal), ties / ties.sum(-1, keepdims=True), rtol=1e-15)
    np.testing.assert_allclose(omega.maximum(x, 1e-300, legal), best, rtol=1e-12)
    nothing = np.zeros((40, 6), bool)
    assert (omega.maximum(x, 1.0, nothing) == -np.inf).all()
    assert not omega.policy(x, 1.0, nothing).any()


@families
def test_the_dual_variable_leads_back_to_its_policy(omega):
    if not omega.differentiable:
        return
    rng, (_, legal) = np.random.default_rng(3), inputs()
    p = rng.dirichlet(np.ones(6), 40) * legal
    p /= p.sum(-1, keepdims=True)
    omega = over(legal, omega)
    s = omega.dual(log(p), legal)
    assert np.isneginf(s[~legal]).all()
    s = np.where(legal, s, 0.0)
    hard = getattr(omega, "alpha", 1) > 4  # where p^4 of a small p is close to rounding
    np.testing.assert_allclose(omega.policy(3 * s, 3.0, legal), p, rtol=1e-9, atol=1e-6 if hard else 1e-13)
    np.testing.assert_allclose(omega.maximum(3 * s, 3.0, legal), 0, atol=1e-11)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 3.0])
def test_the_floor_is_the_dual_variable_of_probability_zero(alpha):
    omega = Tsallis(alpha)
    p = np.array([0.7, 0.3, 0.0])
    assert abs(omega.floor(log(p)) - omega.dual(log(p))[2]) < 1e-14
    own = -(1 / (alpha - 1) + ((p**alpha).sum() - 1) / alpha)
    assert abs(omega.floor(log(p)) - own) < 1e-14
    assert omega.policy(np.array([2.0 / (alpha - 1) + 1, 0.0]), 2.0)[1] == 0  # a gap of more than κ/(α − 1)
    assert omega.policy(np.array([2.0 / (alpha - 1) - 0.1, 0.0]), 2.0)[1] > 0


@families
def test_the_ends_of_omega_are_its_ends(omega):
    n, rng = 6, np.random.default_rng(4)
    legal = np.ones((40, n), bool)
    p = rng.dirichlet(np.full(n, 0.3), (300, 40))
    least, greatest = omega.least(n), omega.greatest(n)
    for policies in p:
        value = omega.omega(log(policies), legal)
        assert (value >= least - 1e-12).all()
        assert (value <= greatest * (1 + 1e-12) + 1e-12).all()
    calm = omega.policy(np.zeros((40, n)), 1.0)
    np.testing.assert_allclose(omega.omega(log(calm), legal), least, atol=1e-13)
    low, high = omega.at_vertices(n)
    vertices = np.array([omega.omega(log(np.broadcast_to(np.eye(n)[a], (40, n))), legal) for a in range(n)])
    np.testing.assert_allclose([vertices.min(), vertices.max()], [low, high], rtol=1e-12)


@traced
def test_jax_agrees_with_numpy_and_has_the_derivatives(omega):
    x, legal = inputs()
    omega, rng = over(legal, omega), np.random.default_rng(5)
    dx, kappa, h = rng.normal(size=x.shape), 0.4, 1e-6

    def everything(x, kappa, dx):
        mask = jnp.asarray(legal)
        value, (dv, dk) = jax.value_and_grad(lambda x, k: omega.maximum(x, k, mask).sum(), (0, 1))(x, kappa)
        policy, dp = jax.jvp(lambda x, k: omega.policy(x, k, mask), (x, kappa), (dx, jnp.ones_like(kappa) * 0.3))
        cold = jax.grad(lambda x: (omega.maximum(x, 0.0, mask) + (omega.policy(x, 0.0, mask) ** 2).sum(-1)).sum())(x)
        return omega.maximum(x, kappa, mask), value, dv, dk, policy, dp, cold

    with jax.enable_x64(True):
        found = jax.jit(everything)(jnp.asarray(x), jnp.asarray(kappa), jnp.asarray(dx))
        value, _, dv, dk, policy, dp, cold = map(np.asarray, found)
    p = omega.policy(x, kappa, legal)
    np.testing.assert_allclose(value, omega.maximum(x, kappa, legal), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(policy, p, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dv, p, atol=1e-10)
    np.testing.assert_allclose(dk, -omega.omega(log(p), legal).sum(), rtol=1e-10, atol=1e-10)
    assert np.isfinite(cold).all()
    ahead, behind = (omega.policy(x + sign * h * dx, kappa + sign * 0.3 * h, legal) for sign in (1, -1))
    same = ((ahead > 0) == (behind > 0)).all(-1) & (np.where(p > 0, p, 1).min(-1) > 1e-3)
    assert same.sum() > 3
    np.testing.assert_allclose(dp[same], ((ahead - behind) / (2 * h))[same], atol=2e-7)
    single = jax.jit(lambda x, k: (omega.maximum(x, k, jnp.asarray(legal)), omega.policy(x, k, jnp.asarray(legal))))
    value, policy = single(jnp.asarray(x, jnp.float32), jnp.float32(kappa))
    assert value.dtype == policy.dtype == jnp.float32
    size = np.maximum(1, np.abs(x).max(-1) / kappa)
    assert (np.abs(np.asarray(policy, np.float64) - p).max(-1) <= 1e-6 * size).all()
    assert (np.abs(np.asarray(value, np.float64) - omega.maximum(x, kappa, legal)) <= 1e-6 * kappa * size).all()


def test_the_second_derivative_of_the_maximum_is_the_first_of_the_policy():
    omega, x = Tsallis(1.5), jnp.asarray([0.3, 0.1, -0.2])
    hessian = jax.hessian(lambda x: omega.maximum(x, 0.7))(x)
    jacobian = jax.jacobian(lambda x: omega.policy(x, 0.7))(x)
    np.testing.assert_allclose(hessian, jacobian, atol=1e-6)
    assert (np.linalg.eigvalsh(hessian) > -1e-6).all()
    assert abs(hessian).max() > 0.1


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 1.2, 1.5, 2.0, 3.0])
def test_the_stated_rounding_covers_the_compiled_rows(alpha):
    rng, rows, omega = np.random.default_rng(6), rows_of(alpha), Tsallis(alpha)
    worst = 0.0
    for n in (2, 6, 30):
        for size in (0.3, 3.0, 100.0):
            y = size * rng.normal(size=n)
            y -= y.max()
            worst = max(worst, abs(rows.maximum(y, y.argmax(), 1.0) - exactly(y, alpha)[1]) / omega.rounding(n))
    assert worst <= 0.5 * np.finfo(float).eps / 2


def test_the_log_barrier_and_shannon_are_members_of_the_family():
    x, legal = inputs()
    assert LogBarrier() == Tsallis(0)
    np.testing.assert_array_equal(Tsallis(1).maximum(x, 0.3, legal), Shannon().maximum(x, 0.3, legal))
    np.testing.assert_array_equal(Tsallis(1).log_policy(x, 0.3, legal), Shannon().log_policy(x, 0.3, legal))
    uniform = Shannon(uniform=True)
    np.testing.assert_allclose(Divergence(1).maximum(x, 0.3, legal), uniform.maximum(x, 0.3, legal), rtol=1e-13)
    for alpha in (0.5, 1.5, 2.0):  # softness that does not depend on the number of actions
        factor = 6.0 ** (alpha - 1)
        np.testing.assert_allclose(Divergence(alpha).policy(x, 0.3), Tsallis(alpha).policy(x, 0.3 * factor), atol=1e-13)


def test_conventions_of_the_literature():
    x, tau, q = np.array([1.0, 0.2, -0.4]), 0.3, 1.7
    p = Tsallis(q).policy(x, q * tau)
    entropy = (1 - (p**q).sum()) / (q - 1)  # Lee et al.
    np.testing.assert_allclose(x @ p + tau * entropy, Tsallis(q).maximum(x, q * tau), rtol=1e-13)


def test_names():
    assert regularizer_of("tsallis:1.5") == Tsallis(1.5)
    assert regularizer_of("tsallis:alpha=2") == Tsallis(2)
    assert regularizer_of("divergence:0.5") == Divergence(0.5)
    assert regularizer_of("lazy") == Lazy()
    for given in ("shannon", "tsallis:1.5", "tsallis:0", "divergence:2", "lazy", "kl-to-uniform"):
        assert regularizer_of(regularizer_of(given).name) == regularizer_of(given)
    assert hash(Divergence(2, RHO)) == hash(Divergence(2, RHO.copy()))
    assert Divergence(2, RHO) == Divergence(2, RHO.copy())
    assert Divergence(2, RHO) != Divergence(2, RHO[::-1])
    assert Tsallis(2) != Divergence(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tsalis:2", "did you mean 'tsallis'"),
        ("tsallis", "needs an index, as in tsallis:2"),
        ("tsallis:nan", "alpha: expected a finite number"),
        ("tsallis:two", "alpha: expected a finite number"),
        ("lazy:2", "lazy has no index"),
    ],
)
def test_bad_names_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        regularizer_of(given)


def test_bad_values_are_refused():
    for alpha in (math.inf, "x", None, True):
        with pytest.raises(ValueError, match="alpha: expected a finite number"):
            Tsallis(alpha)
    with pytest.raises(ValueError, match=r"reference: the probabilities of state 1 sum to 0.5"):
        Divergence(2, [[0.5, 0.5], [0.25, 0.25]])
    with pytest.raises(ValueError, match=r"reference: expected probabilities, got -0.5"):
        Lazy([1.5, -0.5])


def test_what_has_no_compiled_rows():
    for omega in (LogBarrier(), Divergence(-1), Divergence(2, [0.5, 0.5]), Lazy([0.5, 0.5])):
        assert omega.rows is None


def test_what_is_no_regulariser_is_refused():
    class Half:
        name = "half"
        maximum = policy = None

    class Whole(Half):
        rows = None
        differentiable = False
        log_policy = omega = dual = floor = least = greatest = at_vertices = rounding = None

    for given, message in (
        (Tsallis, r"got the class Tsallis; call it, as in Tsallis\(\)"),
        (2.0, "expected a name such as 'tsallis:2' or a regularizer, got 2.0"),
        (None, "expected a name such as 'tsallis:2' or a regularizer, got None"),
        (Half(), "Half has no differentiable, log_policy, omega, dual, floor, least, greatest"),
    ):
        with pytest.raises(ValueError, match=message):
            Scheme.of(entropy=0.1, regularizer=given)
        with pytest.raises(ValueError, match=message):
            solve("garnet", entropy=0.1, regularizer=given)
    whole = Whole()
    assert regularizer_of(whole) is whole
    with pytest.raises(ValueError, match="reference: half does not say what becomes of it"):
        Scheme.of(entropy=0.1, regularizer=whole, reference=[[0.5, 0.5]])
