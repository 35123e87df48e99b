"""What is proved, for others to use: the gap of any policy, actions that can be ruled out, the bias of regularisation.

Certificates C2 to C5 in one place; each is a few lines on top of one backup.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.planning.evaluation import policy_table, problem_of_policy
from mdvi.planning.problem import U, Values, problem_of
from mdvi.planning.requests import check_request, criterion_of, log_prior_of, log_reference_of, regularizer_for
from mdvi.planning.solution import Asked, Solution
from mdvi.planning.solve import solve_as
from mdvi.planning.views import first_states, size_of
from mdvi.planning.watch import narrowing
from mdvi.progress import shown
from mdvi.regularizers import SHANNON, Regularizer, regularizer_of
from mdvi.regularizers.reference import own_reference
from mdvi.words import as_html


@dataclass(frozen=True, eq=False)
class PolicyCertificate:
    """How far a policy is from the best, proved.

    Attributes:
        gap: max_s v*(s) − v_π(s) is at most this.
        least_gap: and at least this.
        lower: proved lower bound on v_π, shape (states,).
        upper: proved upper bound on v_π.
        optimum: the solution that v* was bounded with.
        status: "certified" when both intervals are within the tolerance; else the status of the one that is not.
        message: the same in a sentence.

    A certificate is equal (`==`) to itself alone.
    """

    gap: float
    least_gap: float
    lower: Values
    upper: Values
    optimum: Solution
    status: str
    message: str

    def __repr__(self) -> str:
        return (
            f"PolicyCertificate(status={self.status!r}, gap={self.gap:.3g}, least_gap={self.least_gap:.3g}, "
            f"states={len(self.lower)},\n"
            f"                  v_π in [{self.lower.min():.6g}, {self.upper.max():.6g}])"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first states."""
        facts = {
            "status": f"{self.status}: {self.message}",
            "gap": f"{self.least_gap:.3g} … {self.gap:.3g}",
            "model": size_of(self.optimum.mdp),
        }
        columns = {"lower": self.lower, "upper": self.upper, "best": self.optimum.value}
        return as_html("Certificate of a policy", facts, *first_states(self.optimum.mdp, columns))


def certify(
    mdp: FiniteMDP | str | Path,
    policy: Any,
    kl: float = 0.0,
    entropy: float = 0.0,
    prior: Any = None,
    tolerance: float = 1e-6,
    time_limit: float | None = None,
    *,
    regularizer: Regularizer | str = SHANNON,
    reference: Any = None,
    criterion: str | None = None,
    progress: Asked = None,
) -> PolicyCertificate:
    """How much a policy loses, wherever it came from.

        0 ≤ v*(s) − v_π(s) ≤ gap,     v_π = ⟨π, r − λ log(π/μ) − τ log π⟩ + γ P_π v_π

    With another regulariser or a reference, both values are those that `solve` and `evaluate` have with it.

    Args:
        mdp: the model, or its name as `solve` takes it.
        policy: π(a|s), or whatever else `evaluate` takes for a policy.
        kl: λ, the weight of the KL to the prior, in v* and in v_π.
        entropy: τ.
        prior: μ; default uniform over legal actions.
        tolerance: how wide the intervals of v* and of v_π may be.
        time_limit: in seconds, for each of the two.
        regularizer: Ω, or its name, as in `solve`.
        reference: ρ, as in `solve`.
        criterion: as in `solve`.
        progress: as in `solve`.

    Raises:
        ValueError: for bad arguments, naming them.
    """
    mdp = model_of(mdp)
    check_request(mdp, kl, entropy, tolerance, "auto", (), time_limit, finite=True)
    named = criterion_of(mdp, criterion)
    omega, rho = regularizer_for(mdp, regularizer, prior, reference, entropy)
    log_policies = log_prior_of(mdp, kl, prior), log_reference_of(mdp, rho, omega)
    problem = problem_of_policy(mdp, policy_table(mdp, policy), kl, entropy, log_policies[0], omega, log_policies[1])
    best = problem_of(mdp, kl, entropy, log_policies[0], omega, log_policies[1])
    with shown(progress, narrowing(tolerance)) as told:
        optimum = solve_as(named, best, tolerance, time_limit=time_limit, progress=told)
    with shown(progress, narrowing(tolerance)) as told:
        own = solve_as(named, problem, tolerance, time_limit=time_limit, progress=told)
    gap = _largest(optimum.upper, own.lower, math.inf) * (1 + 4 * U)
    least = _largest(optimum.lower, own.upper, 0.0) * (1 - 4 * U)
    worse = own if optimum.status == "certified" else optimum
    message = f"the policy loses at most {gap:.3g} in any state, and at least {least:.3g} in some"
    if worse.status != "certified":
        message = f"{message}; {worse.message}"
    return PolicyCertificate(gap, least, own.lower, own.upper, optimum, worse.status, message)


