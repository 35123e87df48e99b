"""The theorems, evaluated on traces: never violated as derived, violated as printed where we say so."""

import math

import numpy as np
import pytest

from mdvi import Scheme, bounds, errors, iterate, mdp, schedule
from models import corner, signed_garnet, v_max

GAMMAS = (0.3, 0.7, 0.9, 0.95, 0.99)
K = 40
MODELS = [signed_garnet(seed, 6, 3, 3, gamma) for gamma in GAMMAS for seed in (0, 1)]
SCHEMES = [
    Scheme.of(),
    *(Scheme.of(kl) for kl in (1e-3, 0.1, 1.0, 10.0)),
    Scheme(0.0, 1.0),
    *(Scheme.of(beta * tau / (1 - beta), tau) for beta in (0.0, 0.5, 0.9, 0.99) for tau in (1e-3, 0.1, 1.0)),
    Scheme(0.0, 0.5),
]
ERRORS = {
    "none": errors.none(),
    "gaussian": errors.gaussian(0.5),
    "constant": errors.constant(0.5),
    "alternating": errors.alternating(0.5),
    "worst sign": errors.worst_sign(0.5),
    "sampled": errors.sampled(1),
    "projection": errors.projection(errors.random_features(MODELS[0], 12)),
}


def component_loss(trace):
    """q_* − q_{π_k} for every k, by exact evaluation on the host."""
    model, scheme = trace.mdp, trace.scheme
    policies = np.exp(trace.log_policy)
    p, tau = model.kernel.dense().probability, float(scheme.entropy)
    entropy = -(policies * np.where(policies > 0, trace.log_policy, 0.0)).sum(-1)
    gain = (policies * model.reward).sum(-1) + tau * entropy
    alive = ~model.terminal
    chain = np.einsum("ksa,sat->kst", policies, p) * alive
    v = np.linalg.solve(np.eye(model.states) - float(model.discount) * chain, (gain * alive)[..., None])[..., 0]
    return trace.optimal_q - (model.reward + float(model.discount) * np.einsum("sat,kt->ksa", p, v * alive))


@pytest.mark.parametrize("error", ERRORS)
def test_no_theorem_is_violated(error):
    q = np.stack([corner(model, i) for i, model in enumerate(MODELS)])
    grid = iterate(MODELS, SCHEMES, K, ERRORS[error], seed=1, initial_q=np.broadcast_to(q, (len(SCHEMES), *q.shape)))
    pairs, tightest = 0, {}
    for i, j in np.ndindex(len(SCHEMES), len(MODELS)):
        trace = grid[i, j]
        slack = 1e-9 * v_max(trace.mdp) * (1 + trace.q_norm.max())
        lost = component_loss(trace)
        assert lost.min() > -slack
        np.testing.assert_allclose(np.abs(lost).max((1, 2)), trace.loss, atol=slack)
        statements = {f"{trace.theorem} in norm": (trace.loss, trace.bound)}
        if trace.theorem == "theorem 1":
            statements["theorem 1"] = lost, bounds.theorem1(trace)
            statements["theorem 1, sharp"] = lost, bounds.theorem1_sharp(trace)
        elif trace.theorem == "theorem 2":
            statements["theorem 2"] = lost, bounds.theorem2(trace)
        for name, (left, right) in statements.items():
            assert (left <= right + slack).all(), (name, trace.scheme)
            positive = right[1:] > slack
            ratio = (left[1:] / np.where(positive, right[1:], np.inf)).max()
            tightest[name] = max(tightest.get(name, 0.0), float(ratio))
        pairs += K
    assert len(tightest) == 6
    assert pairs * len(ERRORS) >= 10_000
    ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in tightest.items())
    print(f"\n{error}: {pairs} (trace, k) pairs, largest loss/bound: {ratios}")


def test_masks_and_terminal_states_are_covered():
    for model in (mdp.gambler(10, discount=0.95), mdp.grid(3, 3)):
        for scheme in (Scheme.of(), Scheme.of(0.1), Scheme.of(0.1, 0.01)):
            trace = iterate(model, scheme, 60, errors.sampled(1))
            lost = component_loss(trace)
            assert (trace.loss <= trace.bound + 1e-9).all()
            if trace.theorem == "theorem 1":
                assert (lost <= bounds.theorem1(trace) + 1e-9).all()
                assert (lost <= bounds.theorem1_sharp(trace) + 1e-9).all()
            elif trace.theorem == "theorem 2":
                assert (lost <= bounds.theorem2(trace) + 1e-9).all()


@pytest.mark.parametrize(("gamma", "printed", "corrected"), [(0.8, 1.60, 0.80), (0.9, 1.80, 0.90), (0.95, 1.90, 0.95)])
def test_the_printed_initial_term_is_too_small_by_a_factor_2(gamma, printed, corrected):
    model, q, k = mdp.late_start(gamma)
    trace = iterate(model, Scheme.of(0.0, 1e-5), k + 1, initial_q=q)
    assert np.abs(q).max() <= v_max(model) * (1 + 1e-12)
    assert (trace.errors == 0).all()
    loss = trace.loss[k + 1]
    assert loss / bounds.theorem2_norm(trace, printed=True)[k + 1] == pytest.approx(printed, abs=0.01)
    assert loss / bounds.theorem2_norm(trace)[k + 1] == pytest.approx(corrected, abs=0.01)


