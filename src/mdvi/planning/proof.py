"""What the backups of a solve prove together, and whether it is enough; what one proves is the criterion's to say."""

import math

import numpy as np
from jaxtyping import Int

from mdvi.planning import sweeps
from mdvi.planning.criteria.base import Criterion, Interval
from mdvi.planning.problem import Backup, Problem, U
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED, NO_PROGRESS, Solution
from mdvi.planning.watch import TIME_LIMIT

_ABOVE_FLOOR = 2.0  # how much wider than rounding leaves it an interval may stay that cannot be as narrow as was asked
_STALLED = 50  # backups without progress before giving up


class Proof:
    """The bounds on v*, which every backup may narrow and none widens."""

    def __init__(self, problem: Problem, criterion: Criterion, tolerance: float) -> None:
        self.problem = problem
        self.criterion = criterion
        self.tolerance = tolerance
        self.trace: list[float] = []
        self.widths: list[float] = []  # of what each backup proves by itself
        self.lower = self.upper = np.empty(0)  # what all backups together prove
        self.gap = math.inf
        self.floor = 0.0  # the narrowest interval that rounding will let the last backup prove
        self._idle = 0  # backups since one last proved more
        # Of the backup that proves most by itself: its best actions, and what rounding adds to its width.
        self._action: Int[np.ndarray, " states"] = np.empty(0, np.int32)
        self._rounding = 0.0

    def add(self, backup: Backup) -> None:
        """Narrow the bounds to what this backup proves."""
        interval = self.criterion.interval(self.problem, backup)
        width = interval.width
        closer = width < min(self.widths, default=math.inf)
        if closer or not self.trace:
            self._action, self._rounding = backup.best, interval.rounding
        self.widths.append(width)
        if not self.trace:
            known = self.criterion.known(self.problem)
            self.lower, self.upper = (np.where(self.problem.mdp.terminal, 0.0, b) for b in known)
        self._idle = 0 if self._narrowed(interval) or closer else self._idle + 1
        self.trace.append(self.gap)
        self.floor = self.criterion.floor(self.problem, interval)

    def _narrowed(self, interval: Interval) -> bool:
        """Whether an interval proves more than all before it; the bounds are what they prove together."""
        ends = np.asarray(self.problem.mdp.terminal)
        bounds = self.lower, self.upper
        reach = interval.below, interval.above, interval.under, interval.over
        widest, count, least = sweeps.narrowed(*bounds, interval.value, *reach, ends)
        if least < 0:
            state = int(np.flatnonzero(bounds[0] > bounds[1])[0])
            raise ValueError(
                f"regularizer: two proofs about state {state} contradict each other; the `rounding`, `least` or "
                f"`greatest` of {self.problem.regularizer.name} is wrong"
            )
        self.gap = widest * (1 + 4 * U)
        return count > 0

    def status(self, backup: Backup) -> str | None:
        """Why to stop after this backup, the last one; None when there is no reason to."""
        if self.gap <= self.tolerance:
            return CERTIFIED
        settled = self.criterion.width(self.problem, backup.low, backup.high) <= self._rounding
        recent = self.widths[-_STALLED:]
        stalled = len(recent) == _STALLED and min(recent) >= min(self.widths) and recent[0] <= 4 * self.floor
        if self.gap <= self.aim or (settled and len(self.trace) > 1 and self._stands()) or stalled:
            return BELOW_FLOOR
        return NO_PROGRESS if self._idle >= _STALLED and recent[-1] >= recent[0] else None

    @property
    def aim(self) -> float:
        """The gap to work towards: what was asked for, or what rounding leaves of it."""
        return _ABOVE_FLOOR * self.floor if self.floor > self.tolerance else self.tolerance

    def _stands(self) -> bool:
        """Whether the last backup brought nothing."""
        return self.widths[-1] >= 0.9 * min(self.widths[:-1])

    def solution(self, status: str, method: str, seconds: float) -> Solution:
        """What is proved, as a `Solution`."""
        return Solution(
            value=(self.lower + self.upper) / 2,
            lower=self.lower,
            upper=self.upper,
            gap=self.gap,
            status=status,
            message=self._message(status, method),
            method=method,
            tolerance=self.tolerance,
            backups=len(self.trace),
            seconds=seconds,
            action=self._action,
            trace=np.array(self.trace),
            problem=self.problem,
            criterion=self.criterion,
        )

    def _message(self, status: str, method: str) -> str:
        gap = self.gap
        if status == CERTIFIED:
            return f"every value is known to within {gap:.2g}"
        if status == BELOW_FLOOR:
            floor = max(self.floor, gap if self.floor <= self.tolerance else 0.0)
            return (
                f"every value is known to within {gap:.2g}; float64 rounding limits the interval to {floor:.2g} for "
                f"values of this size, so {self.tolerance:.2g} cannot be proved"
            )
        if status == NO_PROGRESS:
            return (
                f"the last {_STALLED} backups have brought no bound closer, so {method} does not get any further; "
                f"every value is known to within {gap:.2g}; another method or a larger tolerance may help"
            )
        reason = "time was up" if status == TIME_LIMIT else "interrupted"
        return f"{reason} after {len(self.trace)} backups; every value is known to within {gap:.2g}"
