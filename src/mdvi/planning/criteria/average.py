"""The average reward lim E (1/n) Σ g, at γ = 1: the gain of each state.

For every v, with d = Tv − v computed to within ±E, and whatever the chains are,

    min d − E ≤ g* ≤ max d + E,

because T^n v ≥ v + n min d. That needs rows of P that sum to 1. It closes where the gain is the same in all states;
where it is not, sets of states that no decision leaves have an interval each.

Sources: Odoni (1969) for the bounds; Puterman (1994), chapters 8 and 9, for the model.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mdvi.planning.components import NOWHERE
from mdvi.planning.criteria.base import Interval
from mdvi.planning.problem import Backup, Problem, U, Values


class Average:
    """The gain, one number for each set of states; no state of a set leads out of it, and none is terminal."""

    def __init__(self, label: Int[np.ndarray, " states"] | None = None) -> None:
        """Takes the number of each state's set, `NOWHERE` for states in none; by default all states are one set."""
        self.order: Int[np.ndarray, " members"] | None = None
        self.states = 0 if label is None else len(label)
        if label is not None:
            members = np.flatnonzero(label != NOWHERE)
            self.order = members[np.argsort(label[members], kind="stable")]
            self.start = np.flatnonzero(np.r_[True, np.diff(label[self.order]) > 0])
            self.size = np.diff(np.r_[self.start, len(self.order)])

    def check(self, problem: Problem) -> None:
        """No gain overflows."""
        least, most = problem.immediate
        if not max(abs(least), abs(most)) < 1e300:
            raise ValueError("reward: average rewards overflow; scale the rewards down")

    def known(self, problem: Problem) -> tuple[float, float]:
        """Nothing: the first backup of zero says what single decisions do, and with a policy that is worth it."""
        return -math.inf, math.inf

    def interval(self, problem: Problem, backup: Backup) -> Interval:
        """Min d − E ≤ g* ≤ max d + E, in each set."""
        error = problem.rounding(float(np.abs(backup.v).max(initial=0.0)))
        if self.order is None:
            middle = (backup.low + backup.high) / 2
            half = _outward((backup.high - backup.low) / 2 + error, middle)
            return Interval(np.full(len(backup.v), middle), half, half, 2 * error)
        low, high = self.range(backup.value - backup.v)
        middle = (low + high) / 2
        half = _outward((high - low) / 2 + error, middle)
        return Interval(self.spread(middle), 1.0, 1.0, 2 * error, self.spread(half), self.spread(half))

    def range(self, x: Values) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, " sets"]]:
        """The smallest and the largest number of each set."""
        if self.order is None:
            return x.min(keepdims=True), x.max(keepdims=True)
        members = x[self.order]
        return np.minimum.reduceat(members, self.start), np.maximum.reduceat(members, self.start)

    def centred(self, x: Values) -> Values:
        """X less the middle of its range, set by set; 0 for states in none."""
        low, high = self.range(x)
        if self.order is None:
            return x - (low + high) / 2
        return np.where(self.spread(np.ones(len(low))) > 0, x - self.spread((low + high) / 2), 0.0)

    def spread(self, each: Any) -> Values:
        """The number of its set for each state; 0 for states in none."""
        assert self.order is not None
        out = np.zeros(self.states)
        out[self.order] = np.repeat(each, self.size)
        return out

    def bounds(self, problem: Problem, interval: Interval) -> tuple[Values, Values]:
        """The lower and the upper bound on g* in every state."""
        under, over = (1.0 if weight is None else weight for weight in (interval.under, interval.over))
        return interval.value - interval.below * under, interval.value + interval.above * over

    def least_error(self, problem: Problem, backup: Backup) -> float:
        """0: a backup of gains says nothing about them."""
        return 0.0

    def floor(self, problem: Problem, interval: Interval) -> float:
        """The narrowest interval that rounding will let us prove with relative values of this size."""
        return interval.rounding

    def narrowest(self, problem: Problem, largest: float) -> float:
        """The width of the interval when relative values are no larger than this."""
        return 2 * problem.rounding(largest)

    def width(self, problem: Problem, low: float, high: float) -> float:
        """How wide the interval of a change between low and high is, rounding left out."""
        return high - low

    def settled(self, problem: Problem, gap: float) -> float:
        """Half the gap."""
        return gap / 2

    def forever(self, problem: Problem, reward: float) -> float:
        """The reward."""
        return reward


def _outward(half: Any, middle: Any) -> Any:
    """Half the width of an interval around a middle, such that its ends may be rounded."""
    return half * (1 + 8 * U) + 4 * U * abs(middle)
