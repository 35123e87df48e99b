"""The total reward E Σ g, at γ = 1.

T no longer contracts by itself. What bounds v* is a weight: an expected number of decisions.

`Ending`: every policy ends. There is a w with w − max_a P w ≥ c > 0, so T(v + tw) ≤ Tv + t max_a Pw for t ≥ 0, and with
d = Tv − v, computed to within ±E,

    v − (a/c) w ≤ v* ≤ v + (b/c) w,     a = max(0, −min d) + E,   b = max(0, max d) + E.

`Paying`: going on for ever costs. There is an h with Th ≤ h − c, c > 0: policies that do not end are worth −∞. Since
M_t is convex, u = v + δ(h − v) satisfies Tu ≤ u for δ = b/(b + c), hence v* ≤ u. From below, the policy π that is
greedy at v ends; with the w of this policy alone, w ≥ c' + P_π w,

    v − (a/c') w ≤ v_π ≤ v* ≤ v + δ(h − v).

Sources: Bertsekas and Tsitsiklis (1991) for the model; Haddad and Monmege (2018) and Quatmann and Katoen (2018) for
intervals from below and above.
"""

import math
from dataclasses import dataclass

import numpy as np

from mdvi.planning.chain import chain_of, matrix_of
from mdvi.planning.criteria.base import Interval
from mdvi.planning.ladder import Ladder
from mdvi.planning.problem import Backup, Problem, U, Values

_STRETCH = 4.0  # of E, as in the discounted criterion: the rounding of the bounds themselves is a part of it
_HARDLY = 1e-2  # how exactly the number of decisions is solved for


class Undiscounted:
    """What both criteria of total rewards say, from what a reward is worth that every decision pays, `forever`."""

    def known(self, problem: Problem) -> tuple[float | Values, float | Values]:
        """Bounds on v* without a backup."""
        return -math.inf, math.inf

    def forever(self, problem: Problem, reward: float) -> float:
        """What a reward is worth if every decision pays it."""
        return reward

    def bounds(self, problem: Problem, interval: Interval) -> tuple[Values, Values]:
        """The lower and the upper bound on v* in every state."""
        known = self.known(problem)
        under, over = (1.0 if weight is None else weight for weight in (interval.under, interval.over))
        lower, upper = interval.value - interval.below * under, interval.value + interval.above * over
        return np.maximum(lower, known[0]), np.minimum(upper, known[1])

    def least_error(self, problem: Problem, backup: Backup) -> float:
        """‖v − v*‖ is at least ‖Tv − v‖/2: T does not enlarge distances."""
        return max((max(-backup.low, backup.high) - problem.rounding(_size(backup))) / 2, 0.0)

    def narrowest(self, problem: Problem, largest: float) -> float:
        """The width of the interval when |v| ≤ `largest` and Tv = v to rounding."""
        return 2 * self.forever(problem, _STRETCH * problem.rounding(largest))

    def width(self, problem: Problem, low: float, high: float) -> float:
        """How wide the interval of a change between low and high is, rounding left out."""
        return self.forever(problem, max(high, 0.0) + max(-low, 0.0))

    def settled(self, problem: Problem, gap: float) -> float:
        """A change of v that is too small to matter for an interval as wide as `gap`."""
        return gap / max(self.forever(problem, 1.0), 1.0)


@dataclass(frozen=True, eq=False)
class Ending(Undiscounted):
    """Every policy ends.

    Attributes:
        weight: w, shape (states,), 0 in terminal states.
        decrease: c.
    """

    weight: Values
    decrease: float

    def check(self, problem: Problem) -> None:
        """No value overflows."""
        scale = problem.max_gain + problem.temperature * (1 + math.log(problem.widest))
        if not self.forever(problem, scale) < 1e300:
            raise ValueError(f"reward: total rewards of up to {scale:.3g} a decision overflow; scale the rewards down")

    def known(self, problem: Problem) -> tuple[float, float]:
        """What the least and the greatest reward of a decision say, paid as often as one can decide at the most."""
        least, most = problem.immediate
        size = self.forever(problem, 1.0) * (1 + 8 * U)
        return min(least, 0.0) * size, max(most, 0.0) * size

    def interval(self, problem: Problem, backup: Backup) -> Interval:
        """V − (a/c) w ≤ v* ≤ v + (b/c) w."""
        error = _STRETCH * problem.rounding(_size(backup))
        below, above = ((max(0.0, d) + error) / self.decrease * (1 + 8 * U) for d in (-backup.low, backup.high))
        rounding = 2 * error / self.decrease * float(self.weight.max(initial=0.0))
        return Interval(backup.v, below, above, rounding, self.weight, self.weight)

    def floor(self, problem: Problem, interval: Interval) -> float:
        """The narrowest interval that rounding will let us prove."""
        return self.narrowest(problem, float(np.abs(interval.value).max(initial=0.0)))

    def forever(self, problem: Problem, reward: float) -> float:
        """What a reward is worth if every decision pays it: max w / c times as much, at the most."""
        return reward * float(self.weight.max(initial=0.0)) / self.decrease


