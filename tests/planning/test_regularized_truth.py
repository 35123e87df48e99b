"""Intervals with every regulariser, with references and without, against numbers of 60 digits."""

import collections

import pytest

from exact import exact_value
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.methods import METHODS
from mdvi.planning.problem import problem_of
from mdvi.planning.requests import log_prior_of, log_reference_of, regularizer_for
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED
from mdvi.planning.solve import solve_problem
from models import regularized_case

DISCOUNTED = CRITERIA["discounted"]


def problem_and_truth(seed):
    model, kl, entropy, prior, name, reference = regularized_case(seed)
    omega, rho = regularizer_for(model, name, prior, reference, entropy)
    log_policies = log_prior_of(model, kl, prior), log_reference_of(model, rho, omega)
    problem = problem_of(model, kl, entropy, log_policies[0], omega, log_policies[1])
    return problem, exact_value(model, kl, entropy, prior, name, reference)


def check_interval(seed, solution, truth):
    for s, v in enumerate(truth):
        lower, upper = (v.__class__(float(x)) for x in (solution.lower[s], solution.upper[s]))
        assert lower <= v <= upper, (seed, s, float(lower - v), float(v - upper), solution)


def check_truth(seed):
    """Solve to ten times the rounding floor, and as far as rounding goes; returns the method and what Ω is."""
    problem, truth = problem_and_truth(seed)
    omega, bound = problem.regularizer, max(abs(x) for x in problem.immediate)
    floor = max(DISCOUNTED.narrowest(problem, DISCOUNTED.forever(problem, bound)), 1e-300)
    methods = [name for name in METHODS if name != "gauss-seidel" or problem.sweeps is not None]
    method = ("auto", *methods)[seed % (1 + len(methods))]
    if method not in ("auto", "policy-iteration") and problem.discount > 0.999:
        check_interval(seed, solve_problem(problem, 10 * floor, method, time_limit=0.1), truth)
        method = "auto"
    solution = solve_problem(problem, 10 * floor, method, time_limit=60)
    check_interval(seed, solution, truth)
    assert solution.status == CERTIFIED, (seed, solution)
    narrowest = solve_problem(problem, 1e-300, time_limit=60)
    check_interval(seed, narrowest, truth)
    assert narrowest.status == (BELOW_FLOOR if narrowest.gap > 0 else CERTIFIED), (seed, narrowest)
    kind = omega.name.partition(":")[0] + (" to a policy" if omega.rows is None else "")
    return method, kind + (" with a Bregman reference or prior" if problem.offset is not None else "")


@pytest.mark.parametrize("block", range(4))
def test_the_interval_of_every_regularizer_holds_the_truth(block):
    for seed in range(10 * block, 10 * block + 10):
        check_truth(seed)


@pytest.mark.certify
@pytest.mark.parametrize("block", range(50))
def test_the_interval_of_every_regularizer_holds_the_truth_thousands_of_times(block):
    counts = collections.Counter()
    for seed in range(100 * block, 100 * block + 100):
        counts.update(check_truth(seed))
    print(f"100 models from number {100 * block}: every interval holds the truth; {dict(sorted(counts.items()))}")
