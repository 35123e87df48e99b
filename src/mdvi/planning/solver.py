"""The loop of a solve: backups, each of which proves an interval, and turns of a method between them."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from mdvi.planning.choice import LEAPS, LEFT, ROUGH, Situation, choose, more_sweeps
from mdvi.planning.criteria.base import Criterion
from mdvi.planning.ladder import Ladder
from mdvi.planning.methods import METHODS, Aim, width_of
from mdvi.planning.order import leaps, outward
from mdvi.planning.problem import Backup, Problem, Values
from mdvi.planning.proof import Proof
from mdvi.planning.solution import Progress
from mdvi.planning.watch import Stopped, Watch

_ORDERED = ("gauss-seidel", "policy-iteration")  # the methods that need an order of the states
_SWEEPS = 12  # of a chain, at the most, as long as it is not known to mix slowly
_FINE = 1e-3  # the most accurate that a chain is swept; ROUGH is the least
_LOOSE, _ACCURATE, _EXACT = 0.1, 1e-2, 1e-12  # and of linear solves, at first, with entropy or without, and at the most
_SLOW = 0.5  # of the gap: where turns leave more, under entropy, ordered sweeps follow the solves as they do without
_NEAR = 1.5  # times what entropy is worth: a gap from which Newton's method takes a few turns
_SPARE = 1.5  # how much closer than the tolerance single values are brought before moving on


class Solver:
    """The state of a solve: what is proved so far, which method has its turn, and how the last turns went."""

    def __init__(
        self, problem: Problem, criterion: Criterion, tolerance: float, method: str, progress: Progress | None
    ) -> None:
        self.problem = problem
        self.criterion = criterion
        self.asked = method
        self.progress = progress
        self.proof = Proof(problem, criterion, tolerance)
        self.choosing = method == "auto" and problem.rows is not None
        self.method = self._first(method)
        self.turns = 0  # that it has had in a row
        self.order: np.ndarray | None = None
        self.ladder: Ladder | None = None
        self.onward = False  # whether one way along the order is nearly all there is
        self.leaps = 0.0
        self.policy: Int[np.ndarray, " states"] | None = None  # that was greedy at the backup before
        self.left = 0.0  # the share of its work that the last turn left
        self.sweeps = _SWEEPS
        self.accuracy = _ACCURATE
        self.before = 0.0  # the width at the turn before; 0 where that says nothing

    def _first(self, method: str) -> str:
        if self.problem.rows is None:
            return "value-iteration"
        return "modified-policy-iteration" if method == "auto" else method

    def run(self, watch: Watch, start: Values | None = None) -> str:
        """Go on from a start, by default from zero, until there is a status."""
        v = np.zeros(self.problem.mdp.states) if start is None else start
        try:
            while True:
                backup = self._bounded(v)
                status = self.proof.status(backup)
                if status:
                    return status
                watch()
                v = self._next(backup, watch)
        except Stopped as stopped:
            return str(stopped)

    def _bounded(self, v: Values) -> Backup:
        """One backup, and what it proves."""
        backup = self.problem.backup(v)
        self.proof.add(backup)
        if self.progress is not None:
            self.progress(len(self.proof.trace), self.proof.gap)
        return backup

    def _next(self, backup: Backup, watch: Watch) -> Values:
        """One turn of the method, after choosing it."""
        method, width = self.method, self.proof.widths[-1]
        if self.choosing:
            method, backup, width = self._chosen(backup, watch)
        elif method in _ORDERED and self.order is None:
            self._number()
        turn = METHODS[method](self.problem, backup, self._aim(method, width), watch)
        self.left = turn.left
        return turn.v

    def _chosen(self, backup: Backup, watch: Watch) -> tuple[str, Backup, float]:
        """The method of this turn, the backup that it sets out from, and the width of that."""
        now, width = self._situation(backup), self.proof.widths[-1]
        self.policy = backup.best
        if more_sweeps(now):
            self.sweeps *= 2
        method = choose(now)
        if method in _ORDERED and self.order is None:
            # Only now is an order worth its time; with what it tells, the choice may be another one.
            order = self._number()
            self.leaps = leaps(self.problem, order, width_of(self.problem))
            now = now._replace(leaps=self.leaps)
            hard = choose(now) == "gauss-seidel"  # whether ordered sweeps would do without entropy
            method = choose(now._replace(blurred=self.blurred))
            if self.blurred:
                backup, width = self._started(backup, width, order, hard, watch)
        if method == "value-iteration":
            self.turns = 0
        else:
            self.turns = 1 if method != self.method else self.turns + 1
            self.method = method
        return method, backup, width

    def _situation(self, backup: Backup) -> Situation:
        """What is known before a turn."""
        widths, policy = self.proof.widths, self.policy
        return Situation(
            method=self.method,
            backups=len(widths),
            turns=self.turns,
            width=widths[-1],
            earlier=widths[-3] if len(widths) > 2 else math.inf,
            idle=self._idle(backup) if len(widths) == 2 else 0.0,
            moved=1.0 if policy is None else np.count_nonzero(backup.best != policy) / len(policy),
            left=self.left,
            sweeps=self.sweeps,
            branching=self.problem.branching,
            states=len(backup.v),
            leaps=self.leaps,
            blurred=self.blurred,
        )

    def _idle(self, backup: Backup) -> float:
        """The share of the states that the backup has changed by what it has changed most of them."""
        change = (backup.value - backup.v)[~np.asarray(self.problem.mdp.terminal)]
        return float(np.mean(change == np.median(change))) if len(change) else 0.0

    @property
    def blurred(self) -> bool:
        """Whether ordered sweeps will not do under entropy: transitions lead both ways along the order, or no compiled
        function applies the regulariser state by state.
        """
        able = self.onward and self.problem.sweeps is not None
        return self.order is not None and self.problem.temperature > 0 and not able

    def _number(self) -> np.ndarray:
        """Put the states into an order."""
        self.order = order = outward(self.problem)
        self.onward = leaps(self.problem, order, 0) <= LEAPS
        self.ladder = Ladder(order, self.onward)
        return order

    def _started(
        self, backup: Backup, width: float, order: np.ndarray, hard: bool, watch: Watch
    ) -> tuple[Backup, float]:
        """The best of a few values to start Newton's method from under entropy, with its width.

        Entropy is worth about the same everywhere, and from v = 0 each turn would first have to find out how much.
        Where rewards matter more, values without entropy are closer: one way of ordered sweeps finds them, if these
        would do (`hard`).
        """
        problem, live = self.problem, ~np.asarray(self.problem.mdp.terminal)
        reach = self.criterion.forever(problem, 1.0)
        omega, count = problem.regularizer, problem.widest
        # How far entropy moves values, at the most.
        spread = problem.temperature * (omega.greatest(count) - omega.least(count)) * reach
        flat = np.where(live, np.median((backup.v + (backup.value - backup.v) * reach)[live]), 0.0)
        found = [(width, backup), self._tried(flat)]
        if hard and found[1][0] > _NEAR * spread and spread < 0.5 * width:
            aim = Aim(
                criterion=self.criterion,
                order=order,
                ladder=None,
                sweeps=0,
                accuracy=0.0,
                settled=0.1 * spread / reach,
                patience=LEFT,
                travels=False,
            )
            swept = METHODS["gauss-seidel"](replace(problem, temperature=0.0), backup, aim, watch).v
            found += [self._tried(swept), self._tried(np.maximum(swept, flat))]
        width, backup = min(found, key=lambda pair: pair[0])
        self.before = 0.0
        return backup, width

    def _tried(self, v: Values) -> tuple[float, Backup]:
        backup = self._bounded(v)
        return self.proof.widths[-1], backup

    def _aim(self, method: str, width: float) -> Aim:
        """What the turn works towards, given the width that it begins with."""
        soft = self.problem.temperature > 0
        worked = width / self.before if self.before else 1.0  # what the last turn left of the width
        travels = not soft or self.onward or (self.before > 0 and worked > _SLOW)
        travels = travels and self.problem.sweeps is not None
        self.before = width
        self.accuracy = self._accuracy(width, worked)
        return Aim(
            criterion=self.criterion,
            order=self.order if self.order is not None else np.arange(0),
            ladder=self.ladder,
            sweeps=self.sweeps,
            accuracy=self.accuracy,
            settled=self.criterion.settled(self.problem, self.proof.aim) / _SPARE,
            # Under entropy few windows settle, but the way along the order brings v closer all the same.
            patience=LEFT if method != self.asked and not soft else math.inf,
            travels=travels,
        )

    def _accuracy(self, width: float, worked: float) -> float:
        """How well to solve linear equations: as the last turn worked (Eisenstat and Walker, 1996), or as is needed.

        Newton's method may go round in circles when its solves are not exact: when a turn brings nothing, they become
        more so.
        """
        needed = self.proof.aim / width
        if self.method == "policy-iteration":
            if width > min(self.proof.widths):
                return max(self.accuracy / 10, _EXACT)
            soft = self.problem.temperature > 0
            return max(min(_LOOSE if soft else _ACCURATE, worked**2), needed / 10, _EXACT)
        return min(max(ROUGH * worked, ROUGH * needed, _FINE), ROUGH)
