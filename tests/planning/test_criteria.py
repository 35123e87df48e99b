"""What a criterion claims of one backup, whatever v it was applied to; the right values are exact."""

import math
from fractions import Fraction

import numpy as np
import pytest

from exact import exact_value
from mdvi import FiniteMDP
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.problem import evaluation_of, problem_of
from mdvi.planning.requests import log_prior_of
from mdvi.planning.solve import solve, solve_problem
from models import random_case, signed_garnet

DISCOUNTED = CRITERIA["discounted"]


def one_state(reward, discount, keeps=1.0):
    """V = reward + discount · keeps · v, in which every number is exact."""
    return FiniteMDP(np.array([[[keeps]]]), np.array([[reward]]), discount, substochastic=keeps < 1)


def guesses(rng, truth):
    """Values to apply a backup to: far from the right ones and near, on one side of them and on the other."""
    size = 1 + np.abs(truth).max()
    for share in (10.0, 1.0, 1e-3, 1e-9, 0.0):
        noise = share * size * rng.normal(size=len(truth))
        yield from (truth + noise, truth + np.abs(noise), truth - np.abs(noise), truth + share * size)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_is_a_value(name):
    criterion = CRITERIA[name]
    assert criterion == type(criterion)()
    assert hash(criterion) == hash(type(criterion)())
    problem = problem_of(signed_garnet(0))
    one, two = solve_problem(problem, 1e-6), solve_problem(problem, 1e-6, criterion=criterion)
    assert (one.value == two.value).all()
    assert two.criterion is criterion


@pytest.mark.parametrize("seed", range(60))
def test_what_one_backup_proves_holds_the_truth(seed):
    model, kl, entropy, prior = random_case(seed)
    problem = problem_of(model, kl, entropy, log_prior_of(model, kl, prior))
    truth = exact_value(model, kl, entropy, prior)
    ends, near = np.asarray(model.terminal), np.array([float(v) for v in truth])
    known = DISCOUNTED.known(problem)
    for v in guesses(np.random.default_rng(seed), near):
        backup = problem.backup(np.where(ends, 0.0, v))
        interval = DISCOUNTED.interval(problem, backup)
        lower, upper = DISCOUNTED.bounds(problem, interval)
        assert not lower[ends].any()
        assert not upper[ends].any()
        assert (known[0] <= lower[~ends]).all()
        assert (upper[~ends] <= known[1]).all()
        number = type(truth[0])
        for s, exact in enumerate(truth):
            assert number(float(lower[s])) <= exact <= number(float(upper[s])), (seed, s)
        off = max(abs(number(float(x)) - exact) for x, exact in zip(backup.v, truth, strict=True))
        least = DISCOUNTED.least_error(problem, backup)
        assert least >= 0
        assert number(least) <= off
        assert DISCOUNTED.width(problem, backup.low, backup.high) <= interval.below + interval.above


@pytest.mark.parametrize("seed", range(20))
def test_a_backup_of_the_optimum_proves_as_much_as_rounding_lets_it(seed):
    model = signed_garnet(seed, discount=0.99)
    problem = problem_of(model)
    best = solve(model, tolerance=1e-300)
    interval = DISCOUNTED.interval(problem, problem.backup(best.value))
    width = interval.below + interval.above
    assert interval.rounding <= width <= 2.1 * interval.rounding
    assert DISCOUNTED.floor(problem, interval) == pytest.approx(interval.rounding, rel=0.01)
    size = np.abs(best.value).max()
    assert DISCOUNTED.narrowest(problem, size) == pytest.approx(interval.rounding, rel=0.01)
    assert DISCOUNTED.narrowest(problem, 1e3 * size) > 100 * interval.rounding


@pytest.mark.parametrize("discount", [2.0**-10, 0.5, 1 - 2.0**-10])
@pytest.mark.parametrize("value", [1.0, -1.0])
def test_bounds_leave_the_checker_three_errors_at_a_fixed_point(discount, value):
    """At v = Tv nothing rounds, so that what is left is the stretching: T lower − lower = (1 − γ) below ≥ 3E."""
    problem = problem_of(one_state(value * (1 - discount), discount))
    backup = problem.backup(np.array([value]))
    assert backup.low == backup.high == 0
    interval = DISCOUNTED.interval(problem, backup)
    error = Fraction(problem.rounding(1.0))
    for reach in (interval.below, interval.above):
        assert 3 * error <= (1 - Fraction(discount)) * Fraction(reach) <= Fraction(41, 10) * error


@pytest.mark.parametrize("discount", [0.5, 0.99])
@pytest.mark.parametrize("change", [0.25, -0.25])
def test_the_wider_of_two_factors_is_taken(discount, change):
    """Two states that keep all of a value and half of it: a change may be worth as much as either says."""
    rows = np.array([[[1.0, 0.0]], [[0.0, 0.5]]])
    problem = problem_of(FiniteMDP(rows, np.full((2, 1), change), discount, substochastic=True))
    interval = DISCOUNTED.interval(problem, problem.backup(np.zeros(2)))
    most, least = discount / (1 - discount), 0.5 * discount / (1 - 0.5 * discount)
    above, below = (most, least) if change > 0 else (least, most)
    assert interval.above == pytest.approx(change * above)
    assert interval.below == pytest.approx(-change * below)
    assert DISCOUNTED.width(problem, change, change) == pytest.approx(abs(change) * (most - least))
    known = DISCOUNTED.known(problem)
    values = sorted((change / (1 - discount), change / (1 - 0.5 * discount)))
    assert known == pytest.approx(values)
    assert known[0] <= values[0]
    assert values[1] <= known[1]


