"""What must hold between answers: laws of transformed models, limits, published values, and methods that agree.

Two intervals that hold the same number overlap; that is all a law may ask for, and it is asked in every state.
"""

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse

from mdvi import FiniteMDP, mdp, solve
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.problem import evaluation_of, problem_of
from mdvi.regularizers.rows import exponential
from models import random_case, signed_garnet

SEEDS = range(25)


def arrays(model):
    """P, r, γ and the masks of a model, densely."""
    masks = {"terminal": np.array(model.terminal), "legal": np.array(model.legal)}
    return np.array(model.dense().kernel.probability), np.array(model.reward), float(model.discount), masks


def rebuilt(p, r, discount, masks):
    """A model of arrays; rows may sum to less than 1, as some of the random ones do."""
    return FiniteMDP(p, r, discount, **masks, substochastic=True)


def solved(model, kl=0.0, entropy=0.0, prior=None):
    """Solved until the interval is a millionth of what the values may be, or rounding ends it."""
    scale = (model.max_abs_reward + (kl + entropy) * (1 + model.log_actions)) / (1 - float(model.discount))
    solution = solve(model, kl, entropy, prior, tolerance=1e-6 * max(scale, 1e-9), time_limit=60)
    assert solution.status in ("certified", "tolerance below rounding floor"), solution
    return solution