def test_the_initial_term_of_value_iteration_needs_the_distance_to_the_optimum():
    model, q, k = mdp.late_start(0.9, slack=1e-6)
    trace = iterate(model, Scheme.of(), k + 1, initial_q=q)
    assumed = 2 * 0.9 ** (k + 1) / (1 - 0.9) * v_max(model)
    assert trace.loss[k + 1] / assumed == pytest.approx(2 - 0.9, abs=1e-3)
    assert trace.loss[k + 1] <= bounds.avi(trace)[k + 1]


def test_the_printed_sign_is_violated_and_the_derived_one_is_nearly_attained():
    model, values = mdp.wrong_sign()
    trace = iterate(model, Scheme.of(0.0, 1e-3), len(values), errors.given(values))
    lost = component_loss(trace)[-1]
    assert (lost / bounds.theorem2(trace, printed=True)[-1]).max() > 100
    assert 0.99 < (lost / bounds.theorem2(trace)[-1]).max() <= 1


def test_printed_avi_bound_holds_from_zero():
    trace = iterate(signed_garnet(3), Scheme.of(), K, errors.gaussian(0.3))
    assert (trace.loss <= bounds.avi(trace, printed=True)).all()


def test_sampling_exceeds_the_azuma_bound_in_no_more_than_its_share_of_runs():
    model = signed_garnet(0, 6, 3, 3, 0.8)
    trace = iterate(model, Scheme.of(0.5), 200, errors.sampled(1), list(range(100)), record=("q", "loss"))
    bound = bounds.azuma(model, 0.5, 200, failure=0.1)
    assert bound[0] == np.inf
    assert (trace.loss > bound).any(0).max() == 0
    assert np.abs(trace.q).max() <= v_max(model)


def test_entropy_bias_bounds_what_the_regularised_optimum_loses():
    for seed in range(5):
        model = signed_garnet(seed)
        best = iterate(model, Scheme.of(), 1).optimal_q
        for tau in (0.01, 0.1, 1.0):
            soft = iterate(model, Scheme.of(0.0, tau), 400)
            policy = np.exp(soft.log_policy[-1])
            chain = np.einsum("sa,sat->st", policy, model.kernel.probability)
            v = np.linalg.solve(np.eye(model.states) - 0.9 * chain, (policy * model.reward).sum(-1))
            lost = np.abs(best - (model.reward + 0.9 * model.kernel.probability @ v)).max()
            assert lost <= bounds.entropy_bias(model, tau)


def test_no_bound_where_no_theorem_speaks():
    model = signed_garnet(0)
    for scheme in (
        Scheme.of(0.1, backups=3),
        Scheme.of(0.1, backups=math.inf),
        Scheme.of(0.1, evaluate_kl=False),
        Scheme.of(0.1, prior="fixed"),
        Scheme.of(schedule(np.linspace(1, 0.1, 5)), 0.1),
    ):
        trace = iterate(model, scheme, 5)
        assert trace.theorem is None
        assert np.isinf(trace.bound).all()
    assert iterate(model, Scheme.of(0.1), 5, initial_policy=np.tile([0.1, 0.2, 0.3, 0.4], (12, 1))).theorem is None


def test_a_theorem_refuses_the_runs_it_does_not_cover():
    model = signed_garnet(0)
    avi, kl, entropy, partial = (
        iterate(model, scheme, 5)
        for scheme in (Scheme.of(), Scheme.of(0.1), Scheme.of(0.0, 0.1), Scheme.of(0.1, backups=2))
    )
    for bound, own in (
        (bounds.avi, avi),
        (bounds.theorem1_norm, kl),
        (bounds.theorem1, kl),
        (bounds.theorem1_sharp, kl),
        (bounds.theorem2_norm, entropy),
        (bounds.theorem2, entropy),
    ):
        assert np.isfinite(bound(own)[-1]).all()
        for other in (avi, kl, entropy, partial):
            if other is not own:
                with pytest.raises(ValueError, match="does not cover this run"):
                    bound(other)


def test_terms_without_weight_do_not_matter_for_the_theorem():
    model = signed_garnet(0)
    assert iterate(model, Scheme.of(0.1, 0.0, evaluate_entropy=False), 5).theorem == "theorem 1"
    assert iterate(model, Scheme.of(0.0, 0.1, evaluate_kl=False), 5).theorem == "theorem 2"
    assert iterate(model, Scheme.of(evaluate_kl=False, evaluate_entropy=False), 5).theorem == "avi"


def test_bounds_want_one_run_and_what_they_need():
    model = signed_garnet(0)
    grid = iterate(model, Scheme.of(0.1), 5, seed=[0, 1])
    with pytest.raises(ValueError, match="pick it with trace"):
        bounds.theorem1(grid)
    with pytest.raises(ValueError, match="iterate with 'errors'"):
        bounds.theorem1(iterate(model, Scheme.of(0.1), 5, record=("q", "log_policy", "bound")))
    with pytest.raises(ValueError, match="failure"):
        bounds.azuma(model, 0.1, 10, failure=0.0)
    with pytest.raises(ValueError, match="kl: expected a finite number of at least 0, got -1"):
        bounds.azuma(model, -1, 10, failure=0.1)
    with pytest.raises(ValueError, match="entropy: expected"):
        bounds.entropy_bias(model, math.nan)
    with pytest.raises(ValueError, match="discount: expected"):
        bounds.theorem2_initial(1.0, 0.5, 1.0, 5)