def test_what_is_known_without_a_backup_is_rounded_outward_but_not_beyond_zero(rng):
    for reward in (*rng.normal(size=50), *(10.0 ** rng.uniform(-300, 290, 50))):
        for discount in (0.1, 0.9, 1 - 2.0**-30):
            low, high = DISCOUNTED.known(problem_of(one_state(reward, discount)))
            assert Fraction(low) < Fraction(reward) / (1 - Fraction(discount)) < Fraction(high)
            assert high - low <= 1e-14 * abs(high) / (1 - discount)
    assert DISCOUNTED.known(problem_of(one_state(0.0, 0.9))) == (0.0, 0.0)


def test_a_reward_for_ever_and_a_change_that_is_settled_undo_each_other():
    problem = problem_of(one_state(1.0, 0.75))
    assert DISCOUNTED.forever(problem, 3.0) == pytest.approx(12.0)
    assert DISCOUNTED.settled(problem, 12.0) == pytest.approx(3.0)


def test_where_rounding_hides_the_discount_a_backup_proves_nothing():
    problem = problem_of(one_state(1.0, 1 - 2.0**-49))
    interval = DISCOUNTED.interval(problem, problem.backup(np.zeros(1)))
    low, high = known = DISCOUNTED.known(problem)
    assert (interval.below, interval.above) == (math.inf, math.inf)
    assert interval.rounding == DISCOUNTED.narrowest(problem, 1.0) == pytest.approx(high - low)
    assert interval.rounding >= high - low
    assert tuple(bound[0] for bound in DISCOUNTED.bounds(problem, interval)) == known


@pytest.mark.parametrize("reward", [1e200, -1e200])
def test_the_floor_is_that_of_values_as_large_as_they_are_known_to_be(reward):
    """Rewards r and r / 2 at γ = ½: after a backup of zero, one value is known to be at least 3r / 2."""
    rows = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    problem = problem_of(FiniteMDP(rows, np.array([[reward], [reward / 2]]), 0.5))
    interval = DISCOUNTED.interval(problem, problem.backup(np.zeros(2)))
    floor = DISCOUNTED.floor(problem, interval)
    assert floor == pytest.approx(DISCOUNTED.narrowest(problem, 1.5e200), rel=1e-9)
    assert DISCOUNTED.narrowest(problem, 1e200) < 0.9 * floor


def test_the_narrowest_interval_holds_the_rounding_of_its_ends(rng):
    """At a fixed point bounds are as far apart as they may be, and value − below and value + above are rounded, too."""
    for value in rng.uniform(1.0, 2.0, 300):
        problem = problem_of(FiniteMDP(np.ones((2, 1, 2)) / 2, np.array([[value], [-value]]), 0.0))
        interval = DISCOUNTED.interval(problem, problem.backup(np.array([value, -value])))
        assert interval.below == interval.above
        narrowest = Fraction(DISCOUNTED.narrowest(problem, value))
        ends = interval.value - interval.below, interval.value + interval.above
        for low, high in zip(*ends, strict=True):
            assert Fraction(high) - Fraction(low) <= narrowest


@pytest.mark.parametrize("discount", [0.0, 0.5, 1 - 2.0**-20, 1 - 2.0**-40])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e9])
def test_the_largest_bound_holds_the_rounding_that_grows_with_it(discount, size):
    """The smallest l ≥ size + (4E(l) + change) γσ / (1 − γσ) + 3E(l), or a billionth more."""
    problem = problem_of(one_state(1.0, discount))
    factor = Fraction(problem.greatest_factor)
    for change in (0.0, 0.1, 1e3):
        largest = DISCOUNTED._largest(problem, size, change)
        error = Fraction(problem.rounding(largest))
        needed = Fraction(size) + factor / (1 - factor) * (Fraction(change) + 4 * error) + 3 * error
        assert needed <= Fraction(largest) <= needed * (1 + Fraction(1, 10**8))


@pytest.mark.parametrize(
    ("reward", "discount", "message"),
    [(1.0, 1.0, "discount: 1.0 times the largest sum of a row"), (1e299, 0.99, r"reward: values of up to 1e\+299")],
)
def test_models_without_values_are_refused_by_name(reward, discount, message):
    problem = problem_of(one_state(reward, discount))
    with pytest.raises(ValueError, match=message):
        DISCOUNTED.check(problem)
    with pytest.raises(ValueError, match=message):
        solve_problem(problem, 1.0)
    DISCOUNTED.check(problem_of(one_state(reward, 0.5)))


def test_the_criterion_of_a_solution_bounds_what_is_computed_from_it():
    """A policy is evaluated, and a solution judged, by the same criterion as it was found."""
    model = signed_garnet(1)
    table = np.eye(model.actions)[solve(model).action]
    own = solve_problem(evaluation_of(model, table, 0.0, model.max_abs_reward), 1e-6)
    assert own.criterion == solve(model).criterion == DISCOUNTED