def assert_same(one, other, scale=1.0, shift=0.0, to=None):
    """The interval of `other` meets that of scale · one + shift in every state; `to` renumbers the states of `one`."""
    to = np.arange(len(one.value)) if to is None else to
    lower, upper = (np.asarray(scale * bound + shift) for bound in (one.lower, one.upper))
    slack = 1e-12 * (np.abs(lower) + np.abs(upper) + np.abs(shift))  # of scaling the bounds themselves
    assert (lower - slack <= other.upper[to]).all()
    assert (other.lower[to] <= upper + slack).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_values_scale_with_rewards_and_weights(seed):
    model, kl, entropy, prior = random_case(seed)
    p, r, discount, masks = arrays(model)
    one = solved(model, kl, entropy, prior)
    assert_same(one, solved(rebuilt(p, 3 * r, discount, masks), 3 * kl, 3 * entropy, prior), scale=3.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reward_added_everywhere_adds_its_discounted_sum(seed):
    model = signed_garnet(seed)
    p, r, discount, masks = arrays(model)
    for entropy in (0.0, 0.3):
        one, other = solved(model, 0.1, entropy), solved(rebuilt(p, r + 2.0, discount, masks), 0.1, entropy)
        assert_same(one, other, shift=2.0 / (1 - discount))


@pytest.mark.parametrize("seed", SEEDS)
def test_states_and_actions_have_no_order(seed):
    model, kl, entropy, prior = random_case(seed)
    p, r, discount, masks = arrays(model)
    rng = np.random.default_rng([30, seed])
    to, of = rng.permutation(model.states), rng.permutation(model.actions)  # state s becomes to[s]
    back = np.argsort(to)
    renamed = rebuilt(
        p[back][:, of][:, :, back],
        r[back][:, of],
        discount,
        {"terminal": masks["terminal"][back], "legal": masks["legal"][back][:, of]},
    )
    other = solved(renamed, kl, entropy, None if prior is None else prior[back][:, of])
    assert_same(solved(model, kl, entropy, prior), other, to=to)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_potential_moves_the_values_by_itself(seed):
    """R(s, a) + γ E φ(s') − φ(s) has the values v − φ: Ng, Harada and Russell (1999)."""
    model, kl, entropy, prior = random_case(seed)
    p, r, discount, masks = arrays(model)
    potential = np.where(model.terminal, 0.0, np.random.default_rng([31, seed]).normal(size=model.states))
    potential = potential * max(model.max_abs_reward, 1e-3)
    shaped = r + discount * model.expect(potential) - potential[:, None]
    other = solved(rebuilt(p, np.where(model.live, shaped, 0.0), discount, masks), kl, entropy, prior)
    assert_same(solved(model, kl, entropy, prior), other, shift=-potential)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_copy_of_every_action_is_worth_an_entropy_of_log_2_but_no_kl(seed):
    model, kl, entropy, prior = random_case(seed)
    p, r, discount, masks = arrays(model)
    legal = np.tile(masks["legal"], 2)
    doubled = rebuilt(np.tile(p, (1, 2, 1)), np.tile(r, 2), discount, {"terminal": masks["terminal"], "legal": legal})
    if prior is not None:
        prior_of_two = np.tile(prior / 2, 2)
        assert_same(solved(model, kl, 0.0, prior), solved(doubled, kl, 0.0, prior_of_two))
    assert_same(solved(model, kl), solved(doubled, kl))  # half the prior for each of the copies
    rewarded = rebuilt(p, np.where(model.live, r + entropy * np.log(2), 0.0), discount, masks)
    assert_same(solved(rewarded, 0.0, entropy), solved(doubled, 0.0, entropy))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_action_that_is_dominated_changes_nothing_without_entropy(seed):
    model = random_case(seed)[0]
    p, r, discount, masks = arrays(model)
    worse = r[:, :1] - max(model.max_abs_reward, 1e-3)
    legal = np.hstack([masks["legal"], masks["legal"][:, :1]])
    more = rebuilt(
        np.concatenate([p, p[:, :1]], 1),
        np.hstack([r, worse]),
        discount,
        {"terminal": masks["terminal"], "legal": legal},
    )
    assert_same(solved(model), solved(more))


@pytest.mark.parametrize("seed", range(20))
def test_all_storages_and_all_methods_agree(seed):
    model, kl, entropy, prior = random_case(seed)
    dense, table = model.dense(), model.table()
    p, r, discount, masks = arrays(model)
    sparse = FiniteMDP(scipy.sparse.csr_array(p.reshape(-1, model.states)), r, discount, **masks, substochastic=True)
    kernel = mdp.MatrixFree(lambda v: p @ v, r.shape, model.states)
    free = FiniteMDP(kernel, r, discount, **masks, substochastic=True)
    one = solved(model, kl, entropy, prior)
    for other in (dense, table, sparse):
        assert_same(one, solved(other, kl, entropy, prior))
    if discount <= 0.99:
        assert_same(one, solved(free, kl, entropy, prior))
        for method in ("value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration"):
            found = solve(model, kl, entropy, prior, tolerance=max(1000 * one.gap, 1e-12), method=method)
            assert_same(one, found)


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999])
def test_howards_policy_iteration_gives_the_same_values(discount):
    from quantecon.markov import DiscreteDP

    for seed in range(5):
        model = signed_garnet(seed, discount=discount)
        peer = DiscreteDP(model.reward, model.kernel.probability, discount).solve("policy_iteration")
        found = solved(model)
        rounding = 1e-15 * np.abs(peer.v).max() / (1 - discount)  # of the peer's linear solve
        np.testing.assert_allclose(peer.v, found.value, rtol=0, atol=found.gap + rounding)


@pytest.mark.parametrize("weight", [1e-300, 1e-30, 1e-12, 1e-3])
def test_a_vanishing_weight_gives_the_maximum(weight):
    """An entropy raises values by at most τ log |A| / (1 − γ), a KL to the uniform policy lowers them by as much."""
    for seed in range(10):
        model = random_case(seed)[0]
        hard, worth = solved(model), weight * model.log_actions / (1 - float(model.discount)) * (1 + 1e-9)
        for kl, entropy in ((0.0, weight), (weight, 0.0), (weight, weight)):
            soft = solved(model, kl, entropy)
            assert (soft.lower <= hard.upper + (worth if entropy else 0.0)).all()
            assert (hard.lower - (worth if kl else 0.0) <= soft.upper).all()


