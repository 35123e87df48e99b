"""The problem a solver solves, v = M_t(g + γ P v), its operator T, and how far a computed Tv may be from the exact one.

    g = r + c,   t = λ + τ,   c = λ log μ          (t = 0: the maximum;  c = 0: no prior)

M_t is the regularised maximum of a regulariser Ω, which is −H unless another one is given.

What a backup proves about v* is up to a criterion (`criteria`); everything that it needs to know of the model is here.
Rounding after Higham (2002), section 3.1, and Blanchard, Higham and Higham (2021) for the soft maximum.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from mdvi.mdp.kernels import MatrixFree, Sparse
from mdvi.mdp.model import FiniteMDP
from mdvi.planning import sweeps
from mdvi.regularizers import SHANNON, Regularizer

U = float(np.finfo(float).eps) / 2  # the rounding unit
_SHARES = 256  # of the states, surveyed at the same time

Values = Float[np.ndarray, " states"]


@dataclass(frozen=True, eq=False)
class Backup:
    """What one application of T leaves.

    Attributes:
        v: what it was applied to.
        value: Tv.
        best: an action that attains the largest g + γPv in each state.
        q: all of g + γPv, shape (states, actions), when t > 0 and there are rows; else None.
        low: min over the states that are not terminal of Tv − v.
        high: the maximum.
    """

    v: Values
    value: Values
    best: Int[np.ndarray, " states"]
    q: Float[np.ndarray, "states actions"] | None
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with a temperature t and a gain g, prepared for sweeps.

    Attributes:
        mdp: the model.
        gain: g(s, a) = r + c, −∞ where (s, a) cannot be met; shape (states, actions).
        temperature: t.
        offset: c, None when there is no prior; shape (states, actions).
        rows: start, state and probability of the compressed rows; None for a matrix-free model.
        terms: the longest row.
        slack: how many roundings the numbers of the model themselves carry.
        least_sum: σ₋, rounded down, transitions into terminal states left out.
        greatest_sum: σ₊, rounded up.
        max_gain: the largest finite |g|.
        max_offset: max |c|.
        widest: the largest number of possible actions.
        regularizer: Ω.
    """

    mdp: FiniteMDP
    gain: Float[np.ndarray, "states actions"] = field(repr=False)
    temperature: float
    offset: Float[np.ndarray, "states actions"] | None = field(repr=False)
    rows: tuple[Any, Any, Any] | None = field(repr=False)
    terms: int
    slack: int
    least_sum: float
    greatest_sum: float
    max_gain: float
    max_offset: float
    widest: int
    regularizer: Regularizer = SHANNON

    @cached_property
    def discount(self) -> float:
        """γ."""
        return float(self.mdp.discount)

    @cached_property
    def least_factor(self) -> float:
        """γσ₋, rounded down: where all of v grows by a constant c ≥ 0, all of Tv grows by at least this times c."""
        return self.discount * self.least_sum * (1 - 2 * U)

    @cached_property
    def greatest_factor(self) -> float:
        """γσ₊, rounded up: ‖Tu − Tv‖ is at most this times ‖u − v‖."""
        return self.discount * self.greatest_sum * (1 + 2 * U)

    @cached_property
    def sweeps(self) -> sweeps.Sweeps | None:
        """The compiled functions that apply M_t; None where only the regulariser's own can, see `maximum`.

        That is the case for a matrix-free model, and for a regulariser without rows. M_0 is the maximum, whatever Ω.
        """
        rows = (self.regularizer if self.temperature > 0 else SHANNON).rows
        return None if rows is None or self.rows is None else sweeps.sweeps_of(rows)

    @cached_property
    def entering(self) -> int:
        """How many roundings of |g| + |v| the x = g + γPv that M_t is applied to may be off by.

        A sum of n products errs by n; the gain, the discount and the sum with them add a few. The functions of
        `mdvi.regularizers` take values within 8 units in the last place of the largest for ties.
        """
        ties = 16 if self.temperature > 0 and self.rows is not None and self.sweeps is None else 0
        return self.terms + 8 + self.slack + ties

    @cached_property
    def immediate(self) -> tuple[float, float]:
        """Bounds on what a single decision is worth, terminal states left out.

            min_s max_a g − t max Ω ≤ M_t(g) ≤ max g − t min Ω          (−t min Ω = t log |A|, max Ω = 0 of Shannon)

        They allow for the rounding of g and of t Ω, but not for that of the last addition: zero stays zero.
        """
        best = self.gain.max(-1)[~np.asarray(self.mdp.terminal)]
        if not best.size:
            return 0.0, 0.0
        least, most = float(best.min()), float(best.max())
        error = self.slack * self.max_gain
        error += 0.0 if self.offset is None else 2 * self.max_gain + 16 * self.max_offset
        most -= self.temperature * self.regularizer.least(self.widest) * (1 + 16 * U)
        least -= self.temperature * self.regularizer.greatest(self.widest) * (1 + 16 * U)
        return least - U * error, most + U * error

    @cached_property
    def branching(self) -> float:
        """Successors of a state and action, on average; at least 1."""
        assert self.rows is not None
        return max(len(self.rows[1]) / (len(self.rows[0]) - 1), 1.0)

    def backup(self, v: Values) -> Backup:
        """Tv, with the range of Tv − v."""
        value, best = np.empty(len(v)), np.empty(len(v), np.int32)
        if self.rows is not None and self.sweeps is not None:
            kept = np.empty(self.gain.shape) if self.temperature > 0 else None
            low, high = self.sweeps.backup(*self.rows, self.gain, self.discount, self.temperature, v, value, best, kept)
            return Backup(v, value, best, kept, *((low, high) if low <= high else (0.0, 0.0)))
        q = self.action_values(v)
        ends = np.asarray(self.mdp.terminal)
        value = np.where(ends, 0.0, self.regularizer.maximum(q, self.temperature, np.asarray(self.mdp.live)))
        change = (value - v)[~ends] if not ends.all() else np.zeros(1)
        kept = q if self.rows is not None else None
        return Backup(v, value, q.argmax(-1).astype(np.int32), kept, float(change.min()), float(change.max()))

    def policies(
        self, q: Float[np.ndarray, "states actions"], rare: float = 0.0
    ) -> Float[np.ndarray, "states actions"]:
        """∇M_t(q(s, ·)), zero where nothing can be chosen, and t > 0.

        Actions less probable than `rare` times the most probable one are left out.
        """
        if self.sweeps is not None:
            policy = np.empty(q.shape)
            self.sweeps.policies(policy, q, self.temperature, rare)
            return policy
        policy = self.regularizer.policy(q, self.temperature, np.asarray(self.mdp.live))
        policy = np.where(policy >= rare * policy.max(-1, keepdims=True), policy, 0.0)
        return policy / np.maximum(policy.sum(-1, keepdims=True), 1e-300)

    def action_values(self, v: Values) -> Float[np.ndarray, "states actions"]:
        """g + γ P v, −∞ where (s, a) cannot be met."""
        if self.rows is None:
            return self.gain + self.discount * np.asarray(self.mdp.kernel.expect(v))
        q = np.empty(self.gain.shape)
        sweeps.action_values(*self.rows, self.gain, self.discount, v, q)
        return q

    def rounding(self, largest: float) -> float:
        """E: how far the computed (Tv)(s), and Tv − v, may be from the exact ones when |v| ≤ `largest`.

        M_t passes errors of x on without enlarging them. Its own are the regulariser's, see `Regularizer.rounding`.
        """
        entering = self.entering * (self.max_gain + largest) + 8 * self.max_offset
        own = self.temperature * self.regularizer.rounding(self.widest) if self.temperature > 0 else 0.0
        return 1.01 * U * (entering + own) + 1e-300


