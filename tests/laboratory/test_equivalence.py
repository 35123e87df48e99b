"""MD-MPI and DA-MPI are one scheme (Proposition 1), and stop being one exactly where theory says so."""

import itertools
import math

import equinox as eqx
import numpy as np
import pytest

from mdvi import DualAveraging, Scheme, errors, iterate
from mdvi.regularizers import log_soft_argmax
from models import corner, signed_garnet

KLS, ENTROPIES = (0.0, 0.01, 0.1, 1.0, 10.0), (0.0, 1e-3, 0.1, 1.0)
BACKUPS = (1, 3, 20, math.inf)
EVALUATIONS = tuple(itertools.product((True, False), repeat=2))
MDP = signed_garnet(0, states=8, actions=3)
# Projection on pairs of states aggregated, which cannot expand. Random features can: approximate policy iteration is
# then chaotic, and the rounding in which the two forms differ grows to 1e-7 whatever the form.
AGGREGATION = np.kron(np.eye(12), np.ones((2, 1))).reshape(4, 3, 2, 12).transpose(0, 2, 1, 3).reshape(8, 3, 12)
ERRORS = {
    "none": errors.none(),
    "gaussian": errors.gaussian(0.3),
    "constant": errors.constant(0.3),
    "alternating": errors.alternating(0.3),
    "worst sign": errors.worst_sign(0.3),
    "sampled": errors.sampled(1),
    "projection": errors.projection(AGGREGATION),
}


def differences(backups, evaluate_kl, evaluate_entropy, error_model, seeds, iterations=60):
    """max |Δπ|, the same and max |Δq| relative to max(1, k/λ) max |q|, between the forms over the (λ, τ) grid.

    DA divides a sum of k values of q by λ: (k/λ) max |q| is the size of the numbers whose rounding is compared.
    """
    structure = {"backups": backups, "evaluate_kl": evaluate_kl, "evaluate_entropy": evaluate_entropy}
    schemes = [Scheme.of(kl, entropy, **structure) for kl in KLS for entropy in ENTROPIES]
    options = {"initial_q": corner(MDP, 1), "record": ("q", "log_policy")}
    md = iterate(MDP, schemes, iterations, error_model, list(range(seeds)), **options)
    da = iterate(MDP, [DualAveraging(s) for s in schemes], iterations, error_model, list(range(seeds)), **options)
    policies = np.abs(np.exp(md.log_policy) - np.exp(da.log_policy)).max((-1, -2))
    kls = np.array([float(s.kl) for s in schemes])[:, None, None]
    growth = np.maximum(np.arange(iterations + 1) / np.where(kls > 0, kls, np.inf), 1)
    size = np.maximum(np.abs(md.q).max((-1, -2)) * growth, 1)
    return policies.max(), (policies / size).max(), (np.abs(md.q - da.q).max((-1, -2)) / size).max()


def equal(policies, relative_policies, relative_values):
    """1e-9, or for policies 1e-12 of the numbers they come from where approximate policy iteration amplifies."""
    return (policies <= 1e-9 or relative_policies <= 1e-12) and relative_values <= 1e-9


@pytest.mark.parametrize(
    ("backups", "evaluation", "error"),
    [
        (1, (True, True), "sampled"),
        (1, (False, False), "worst sign"),
        (3, (False, True), "gaussian"),
        (math.inf, (True, False), "projection"),
    ],
)
def test_mirror_descent_equals_dual_averaging(backups, evaluation, error):
    assert equal(*differences(backups, *evaluation, ERRORS[error], seeds=3))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("error", ERRORS)
def test_mirror_descent_equals_dual_averaging_everywhere(error):
    worst = np.zeros(3)
    for backups, evaluation in itertools.product(BACKUPS, EVALUATIONS):
        found = differences(backups, *evaluation, ERRORS[error], seeds=20)
        worst = np.maximum(worst, found)
        assert equal(*found), (backups, evaluation)
    runs = len(BACKUPS) * len(EVALUATIONS) * len(KLS) * len(ENTROPIES) * 20
    print(
        f"\nMD = DA, errors {error}, {runs} runs: max |Δπ| {worst[0]:.1e} ({worst[1]:.1e} of the logits), "
        f"max relative |Δq| {worst[2]:.1e}"
    )


class WrongStart(DualAveraging):
    """Dual averaging from h_0 = q_0 although τ > 0."""

    def init(self, q, log_policy, legal):
        return eqx.tree_at(lambda state: state.h, DualAveraging.init(self, q, log_policy, legal), q)


def policy_gap(left, right):
    return np.abs(np.exp(left.log_policy) - np.exp(right.log_policy)).max()


def test_the_wrong_initial_average_breaks_it():
    scheme = Scheme.of(0.5, 0.1)
    q = corner(MDP, 2)
    md = iterate(MDP, scheme, 20, initial_q=q)
    assert policy_gap(md, iterate(MDP, DualAveraging(scheme), 20, initial_q=q)) < 1e-9
    assert policy_gap(md, iterate(MDP, WrongStart(scheme), 20, initial_q=q)) > 0.1


def test_a_greedy_step_error_breaks_it():
    scheme = Scheme.of(2.0)
    md = iterate(MDP, scheme, 60, errors.greedy(0.1))
    assert policy_gap(md, iterate(MDP, DualAveraging(scheme), 60, errors.greedy(0.1))) > 1e-3


def test_a_start_that_is_not_uniform_needs_the_prior_in_the_average(rng):
    start = rng.dirichlet(np.ones(3), 8)
    for scheme in (Scheme.of(2.0), Scheme.of(0.5, 0.1)):
        md = iterate(MDP, scheme, 40, initial_policy=start, initial_q=corner(MDP, 3))
        beta = float(scheme.beta)
        weighted = np.zeros_like(md.q[0])
        for k in range(40):
            weighted = beta * weighted + md.q[k] / float(scheme.temperature)
            with_prior = log_soft_argmax(beta ** (k + 1) * np.log(start) + weighted, 1.0)
            np.testing.assert_allclose(np.exp(md.log_policy[k + 1]), np.exp(with_prior), atol=1e-9)
        uniform = iterate(MDP, DualAveraging(scheme), 40, initial_q=corner(MDP, 3))
        assert policy_gap(md, uniform) > 1e-3
        with pytest.raises(ValueError, match="uniform"):
            iterate(MDP, DualAveraging(scheme), 40, initial_policy=start)


def test_vanishing_kl_tends_to_speedy_q_learning_not_to_value_iteration():
    q = corner(MDP, 4)
    nearly, limit, vi = (iterate(MDP, s, 60, initial_q=q).q for s in (Scheme.of(1e-6), Scheme(0.0, 1.0), Scheme.of()))
    assert np.abs(nearly - limit).max() < 1e-3
    assert np.abs(nearly - vi).max() > 1.0