def test_the_exponential_of_sweeps_is_right_to_three_units_in_the_last_place(rng):
    """The proof of an interval assumes four."""
    steps = np.arange(5121) / 128  # the numbers of the table, and those half-way between them
    small = 10.0 ** rng.uniform(-320, 0, 2000)
    x = -np.concatenate([[0.0], 40 * rng.random(5000), small, steps, np.nextafter(steps, 0), np.nextafter(steps, 40)])
    with mpmath.workdps(40):
        for one in x.tolist():
            true = mpmath.exp(mpmath.mpf(one))
            assert abs(exponential(one) - true) <= 3 * np.spacing(float(true)), one


def test_a_growing_kl_gives_the_prior():
    model = signed_garnet(0)
    prior = np.random.default_rng(0).dirichlet(np.ones(4), 12)
    chain = np.einsum("sa,sat->st", prior, model.kernel.probability)
    own = np.linalg.solve(np.eye(12) - 0.9 * chain, (prior * model.reward).sum(-1))
    found = solve(model, kl=1e6, prior=prior, tolerance=1e-5)
    assert np.abs(found.value - own).max() < 1e-4
    np.testing.assert_allclose(np.exp(found.log_policy), prior, atol=1e-5)


def test_without_a_future_the_value_is_the_best_reward():
    for seed in range(10):
        p, r, _, masks = arrays(random_case(seed)[0])
        found = solved(rebuilt(p, r, 0.0, masks))
        best = np.where(masks["terminal"], 0.0, np.where(masks["legal"], r, -np.inf).max(-1))
        np.testing.assert_allclose(found.value, best, rtol=1e-12)


@pytest.mark.parametrize("discount", [0.0, 0.9, 0.99999])
@pytest.mark.parametrize("reward", [0.0, 1.0, -1e8])
def test_equal_rewards_are_worth_their_sum(reward, discount):
    model = FiniteMDP(np.full((3, 2, 3), 1 / 3), np.full((3, 2), reward), discount)
    found = solve(model, tolerance=1e-7 * max(abs(reward), 1.0) / (1 - discount))
    assert found.status == "certified"
    np.testing.assert_allclose(found.value, reward / (1 - discount), rtol=1e-7, atol=1e-7)


def test_one_state_and_one_action():
    found = solve(FiniteMDP([[[1.0]]], [[2.0]], 0.75), entropy=5.0, kl=3.0)
    assert found.value.tolist() == pytest.approx([8.0])


def test_states_without_end_or_use():
    """All terminal; and a state that nothing leads to."""
    ends = FiniteMDP(np.full((2, 2, 2), 0.5), np.ones((2, 2)), 0.9, terminal=[True, True])
    assert solve(ends, entropy=1.0).value.tolist() == [0.0, 0.0]
    p = np.zeros((2, 1, 2))
    p[:, 0, 0] = 1.0
    assert solve(FiniteMDP(p, [[1.0], [7.0]], 0.5)).value == pytest.approx([2.0, 8.0])


@pytest.mark.parametrize("entropy", [1e-30, 1e-3, 1.0])
def test_rewards_far_apart_overflow_nowhere(entropy):
    model = FiniteMDP(np.full((2, 2, 2), 0.5), [[1e30, -1e30], [0.0, 1e30]], 0.9)
    found = solve(model, entropy=entropy, tolerance=1e20)
    assert found.status == "certified"
    np.testing.assert_allclose(found.value, 1e31, rtol=1e-9)
    assert np.isfinite(found.q).all()
    assert not np.isnan(found.log_policy).any()


def test_the_forest_of_mdptoolbox():
    """The answer that MDPtoolbox documents for its example with three ages."""
    np.testing.assert_allclose(solve(mdp.forest(), tolerance=1e-10).value, [26.244, 29.484, 33.484], atol=1e-9)


def test_the_small_example_of_mdptoolbox():
    p = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.0, 1.0], [0.1, 0.9]]])
    found = solve(mdp.from_toolbox(p, np.array([[5.0, 10.0], [-1.0, 2.0]]), 0.9), tolerance=1e-10)
    np.testing.assert_allclose(found.value, [42.44186046511628, 36.04651162790698], atol=1e-9)


