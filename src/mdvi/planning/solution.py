"""What a solve answers: values, the interval that is proved, and a sentence."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from mdvi.mdp.model import FiniteMDP
from mdvi.planning.criteria.base import Criterion
from mdvi.planning.problem import Problem, Values
from mdvi.planning.views import first_states, pairs_frame, picture, size_of, states_frame
from mdvi.words import as_html

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure

CERTIFIED = "certified"
BELOW_FLOOR = "tolerance below rounding floor"
NO_PROGRESS = "no progress"
UNBOUNDED = "unbounded"
UNDECIDED = "undecided"

_BLOCK = 1 << 18  # states handled at once where arrays of (states, actions) are made
Progress = Callable[[int, float], None]
Asked = Progress | Literal[False] | None  # a callback, no line of progress, or a line where somebody can see it


@dataclass(frozen=True, eq=False)
class Solution:
    """v* of a regularised problem, with the interval that is proved.

    Attributes:
        value: the middle of the interval, shape (states,); no further from v* than half the gap. For average rewards
            v* is the optimal gain of each state.
        lower: proved lower bound, shape (states,): the best of all backups, and of what the rewards alone say.
        upper: proved upper bound.
        gap: max (upper − lower), rounded up.
        status: "certified" (gap ≤ tolerance), "tolerance below rounding floor", "no progress", "time limit" or
            "interrupted"; for total rewards also "unbounded", and for total and average rewards "undecided".
        message: the status in a sentence.
        method: the method that was asked for.
        tolerance: the gap that was asked for.
        backups: sweeps over all (s, a) that bounded v*; the sweeps of single policies between them are not counted.
        seconds: how long it took, the compilation of functions left out.
        action: an action that attains the largest g + γ P v at the last v, shape (states,).
        trace: the gap that was proved after each backup.
        problem: the model with (λ, τ) and the prior, ready for backups.
        criterion: how rewards make a value: as a discounted sum, as their total, or on average.
        component: the states that make values infinite, where the status is "unbounded"; else None.
        forced: the states where `action` alone is the policy, because other best actions go round for nothing.
        bias: relative values, shape (states,), for average rewards, else None: an h with gain + h ≈ Th, up to a
            constant in each set of states that share a gain, and 0 where `forced` says what to do. Nothing is proved.

    A solution is equal (`==`) to itself alone; compare `value`, `lower` and `upper` to compare what two solutions say.
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
    component: Int[np.ndarray, " members"] | None = None
    forced: Bool[np.ndarray, " states"] | None = field(default=None, repr=False)
    bias: Values | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return (
            f"Solution(status={self.status!r}, gap={self.gap:.3g}, tolerance={self.tolerance:.3g},\n"
            f"         states={len(self.value)}, {self._noun} in [{self.value.min():.6g}, {self.value.max():.6g}],\n"
            f"         method={self.method!r}, backups={self.backups}, seconds={self.seconds:.3g})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first states."""
        facts = {
            "status": f"{self.status}: {self.message}",
            "interval": f"at most {self.gap:.3g} wide, {self.tolerance:.3g} was asked for",
            "model": size_of(self.mdp),
            "work": f"{self.method}, {self.backups} backups, {self.seconds:.3g} s",
        }
        return as_html("Solution", facts, *first_states(self.mdp, self._columns, self.action))

    @property
    def mdp(self) -> FiniteMDP:
        """The model."""
        return self.problem.mdp

    @property
    def _noun(self) -> str:
        return "value" if self.bias is None else "gain"

    @property
    def _columns(self) -> dict[str, Values]:
        return {"value": self.value, "lower": self.lower, "upper": self.upper}

    @cached_property
    def q(self) -> Float[np.ndarray, "states actions"]:
        """r + γ P value, −∞ for illegal actions; 0 in terminal states, where nothing is chosen.

        For average rewards r + P bias, which orders the actions of a state, and −∞ also for actions that give up gain
        in a state from which `bias` alone does not tell.

        Raises:
            ValueError: where values are infinite.
        """
        if not np.isfinite(self.value).all():
            raise ValueError(f"{self.status}: {self.message}; where values are infinite there are no q and no policy")
        q = self.problem.action_values(self.value if self.bias is None else self.bias)
        q = q if self.problem.offset is None else q - self.problem.offset
        return np.where(self.problem.mdp.terminal[:, None], 0.0, q)

    @cached_property
    def policy(self) -> Float[np.ndarray, "states actions"]:
        """π, the probabilities behind `log_policy`: exactly 0 for illegal actions, and every row sums to 1."""
        return np.exp(self.log_policy)

    def to_frame(self, pairs: bool = False) -> "DataFrame":
        """A data frame of pandas, with the names of states and actions where the model has some.

        Args:
            pairs: a row for each legal action of each state that is not terminal, with its probability and q; otherwise
                a row for each state, with its value, the interval and the best action, which is missing in terminal
                states.

        Raises:
            ModuleNotFoundError: when pandas is not installed, with the command that installs it.
        """
        if pairs:
            return pairs_frame(self.mdp, {"probability": self.policy, "q": self.q})
        return states_frame(self.mdp, self._columns, self.action)

    def plot(self, title: str = "") -> "Figure":
        """A picture of values and policy.

        Where states lie on a map, this is the map, with arrows for the actions; otherwise there is a row for each state
        with its interval and its policy. Of more than 400 states, the picture shows how values are distributed, and how
        the interval narrowed.

        Args:
            title: above the picture; default the status in a sentence.

        Raises:
            ModuleNotFoundError: when Matplotlib is not installed, with the command that installs it.
        """
        from mdvi.report.plots import solution_plot

        _ = self.q  # which refuses infinite values
        title = title or f"{self.status}: {self.message}"
        drawn = picture(self.mdp, self.value, self.lower, self.upper, self.policy, title)
        return drawn or solution_plot(self.value, self.trace, self.tolerance, title)

    @cached_property
    def least_error(self) -> float:
        """max_s |value − v*| is proved to be at least this; at most it is the gap."""
        return self.criterion.least_error(self.problem, self.problem.backup(self.value))

    @cached_property
    def log_policy(self) -> Float[np.ndarray, "states actions"]:
        """Log π of the policy that is greedy at `value`: ∝ μ^β exp(q / (λ + τ)); uniform over ties when λ = τ = 0.

        In terminal states, where nothing is chosen, it is uniform over the legal actions.
        """
        out = self._greedy
        if self.forced is not None:
            only = np.arange(self.mdp.actions) == self.action[self.forced][:, None]
            out[self.forced] = np.where(only, 0.0, -np.inf)
        return out

    @property
    def _greedy(self) -> Float[np.ndarray, "states actions"]:
        """Log π of the policy that is greedy at q."""
        problem, mdp = self.problem, self.problem.mdp
        legal, out = np.asarray(mdp.legal), np.empty(mdp.legal.shape)
        if problem.regularizer.rows is None:  # it may know the states by their place
            q = np.where(legal, self.q if problem.offset is None else self.q + problem.offset, -np.inf)
            chosen = problem.regularizer.log_policy(q, problem.temperature, np.asarray(mdp.live))
            uniform = np.where(legal, -np.log(legal.sum(-1, keepdims=True)), -np.inf)
            return np.where(np.asarray(mdp.terminal)[:, None], uniform, chosen)
        for first in range(0, mdp.states, _BLOCK):
            block = slice(first, first + _BLOCK)
            x = self.q[block] if problem.offset is None else self.q[block] + problem.offset[block]
            out[block] = problem.regularizer.log_policy(x, problem.temperature, legal[block])
        return out
