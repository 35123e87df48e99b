"""Which method has the next turn, when the choice is left to `auto`: a pure function of what is known by then."""

import math
from typing import NamedTuple

_IDLE = 0.5  # when the second backup changes more of the states by one amount, rewards have to travel far
LEFT = 0.1  # when a turn leaves more of its work, it mixes slowly
# While the best action changes in more of the states than _MOVING, a policy is not worth being evaluated; after
# _CIRCLES backups it goes round in circles.
_MOVING, _CIRCLES = 0.1, 30
LEAPS = 0.02  # where more of the probability leads further than a window of ordered sweeps, these will not do
# Where there are more successors than _WIDE, a chain is swept up to _MOST_SWEEPS times before it is solved: a sweep of
# it is cheap compared with a backup, and a solve is not.
_WIDE, _MOST_SWEEPS = 20, 200
_SMALL = 2000  # states: a chain is solved in less time than it takes to find out whether ordered sweeps would do
# What two turns may leave of the width before another method takes over: sweeps of a chain, and ordered sweeps.
_SLOW, _SLOW_IN_ORDER = 0.5, 0.01
ROUGH = 0.3  # accuracy of the sweeps of a chain, relative to what they start from


class Situation(NamedTuple):
    """Everything that a choice looks at.

    Attributes:
        method: the method that has been chosen so far.
        backups: how many there were.
        turns: how many turns in a row that method has had; 0 after one of value iteration.
        width: of the interval that the last backup proves by itself.
        earlier: the same of two backups before; ∞ where there was none.
        idle: the share of the states that the second backup has changed by what it has changed most of them; 0 after
            any other backup, which would say nothing.
        moved: the share of the states whose best action is another one than a backup before; 1 at first.
        left: the share of its work that the last turn has left.
        sweeps: how often a chain is swept, at the most.
        branching: successors of a state and action, on average.
        states: how many there are.
        leaps: the share of the probability that leads further than a window of ordered sweeps; 0 where there is no
            order yet.
        blurred: whether entropy keeps windows from settling: there is some, and transitions lead both ways along the
            order, or its regulariser has no compiled rows; False where there is no order yet.
    """

    method: str
    backups: int
    turns: int
    width: float
    earlier: float
    idle: float
    moved: float
    left: float
    sweeps: int
    branching: float
    states: int
    leaps: float
    blurred: bool


def choose(now: Situation) -> str:
    """The method of the next turn.

    "value-iteration" is one turn without a policy, because that has hardly begun to settle; every other answer is the
    method from now on.
    """
    method = _suited(now)
    if method == "gauss-seidel" and (now.leaps > LEAPS or now.blurred):
        return "policy-iteration"
    if method == "modified-policy-iteration" and now.moved > _MOVING and now.backups <= _CIRCLES:
        return "value-iteration"
    return method


def more_sweeps(now: Situation) -> bool:
    """Whether the last chain has too many successors to be solved, and mixes well enough to be swept for longer."""
    return now.left > LEFT and now.branching > _WIDE and _sweeps_missing(now) <= _MOST_SWEEPS


def _suited(now: Situation) -> str:
    if more_sweeps(now):
        return now.method
    unfinished = now.left > LEFT
    if now.method == "modified-policy-iteration":
        slow = not unfinished and _leaves_more_than(_SLOW, now)
        if slow and now.states <= _SMALL:
            return "policy-iteration"
        if slow or now.idle > _IDLE:
            return "gauss-seidel"
    if unfinished or (now.method == "gauss-seidel" and _leaves_more_than(_SLOW_IN_ORDER, now)):
        return "policy-iteration"
    return now.method


def _sweeps_missing(now: Situation) -> float:
    """How many sweeps of the last chain would have done its work."""
    return now.sweeps * math.log(ROUGH) / math.log(now.left) if now.left < 1 else math.inf


def _leaves_more_than(share: float, now: Situation) -> bool:
    """Whether two turns of the method have left more of the width than a share."""
    return now.turns >= 2 and now.width > share * now.earlier
