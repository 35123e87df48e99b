"""Relative values: v up to a constant, and backups of it that prove an interval on the gain.

Turns bring v closer to an h with g + h = Th:

    value iteration     v ← v + ½ (Tv − v): damped, so that periods do no harm
    sweeps              of the chain of the greedy policy, one row per state
    policy iteration    v ← v + x,  x = (Tv − v − g) + (1 − ε) P_π x

The ε > 0 keeps the last equation regular, also where P_π has several recurrent classes: those that gain more than g
then rise by 1/ε times as much, and the next policy goes there. What it leaves is ε P_π x, which the next turn takes up.

Sources: White (1963) for relative values; Schweitzer (1971) for damping; Howard (1960) for policy iteration.
"""

import numpy as np

from mdvi.planning.chain import Chain, chain_of, swept
from mdvi.planning.choice import LEAPS, LEFT
from mdvi.planning.criteria.average import Average
from mdvi.planning.ladder import Ladder
from mdvi.planning.order import leaps, outward
from mdvi.planning.problem import Backup, Problem, Values
from mdvi.planning.proof import Proof
from mdvi.planning.solution import Progress
from mdvi.planning.watch import Stopped, Watch

SLOW = "slow"  # not a status of a solution: nothing more is to be had quickly
METHODS = ("value-iteration", "modified-policy-iteration", "policy-iteration")
_DAMPED = 0.5
_RARE = 1e-3  # actions that a chain that is swept can do without
_SWEEPS = 12  # of a chain
_ROUGH = 0.1  # what they may leave of the width
_SLOW = 0.5  # of the width: where two turns leave more, the next method takes over,
_MOVING, _SETTLING = 0.1, 30  # unless the best action still changes in more of the states, and for so many backups
_MOST, _LEAST = 1e-3, 1e-10  # ε
_LEFT = 0.05  # of the width, what ε may leave
_ACCURATE, _EXACT = 1e-3, 1e-12  # of linear solves, at first and at the most
_TRIES = 2  # turns in a row that prove nothing new; then every other one is of value iteration


class Relative:
    """The state of a solve: what is proved, which method has its turn, and how the last turns went."""

    def __init__(
        self, problem: Problem, criterion: Average, tolerance: float, method: str, progress: Progress | None
    ) -> None:
        """`method` is "auto" or one of `METHODS`; a matrix-free problem has value iteration alone."""
        self.problem, self.criterion, self.progress = problem, criterion, progress
        self.proof = Proof(problem, criterion, tolerance)
        self.choosing = method == "auto" and problem.rows is not None
        self.method = "modified-policy-iteration" if method == "auto" else method
        self.method = self.method if problem.rows is not None else "value-iteration"
        # Of each set of states, the v whose greedy policy has proved most from below, and that policy.
        self.bias: Values = np.zeros(problem.mdp.states)
        self.action = np.zeros(problem.mdp.states, np.int32)
        self._lower = np.full(problem.mdp.states, -np.inf)
        self._floor = 0.0  # the narrowest interval that rounding lets the v prove that has proved most
        self._ladder: Ladder | None = None
        self._epsilon, self._accuracy = _MOST, _ACCURATE
        self._failed = 0  # turns in a row that have proved nothing new
        self._left = 0.0  # of its work, by the last turn
        self._policy: np.ndarray | None = None  # that was greedy at the backup before
        self._moved = 1.0
        self._widths: list[float] = []  # of the backups of this method
        self._turns = {
            "value-iteration": self._damped,
            "modified-policy-iteration": self._swept,
            "policy-iteration": self._solved,
        }

    def run(self, watch: Watch, v: Values, cautious: bool = False) -> str:
        """Go on from v until there is a status; with `cautious`, stop as `SLOW` where sweeps are not enough."""
        v = self.criterion.centred(v)
        try:
            while True:
                backup = self._bounded(v)
                status = self.proof.status(backup)
                if status:
                    return status
                watch()
                if self._slow():
                    if cautious:
                        return SLOW
                    if self.choosing:
                        self.method, self._widths = "policy-iteration", []
                v = self.criterion.centred(self._next(backup, watch))
        except Stopped as stopped:
            return str(stopped)

    def _bounded(self, v: Values) -> Backup:
        """One backup, and what it proves."""
        backup, before = self.problem.backup(v), self.proof.gap
        self.proof.add(backup)
        interval = self.criterion.interval(self.problem, backup)
        if interval.width <= min(self.proof.widths):
            self._floor = interval.rounding
        self.proof.floor = self._floor  # of values far from the bias it says nothing
        lower = self.criterion.bounds(self.problem, interval)[0]
        better = lower > self._lower
        if better.any():
            self._lower = np.where(better, lower, self._lower)
            self.bias, self.action = np.where(better, v, self.bias), np.where(better, backup.best, self.action)
        self._failed = 0 if self.proof.gap < before else self._failed + 1
        self._widths.append(self.proof.widths[-1])
        self._moved = 1.0 if self._policy is None else np.count_nonzero(backup.best != self._policy) / len(v)
        self._policy = backup.best
        if self.progress is not None:
            self.progress(len(self.proof.trace), self.proof.gap)
        return backup

    def _slow(self) -> bool:
        """Whether the method that has its turn does not suit."""
        if self.method == "policy-iteration":
            return len(self._widths) == 1
        settled = self._moved <= _MOVING or len(self._widths) > _SETTLING
        held = len(self._widths) > 2 and self._widths[-1] > _SLOW * self._widths[-3]
        return settled and (held or self._left > LEFT)

    def _next(self, backup: Backup, watch: Watch) -> Values:
        """One turn."""
        method = self.method
        if method == "policy-iteration" and self._failed > 0:
            self._accuracy = max(self._accuracy / 10, _EXACT)
            self._epsilon = max(self._epsilon / 10, _LEAST)
        if self._failed > _TRIES and self._failed % 2:
            method = "value-iteration"
        return self._turns[method](backup, watch)

    def _damped(self, backup: Backup, watch: Watch) -> Values:
        return backup.v + _DAMPED * (backup.value - backup.v)

    def _swept(self, backup: Backup, watch: Watch) -> Values:
        b, before = self._missing(backup), max(backup.high - backup.low, 1e-300)

        def enough(low: float, high: float) -> bool:
            self._left = (high - low) / before
            return self._left <= _ROUGH

        return backup.v + swept(chain_of(self.problem, backup, rare=_RARE), b, _SWEEPS, enough, watch)

    def _solved(self, backup: Backup, watch: Watch) -> Values:
        if self._ladder is None:
            order = outward(self.problem)
            self._ladder = Ladder(order, leaps(self.problem, order, 0) <= LEAPS)
        whole = chain_of(self.problem, backup)
        chain = Chain(whole.first, whole.to, whole.weight * (1 - self._epsilon))
        x = self._ladder.climbed(chain, self._missing(backup), self._accuracy, watch)
        low, high = self.criterion.range(x)
        # ε P x is left; where classes differ in gain it is as large as they differ, whatever ε.
        enough = _LEFT * self.proof.widths[-1] / max(float((high - low).max()), 1e-300)
        self._epsilon = max(min(self._epsilon, enough), _LEAST)
        return backup.v + x

    def _missing(self, backup: Backup) -> Values:
        """Tv − v − g, with the middle of what this backup proves for g; 0 in states that belong to no set."""
        return self.criterion.centred(backup.value - backup.v)
