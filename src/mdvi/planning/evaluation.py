"""The value of a policy, wherever the policy came from, with an interval that is proved to hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from mdvi.mdp.labels import place_of
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.planning.problem import Problem, Values, evaluation_of
from mdvi.planning.requests import (
    check_request,
    criterion_of,
    log_prior_of,
    log_reference_of,
    policy_of,
    regularizer_for,
)
from mdvi.planning.solution import Asked, Solution
from mdvi.planning.solve import solve_as
from mdvi.planning.views import first_states, picture, size_of, states_frame
from mdvi.planning.watch import narrowing
from mdvi.progress import shown
from mdvi.regularizers import SHANNON, Regularizer, expectation
from mdvi.words import as_html

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure


@dataclass(frozen=True, eq=False)
class Evaluation:
    """v_π, with the interval that is proved. An evaluation is equal (`==`) to itself alone.

    Attributes:
        value: the middle of the interval, shape (states,).
        lower: proved lower bound on v_π, shape (states,).
        upper: proved upper bound on v_π.
        gap: max (upper − lower), rounded up.
        status: "certified" (gap ≤ tolerance), or why not, as in `Solution`.
        message: the status in a sentence.
        policy: π, shape (states, actions).
        mdp: the model.
    """

    value: Values
    lower: Values
    upper: Values
    gap: float
    status: str
    message: str
    policy: Float[np.ndarray, "states actions"]
    mdp: FiniteMDP = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Evaluation(status={self.status!r}, gap={self.gap:.3g}, states={len(self.value)}, "
            f"v_π in [{self.lower.min():.6g}, {self.upper.max():.6g}])"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first states."""
        facts = {"status": f"{self.status}: {self.message}", "model": size_of(self.mdp)}
        return as_html("Evaluation of a policy", facts, *first_states(self.mdp, self._columns))

    @property
    def _columns(self) -> dict[str, Values]:
        return {"value": self.value, "lower": self.lower, "upper": self.upper}

    @cached_property
    def q(self) -> Float[np.ndarray, "states actions"]:
        """r + γ P value, −∞ for illegal actions; 0 in terminal states, where nothing is chosen."""
        mdp = self.mdp
        q = np.asarray(mdp.reward) + float(mdp.discount) * np.asarray(mdp.expect(self.value))
        return np.where(mdp.terminal[:, None], 0.0, np.where(mdp.legal, q, -np.inf))

    def to_frame(self) -> "DataFrame":
        """A row for each state, with its value and the interval, as a data frame of pandas."""
        return states_frame(self.mdp, self._columns)

    def plot(self, title: str = "") -> "Figure":
        """A picture of the policy and its values, as `Solution.plot` draws them.

        Raises:
            ValueError: for more than 400 states that lie on no map.
        """
        title = title or f"{self.status}: {self.message}"
        drawn = picture(self.mdp, self.value, self.lower, self.upper, self.policy, title)
        if drawn is None:
            raise ValueError(f"plot: {self.mdp.states} states that lie on no map are too many for a picture")
        return drawn