def problem_of(
    mdp: FiniteMDP,
    kl: float = 0.0,
    entropy: float = 0.0,
    log_prior: Any = None,
    regularizer: Regularizer = SHANNON,
    log_reference: Any = None,
) -> Problem:
    """The problem max_π E Σ γ^t (r − λ D_Ω(π‖μ) − τ Ω(π)), Ω = −H and D_Ω = KL, ready to be solved.

    With a reference ρ, its last term is −τ D_Ω(π‖ρ).

    Args:
        mdp: the model.
        kl: λ.
        entropy: τ.
        log_prior: log μ, shape (states, actions); None when λ = 0.
        regularizer: Ω.
        log_reference: log ρ, shape (states, actions); None for −τ Ω(π).
    """
    offset = None
    for weight, log_policy in ((kl, log_prior), (entropy, log_reference)):
        if log_policy is not None and weight > 0:
            dual = regularizer.dual(log_policy, np.asarray(mdp.legal))
            term = weight * np.where(mdp.live, dual, 0.0)
            offset = term if offset is None else offset + term
    problem = _prepared(mdp, np.asarray(mdp.reward), offset, kl + entropy, slack=0, regularizer=regularizer)
    if offset is None or regularizer == SHANNON:
        return problem
    # A dual variable is a sum of n terms, each as large as itself and as what the maximum is summed from.
    own = (kl + entropy) * regularizer.rounding(problem.widest)
    return replace(problem, max_offset=((problem.widest + 24) * problem.max_offset + own) / 8)


