"""What is proved beside the optimum: checked by the independent checker, by exact values, and by tampering."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import checker
import mpmath
import numpy as np
import pytest

from exact import exact_value
from mdvi import FiniteMDP, Scheme, iterate, mdp
from mdvi.laboratory.bounds import theorem1_sharp
from mdvi.planning.certificate import (
    certificate_arrays,
    certify,
    model_digest,
    optimal_actions,
    unregularized_bounds,
)
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.horizon import backward_induction
from mdvi.planning.problem import problem_of
from mdvi.planning.solve import solve
from models import random_case, signed_garnet


def stored(model, path):
    """The model as a file, written without the library."""
    matrix = model.kernel.csr()
    np.savez(
        path,
        indptr=matrix.indptr,
        indices=matrix.indices,
        data=matrix.data,
        reward=model.reward,
        discount=model.discount,
        terminal=model.terminal,
        legal=model.legal,
    )
    return path


def certified(tmp_path, model, kl=0.0, entropy=0.0, prior=None, changes=None):
    """Model file and certificate file, the latter with some arrays replaced."""
    arrays = certificate_arrays(model, solve(model, kl, entropy, prior), kl, entropy, prior)
    np.savez(tmp_path / "certificate.npz", **(arrays | (changes or {})))
    return stored(model, tmp_path / "model.npz"), tmp_path / "certificate.npz"


@pytest.mark.parametrize("seed", range(60))
def test_the_independent_checker_proves_what_is_claimed(seed, tmp_path, capsys):
    files = certified(tmp_path, *random_case(seed))
    assert checker.main(*files) == 0, capsys.readouterr()


def test_the_checker_imports_nothing_of_the_library_and_is_short():
    text = Path(checker.__file__).read_text()
    imported = [line.split()[1] for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imported == ["hashlib", "math", "re", "sys", "numpy"]
    assert text.count("\n") < 480


TAMPERED = {
    "lower too high": lambda a: {"lower": a["lower"] + 3 * a["gap"]},
    "upper too low": lambda a: {"upper": a["upper"] - 3 * a["gap"]},
    "one lower bound": lambda a: {"lower": a["lower"] + 2 * a["gap"] * (np.arange(len(a["lower"])) == 3)},
    "gap too small": lambda a: {"gap": a["gap"] / 2},
    "another temperature": lambda a: {"entropy": a["entropy"] + 0.1},
    "another kl": lambda a: {"kl": a["kl"] + 0.1},
    "another discount": lambda a: {"discount": a["discount"] * 0.999},
    "another model": lambda a: {"model_sha256": np.array("0" * 64)},
    "no numbers": lambda a: {"lower": a["lower"] * np.nan},
    "too few states": lambda a: {"lower": a["lower"][1:]},
    "infinite weight": lambda a: {"entropy": np.array(np.inf)},
}


@pytest.mark.parametrize("entropy", [0.0, 0.1])
@pytest.mark.parametrize("case", TAMPERED)
def test_the_checker_refuses_what_was_tampered_with(case, entropy, tmp_path, capsys):
    model = signed_garnet(1)
    arrays = certificate_arrays(model, solve(model, 0.0, entropy), 0.0, entropy, None)
    files = certified(tmp_path, model, 0.0, entropy, changes=TAMPERED[case](arrays))
    assert checker.main(*files) == 1
    assert "NOT PROVED" in capsys.readouterr().out


MALFORMED = {
    "gap of NaN": {"gap": np.array(np.nan)},
    "gap of infinity": {"gap": np.array(np.inf)},
    "negative gap": {"gap": np.array(-1.0)},
    "two gaps": {"gap": np.array([1.0, 1.0])},
    "gap of words": {"gap": np.array("small")},
    "complex bounds": {"lower": np.zeros(8, complex)},
    "bounds of Booleans": {"upper": np.ones(8, bool)},
    "a table of bounds": {"lower": np.zeros((8, 1))},
    "infinite bound": {"upper": np.full(8, np.inf)},
    "v outside": {"v": np.full(8, 1e9)},
    "v of NaN": {"v": np.full(8, np.nan)},
    "action out of range": {"action": np.full(8, 7)},
    "action below 0": {"action": np.full(8, -1)},
    "illegal action": {"action": np.full(8, 1)},
    "fractional action": {"action": np.zeros(8)},
    "rounding of NaN": {"rounding": np.array(np.nan)},
    "negative weight": {"kl": np.array(-0.1)},
    "weight of NaN": {"entropy": np.array(np.nan)},
    "discount of NaN": {"discount": np.array(np.nan)},
    "prior of NaN": {"prior": np.full((8, 3), np.nan)},
    "prior of another shape": {"prior": np.ones((8, 1))},
    "prior that sums to 2": {"prior": np.tile([1.0, 0.0, 1.0], (8, 1))},
    "prior that sums to 1 + 1e-9": {"prior": np.tile([0.5, 0.0, 0.5 + 1e-9], (8, 1))},
    "prior on an illegal action": {"prior": np.tile([0.5, 0.2, 0.3], (8, 1))},
    "another kind": {"kind": np.array("mdvi certificate 3")},
    "kind of numbers": {"kind": np.array(1.0)},
}


@pytest.mark.parametrize("kl", [0.0, 0.1])
@pytest.mark.parametrize("case", MALFORMED)
def test_the_checker_refuses_malformed_claims(case, kl, tmp_path, capsys):
    garnet = mdp.garnet(states=8, actions=3)
    model = FiniteMDP(garnet.kernel, garnet.reward, 0.9, legal=np.tile([True, False, True], (8, 1)))
    prior = np.tile([0.4, 0.0, 0.6], (8, 1)) if kl else None
    assert checker.main(*certified(tmp_path, model, kl, 0.0, prior)) == 0, capsys.readouterr()
    assert checker.main(*certified(tmp_path, model, kl, 0.0, prior, changes=MALFORMED[case])) == 1
    assert "NOT PROVED" in capsys.readouterr().out


@pytest.mark.parametrize("name", checker.CLAIMS)
def test_the_checker_names_what_a_certificate_lacks(name, tmp_path, capsys):
    files = certified(tmp_path, mdp.garnet(states=5))
    with np.load(files[1]) as file:
        arrays = {key: file[key] for key in file.files if key != name}
    np.savez(files[1], **arrays)
    assert checker.main(*files) == 1
    assert f"the certificate has no {name}" in capsys.readouterr().out


def test_the_checker_reads_no_array_that_is_longer_than_the_model(tmp_path, capsys):
    files = certified(tmp_path, mdp.garnet(states=5), changes={"lower": np.zeros(1_000_000)})
    assert checker.main(*files) == 2
    assert "lower has more numbers than the model" in capsys.readouterr().err


def edge_case(seed):
    """A model and weights at the edges of what floats hold: discounts next to 1, tiny numbers, rows that leak."""
    rng = np.random.default_rng([31, seed])
    states, actions = rng.integers(1, 6), rng.integers(1, 5)
    shape = states, actions
    rows = rng.random((*shape, states)) * (rng.random((*shape, states)) < rng.choice([0.3, 1.0]))
    rows[..., 0] += 1e-3
    rows /= rows.sum(-1, keepdims=True)
    leak = rng.random() < 0.3
    rows = rows * (
        rng.choice([0.0, 0.5, 1 - 2**-40, 1 - 2**-52, 1e-300, 5e-324], (*shape, 1))
        if leak
        else rng.choice([1, 1 + 3e-12])
    )
    terminal, legal = rng.random(states) < 0.2, rng.random(shape) < 0.8
    legal[:, 0] = True
    scale = rng.choice([0.0, 1.0, 1e-300, 1e-310, 5e-324, 1e100, 1e-12])
    reward = scale * (rng.normal(size=shape) if rng.random() < 0.5 else rng.choice([-1.0, 0.0, 1.0], shape))
    reward = np.abs(reward) if rng.random() < 0.3 else reward
    discount = 1 - 2.0 ** -rng.integers(1, 54) if rng.random() < 0.7 else rng.choice([0.0, 5e-324, 1e-300, 0.9])
    prior = np.where(legal, rng.random(shape) + 1e-12, 0.0)
    prior = prior / prior.sum(-1, keepdims=True) if rng.random() < 0.4 else None
    kl, entropy = (float(weight) for weight in rng.choice([0.0, 0.0, 0.1, 1e-300, 1e6, 5e-324], 2))
    masks = {"terminal": terminal, "legal": legal, "substochastic": leak}
    return (rows, reward, float(discount)), masks, (kl, entropy, prior)


def certificate_without_a_solution(model):
    """A claim about v* that is so weak that only a reason in the model can be why it is refused."""
    claim = {"v": 0.0, "lower": -1e300, "upper": 1e300}
    arrays = {name: np.full(model.states, value) for name, value in claim.items()}
    arrays |= {"gap": np.array(1e301), "rounding": np.array(0.0), "kl": np.array(0.0), "entropy": np.array(0.0)}
    arrays |= {"kind": np.array("mdvi certificate 1"), "model_sha256": np.array(model_digest(model))}
    return arrays | {"discount": model.discount, "action": np.argmax(model.legal, -1)}


@pytest.mark.parametrize("seed", range(300))
def test_what_is_solved_is_proved_at_every_edge_and_what_is_refused_is_refused(seed, tmp_path, capsys):
    arguments, masks, weights = edge_case(seed)
    model = FiniteMDP(*arguments, **masks)
    files = stored(model, tmp_path / "model.npz"), tmp_path / "certificate.npz"
    if problem_of(model).greatest_factor < 1:
        solution = solve(model, *weights, tolerance=1e-6, time_limit=5)
        np.savez(files[1], **certificate_arrays(model, solution, *weights))
        assert checker.main(*files) == 0, (seed, solution, capsys.readouterr())
        return
    with pytest.raises(ValueError, match="times the largest sum of a row of P is not below 1"):
        solve(model, *weights)
    np.savez(files[1], **certificate_without_a_solution(model))
    assert checker.main(*files) == 1
    assert "row sum is not below 1" in capsys.readouterr().out


@pytest.mark.parametrize("exponent", [40, 50, 51, 52, 53])
@pytest.mark.parametrize("end", [0.5, 2**-10, 2**-48])
def test_transitions_into_terminal_states_count_neither_here_nor_there(exponent, end, tmp_path, capsys):
    rows = np.array([[[1 - end, end]], [[0.0, 1.0]]])
    model = FiniteMDP(rows, [[1.0], [0.0]], 1 - 2.0**-exponent, terminal=[False, True])
    files = certified(tmp_path, model)
    assert checker.main(*files) == 0, capsys.readouterr()


def test_the_checker_says_when_it_cannot_read(tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    assert checker.main(tmp_path / "x.npz", tmp_path / "y.npz") == 2


@pytest.mark.parametrize("seed", range(40))
def test_the_gap_of_a_policy_holds_its_true_loss(seed):
    model, kl, entropy, prior = random_case(seed)
    rng = np.random.default_rng([21, seed])
    policy = np.where(model.legal, rng.dirichlet(np.ones(model.actions) / 2, model.states) + 1e-3, 0.0)
    policy /= policy.sum(-1, keepdims=True)
    weights = (0.0, 0.0, None) if seed % 2 else (kl, entropy, prior)
    found = certify(model, policy, *weights, tolerance=1.0)
    best = np.array([float(v) for v in exact_value(model, *weights)])
    own = np.array([float(v) for v in value_of_policy(model, policy, *weights)])
    slack = 1e-13 * (1 + np.abs(best).max() + np.abs(own).max())
    assert (found.lower <= own + slack).all()
    assert (own - slack <= found.upper).all()
    assert found.least_gap - slack <= (best - own).max() <= found.gap + slack


def value_of_policy(model, policy, kl, entropy, prior):
    """v_π with 60 digits: the same linear system, built entry by entry."""
    import mpmath

    with mpmath.workdps(60):
        n, gamma = model.states, mpmath.mpf(float(model.discount))
        p = model.dense().kernel.probability
        system, right = mpmath.eye(n), mpmath.zeros(n, 1)
        for s in map(int, np.flatnonzero(~model.terminal)):
            total = mpmath.fsum(mpmath.mpf(float(x)) for x in policy[s])
            count = int(model.legal[s].sum())
            for a in np.flatnonzero(model.legal[s]):
                pi = mpmath.mpf(float(policy[s, a])) / total
                mu = mpmath.mpf(1) / count if prior is None else mpmath.mpf(float(prior[s, a]))
                gain = mpmath.mpf(float(model.reward[s, a])) - (kl + entropy) * mpmath.log(pi)
                if kl:
                    gain += kl * mpmath.log(mu)
                right[s] += pi * gain
                for t in np.flatnonzero(p[s, a]):
                    system[s, int(t)] -= gamma * pi * mpmath.mpf(float(p[s, a, t]))
        return list(mpmath.lu_solve(system, right))


@pytest.mark.parametrize("actions", [2, 171, 249, 275, 1000, 100_003])
@pytest.mark.parametrize("states", [1, 2])
def test_a_uniform_policy_over_any_number_of_actions_is_certified(actions, states):
    ring = (np.arange(states)[:, None, None] + 1) % states
    table = np.broadcast_to(ring, (states, actions, 1)), np.ones((states, actions, 1))
    found = certify(FiniteMDP(table, np.ones((states, actions)), 0.9), np.full((states, actions), 1 / actions))
    assert found.status == "certified"
    assert (found.lower <= 10).all()
    assert (found.upper >= 10).all()


def test_rows_and_policies_that_are_rounded_are_certified_together():
    rows = np.full((4, 3, 4), 0.25)
    rows[..., 0] += 9e-11
    model = FiniteMDP(rows, np.ones((4, 3)), 0.9)
    policy = np.array([[0.1, 0.2, 0.7]] * 4, np.float32)
    found = certify(model, policy, tolerance=1e-12)
    exact = 1 / (1 - Fraction(0.9) * sum(map(Fraction, rows[0, 0].tolist())))
    assert all(Fraction(x) <= exact <= Fraction(y) for x, y in zip(found.lower, found.upper, strict=True))
    with pytest.raises(ValueError, match=r"policy: state 0 has probabilities that sum to 1\.00999"):
        certify(model, policy + np.array([0.01, 0, 0], np.float32))


def test_one_action_for_each_state_is_a_policy():
    model = mdp.cliff()
    solution = solve(model)
    table = np.eye(model.actions)[solution.action]
    wanted = certify(model, table)
    for policy in (solution.action, solution.action.tolist(), solution.action.astype(np.uint8), table.tolist()):
        found = certify(model, policy)
        np.testing.assert_array_equal(found.lower, wanted.lower)
        assert found.gap == wanted.gap <= 2e-6
    anything = np.where(model.terminal, -7, solution.action)
    np.testing.assert_array_equal(certify(model, anything).lower, wanted.lower)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([0, 0, 0, 0, 2], "policy: state 4 takes action 2, outside 0…1"),
        ([0, -1, 0, 0, 0], "policy: state 1 takes action -1, outside 0…1"),
        ([1, 0, 0, 1, 0], "policy: state 3 takes action 1, which is illegal"),
        ([0, 0, 0, 0], r"integers of shape \(5,\), got int64 of shape \(4,\)"),
        ([0.0, 0, 0, 0, 0], r"probabilities of shape \(5, 2\) or integers .* got float64"),
        ([True] * 5, "got bool"),
        (np.zeros((5, 2, 1)), r"policy: expected shape \(5, 2\), got \(5, 2, 1\)"),
        ("best", "policy: expected an array of real numbers"),
    ],
)
def test_actions_that_are_no_policy_are_refused_by_name(policy, message):
    garnet = mdp.garnet(states=5, actions=2)
    legal = np.array([[True, True], [True, True], [True, True], [True, False], [True, True]])
    with pytest.raises(ValueError, match=message):
        certify(FiniteMDP(garnet.kernel, garnet.reward, 0.9, legal=legal), policy)


def test_q_is_zero_in_terminal_states_and_minus_infinity_for_illegal_actions():
    rows = np.full((3, 2, 3), 1 / 3)
    legal, terminal = np.array([[True, False], [True, True], [True, False]]), np.array([False, False, True])
    model = FiniteMDP(rows, np.ones((3, 2)), 0.9, legal=legal, terminal=terminal)
    for kl, entropy in ((0.0, 0.0), (0.0, 0.1), (0.2, 0.1)):
        q = solve(model, kl, entropy).q
        assert q[2].tolist() == [0.0, 0.0]
        assert q[0, 1] == -np.inf
        assert np.isfinite(q[:2][legal[:2]]).all()
    trace = iterate(model, Scheme.of(0.1), 300)
    for q in (*trace.q, trace.optimal_q):
        assert q[2].tolist() == [0.0, 0.0]
        assert q[0, 1] == -np.inf
        assert np.isfinite(q[:2][legal[:2]]).all()
    np.testing.assert_allclose(trace.optimal_q, solve(model, tolerance=1e-12).q, atol=1e-9)
    assert np.isfinite(trace.loss).all()
    assert np.isfinite(trace.q_gap).all()
    sharp = theorem1_sharp(trace)[1:]
    assert np.isfinite(sharp[:, legal]).all()


def test_results_say_what_they_found_in_a_few_lines_and_can_be_compared():
    model = mdp.garnet(states=400)
    solution = solve(model)
    policy = certify(model, solution.action)
    finite = backward_induction(model, 10)
    trace = iterate(mdp.garnet(states=5), [Scheme.of(0.1), Scheme.of(0.2)], 3, seed=[0, 1, 2])
    for result in (solution, policy, finite, trace, trace[0, 1], solution.problem):
        assert len(repr(result)) < 600
        assert result == result
        assert result != 1
        assert {result: 1}[result] == 1
    assert solution != solve(model)
    for text in ("certified", f"{solution.gap:.3g}", "states=400"):
        assert text in repr(solution)
        assert text in repr(policy) or text not in ("certified", "states=400")
    assert "decisions=10" in repr(finite)
    for text in ("schemes=2, seeds=3", "iterations=3", "last loss in ["):
        assert text in repr(trace)
    assert "Scheme.of(kl=0.1, entropy=0)" in repr(trace[0, 1])


def test_the_optimal_policy_is_certified_with_its_own_interval():
    model = signed_garnet(2)
    for kl, entropy in ((0.0, 0.0), (0.0, 0.1), (0.2, 0.1)):
        solution = solve(model, kl, entropy)
        found = certify(model, np.exp(solution.log_policy), kl, entropy)
        assert found.status == "certified"
        assert found.gap < 3e-6
    assert certify(model, np.full((12, 4), 0.25)).least_gap > 0.1


@pytest.mark.parametrize("seed", range(30))
def test_the_optimal_action_is_never_ruled_out_and_ties_are_reported(seed):
    model = random_case(seed)[0]
    solution = solve(model, tolerance=1.0)
    kept = optimal_actions(solution)
    v = np.array([float(x) for x in exact_value(model)])
    q = np.where(model.live, model.reward + float(model.discount) * model.expect(v), -np.inf)
    best = np.where(model.terminal, 0, q.argmax(-1))
    assert kept[np.arange(model.states), best][~model.terminal].all()


def test_two_equal_actions_are_a_tie_and_a_worse_one_is_ruled_out():
    p = np.zeros((2, 3, 2))
    p[:, :, 0] = 1.0
    kept = optimal_actions(solve(FiniteMDP(p, np.tile([1.0, 1.0, 0.5], (2, 1)), 0.9)))
    assert kept.tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize("seed", range(40))
def test_the_unregularised_optimum_is_bounded_from_the_regularised_one(seed):
    model, kl, entropy, prior = random_case(seed)
    lower, upper = unregularized_bounds(solve(model, kl, entropy, prior, tolerance=1.0))
    for v, low, high in zip(exact_value(model), lower, upper, strict=True):
        assert v.__class__(float(low)) <= v <= v.__class__(float(high))


def test_the_bias_of_a_small_entropy_is_small():
    model = signed_garnet(3)
    lower, upper = unregularized_bounds(solve(model, entropy=1e-4))
    assert (upper - lower).max() < 1.1 * 1e-4 * np.log(4) / (1 - 0.9) + 2e-6


@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_backward_induction_is_as_many_backups(entropy):
    import mpmath

    model = mdp.gambler(8)
    found = backward_induction(model, 6, entropy=entropy, final_value=np.linspace(-1, 1, 9))
    with mpmath.workdps(50):
        v = [mpmath.mpf(x) if not end else mpmath.mpf(0) for x, end in zip(np.linspace(-1, 1, 9), model.terminal)]  # noqa: B905
        for h in reversed(range(6)):
            v = [exact_backup(model, v, s, entropy) for s in range(9)]
            for s in range(9):
                assert mpmath.mpf(found.lower[h, s]) <= v[s] <= mpmath.mpf(found.upper[h, s])
    assert (found.upper - found.lower).max() < 1e-13
    assert np.exp(found.log_policy(0)).sum(-1) == pytest.approx(np.ones(9))


def exact_backup(model, v, s, entropy):
    import mpmath

    if model.terminal[s]:
        return mpmath.mpf(0)
    p, gamma = model.dense().kernel.probability, mpmath.mpf(float(model.discount))
    x = [
        mpmath.mpf(float(model.reward[s, a]))
        + gamma * mpmath.fsum(mpmath.mpf(float(p[s, a, t])) * v[t] for t in range(9))
        for a in np.flatnonzero(model.legal[s])
    ]
    if entropy == 0:
        return max(x)
    return mpmath.mpf(entropy) * mpmath.log(mpmath.fsum(mpmath.exp(y / mpmath.mpf(entropy)) for y in x))


def test_a_long_horizon_meets_the_stationary_optimum():
    model = signed_garnet(4)
    stationary = solve(model).value
    assert np.abs(backward_induction(model, 400).value[0] - stationary).max() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "horizon: expected an integer of at least 1, got 0"),
        ({"horizon": 2.5}, "horizon"),
        ({"horizon": 10**12}, "do not fit into memory"),
        ({"horizon": 2, "final_value": [1.0]}, "final_value: expected 12 finite numbers"),
        ({"horizon": 2, "entropy": -1.0}, "entropy"),
    ],
)
def test_backward_induction_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        backward_induction(signed_garnet(0), **arguments)


# Terms of the rounding analysis of certificates: worst cases, and right values that are exact.


def one_state(rewards, discount=0.9):
    """A state that every action leads back to."""
    rewards = np.atleast_2d(np.asarray(rewards, float))
    return FiniteMDP((np.zeros((*rewards.shape, 1), int), np.ones((*rewards.shape, 1))), rewards, discount)


def test_the_gap_of_a_policy_is_rounded_up(rng):
    for seed in range(40):
        model = mdp.garnet(states=8, seed=seed)
        found = certify(model, rng.dirichlet(np.ones(model.actions), 8))
        pairs = list(zip(found.optimum.lower, found.optimum.upper, found.lower, found.upper, strict=True))
        assert Fraction(found.gap) >= max(Fraction(high) - Fraction(low) for _, high, low, _ in pairs)
        assert Fraction(found.least_gap) <= max(0, *(Fraction(low) - Fraction(high) for low, _, _, high in pairs))


def test_rewards_that_a_policy_mixes_to_nothing_leave_their_rounding_behind(rng):
    outside = 0
    for _ in range(50):
        policy = rng.dirichlet(np.ones(3))
        rewards = rng.normal(size=3) * 1e12
        rewards[2] = -(policy[:2] @ rewards[:2]) / policy[2]
        found = certify(one_state(rewards), policy[None], time_limit=2)
        exact, weights = Fraction(0), [Fraction(p) for p in policy.tolist()]
        exact = sum(p * Fraction(r) for p, r in zip(weights, rewards.tolist(), strict=True)) / sum(weights)
        exact /= 1 - Fraction(0.9)
        assert Fraction(found.lower[0]) <= exact <= Fraction(found.upper[0])
        computed = float((policy / policy.sum() * rewards).sum()) * 10
        outside += abs(Fraction(computed) - exact) > 1e-11 * abs(computed) + 1e-300
    assert outside > 25  # these are cases in which the size of the mean says nothing about its error


@pytest.mark.parametrize("rare", [1e-9, 1e-12, 1e-15])
@pytest.mark.parametrize("entropy", [1.0, 1e9])
def test_the_entropy_of_a_policy_leaves_its_rounding_behind_where_it_is_next_to_nothing(rare, entropy):
    for common in (1 - rare, 1 - rare + 2.0**-53, 1 - rare - 2.0**-53):
        found = certify(one_state([0.0, 0.0]), [[common, rare]], entropy=entropy)
        with mpmath.workdps(60):
            total = mpmath.mpf(common) + mpmath.mpf(rare)
            weights = [mpmath.mpf(common) / total, mpmath.mpf(rare) / total]
            exact = -entropy * sum(p * mpmath.log(p) for p in weights) / (1 - mpmath.mpf(0.9))
            assert mpmath.mpf(found.lower[0]) <= exact <= mpmath.mpf(found.upper[0])


@pytest.mark.parametrize("rare", [1e-12, 1e-200])
def test_a_prior_that_is_followed_leaves_the_rounding_of_its_logarithms_behind(rare):
    """KL(π‖μ) = 0, as a difference of terms of up to λ log μ: each may be off by a unit in its last place."""
    kl, prior = 1e9, [[rare, 1 - rare]]
    found = certify(one_state([0.0, 0.0]), prior, kl=kl, prior=prior, tolerance=1e-300)
    assert found.lower[0] <= 0 <= found.upper[0]
    unit = 2.0**-53 * kl * -np.log(rare)
    assert found.upper[0] - found.lower[0] >= 20 * unit / (1 - 0.9)


def test_an_action_that_is_as_good_stays_where_rounding_makes_it_seem_worse():
    """γ (4 + 2⁻⁵¹ + 2⁻⁵¹) / 4 two ways: paid at once, and as a mean of values, whose sum is rounded down twice."""
    paid = [4.0, 2.0**-51, 2.0**-51, 0.0]
    best = 0.5 * (1 + 2.0**-52)
    rows = np.zeros((6, 2, 6))
    rows[0, 0, 1:5] = 0.25
    rows[0, 1, 5] = rows[1:, :, 5] = 1
    reward = np.array([[0.0, best], *([r, r] for r in paid), [0.0, 0.0]])
    model = FiniteMDP(rows, reward, 0.5, terminal=np.arange(6) == 5)
    value = np.array([best, *paid, 0.0])
    q = model.reward + 0.5 * model.expect(value)
    assert q[0, 0] < q[0, 1] == best  # though they are the same
    exactly_known = dataclasses.replace(solve(model), lower=value, upper=value)
    assert optimal_actions(exactly_known)[0].tolist() == [True, True]


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1 - 2.0**-30])
@pytest.mark.parametrize("actions", [2, 8, 80])  # the logarithms of 8 and 80 are rounded down by most
def test_the_cost_of_an_entropy_is_rounded_up(discount, actions, rng):
    """With equal rewards v* = v*_τ − τ log |A| / (1 − γ): no bound may be above it, however well v*_τ is known."""
    for entropy in 10.0 ** rng.uniform(-3, 3, 60):
        model = one_state(np.zeros(actions), discount)
        with mpmath.workdps(60):
            exact = mpmath.mpf(entropy) * mpmath.log(actions) / (1 - mpmath.mpf(discount))
            below = float(exact)
            below = below if mpmath.mpf(below) <= exact else np.nextafter(below, 0)
        solution = dataclasses.replace(solve(model, entropy=float(entropy)), lower=np.array([below]))
        lower, upper = unregularized_bounds(solution)
        assert lower[0] <= 0 <= upper[0]


def test_the_status_of_a_policy_is_that_of_the_interval_that_is_not_certified():
    """Action 0 pays 1 for ever, which is known before any sweep; the policy's chain is a ring that is paid in part."""
    states = 500
    after = (np.arange(states) + 1) % states
    table = np.stack([after, after], axis=1)[..., None], np.ones((states, 2, 1))
    reward = np.stack([np.ones(states), np.arange(states) % 7 == 0], axis=1)
    model = FiniteMDP(table, reward, 0.9999)
    found = certify(model, np.ones(states, int), time_limit=1e-9)
    assert found.optimum.status == "certified"
    assert found.status == "time limit"
    assert "time was up" in found.message


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.1, 0.2)])
def test_a_certificate_says_what_rounding_leaves(weights):
    model = mdp.garnet(states=30)
    solution = solve(model, *weights)
    arrays = certificate_arrays(model, solution, *weights, None)
    assert arrays["rounding"] == CRITERIA["discounted"].narrowest(solution.problem, float(np.abs(solution.value).max()))
    assert 0 < arrays["rounding"] <= solution.gap