class Paying(Undiscounted):
    """Going on for ever costs.

    Attributes:
        witness: h, with Th ≤ h − c.
        decrease: c.
        lowest: a proved lower bound on v*, shape (states,).
        times: w of the last policy that was greedy, and its c'.
    """

    def __init__(self, witness: Values, decrease: float, lowest: Values, ladder: Ladder) -> None:
        """Attributes, and what linear equations are solved with."""
        self.witness, self.decrease, self.lowest = witness, decrease, lowest
        self._ladder = ladder
        self.times: Values = np.zeros(0)
        self.longest = 1.0
        self._best: np.ndarray | None = None
        self._leaves = 0.0

    def check(self, problem: Problem) -> None:
        """The values that are known do not overflow."""
        if not float(np.abs(self.lowest).max(initial=0.0)) < 1e300:
            raise ValueError("reward: total rewards overflow; scale the rewards down")

    def known(self, problem: Problem) -> tuple[Values, float]:
        """The value of a policy that ends, and infinity: the first backup says more."""
        return self.lowest, math.inf

    def interval(self, problem: Problem, backup: Backup) -> Interval:
        """V − (a/c') w ≤ v* ≤ v + δ(h − v)."""
        size = max(_size(backup), float(np.abs(self.witness).max(initial=0.0)))
        error = _STRETCH * problem.rounding(size)
        low, high = (max(0.0, d) + error for d in (-backup.low, backup.high))
        share = min(high / (high + self.decrease) * (1 + 8 * U), 1.0)
        over = np.maximum(self.witness - backup.v, 0.0) + error / share
        leaves = self._leaving(problem, backup)
        below = low / leaves * (1 + 8 * U) if leaves > 0 else math.inf
        rounding = error * (float(over.max(initial=0.0)) / self.decrease + self.longest)
        under = self.times if leaves > 0 else None
        return Interval(backup.v, below, share, rounding, under, over)

    def _leaving(self, problem: Problem, backup: Backup) -> float:
        """C' of the policy that is greedy at v, with `times` for its w; not above 0 where that is no proof."""
        if backup.q is None and self._best is not None and np.array_equal(self._best, backup.best):
            return self._leaves
        chain = chain_of(problem, backup)
        ends, self._best = np.asarray(problem.mdp.terminal), backup.best
        matrix = matrix_of(chain)
        error = 1.01 * U * (problem.entering + 2 * problem.gain.shape[1] + 8)
        for _ in range(2):
            if len(self.times):
                gone = (self.times - matrix @ self.times)[~ends]
                self._leaves = float(gone.min(initial=math.inf)) - error * self.longest
                if self._leaves > 0:
                    return self._leaves
            w = self._ladder.climbed(chain, (~ends).astype(float), _HARDLY, lambda: None)
            self.times = np.where(ends, 0.0, np.maximum(w, 0.0))
            self.longest = float(self.times.max(initial=1.0))
        return self._leaves

    def floor(self, problem: Problem, interval: Interval) -> float:
        """The narrowest interval that rounding will let us prove."""
        return interval.rounding

    def forever(self, problem: Problem, reward: float) -> float:
        """What a reward is worth if every decision of the greedy policy pays it, about."""
        return reward * self.longest


def _size(backup: Backup) -> float:
    """The largest |v| and |Tv|."""
    return max(float(np.abs(backup.v).max(initial=0.0)), float(np.abs(backup.value).max(initial=0.0)))