def evaluate(
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
) -> Evaluation:
    """The value of a policy in the regularised problem; with λ = τ = 0, its expected discounted return.

        v_π = E_π Σ γ^t (r − λ log(π/μ) − τ log π),     v_π = ⟨π, r⟩ − λ KL(π‖μ) + τ H(π) + γ P_π v_π

    With another regulariser Ω than the negative entropy, −λ D_Ω(π‖μ) − τ Ω(π) stands in the place of the last two terms
    before γ, and with a reference ρ, −τ D_Ω(π‖ρ) in the place of −τ Ω(π), as in `solve`.

    >>> import mdvi
    >>> lake = mdvi.mdp.from_gymnasium("FrozenLake-v1")
    >>> found = mdvi.evaluate(lake, mdvi.solve(lake, entropy=0.01))  # how good is the soft policy without the entropy?
    >>> found.status, round(float(found.value[0]), 3)
    ('certified', 0.503)

    Args:
        mdp: the model, or its name as `solve` takes it.
        policy: π(a|s), shape (states, actions): zero on illegal actions, summing to 1; one action for each state,
            integers of shape (states,); a `Solution`, which stands for its policy; or a mapping from names of states
            to names of actions. Terminal states are not looked at.
        kl: λ, the weight of the KL to the prior.
        entropy: τ, the weight of the entropy.
        prior: μ; default uniform over legal actions.
        tolerance: how wide the interval may be.
        time_limit: in seconds.
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
    pi = policy_table(mdp, policy)
    omega, reference = regularizer_for(mdp, regularizer, prior, reference, entropy)
    log_policies = log_prior_of(mdp, kl, prior), log_reference_of(mdp, reference, omega)
    problem = problem_of_policy(mdp, pi, kl, entropy, log_policies[0], omega, log_policies[1])
    with shown(progress, narrowing(tolerance)) as told:
        found = solve_as(named, problem, tolerance, time_limit=time_limit, progress=told)
    return Evaluation(found.value, found.lower, found.upper, found.gap, found.status, found.message, pi, mdp)


def problem_of_policy(
    mdp: FiniteMDP,
    pi: np.ndarray,
    kl: float = 0.0,
    entropy: float = 0.0,
    log_prior: np.ndarray | None = None,
    regularizer: Regularizer = SHANNON,
    log_reference: np.ndarray | None = None,
) -> Problem:
    """The problem with a single action whose value is v_π; zero probabilities add nothing to it.

    −λ D_Ω(π‖μ) − τ Ω(π) is −κ Ω(π) + λ ⟨π, s(μ)/κ⟩, since D_Ω(π‖μ) = Ω(π) − ⟨π, s(μ)/κ⟩; nothing here needs log π where
    it is −∞. Arguments as of `problem_of`.
    """
    ends, omega, legal = np.asarray(mdp.terminal), regularizer, np.asarray(mdp.legal)
    widest = int(legal[~ends].sum(-1).max(initial=1))
    if kl + entropy == 0:
        return evaluation_of(mdp, pi, np.zeros(mdp.states), mdp.max_abs_reward)
    log_pi = np.log(np.where(pi > 0, pi, 1.0))
    worth = omega.omega(np.where(pi > 0, log_pi, -np.inf), np.asarray(mdp.live))
    bonus = -(kl + entropy) * np.where(ends, 0.0, worth)
    # What Ω(π) is summed from is as large as what M_κ is: `evaluation_of` counts 2n + 24 roundings of each term.
    size = max(abs(omega.least(widest)), abs(omega.greatest(widest)))
    own = omega.rounding(widest) / (2 * mdp.actions + 24)
    terms = mdp.max_abs_reward + (kl + entropy) * max(1 + size, own)
    for weight, log_policy in ((kl, log_prior), (entropy, log_reference)):
        if log_policy is not None and weight > 0:
            dual = omega.dual(log_policy, legal)
            dual = np.where(legal & np.isfinite(dual), dual, 0.0)  # infinite in terminal states at the most
            bonus = bonus + weight * expectation(pi, dual)
            terms += weight * (float(np.abs(dual).max()) + (own if omega != SHANNON else 0.0))
    return evaluation_of(mdp, pi, bonus, terms)


def policy_table(mdp: FiniteMDP, given: Any) -> Float[np.ndarray, "states actions"]:
    """π(a|s) of whatever stands for a policy, zero in terminal states.

    Raises:
        ValueError: for what is none.
    """
    if isinstance(given, Solution):
        given = given.policy
    elif isinstance(given, Mapping):
        given = _by_name(mdp, given)
    pi = np.where(mdp.live, policy_of(mdp, given), 0.0)
    return pi / np.where(mdp.terminal, 1.0, pi.sum(-1))[:, None]


def _by_name(mdp: FiniteMDP, given: Mapping[Any, Any]) -> np.ndarray:
    """One action for each state, out of names."""
    action = np.full(mdp.states, -1)
    for state, chosen in given.items():
        place = place_of("policy: state", state, mdp.names.states, mdp.states)
        action[place] = place_of("policy: action", chosen, mdp.names.actions, mdp.actions)
    for state in np.flatnonzero((action < 0) & ~np.asarray(mdp.terminal))[:1]:
        raise ValueError(f"policy: state {mdp.names.state(state)!r} has no action")
    return action
