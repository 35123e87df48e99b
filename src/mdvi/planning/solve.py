"""The fastest certified road to v*: backups that prove an interval, and between them whatever brings v closer."""

from pathlib import Path
from typing import Any

from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.native import clock
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.criteria.base import Criterion
from mdvi.planning.methods import METHODS
from mdvi.planning.problem import Problem, problem_of
from mdvi.planning.requests import check_request, log_prior_of
from mdvi.planning.road import Road
from mdvi.planning.solution import Progress, Solution
from mdvi.planning.watch import stoppable


def solve(
    mdp: FiniteMDP | str | Path,
    kl: float = 0.0,
    entropy: float = 0.0,
    prior: Any = None,
    tolerance: float = 1e-6,
    method: str = "auto",
    time_limit: float | None = None,
    *,
    progress: Progress | None = None,
) -> Solution:
    """The optimum of a regularised problem, with an interval that is proved to hold it.

        v* = max_π E Σ γ^t (r − λ KL(π‖μ) + τ H(π)),     v* = M_{λ+τ}(r + λ log μ + γ P v*)

    with M_0 the maximum. Terminal states are worth zero.

    Args:
        mdp: the model, in any storage; it is never densified. Or its name, as `mdvi solve` takes it: a file,
            `gym:ID,key=value,…` or `family:key=value,…`.
        kl: λ ≥ 0, the weight of the KL to the prior.
        entropy: τ ≥ 0, the weight of the entropy.
        prior: μ, shape (states, actions), positive on legal actions; default uniform over them.
        tolerance: how wide the interval may be, in units of value: upper − lower ≤ tolerance in every state.
        method: "auto", "value-iteration", "modified-policy-iteration", "gauss-seidel" or "policy-iteration".
        time_limit: in seconds; the compilation of functions, once on a machine, does not count.
        progress: called after every backup with their number and the gap.

    Returns:
        A `Solution`, `certified` when the tolerance is met. There is no cap on iterations: otherwise it is the
        best interval when time was up, on Ctrl-C, when rounding makes the tolerance unreachable, or when a method
        makes no progress any more.

    Raises:
        ValueError: for bad arguments, naming them, and when the model cannot fit into memory.

    Source: MacQueen (1966) and Porteus (1971) for the interval; Puterman and Shin (1978) for modified policy iteration.
    """
    mdp = model_of(mdp)
    start = clock()
    check_request(mdp, kl, entropy, tolerance, method, METHODS, time_limit)
    problem = problem_of(mdp, kl, entropy, log_prior_of(mdp, kl, prior))
    return solve_problem(problem, tolerance, method, time_limit, progress, start)


def solve_problem(
    problem: Problem,
    tolerance: float,
    method: str = "auto",
    time_limit: float | None = None,
    progress: Progress | None = None,
    start: float | None = None,
    criterion: Criterion = CRITERIA["discounted"],
) -> Solution:
    """`solve`, for a problem that is already prepared, and for any criterion."""
    start = clock() if start is None else start
    criterion.check(problem)
    road = Road(problem, criterion, tolerance, method, progress)
    with stoppable(start, time_limit) as watch:
        status = road.follow(watch)
    return road.proof.solution(status, method, clock() - start)
