"""Solve a model to a proved tolerance: backups that prove an interval, and between them turns of the fastest method."""

from pathlib import Path
from typing import Any

import numpy as np

from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.native import clock
from mdvi.planning.average import solve_average
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.criteria.base import Criterion
from mdvi.planning.methods import METHODS
from mdvi.planning.problem import Problem, Values, problem_of
from mdvi.planning.requests import (
    check_method,
    check_request,
    criterion_of,
    log_prior_of,
    log_reference_of,
    regularizer_for,
    start_of,
)
from mdvi.planning.solution import Asked, Progress, Solution
from mdvi.planning.solver import Solver
from mdvi.planning.total import solve_total
from mdvi.planning.watch import narrowing, stoppable
from mdvi.progress import shown
from mdvi.regularizers import SHANNON, Regularizer


def solve(
    mdp: FiniteMDP | str | Path,
    kl: float = 0.0,
    entropy: float = 0.0,
    prior: Any = None,
    tolerance: float = 1e-6,
    method: str = "auto",
    time_limit: float | None = None,
    *,
    regularizer: Regularizer | str = SHANNON,
    reference: Any = None,
    criterion: str | None = None,
    start: Any = None,
    progress: Asked = None,
) -> Solution:
    """The optimum of a regularised problem, with an interval that is proved to hold it.

        v* = max_π E Σ γ^t (r − λ KL(π‖μ) + τ H(π)),     v* = M_{λ+τ}(r + λ log μ + γ P v*)

    with M_0 the maximum. Terminal states are worth zero. With another regulariser Ω than the negative entropy, −τ Ω
    stands in the place of τ H, and its Bregman divergence D_Ω(π‖μ) in the place of the KL.

    >>> import mdvi
    >>> lake = mdvi.mdp.from_gymnasium("FrozenLake-v1", discount=0.99)
    >>> sparse = mdvi.solve(lake, entropy=0.01, regularizer="tsallis:2")
    >>> round(float(sparse.value[0]), 6), sparse.policy[0].tolist()
    (0.542911, [1.0, 0.0, 0.0, 0.0])

    Args:
        mdp: the model, in any storage; it is never densified. Or its name, as `mdvi solve` takes it: a file,
            `gym:ID,key=value,…` or `family:key=value,…`.
        kl: λ ≥ 0, the weight of the KL to the prior.
        entropy: τ ≥ 0, the weight of the entropy.
        prior: μ, shape (states, actions), positive on legal actions; default uniform over them.
        tolerance: how wide the interval may be, in units of value: upper − lower ≤ tolerance in every state.
        method: "auto", "value-iteration", "modified-policy-iteration", "gauss-seidel" or "policy-iteration".
        time_limit: in seconds; the compilation of functions, once on a machine, does not count.
        regularizer: Ω, or its name: "shannon", "tsallis:2", "divergence:2", "lazy", …
        reference: ρ, shape (states, actions): −τ D_Ω(π‖ρ) replaces −τ Ω(π); for Shannon's Ω it is −τ KL(π‖ρ). To
            "divergence:2" and its like, ρ is the policy that they diverge from, to "lazy" the default policy.
        criterion: "discounted", for γ < 1; "total" for the expected sum of all rewards at γ = 1, or "average" for their
            long-run average, see docs/undiscounted.md. By default that of γ; at γ = 1 episodes have to end somewhere.
        start: where to start from, another `Solution` or values of shape (states,); default zero. A close start, such
            as the solution for a reward that differs little, saves work. The interval is proved from any start.
        progress: called after every backup with their number and the gap; False for nothing. By default, a solve of
            more than a second shows a line of progress in terminals and notebooks.

    Returns:
        A `Solution`, `certified` when the tolerance is met. There is no cap on iterations: otherwise it is the
        best interval when time was up, on Ctrl-C, when rounding makes the tolerance unreachable, or when a method
        makes no progress any more.

    Raises:
        ValueError: for bad arguments, naming them, and when the model cannot fit into memory.

    Source: MacQueen (1966) and Porteus (1971) for the interval; Puterman and Shin (1978) for modified policy iteration.
    """
    mdp = model_of(mdp)
    began = clock()
    check_request(mdp, kl, entropy, tolerance, method, METHODS, time_limit, finite=True)
    named = criterion_of(mdp, criterion)
    omega, reference = regularizer_for(mdp, regularizer, prior, reference, entropy)
    log_policies = log_prior_of(mdp, kl, prior), log_reference_of(mdp, reference, omega)
    problem = problem_of(mdp, kl, entropy, log_policies[0], omega, log_policies[1])
    first = None if start is None else start_of(mdp, _values_of(start))
    with shown(progress, narrowing(tolerance)) as told:
        return solve_as(named, problem, tolerance, method, time_limit, told, began, first)


def solve_as(
    criterion: str,
    problem: Problem,
    tolerance: float,
    method: str = "auto",
    time_limit: float | None = None,
    progress: Progress | None = None,
    began: float | None = None,
    start: Values | None = None,
) -> Solution:
    """`solve`, for a problem that is already prepared, by the name of the criterion."""
    began = clock() if began is None else began
    solver = {"discounted": solve_problem, "total": solve_total, "average": solve_average}[criterion]
    return solver(problem, tolerance, method, time_limit, progress, began, start)


def _values_of(start: Any) -> Any:
    """The values to start from: of a solution for average rewards, the relative ones."""
    if not isinstance(start, Solution):
        return start
    return start.value if start.bias is None else start.bias


def solve_problem(
    problem: Problem,
    tolerance: float,
    method: str = "auto",
    time_limit: float | None = None,
    progress: Progress | None = None,
    began: float | None = None,
    start: Values | None = None,
    criterion: Criterion = CRITERIA["discounted"],
) -> Solution:
    """`solve`, for a problem that is already prepared, and for any criterion."""
    began = clock() if began is None else began
    criterion.check(problem)
    check_method(problem, method)
    solver = Solver(problem, criterion, tolerance, method, progress)
    if start is not None:  # what is known beforehand is closer than anything outside
        start = np.where(problem.mdp.terminal, 0.0, np.clip(start, *criterion.known(problem)))
    with stoppable(began, time_limit) as watch:
        status = solver.run(watch, start)
    return solver.proof.solution(status, method, clock() - began)