def test_the_growth_model_of_quantecon():
    """Storage and consumption: s of at most 15, a ≤ min(s, 5) kept, √(s − a) enjoyed, a shock of 0…10 added."""
    s, a = np.arange(16)[:, None], np.arange(6)[None, :]
    legal = a <= s
    p = np.zeros((16, 6, 16))
    for kept in range(6):
        p[:, kept, kept : kept + 11] = 1 / 11
    model = FiniteMDP(p, np.where(legal, np.sqrt(np.maximum(s - a, 0)), 0.0), 0.9, legal=legal)
    found = solve(model, tolerance=1e-10)
    documented = """19.01740222 20.01740222 20.43161578 20.74945302 21.04078099 21.30873018 21.54479816 21.76928181
    21.98270358 22.18824323 22.3845048 22.57807736 22.76109127 22.94376708 23.11533996 23.27761762"""
    np.testing.assert_allclose(found.value, [float(x) for x in documented.split()], atol=1e-8)
    assert found.action.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 5]


# The rounding analysis, term by term: each model is a worst case of one term, and the right values are exact.


def test_the_error_of_a_backup_holds_that_of_the_prior_where_rewards_cancel_it(rng):
    """λ log μ of up to 10⁹, and r = −λ log μ: the gain is zero, and its error is all that there is."""
    states, kl = 300, 1e6
    rare = np.exp(-rng.uniform(513, 600, states))
    prior = np.stack([rare, np.ones(states)], axis=1)
    offset = kl * np.log(prior)
    rows = np.broadcast_to(np.arange(states)[:, None, None], (states, 2, 1)), np.ones((states, 2, 1))
    model = FiniteMDP(rows, -offset, 0.5)
    problem = problem_of(model, kl, 0.0, np.log(prior))
    assert problem.max_offset == np.abs(offset).max()
    assert problem.max_gain == 0
    computed, error = problem.backup(np.zeros(states)).value, problem.rounding(0.0)
    with mpmath.workdps(60):
        gains = [mpmath.mpf(-c) + kl * mpmath.log(mpmath.mpf(m)) for c, m in zip(offset[:, 0], rare, strict=True)]
        exact = [kl * mpmath.log(mpmath.exp(gain / kl) + 1) for gain in gains]
        errors = [abs(mpmath.mpf(x) - y) for x, y in zip(computed.tolist(), exact, strict=True)]
    assert max(errors) <= error
    without_the_prior = replace(problem, max_offset=0.0).rounding(0.0)
    assert max(errors) > without_the_prior  # it is a worst case, or nearly


def long_rows(length, value=1.0):
    """A state with many successors of equal probability, whose running sum is rounded the same way again and again."""
    probability = np.full(length, 1 / length)
    start = np.concatenate([[0, length], np.arange(length + 1, 2 * length)])
    successor = np.concatenate([np.arange(length), np.zeros(length - 1, int)])
    matrix = scipy.sparse.csr_array((np.concatenate([probability, np.ones(length - 1)]), successor, start))
    return FiniteMDP(matrix, np.full((length, 1), value), 0.9)


@pytest.mark.parametrize("length", [10_000, 100_000, 300_000])
def test_the_error_of_a_backup_grows_with_the_longest_row(length):
    model = long_rows(length)
    problem = problem_of(model)
    assert problem.terms == length
    v = np.ones(length)
    computed = problem.backup(v).value[0]
    exact = 1 + Fraction(0.9) * length * Fraction(1 / length)
    assert abs(Fraction(computed) - exact) <= Fraction(problem.rounding(1.0))
    assert abs(Fraction(computed) - exact) > Fraction(replace(problem, terms=1).rounding(1.0))


