"""What is asked of a solver, checked: numbers, the prior, and whether it fits into memory."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from mdvi.checks import check_number, checked_policy, floats
from mdvi.mdp.kernels import MatrixFree, Sparse
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_discount, physical_memory, row_tolerance
from mdvi.planning.problem import Problem
from mdvi.regularizers import Regularizer
from mdvi.regularizers.names import beside, check_members
from mdvi.regularizers.reference import check_own_reference


def check_request(
    mdp: FiniteMDP,
    kl: Any,
    entropy: Any,
    tolerance: Any,
    method: Any,
    methods: Iterable[str],
    time_limit: Any,
    finite: bool = False,
) -> None:
    """Every argument of `solve` but the prior; with `finite`, the discount may be 1."""
    check_discount(mdp.discount, finite=finite)
    check_weights(kl, entropy)
    check_number("tolerance", tolerance, positive=True)
    if time_limit is not None:
        check_number("time_limit", time_limit, positive=True)
    known = ("auto", *methods)
    if method not in known:
        raise ValueError(f"method: expected one of {', '.join(known)}; got {method!r}")
    if method not in ("auto", "value-iteration") and isinstance(mdp.kernel, MatrixFree):
        raise ValueError(f"method: {method} needs the rows of P; a matrix-free model is solved by value-iteration")
    needed, available = memory_of(mdp, kl + entropy > 0) / 2**30, physical_memory() / 2**30
    if needed > available:
        raise ValueError(f"mdp: solving {mdp.states} states would need {needed:.1f} GiB of {available:.1f} GiB")


def criterion_of(mdp: FiniteMDP, given: Any) -> str:
    """The name of the criterion: the one that is given, or the one that the discount means.

    Raises:
        ValueError: for an unknown name, one that does not fit the discount, and discount 1 where no episode can end.
    """
    gamma = float(mdp.discount)
    if given not in (None, "discounted", "total", "average"):
        raise ValueError(f"criterion: expected 'discounted', 'total' or 'average', got {given!r}")
    if given == "discounted" and gamma == 1:
        raise ValueError("criterion: discounted needs a discount below 1; take criterion='total', or another discount")
    if given == "total" and gamma < 1:
        raise ValueError(f"criterion: total needs discount 1, got {gamma:g}; set the discount, or leave criterion out")
    if given == "average" and gamma < 1:
        raise ValueError(
            f"criterion: average has no discount, and the model has {gamma:g}; take model.replace(discount=1), or "
            "leave criterion out for the discounted sum"
        )
    if given is None and gamma == 1 and not np.asarray(mdp.terminal).any():
        raise ValueError(
            "discount: at 1 episodes have to end somewhere; mark states as terminal, take a discount below 1, or "
            "criterion='total' if rows that sum to less than 1 end them, or criterion='average' if they never end"
        )
    return given or ("total" if gamma == 1 else "discounted")


def check_weights(kl: Any, entropy: Any) -> None:
    """λ and τ are finite and not negative."""
    check_number("kl", kl, positive=False)
    check_number("entropy", entropy, positive=False)


def memory_of(mdp: FiniteMDP, regularized: bool) -> int:
    """Bytes that a model and its solution take: rows, gains, the chain of a policy, q and log π, and vectors."""
    pairs, states = mdp.states * mdp.actions, mdp.states
    if isinstance(mdp.kernel, MatrixFree):
        return 8 * (6 * pairs + 12 * states)
    entries = len(mdp.kernel.probability) if isinstance(mdp.kernel, Sparse) else mdp.kernel.probability.size
    rows = 12 * entries + 4 * pairs
    stored = 0 if isinstance(mdp.kernel, Sparse) else 16 * entries
    chain = 12 * (entries if regularized else entries // mdp.actions + 1)
    return stored + rows + chain + 8 * (4 * pairs + 12 * states)


def log_prior_of(mdp: FiniteMDP, kl: float, prior: Any) -> Float[np.ndarray, "states actions"] | None:
    """Log μ: uniform over legal actions unless given; None when it has no weight."""
    legal = np.asarray(mdp.legal)
    if prior is None:
        if kl == 0:
            return None
        return np.where(legal, -np.log(legal.sum(-1, keepdims=True)), 0.0)
    mu = checked_policy("prior", prior, legal, np.asarray(mdp.terminal), positive=True)
    return np.log(np.where(mdp.live, mu, 1.0)) if kl else None


def check_method(problem: Problem, method: str) -> None:
    """The method can solve this problem."""
    if method == "gauss-seidel" and problem.rows is not None and problem.sweeps is None:
        raise ValueError(
            f"method: gauss-seidel needs a regularizer with compiled rows, and {problem.regularizer.name} with a "
            "reference, or of one's own, has none; take auto, value-iteration, modified-policy-iteration or "
            "policy-iteration"
        )


def regularizer_for(mdp: FiniteMDP, given: Any, prior: Any, reference: Any, entropy: float) -> tuple[Regularizer, Any]:
    """Ω of a name or a value, if the planner can use it with these arguments, and the ρ of a Bregman divergence.

    Raises:
        ValueError: for an unknown name, an unbounded Ω, or arguments that have no meaning together.
    """
    if reference is not None and entropy == 0:
        raise ValueError("reference: its weight is the entropy, which is 0; set entropy, or leave reference out")
    omega, reference = beside(given, reference)
    check_members(omega, ("rows", "rounding"))
    check_own_reference(omega, np.asarray(mdp.legal), np.asarray(mdp.terminal))
    bounds = omega.least(mdp.actions), omega.greatest(mdp.actions)
    if not np.isfinite(bounds).all():
        raise ValueError(f"regularizer: the planner needs a bounded one, and {omega.name} is not")
    for name, policy in (("prior", prior), ("reference", reference)):
        if policy is not None and not omega.differentiable:
            raise ValueError(f"{name}: {omega.name} has no Bregman divergence; leave {name} out")
    return omega, reference


def log_reference_of(mdp: FiniteMDP, reference: Any, omega: Regularizer) -> Float[np.ndarray, "states actions"] | None:
    """Log ρ; ρ may be zero on legal actions only where ∇Ω stays finite there."""
    if reference is None:
        return None
    steep = bool(omega.floor(np.zeros((1, 1)))[0] == -np.inf)
    rho = checked_policy("reference", reference, np.asarray(mdp.legal), np.asarray(mdp.terminal), positive=steep)
    return np.where(rho > 0, np.log(np.where(rho > 0, rho, 1.0)), -np.inf)


def start_of(mdp: FiniteMDP, given: Any) -> Float[np.ndarray, " states"]:
    """Values to start from."""
    v = floats("start", given)
    if v.shape != (mdp.states,):
        raise ValueError(f"start: expected a solution or values of shape ({mdp.states},), got shape {v.shape}")
    for state in np.flatnonzero(np.isnan(v))[:1]:
        raise ValueError(f"start: state {state} has value nan")
    return v


def policy_of(mdp: FiniteMDP, given: Any) -> Float[np.ndarray, "states actions"]:
    """The table of a policy that is given as a table, or as one action for each state."""
    legal, terminal = np.asarray(mdp.legal), np.asarray(mdp.terminal)
    action = floats("policy", given)
    kind = getattr(given, "dtype", np.asarray(given).dtype)
    if action.ndim != 1:
        epsilon = float(np.finfo(kind if kind.kind == "f" else float).eps)
        return checked_policy("policy", given, legal, terminal, tolerance=row_tolerance(mdp.actions, epsilon))
    if action.shape != terminal.shape or kind.kind not in "iu":
        raise ValueError(
            f"policy: expected probabilities of shape {legal.shape} or integers of shape {terminal.shape}, "
            f"got {kind} of shape {action.shape}"
        )
    chosen = np.where(terminal, 0, action).astype(np.int64)
    for s in np.flatnonzero((chosen < 0) | (chosen >= mdp.actions))[:1]:
        raise ValueError(f"policy: state {s} takes action {chosen[s]}, outside 0…{mdp.actions - 1}")
    for s in np.flatnonzero(~legal[np.arange(mdp.states), chosen])[:1]:
        raise ValueError(f"policy: state {s} takes action {chosen[s]}, which is illegal")
    table = np.zeros(legal.shape)
    table[np.arange(mdp.states), chosen] = 1.0
    return table