def _largest(one: Values, other: Values, unknown: float) -> float:
    """The largest difference, at least 0; two values that are infinite alike differ by nobody knows what."""
    with np.errstate(invalid="ignore"):
        difference = np.where(np.isinf(one) & (one == other), unknown, one - other)
    return float(difference.max(initial=0.0))


def optimal_actions(solution: Solution) -> Bool[np.ndarray, "states actions"]:
    """The actions that are not proved to be worse than the best; more than one in a state is a tie within the gap.

    Action a is ruled out in s when r(s, a) + γ (P upper)(s, a) < lower(s). With a temperature every legal action is
    part of the optimal policy, and none is ruled out; nor is any for average rewards, where r + P h has no interval.
    Source: MacQueen (1967).
    """
    problem = solution.problem
    live = np.asarray(problem.mdp.live)
    if problem.temperature > 0 or solution.bias is not None:
        return live
    error = problem.rounding(float(np.abs(solution.upper).max()))
    return live & (problem.action_values(solution.upper) + error >= solution.lower[:, None])


def unregularized_bounds(solution: Solution) -> tuple[Values, Values]:
    """Proved bounds on the optimum without regularisation, from the solution with it: what regularisation costs.

    The interval of v under the maximum of the same model, or, where it is narrower, and without a prior or a reference,

        v*_τ + τ min(min Ω, 0) T ≤ v* ≤ v*_τ + τ max(max Ω, 0) T,     T = Σ γ^t

    with the largest Ω of a deterministic policy; for Shannon's Ω this is v*_τ − τ log |A| / (1 − γ) ≤ v* ≤ v*_τ.
    """
    problem, criterion = solution.problem, solution.criterion
    if problem.discount == 1:
        raise ValueError(
            "solution: of total or average rewards it says nothing about those without regularisation; solve these"
        )
    hard = problem_of(problem.mdp)
    lower, upper = criterion.bounds(hard, criterion.interval(hard, hard.backup(solution.value)))
    if problem.offset is None and problem.temperature > 0:
        omega, counts = problem.regularizer, range(1, problem.widest + 1)
        most = max(omega.at_vertices(count)[1] for count in counts)
        worth = [
            criterion.forever(problem, problem.temperature * max(size, 0.0)) * (1 + 8 * U)
            for size in (-min(omega.least(count) for count in counts), most)
        ]
        rounding = [
            problem.rounding(float(np.abs(bound).max()) + size) if size > 0 else 0.0
            for bound, size in zip((solution.lower, solution.upper), worth, strict=True)
        ]
        lower = np.maximum(lower, solution.lower - (worth[0] + rounding[0]))
        upper = np.minimum(upper, solution.upper + (worth[1] + rounding[1]))
        ends = np.asarray(problem.mdp.terminal)
        return np.where(ends, 0.0, lower), np.where(ends, 0.0, upper)
    return lower, upper