def test_the_longest_row_is_found_wherever_it_is(rng):
    for states in (1, 7, 300, 1000):
        lengths = rng.integers(1, min(states, 60) + 1, 2 * states)
        start = np.concatenate([[0], np.cumsum(lengths)])
        successor = np.concatenate([np.sort(rng.choice(states, n, replace=False)) for n in lengths])
        probability = np.repeat(1 / lengths, lengths)
        matrix = scipy.sparse.csr_array((probability, successor, start), shape=(2 * states, states))
        problem = problem_of(FiniteMDP(matrix, np.zeros((states, 2)), 0.9))
        assert problem.terms == lengths.max()


def test_the_largest_offset_is_found_wherever_it_is(rng):
    model = mdp.garnet(states=1000, actions=3)
    prior = rng.dirichlet(np.ones(3), 1000)
    problem = problem_of(model, 0.7, 0.1, np.log(prior))
    assert problem.max_offset == np.abs(0.7 * np.log(prior)).max()


ROUNDED_ROWS = {
    "down": [1.0, 2.0**-54, 2.0**-54, 2.0**-54],
    "up": [1 - 2.0**-53, 2.0**-54, 0.0, 0.0],
    "down, twice": [0.5, 0.5, 2.0**-54, 2.0**-55],
    "one unit above": [1.0, 2.0**-52, 0.0, 0.0],
    "a long sum": [1.0, 1e-15, 1e-12, 1e-17],
}


@pytest.mark.parametrize("discount", [0.5, 1 - 2.0**-20, 1 - 2.0**-38])
@pytest.mark.parametrize("case", ROUNDED_ROWS)
def test_the_sums_of_rows_are_rounded_outward(case, discount):
    row = ROUNDED_ROWS[case]
    exact = sum(map(Fraction, row))
    problem = problem_of(FiniteMDP(np.array([[row]] * 4), np.ones((4, 1)), discount))
    assert Fraction(problem.least_sum) <= exact <= Fraction(problem.greatest_sum)
    assert Fraction(problem.greatest_factor) >= Fraction(discount) * exact
    solution = solve(problem.mdp, tolerance=1e-300, time_limit=60)
    value = 1 / (1 - Fraction(discount) * exact)
    assert all(Fraction(x) <= value <= Fraction(y) for x, y in zip(solution.lower, solution.upper, strict=True))


@pytest.mark.parametrize("actions", [1000, 100_000])
def test_the_error_of_evaluating_a_policy_grows_with_the_actions(actions):
    """All of them lead to one state, so that the chain is a sum of as many products, rounded the same way."""
    table = np.zeros((1, actions, 1), int), np.ones((1, actions, 1))
    policy = np.full((1, actions), 1 / actions)
    problem = evaluation_of(FiniteMDP(table, np.zeros((1, actions)), 0.9), policy, np.zeros(1), 0.0)
    exact = actions * Fraction(1 / actions)
    computed = problem.backup(np.ones(1)).value[0]
    assert abs(Fraction(computed) - Fraction(0.9) * exact) <= Fraction(problem.rounding(1.0))
    assert Fraction(problem.least_sum) <= exact <= Fraction(problem.greatest_sum)
    if actions > 1000:
        assert abs(Fraction(computed) - Fraction(0.9) * exact) > Fraction(replace(problem, slack=0).rounding(1.0))


def test_what_is_proved_of_a_change_is_never_below_its_formula(rng):
    """γσ (change + 4E) / (1 − γσ) + 3E, whatever the size of what is added up."""
    problem = problem_of(mdp.garnet(discount=0.9))
    for change, size in zip(rng.normal(size=2000), 10.0 ** rng.uniform(-14, -3, 2000), strict=True):
        error = abs(change) * size
        stretched = Fraction(change) + 4 * Fraction(error)
        sigma = Fraction(problem.greatest_factor if stretched >= 0 else problem.discount * problem.least_sum)
        exact = sigma * stretched / (1 - sigma) + 3 * Fraction(error)
        assert Fraction(CRITERIA["discounted"]._reach(problem, change, error)) >= exact
