"""What a solve answers: values, the interval that is proved, and a sentence."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from mdvi.planning.criteria.base import Criterion
from mdvi.planning.problem import Problem, Values

CERTIFIED = "certified"
BELOW_FLOOR = "tolerance below rounding floor"
NO_PROGRESS = "no progress"

_BLOCK = 1 << 18  # states handled at once where arrays of (states, actions) are made
Progress = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class Solution:
    """v* of a regularised problem, with the interval that is proved.

    Attributes:
        value: the middle of the interval, shape (states,); no further from v* than half the gap.
        lower: proved lower bound, shape (states,): the best of all backups, and of what the rewards alone say.
        upper: proved upper bound.
        gap: max (upper − lower), rounded up.
        status: "certified" (gap ≤ tolerance), "tolerance below rounding floor", "no progress", "time limit" or
            "interrupted".
        message: the status in a sentence.
        method: the method that was asked for.
        tolerance: the gap that was asked for.
        backups: sweeps over all (s, a) that bounded v*; the sweeps of single policies between them are not counted.
        seconds: how long it took, the compilation of functions left out.
        action: an action that attains the largest g + γ P v at the last v, shape (states,).
        trace: the gap that was proved after each backup.
        problem: the model with (λ, τ) and the prior, ready for backups.
        criterion: how rewards make a value; discounted sums.
    """

    value: Values
    lower: Values
    upper: Values
    gap: float
    status: str
    message: str
    method: str
    tolerance: float
    backups: int
    seconds: float
    action: Int[np.ndarray, " states"]
    trace: Float[np.ndarray, " backups"]
    problem: Problem = field(repr=False)
    criterion: Criterion = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Solution(status={self.status!r}, gap={self.gap:.3g}, tolerance={self.tolerance:.3g},\n"
            f"         states={len(self.value)}, value in [{self.value.min():.6g}, {self.value.max():.6g}],\n"
            f"         method={self.method!r}, backups={self.backups}, seconds={self.seconds:.3g})"
        )

    @cached_property
    def q(self) -> Float[np.ndarray, "states actions"]:
        """r + γ P value, −∞ for illegal actions; 0 in terminal states, where nothing is chosen."""
        q = self.problem.action_values(self.value)
        q = q if self.problem.offset is None else q - self.problem.offset
        return np.where(self.problem.mdp.terminal[:, None], 0.0, q)

    @cached_property
    def least_error(self) -> float:
        """max_s |value − v*| is proved to be at least this; at most it is the gap."""
        return self.criterion.least_error(self.problem, self.problem.backup(self.value))

    @cached_property
    def log_policy(self) -> Float[np.ndarray, "states actions"]:
        """Log π of the policy that is greedy at `value`: ∝ μ^β exp(q / (λ + τ)); uniform over ties when λ = τ = 0.

        In terminal states, where nothing is chosen, it is uniform over the legal actions.
        """
        problem, mdp = self.problem, self.problem.mdp
        legal, out = np.asarray(mdp.legal), np.empty(mdp.legal.shape)
        for first in range(0, mdp.states, _BLOCK):
            block = slice(first, first + _BLOCK)
            x = self.q[block] if problem.offset is None else self.q[block] + problem.offset[block]
            out[block] = problem.regularizer.log_policy(x, problem.temperature, legal[block])
        return out