def evaluation_of(mdp: FiniteMDP, policy: Any, bonus: Any, terms: float) -> Problem:
    """The problem of a fixed policy, v = ⟨π, r⟩ + bonus + γ P_π v, as one with a single action.

    Args:
        mdp: the model.
        policy: π(a|s), shape (states, actions).
        bonus: Ω(π), shape (states,).
        terms: how large the terms are that the gain is summed from, for its rounding.
    """
    states, actions = mdp.states, mdp.actions
    weights = np.where(mdp.live, policy, 0.0)
    s, a = np.nonzero(weights)
    pick = scipy.sparse.csr_array((weights[s, a], (s, s * actions + a)), shape=(states, states * actions))
    chain = pick @ mdp.kernel.csr()
    chain.sort_indices()
    gain = np.where(mdp.terminal, 0.0, (weights * mdp.reward).sum(-1) + bonus)
    # The rows are right by construction, but for roundings that `slack` counts: nobody has to check them.
    rows = Sparse(chain.indptr, chain.indices, chain.data, states)
    induced = mdp.changed(kernel=rows, reward=gain[:, None], legal=np.ones((states, 1), bool))
    problem = _prepared(induced, gain[:, None], None, 0.0, slack=2 * actions + 16)
    return replace(
        problem,
        max_gain=max(problem.max_gain, terms),
        least_sum=problem.least_sum * (1 - problem.slack * U),
        greatest_sum=problem.greatest_sum * (1 + problem.slack * U),
    )


def _prepared(
    mdp: FiniteMDP,
    reward: np.ndarray,
    offset: np.ndarray | None,
    temperature: float,
    slack: int,
    regularizer: Regularizer = SHANNON,
) -> Problem:
    rows: tuple[Any, Any, Any] | None = None
    if isinstance(mdp.kernel, MatrixFree):
        live = np.asarray(mdp.live)
        gain = np.where(live, reward if offset is None else reward + offset, -np.inf)
        staying = np.asarray(mdp.expect(np.ones(mdp.states)))[live]
        least, greatest = float(staying.min(initial=1.0)), float(staying.max(initial=0.0))
        terms, widest = mdp.kernel.terms, int(live.sum(-1).max())
        max_gain = float(np.abs(gain[live]).max(initial=0.0))
        max_offset = 0.0 if offset is None else float(np.abs(offset).max())
    else:
        matrix = mdp.kernel.csr()
        rows = (sweeps.unsigned(matrix.indptr), sweeps.unsigned(matrix.indices), matrix.data)
        gain = np.empty(reward.shape)
        masks = np.asarray(mdp.legal), np.asarray(mdp.terminal)
        facts = np.empty((_SHARES, 6))
        sweeps.survey(*rows, np.asarray(reward, np.float64), offset, *masks, gain, facts)
        less_least, greatest, terms, widest, max_gain, max_offset = facts.max(0).tolist()
        least, terms, widest = -less_least, int(terms), int(widest)
    return Problem(
        mdp=mdp,
        gain=gain,
        temperature=float(temperature),
        offset=offset,
        rows=rows,
        terms=terms,
        slack=slack,
        least_sum=max(least * (1 - (terms + 2) * U), 0.0),
        greatest_sum=greatest * (1 + (terms + 2) * U),
        max_gain=max_gain,
        max_offset=max_offset,
        widest=max(widest, 1),
        regularizer=regularizer,
    )
