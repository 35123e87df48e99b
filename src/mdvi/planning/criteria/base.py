"""The interface of an optimality criterion: which value is optimised, and which bounds on it one backup proves."""

from dataclasses import dataclass
from typing import Protocol

from mdvi.planning.problem import Backup, Problem, Values


@dataclass(frozen=True, eq=False)
class Interval:
    """v* lies between value − below and value + above, and within what is `known`; at terminal states it is zero.

    Attributes:
        value: Tv.
        below: one number for all states; negative when all of v* is known to be larger, ∞ when rounding hides it.
        above: likewise.
        rounding: the part of below + above that is due to rounding.
    """

    value: Values
    below: float
    above: float
    rounding: float


class Criterion(Protocol):
    """How the rewards of infinitely many decisions make a value v*.

    It has no state of its own: everything it knows of a model is asked of the problem. Numbers that are called bounds
    are proved, rounding included; the others only steer.
    """

    def check(self, problem: Problem) -> None:
        """Whether values exist, and are numbers.

        Raises:
            ValueError: naming the part of the model that is to blame.
        """

    def known(self, problem: Problem) -> tuple[float, float]:
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