def regularization_cost(solution: Solution) -> tuple[float, bool]:
    """What the policy of a regularised solution loses without regularisation, proved; and whether it loses nothing.

        max_s v*(s) − v_π(s) ≤ cost,     v* and v_π both without KL and Ω

    The policy loses nothing if it is deterministic and every other action is proved to be worse. It takes two solves,
    of the model without regularisation and of the policy, to the tolerance of the solution. A regulariser with α > 1
    costs nothing once τ is small beside the gaps between actions.
    """
    mdp = solution.mdp
    found = certify(mdp, solution, tolerance=solution.tolerance, progress=False)
    left, live = optimal_actions(found.optimum), ~np.asarray(mdp.terminal)
    alone = (left.sum(-1) == 1) & (np.where(left, solution.policy, 0.0).sum(-1) == 1)
    optimal = bool(alone[live].all())
    return (0.0 if optimal else found.gap), optimal


def certificate_arrays(
    mdp: FiniteMDP, solution: Solution, kl: float, entropy: float, prior: Any, reference: Any = None
) -> dict[str, Any]:
    """The certificate as arrays: what is claimed, for which operator, on which model.

    A checker needs nothing else: lower ≤ v* ≤ upper follows from T lower ≥ lower and T upper ≤ upper. The operator is
    that of `solve(mdp, kl, entropy, prior, regularizer=…, reference=reference)` with the regulariser of the solution.

    Raises:
        ValueError: for a regulariser of one's own, whose operator the checker does not have, and for other weights or
            policies than the solution is for.
    """
    if solution.problem.discount == 1:
        raise ValueError(
            "certificate: checker.py checks discounted sums; total and average rewards have no certificate"
        )
    problem = solution.problem
    omega, own = problem.regularizer, own_reference(problem.regularizer)
    given = own[1] if own is not None and reference is None else reference
    try:
        named, left = regularizer_of(omega.name), None
        if given is not None:
            named, left = named.referring(given)
    except ValueError:
        named = None
    if named != omega:
        raise ValueError(
            f"certificate: the checker has no operator for this solution's {omega.name}: it is no regularizer that "
            "mdvi names, or has another reference than the one given"
        )
    stated = problem_of(mdp, kl, entropy, log_prior_of(mdp, kl, prior), omega, log_reference_of(mdp, left, omega))
    if not np.array_equal(problem.gain, stated.gain) or problem.temperature != stated.temperature:
        raise ValueError("certificate: the solution is for other weights, or another prior or reference, than these")
    # Earlier checkers know the first kind, and would take every regulariser for Shannon's.
    kind = 1 if omega == SHANNON and reference is None else 2
    arrays: dict[str, Any] = {
        "kind": np.array(f"mdvi certificate {kind}"),
        "regularizer": np.array(omega.name),
        "model_sha256": np.array(model_digest(mdp)),
        "kl": np.array(float(kl)),
        "entropy": np.array(float(entropy)),
        "discount": np.array(float(mdp.discount)),
        "v": solution.value,
        "lower": solution.lower,
        "upper": solution.upper,
        "gap": np.array(solution.gap),
        "rounding": np.array(solution.criterion.narrowest(solution.problem, float(np.abs(solution.value).max()))),
        "action": solution.action,
    }
    if prior is not None:
        arrays["prior"] = np.asarray(prior, np.float64)
    if given is not None:
        table = own[1].table if own is not None else np.asarray(reference, np.float64)
        arrays["reference"] = np.broadcast_to(table, mdp.legal.shape)
    return arrays


def model_digest(mdp: FiniteMDP) -> str:
    """SHA-256 of what defines the model: rows in CSR, rewards, γ, terminal states and legal actions."""
    matrix = mdp.kernel.csr()
    if not matrix.data.all():
        matrix = matrix.copy()  # it shares its arrays with the model
        matrix.eliminate_zeros()
    digest = hashlib.sha256()
    for array, kind in (
        (matrix.indptr, "<i8"),
        (matrix.indices, "<i8"),
        (matrix.data, "<f8"),
        (np.asarray(mdp.reward), "<f8"),
        (np.asarray(mdp.discount), "<f8"),
        (np.asarray(mdp.terminal), "|b1"),
        (np.asarray(mdp.legal), "|b1"),
    ):
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    return digest.hexdigest()
