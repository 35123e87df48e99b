"""The fastest certified road to v*: backups that prove an interval, and between them whatever brings v closer."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from mdvi.mdp.model import FiniteMDP
from mdvi.planning import sweeps
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.criteria.base import Criterion, Interval
from mdvi.planning.ladder import Ladder
from mdvi.planning.methods import METHODS, Aim, width_of
from mdvi.planning.native import clock
from mdvi.planning.order import leaps, outward
from mdvi.planning.problem import Backup, Problem, U, Values, problem_of
from mdvi.planning.requests import check_request, log_prior_of
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED, NO_PROGRESS, Progress, Solution
from mdvi.planning.watch import TIME_LIMIT, Stopped, Watch, stoppable

# When `auto` goes over to another method: when the second backup leaves more of the states as they were than _IDLE,
# rewards have far to go; when a turn leaves more of its work than _LEFT, it mixes slowly. While the best action changes
# in more of the states than _MOVING, a policy is not worth being evaluated; after _CIRCLES backups it goes round in
# circles. Where more of the probability than _LEAPS leads further than a window of ordered sweeps, these will not do.
_IDLE, _LEFT, _MOVING, _CIRCLES, _LEAPS = 0.5, 0.1, 0.1, 30, 0.02
# Where there are more successors than _WIDE, a chain is swept up to _MOST_SWEEPS times before it is solved: a sweep of
# it is cheap compared with a backup, and a solve is not.
_SWEEPS, _MOST_SWEEPS, _WIDE = 12, 200, 20
_SMALL = 2000  # states: a chain is solved in less time than it takes to find out whether ordered sweeps would do
_ROUGH, _FINE = 0.3, 1e-3  # accuracy of the sweeps of a chain, relative to what they start from
_LOOSE, _ACCURATE, _EXACT = 0.1, 1e-2, 1e-12  # and of linear solves, at first, with entropy or without, and at the most
_SLOW = 0.5  # of the gap: where turns leave more, under entropy, ordered sweeps follow the solves as they do without
_NEAR = 1.5  # times what entropy is worth: a gap from which Newton's method takes a few turns
_SPARE = 1.5  # how much closer than the tolerance single values are brought before moving on
_ABOVE_FLOOR = 2.0  # how much wider than rounding leaves it an interval may stay that cannot be as narrow as was asked
_STALLED = 50  # backups without progress before giving up


def solve(
    mdp: FiniteMDP,
    kl: float = 0.0,
    entropy: float = 0.0,
    prior: Any = None,
    tolerance: float = 1e-6,
    method: str = "auto",
    time_limit: float | None = None,
    *,
    progress: Progress | None = None,
) -> Solution:
    """The optimum of a regularised problem, with an interval that is proved to hold it.

        v* = max_π E Σ γ^t (r − λ KL(π‖μ) + τ H(π)),     v* = M_{λ+τ}(r + λ log μ + γ P v*)

    with M_0 the maximum. Terminal states are worth zero.

    Args:
        mdp: the model, in any storage; it is never densified.
        kl: λ ≥ 0, the weight of the KL to the prior.
        entropy: τ ≥ 0, the weight of the entropy.
        prior: μ, shape (states, actions), positive on legal actions; default uniform over them.
        tolerance: how wide the interval may be, in units of value: upper − lower ≤ tolerance in every state.
        method: "auto", "value-iteration", "modified-policy-iteration", "gauss-seidel" or "policy-iteration".
        time_limit: in seconds; the compilation of functions, once on a machine, does not count.
        progress: called after every backup with their number and the gap.

    Returns:
        A `Solution`, `certified` when the tolerance is met. There is no cap on iterations: otherwise it is the
        best interval when time was up, on Ctrl-C, when rounding makes the tolerance unreachable, or when a method
        makes no progress any more.

    Raises:
        ValueError: for bad arguments, naming them, and when the model cannot fit into memory.

    Source: MacQueen (1966) and Porteus (1971) for the interval; Puterman and Shin (1978) for modified policy iteration.
    """
    start = clock()
    check_request(mdp, kl, entropy, tolerance, method, METHODS, time_limit)
    problem = problem_of(mdp, kl, entropy, log_prior_of(mdp, kl, prior))
    return solve_problem(problem, tolerance, method, time_limit, progress, start)


def solve_problem(
    problem: Problem,
    tolerance: float,
    method: str = "auto",
    time_limit: float | None = None,
    progress: Progress | None = None,
    start: float | None = None,
    criterion: Criterion = CRITERIA["discounted"],
) -> Solution:
    """`solve`, for a problem that is already prepared, and for any criterion."""
    start = clock() if start is None else start
    criterion.check(problem)
    road = _Road(problem, criterion, tolerance, method, progress)
    with stoppable(start, time_limit) as watch:
        status = road.follow(watch)
    return road.solution(status, start)


class _Road:
    """The state of a solve: where v is, what is proved so far, and which method has its turn."""

    def __init__(
        self, problem: Problem, criterion: Criterion, tolerance: float, method: str, progress: Progress | None
    ) -> None:
        self.problem = problem
        self.criterion = criterion
        self.tolerance = tolerance
        self.asked = method
        self.progress = progress
        self.method = self._first(method)
        self.order: np.ndarray | None = None
        self.ladder: Ladder | None = None
        self.trace: list[float] = []
        self.widths: list[float] = []  # of what each backup proves by itself
        self.best: tuple[Interval, Int[np.ndarray, " states"]] | None = None
        self.lower = self.upper = np.empty(0)  # what all backups together prove
        self.gap = math.inf
        self.idle = 0  # backups since one last proved more
        self.policy: Int[np.ndarray, " states"] | None = None
        self.floor = 0.0
        self.accuracy = _ACCURATE
        self.before = 0.0  # the width at the turn before
        self.slow = self.onward = False
        self.left = 0.0
        self.sweeps = _SWEEPS
        self.since = 1  # the first backup, of v = 0, says nothing about a method

    def _first(self, method: str) -> str:
        if self.problem.rows is None:
            return "value-iteration"
        return "modified-policy-iteration" if method == "auto" else method

    def follow(self, watch: Callable[[], None]) -> str:
        """Go on until there is a status."""
        v = np.zeros(self.problem.mdp.states)
        try:
            while True:
                backup = self._bounded(v)
                status = self._status(backup)
                if status:
                    return status
                watch()
                v = self._next(backup, watch)
        except Stopped as stopped:
            return str(stopped)

    def _bounded(self, v: Values) -> Backup:
        """One backup, and what it proves."""
        backup = self.problem.backup(v)
        interval = self.criterion.interval(self.problem, backup)
        width = interval.below + interval.above
        closer = width < min(self.widths, default=math.inf)
        if closer or self.best is None:
            self.best = interval, backup.best
        self.widths.append(width)
        if not self.trace:
            known = self.criterion.known(self.problem)
            self.lower, self.upper = (np.where(self.problem.mdp.terminal, 0.0, b) for b in known)
        self.idle = 0 if self._narrowed(interval) or closer else self.idle + 1
        self.trace.append(self.gap)
        self.floor = self.criterion.floor(self.problem, interval)
        if self.progress is not None:
            self.progress(len(self.trace), self.gap)
        return backup

    def _narrowed(self, interval: Interval) -> bool:
        """Whether an interval proves more than all before it; the bounds are what they prove together."""
        ends = np.asarray(self.problem.mdp.terminal)
        bounds = self.lower, self.upper
        widest, count = sweeps.narrowed(*bounds, interval.value, interval.below, interval.above, ends)
        self.gap = widest * (1 + 4 * U)
        return count > 0

    def _status(self, backup: Backup) -> str | None:
        assert self.best is not None
        if self.gap <= self.tolerance:
            return CERTIFIED
        settled = self.criterion.width(self.problem, backup.low, backup.high) <= self.best[0].rounding
        recent = self.widths[-_STALLED:]
        stalled = len(recent) == _STALLED and min(recent) >= min(self.widths) and recent[0] <= 4 * self.floor
        if self.gap <= self._aim or (settled and len(self.trace) > 1 and self._stands()) or stalled:
            return BELOW_FLOOR
        return NO_PROGRESS if self.idle >= _STALLED and recent[-1] >= recent[0] else None

    @property
    def _aim(self) -> float:
        """The gap to work towards: what was asked for, or what rounding leaves of it."""
        return _ABOVE_FLOOR * self.floor if self.floor > self.tolerance else self.tolerance

    def _stands(self) -> bool:
        """Whether the last backup brought nothing."""
        return self.widths[-1] >= 0.9 * min(self.widths[:-1])

    def _next(self, backup: Backup, watch: Callable[[], None]) -> Values:
        """One turn of the method, after choosing it."""
        method = self._choice(backup) if self.asked == "auto" and self.problem.rows is not None else self.method
        width = self.widths[-1]
        if method in ("gauss-seidel", "policy-iteration") and self.order is None:
            self.order = outward(self.problem)
            self.onward = leaps(self.problem, self.order, 0) <= _LEAPS  # one way along the order is nearly all there is
            self.ladder = Ladder(self.order, self.onward)
            if self.asked == "auto" and leaps(self.problem, self.order, width_of(self.problem)) > _LEAPS:
                method = self.method = "policy-iteration"
            if self.asked == "auto" and self.problem.temperature > 0 and not self.onward:
                backup, width = self._started(backup, width, watch)
                method = self.method = "policy-iteration"
        self.accuracy = self._accuracy(width)
        order = self.order if self.order is not None else np.arange(0)
        settled = self.criterion.settled(self.problem, self._aim) / _SPARE
        # Under entropy few windows settle, but the way along the order brings v closer all the same.
        patience = _LEFT if method != self.asked and self.problem.temperature == 0 else math.inf
        aim = Aim(self.criterion, order, self.ladder, self.sweeps, self.accuracy, settled, patience, self.slow)
        turn = METHODS[method](self.problem, backup, aim, watch)
        self.left = turn.left
        return turn.v

    def _started(self, backup: Backup, width: float, watch: Watch) -> tuple[Backup, float]:
        """The best of a few values to start Newton's method from under entropy, with its width.

        Entropy is worth about the same everywhere, and from v = 0 each turn would first have to find out how much.
        Where rewards matter more, values without entropy are closer: one way of ordered sweeps finds them.
        """
        assert self.order is not None
        problem, live = self.problem, ~np.asarray(self.problem.mdp.terminal)
        reach = self.criterion.forever(problem, 1.0)
        spread = problem.temperature * math.log(problem.widest) * reach  # how far entropy moves values, at the most
        flat = np.where(live, np.median((backup.v + (backup.value - backup.v) * reach)[live]), 0.0)
        found = [(width, backup), self._tried(flat)]
        if self.method == "gauss-seidel" and found[1][0] > _NEAR * spread and spread < 0.5 * width:
            aim = Aim(self.criterion, self.order, None, 0, 0.0, 0.1 * spread / reach, _LEFT, False)
            hard = METHODS["gauss-seidel"](replace(problem, temperature=0.0), backup, aim, watch).v
            found += [self._tried(hard), self._tried(np.maximum(hard, flat))]
        width, backup = min(found, key=lambda pair: pair[0])
        self.before = 0.0
        return backup, width

    def _tried(self, v: Values) -> tuple[float, Backup]:
        backup = self._bounded(v)
        return self.widths[-1], backup

    def _accuracy(self, width: float) -> float:
        """How well to solve linear equations: as the last turn worked (Eisenstat and Walker, 1996), or as is needed.

        Newton's method may go round in circles when its solves are not exact: when a turn brings nothing, they become
        more so.
        """
        worked, needed = width / self.before if self.before else 1.0, self._aim / width
        self.slow = self.problem.temperature == 0 or self.onward or (self.before > 0 and worked > _SLOW)
        self.before = width
        if self.method == "policy-iteration":
            if width > min(self.widths):
                return max(self.accuracy / 10, _EXACT)
            soft = self.problem.temperature > 0
            return max(min(_LOOSE if soft else _ACCURATE, worked**2), needed / 10, _EXACT)
        return min(max(_ROUGH * worked, _ROUGH * needed, _FINE), _ROUGH)

    def _choice(self, backup: Backup) -> str:
        """The method of the next turn; a policy that has hardly begun to settle is not evaluated."""
        moved = 1.0 if self.policy is None else np.count_nonzero(backup.best != self.policy) / len(self.policy)
        self.policy = backup.best
        self._choose(backup)
        if self.method != "modified-policy-iteration" or moved <= _MOVING or len(self.trace) > _CIRCLES:
            return self.method
        self.since = len(self.trace)
        return "value-iteration"

    def _choose(self, backup: Backup) -> None:
        """Go over to a method that suits better."""
        far = len(self.trace) == 2 and self._idle(backup) > _IDLE
        unfinished = self.left > _LEFT
        if unfinished and self.problem.branching > _WIDE and self._sweeps_missing() <= _MOST_SWEEPS:
            self.sweeps *= 2
            return
        slow = not unfinished and self._slower_than(0.5)
        if self.method == "modified-policy-iteration" and (far or slow):
            small = len(backup.v) <= _SMALL
            self._take_up("policy-iteration" if slow and small else "gauss-seidel")
        elif unfinished or (self.method == "gauss-seidel" and self._slower_than(0.01)):
            self._take_up("policy-iteration")

    def _sweeps_missing(self) -> float:
        """How many sweeps of the last chain would have done its work."""
        return self.sweeps * math.log(_ROUGH) / math.log(self.left) if self.left < 1 else math.inf

    def _idle(self, backup: Backup) -> float:
        """The share of the states that the backup has changed by what it has changed most of them: rewards are far."""
        change = (backup.value - backup.v)[~np.asarray(self.problem.mdp.terminal)]
        return float(np.mean(change == np.median(change))) if len(change) else 0.0

    def _slower_than(self, share: float) -> bool:
        """Whether two turns of the method have left more of the gap than a share."""
        return len(self.trace) - self.since > 2 and self.widths[-1] > share * self.widths[-3]

    def _take_up(self, method: str) -> None:
        if self.method != method:
            self.method, self.since = method, len(self.trace) - 1

    def solution(self, status: str, start: float) -> Solution:
        """What is proved, as a `Solution`."""
        assert self.best is not None
        return Solution(
            value=(self.lower + self.upper) / 2,
            lower=self.lower,
            upper=self.upper,
            gap=self.gap,
            status=status,
            message=self._message(status, self.gap),
            method=self.asked,
            tolerance=self.tolerance,
            backups=len(self.trace),
            seconds=clock() - start,
            action=self.best[1],
            trace=np.array(self.trace),
            problem=self.problem,
            criterion=self.criterion,
        )

    def _message(self, status: str, gap: float) -> str:
        if status == CERTIFIED:
            return f"every value is known to within {gap:.2g}"
        if status == BELOW_FLOOR:
            floor = max(self.floor, gap if self.floor <= self.tolerance else 0.0)
            return (
                f"every value is known to within {gap:.2g}; rounding in float64 hides what is below {floor:.2g} in "
                f"values of this size, so {self.tolerance:.2g} cannot be proved"
            )
        if status == NO_PROGRESS:
            return (
                f"the last {_STALLED} backups have brought no bound closer, so {self.asked} does not get any further; "
                f"every value is known to within {gap:.2g}; another method or a larger tolerance may help"
            )
        reason = "time was up" if status == TIME_LIMIT else "interrupted"
        return f"{reason} after {len(self.trace)} backups; every value is known to within {gap:.2g}"
