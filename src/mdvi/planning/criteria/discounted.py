"""The discounted sum E Σ γ^t g, for γσ₊ < 1.

With d = Tv − v, computed to within ±E, and all rows of P summing to between σ₋ and σ₊,

    Tv + γσ a ≤ v* ≤ Tv + γσ b,     a = (min d − E) / (1 − γσ),   b = (max d + E) / (1 − γσ),

where σ is whichever of σ₋, σ₊ gives the wider interval. Sources: MacQueen (1966), Porteus (1971); that M_t is
monotone and moves by c when its argument does is all they need.

What is claimed can be proved again by `checker.py`, which knows nothing of v: "What the checker can prove" in
docs/theory.md says why. It is why d and Tv are stretched, and why E is that of the largest bound, not of v.
"""

import math
from dataclasses import dataclass

import numpy as np

from mdvi.planning.criteria.base import Interval
from mdvi.planning.problem import Backup, Problem, U, Values

# How far the computed d is stretched, and the computed Tv, in units of the bound E on one backup's error. One would be
# right; with these T lower − lower and upper − T upper are at least 2E, of which the checker needs one for its own
# rounding and one to see it.
_STRETCH_CHANGE, _STRETCH_VALUE = 4.0, 3.0


@dataclass(frozen=True)
class Discounted:
    """v* = max_π E Σ γ^t g; rows of P may sum to less than one, and to a little more."""

    def check(self, problem: Problem) -> None:
        """T is a contraction for certain, and no value overflows."""
        if problem.greatest_factor >= 1:
            raise ValueError(
                f"discount: {problem.discount!r} times the largest sum of a row of P is not below 1 for certain; "
                "give a smaller one, or rows that sum to 1 (FiniteMDP takes normalize=True)"
            )
        scale = problem.max_gain + problem.temperature * (1 + math.log(problem.widest))
        if not self.forever(problem, scale) < 1e300:
            raise ValueError(f"reward: values of up to {scale:.3g} / (1 − γ) overflow; scale the rewards down")

    def known(self, problem: Problem) -> tuple[float, float]:
        """Bounds on v* without a backup, terminal states left out.

            min_s max_a g / (1 − γσ) ≤ v* ≤ (max g + t log |A|) / (1 − γσ)

        σ is σ₊ or σ₋, whichever gives the wider bound. Where the numerator has no rounding error, neither has its sign.
        """
        least, most = problem.immediate
        return self._outward(problem, least, -math.inf), self._outward(problem, most, math.inf)

    def _outward(self, problem: Problem, reward: float, outward: float) -> float:
        """The value of this reward in every state, rounded outward but not beyond zero."""
        if reward == 0:
            return 0.0
        if (reward > 0) == (outward > 0):
            return math.nextafter(self.forever(problem, reward) * (1 + 4 * U), outward)
        return math.nextafter(reward / (1 - problem.least_factor) * (1 - 4 * U), outward)

    def interval(self, problem: Problem, backup: Backup) -> Interval:
        """What a backup proves about v*."""
        size, change = max(_size(backup.v), _size(backup.value)), max(abs(backup.low), abs(backup.high))
        largest = self._largest(problem, size, change)
        if largest == math.inf:
            return Interval(backup.value, math.inf, math.inf, self._widest(problem))
        error = problem.rounding(largest)
        above = self._reach(problem, backup.high, error)
        below = self._reach(problem, -backup.low, error)
        return Interval(backup.value, below, above, min(self._narrowest(problem, largest), self._widest(problem)))

    def bounds(self, problem: Problem, interval: Interval) -> tuple[Values, Values]:
        """The lower and the upper bound on v* in every state."""
        ends, (least, most) = np.asarray(problem.mdp.terminal), self.known(problem)
        lower, upper = np.maximum(interval.value - interval.below, least), interval.value + interval.above
        return np.where(ends, 0.0, lower), np.where(ends, 0.0, np.minimum(upper, most))

    def least_error(self, problem: Problem, backup: Backup) -> float:
        """‖v − v*‖ is at least this: ‖Tv − v‖ ≤ (1 + γσ₊) ‖v − v*‖."""
        error = problem.rounding(_size(backup.v))
        return max((max(-backup.low, backup.high) - error) / (1 + problem.greatest_factor), 0.0)

    def floor(self, problem: Problem, interval: Interval) -> float:
        """The narrowest interval that rounding will let us prove, v* being at least as large as it is known to be."""
        value = interval.value
        largest = max(0.0, float(value.max()) - interval.below, -(float(value.min()) + interval.above))
        return self.narrowest(problem, largest)

    def narrowest(self, problem: Problem, largest: float) -> float:
        """The width of the interval when |v| ≤ `largest` and Tv = v to rounding."""
        largest, widest = self._largest(problem, largest, 0.0), self._widest(problem)
        return widest if largest == math.inf else min(self._narrowest(problem, largest), widest)

    def _narrowest(self, problem: Problem, largest: float) -> float:
        return 2 * self._reach(problem, 0.0, problem.rounding(largest)) + 4 * U * largest

    def _widest(self, problem: Problem) -> float:
        """The width of what is known without a backup, rounded up."""
        least, most = self.known(problem)
        return (most - least) * (1 + 4 * U)

    def width(self, problem: Problem, low: float, high: float) -> float:
        """How wide the interval of a change between low and high is, rounding left out."""
        return max(self._reach(problem, high, 0.0) + self._reach(problem, -low, 0.0), 0.0)

    def settled(self, problem: Problem, gap: float) -> float:
        """(1 − γσ₊) gap: where ‖Tv − v‖ is no larger, ‖v* − v‖ is no larger than the gap."""
        return (1 - problem.greatest_factor) * gap

    def forever(self, problem: Problem, reward: float) -> float:
        """Reward / (1 − γσ₊)."""
        return reward / (1 - problem.greatest_factor)

    def _largest(self, problem: Problem, size: float, change: float) -> float:
        """The largest |bound| that a backup proves where |v| ≤ `size` and |Tv − v| ≤ `change`.

        It contains rounding errors that are themselves proportional to it: l = size + reach(change, E(l)), which is
        linear in l. Infinite where that has no solution, because γ is so close to 1 that rounding hides the difference.
        """
        once = problem.greatest_factor / (1 - problem.greatest_factor)
        times = _STRETCH_CHANGE * once + _STRETCH_VALUE
        share = times * 1.01 * U * problem.entering
        if share > 0.5:
            return math.inf
        return (size + once * change + times * problem.rounding(0.0)) / (1 - share) * (1 + 1e-9)

    def _reach(self, problem: Problem, change: float, error: float) -> float:
        """γσ (change + E) / (1 − γσ) + E, rounded up, with the σ that makes it larger."""
        change = change + _STRETCH_CHANGE * error
        sigma = problem.greatest_factor if change >= 0 else problem.least_factor
        reach = sigma * change / (1 - sigma)
        return reach + 8 * U * abs(reach) + _STRETCH_VALUE * error


def _size(v: Values) -> float:
    """Max |v|, without a copy of v."""
    return max(float(v.max()), -float(v.min()))
