"""Methods that bring v closer to v*: each takes a backup and returns a better v, and a backup proves how good it is.

What differs is what follows a backup: nothing; a few sweeps of the greedy policy's chain, one row per state, instead
of the whole model; sweeps of the model in an order that carries rewards far; or the chain solved.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdvi.planning.chain import chain_of, swept
from mdvi.planning.criteria.base import Criterion
from mdvi.planning.ladder import Ladder
from mdvi.planning.problem import Backup, Problem, Values
from mdvi.planning.watch import Watch

_RARE = 1e-3  # actions that a chain that is swept roughly can do without
_WINDOW = 18.0  # times √states: a dozen and a half rows of a square grid
_NARROWEST = 500  # states
_ROUNDS, _EVALUATIONS = 12, 10  # sweeps of all actions, and of the best ones after each
_BETWEEN_SOLVES, _BRANCHES = 10, 30  # sweeps at the most; they times the successors of a state and action
_STRETCHES = 16  # of the order; between two of them it may be stopped


@dataclass(frozen=True)
class Aim:
    """What a turn of a method works towards.

    Attributes:
        criterion: says how good a change of v is.
        order: in which to sweep; empty for the methods that sweep all states at once.
        ladder: solves linear equations; None for the methods that do not.
        sweeps: of a chain, at the most.
        accuracy: how exactly linear equations are solved, relative to their right-hand side.
        settled: a change of v, in one sweep, that is too small to matter.
        patience: the share of the states that may be left unsettled before ordered sweeps are given up.
        travels: whether ordered sweeps follow a solve; they need compiled rows of the regulariser.
    """

    criterion: Criterion
    order: np.ndarray
    ladder: Ladder | None
    sweeps: int
    accuracy: float
    settled: float
    patience: float
    travels: bool


@dataclass(frozen=True)
class Turn:
    """What a turn of a method leaves.

    Attributes:
        v: closer to v* than before.
        left: the share of its work that the method had to leave; much of it means that another method suits better.
    """

    v: Values
    left: float


Method = Callable[[Problem, Backup, Aim, Watch], Turn]


def value_iteration(problem: Problem, backup: Backup, aim: Aim, watch: Watch) -> Turn:
    """v ← Tv."""
    return Turn(backup.value, 0.0)


def modified_policy_iteration(problem: Problem, backup: Backup, aim: Aim, watch: Watch) -> Turn:
    """v ← T_π^m v, a few sweeps of the chain for each of the model."""
    before, left = aim.criterion.width(problem, backup.low, backup.high), 1.0

    def enough(low: float, high: float) -> bool:
        nonlocal left
        left = aim.criterion.width(problem, low, high) / before
        return left <= aim.accuracy

    chain = chain_of(problem, backup, rare=_RARE)
    x = swept(chain, backup.value - backup.v, aim.sweeps, enough, watch)
    return Turn(backup.v + x, left if left > aim.accuracy else 0.0)


def gauss_seidel(problem: Problem, backup: Backup, aim: Aim, watch: Watch) -> Turn:
    """T state by state, each new value at once in use, in an order in which successors come first."""
    return _ordered_sweeps(problem, backup.value.copy(), aim, width_of(problem), _ROUNDS, _EVALUATIONS, watch)


def width_of(problem: Problem) -> int:
    """States of a window of ordered sweeps."""
    return max(int(_WINDOW * np.sqrt(len(problem.gain))), _NARROWEST)


def policy_iteration(problem: Problem, backup: Backup, aim: Aim, watch: Watch) -> Turn:
    """Newton's method, v ← v_π, and then ordered sweeps: an improvement of the policy travels as far as it reaches.

    Without them it travels one transition per solve. Where there are many successors it has not far to go, and under
    entropy, if it matters, the policy changes everywhere at once.
    """
    assert aim.ladder is not None
    x = aim.ladder.climbed(chain_of(problem, backup), backup.value - backup.v, aim.accuracy, watch)
    if not aim.travels:
        return Turn(backup.v + x, 0.0)
    count = max(int(min(_BRANCHES / problem.branching, _BETWEEN_SOLVES)), 1)
    return _ordered_sweeps(problem, backup.v + x, aim, len(x), count, 0, watch)


def _ordered_sweeps(
    problem: Problem, v: Values, aim: Aim, width: int, rounds: int, evaluations: int, watch: Watch
) -> Turn:
    """One way along the order in windows; overwrites v. What is left are windows that did not settle."""
    assert problem.rows is not None
    assert problem.sweeps is not None
    stretch = width * max(len(v) // (width * _STRETCHES), 1)
    model = (*problem.rows, problem.gain, problem.discount, problem.temperature, aim.order)
    unsettled = 0
    for begin in range(0, len(v), stretch):
        watch()
        end = min(begin + stretch, len(v))
        unsettled += problem.sweeps.ordered(*model, begin, end, width, aim.settled, rounds, evaluations, v)
        if unsettled * width > aim.patience * len(v):
            break
    return Turn(v, unsettled * width / len(v))


METHODS: dict[str, Method] = {
    "value-iteration": value_iteration,
    "modified-policy-iteration": modified_policy_iteration,
    "gauss-seidel": gauss_seidel,
    "policy-iteration": policy_iteration,
}
