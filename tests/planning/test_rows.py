"""The planner with a regulariser as a value: those of mdvi, and one that is added from outside."""

from dataclasses import dataclass

import numba
import numpy as np
import pytest

from mdvi.mdp import FiniteMDP, chain, garnet, maze
from mdvi.planning.methods import METHODS
from mdvi.planning.problem import problem_of
from mdvi.planning.solve import solve_problem
from mdvi.planning.sweeps import sweeps_of
from mdvi.regularizers import KL_TO_UNIFORM, SHANNON
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


@pytest.mark.parametrize("regularizer", [SHANNON, KL_TO_UNIFORM, SPARSE], ids=lambda value: value.name)
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
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14 * temperature)
        policy = np.empty(x.shape)
        sweeps.policies(policy, x, temperature, 0.0)
        log_policy = regularizer.log_policy(np.where(legal, x, 0.0), temperature, legal)
        np.testing.assert_allclose(policy, np.exp(log_policy), rtol=0, atol=1e-14)
        few = np.empty(x.shape)
        sweeps.policies(few, x, temperature, 0.1)
        assert (few > 0)[policy > 0.1 * policy.max(-1, keepdims=True)].all()
        rest = np.where(few > 0, policy, 0.0)
        np.testing.assert_allclose(few, rest / rest.sum(-1, keepdims=True), rtol=1e-13)


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
