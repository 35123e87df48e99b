"""The interface of an optimality criterion: which value is optimised, and which bounds on it one backup proves."""

from dataclasses import dataclass
from typing import Protocol

from mdvi.planning.problem import Backup, Problem, Values


@dataclass(frozen=True, eq=False)
class Interval:
    """v* lies between value − below · under and value + above · over, and within what is `known`; 0 in terminal states.

    Attributes:
        value: v or Tv.
        below: one number for all states; negative when all of v* is known to be larger, ∞ when nothing is known.
        above: likewise.
        rounding: the part of the width that is due to rounding.
        under: a weight for each state; None for 1.
        over: likewise.
    """

    value: Values
    below: float
    above: float
    rounding: float
    under: Values | None = None
    over: Values | None = None

    @property
    def width(self) -> float:
        """How wide it is, at the most."""
        sizes = (1.0 if weight is None else float(weight.max(initial=0.0)) for weight in (self.under, self.over))
        return self.below * next(sizes) + self.above * next(sizes)


class Criterion(Protocol):
    """How the rewards of infinitely many decisions make a value v*.

    What it knows of a model is asked of the problem, or was found out about it once. Numbers that are called bounds are
    proved, rounding included; the others only steer.
    """

    def check(self, problem: Problem) -> None:
        """Whether values exist, and are numbers.

        Raises:
            ValueError: naming the part of the model that is to blame.
        """

    def known(self, problem: Problem) -> tuple[float | Values, float | Values]:
        """Bounds on v* without a backup, terminal states left out."""

    def interval(self, problem: Problem, backup: Backup) -> Interval:
        """What a backup proves about v*."""

    def bounds(self, problem: Problem, interval: Interval) -> tuple[Values, Values]:
        """The lower and the upper bound on v* in every state, shape (states,)."""

    def least_error(self, problem: Problem, backup: Backup) -> float:
        """A lower bound on max_s |v − v*| for the v that the backup was applied to."""

    def floor(self, problem: Problem, interval: Interval) -> float:
        """The narrowest interval that rounding will let us prove, v* being at least as large as it is known to be."""

    def narrowest(self, problem: Problem, largest: float) -> float:
        """The width of the interval when |v| ≤ `largest` and Tv = v to rounding."""

    def width(self, problem: Problem, low: float, high: float) -> float:
        """How wide the interval of a change Tv − v between low and high is, rounding left out."""

    def settled(self, problem: Problem, gap: float) -> float:
        """A change of v in one sweep that is too small to matter for an interval as wide as `gap`."""

    def forever(self, problem: Problem, reward: float) -> float:
        """What a reward is worth, at the most, if every decision pays it; to rounding."""
