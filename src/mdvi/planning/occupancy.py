"""How often a policy visits each state and takes each action: occupancies, with a bound on their error."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from jaxtyping import Float

from mdvi.checks import check_number
from mdvi.mdp.kernels import MatrixFree
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.mdp.starts import starts_of
from mdvi.mdp.validation import check_discount
from mdvi.native import clock
from mdvi.planning.chain import Chain
from mdvi.planning.evaluation import policy_table, problem_of_policy
from mdvi.planning.ladder import Ladder
from mdvi.planning.problem import Problem, U, Values
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED
from mdvi.planning.sweeps import unsigned
from mdvi.planning.views import first_states, pairs_frame, picture, size_of, states_frame
from mdvi.planning.watch import Stopped, Watch, stoppable
from mdvi.words import as_html

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure

_ACCURACY = 1e-9  # of each solve, relative to its right-hand side
_SOLVES = 8  # of the equation for what the solves before it have left
_IDLE = 20  # sweeps without progress before giving up


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Expected discounted visits. An occupancy is equal (`==`) to itself alone.

    Attributes:
        state: d(s), shape (states,); 0 in terminal states, where nothing is chosen.
        state_action: d(s) π(a|s), shape (states, actions); 0 for illegal actions.
        error: Σ_s |d(s) − exact d(s)| is proved to be at most this; so is Σ_{s,a} of the state–action occupancy.
        normalized: whether the visits are multiplied by 1 − γ.
        status: "certified" (error ≤ tolerance), "tolerance below rounding floor", "time limit" or "interrupted".
        message: the status in a sentence.
        mdp: the model.
    """

    state: Values
    state_action: Float[np.ndarray, "states actions"]
    error: float
    normalized: bool
    status: str
    message: str
    mdp: FiniteMDP = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Occupancy(status={self.status!r}, error={self.error:.3g}, states={len(self.state)}, "
            f"total={self.state.sum():.6g}, normalized={self.normalized})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first states."""
        facts = {"status": f"{self.status}: {self.message}", "model": size_of(self.mdp)}
        return as_html("Occupancy", facts, *first_states(self.mdp, {"visits": self.state}))

    def to_frame(self, pairs: bool = False) -> "DataFrame":
        """The visits of each state, or of each legal action of each state, as a data frame of pandas."""
        if pairs:
            return pairs_frame(self.mdp, {"visits": self.state_action})
        return states_frame(self.mdp, {"visits": self.state})

    def plot(self, title: str = "") -> "Figure":
        """A picture of the visits and the policy.

        Raises:
            ValueError: for more than 400 states that lie on no map.
        """
        policy = self.state_action / np.where(self.state > 0, self.state, 1.0)[:, None]
        low, high = np.maximum(self.state - self.error, 0.0), self.state + self.error
        drawn = picture(self.mdp, self.state, low, high, policy, title or self.message, "visits")
        if drawn is None:
            raise ValueError(f"plot: {self.mdp.states} states that lie on no map are too many for a picture")
        return drawn


def occupancy(
    mdp: FiniteMDP | str | Path,
    policy: Any,
    start: Any = None,
    *,
    normalize: bool = False,
    tolerance: float = 1e-6,
    time_limit: float | None = None,
) -> Occupancy:
    """How often a policy visits each state, discounted, and how often it takes each action there.

        d(s) = Σ_t γ^t P(s_t = s),     d = ρ + γ P_π^T d,     d(s, a) = d(s) π(a|s)

    An episode ends with the first terminal state, where nothing is counted. Where no episode ends, the visits sum to
    1 / (1 − γ). They turn rewards into returns: Σ d(s, a) r(s, a) = Σ_s ρ(s) v_π(s), without regularisation.

    >>> import numpy as np
    >>> import mdvi
    >>> line = mdvi.mdp.chain(states=3, slip=0.0, discount=0.5)
    >>> right = [1, 1, 1]
    >>> mdvi.occupancy(line, right, start=0).state.round(6).tolist()
    [1.0, 0.5, 0.5]

    Args:
        mdp: the model, or its name as `solve` takes it.
        policy: whatever `evaluate` takes for a policy.
        start: ρ, where episodes begin: a state, by its name or its number, several of them with equal probability, or
            probabilities, an array of floats of shape (states,). Default: every state that is not terminal alike.
        normalize: multiply by 1 − γ, so that visits sum to 1 where no episode ends.
        tolerance: how large the error may be, in visits.
        time_limit: in seconds.

    Raises:
        ValueError: for bad arguments, naming them.

    Source: Puterman (1994), section 6.9.
    """
    mdp = model_of(mdp)
    began = clock()
    gamma = check_discount(mdp.discount)
    check_number("tolerance", tolerance, positive=True)
    if time_limit is not None:
        check_number("time_limit", time_limit, positive=True)
    if isinstance(mdp.kernel, MatrixFree):
        raise ValueError("mdp: a matrix-free model has no rows, which occupancies need")
    pi = policy_table(mdp, policy)
    rho = starts_of(mdp, start)
    unit = 1 - gamma if normalize else 1.0
    flow = Flow(problem_of_policy(mdp, pi), rho)
    with stoppable(began, time_limit) as watch:
        status = flow.solve(tolerance / unit * (1 - 8 * U), watch)
    visits, error = flow.visits * unit, flow.error * unit * (1 + 4 * U)
    message = f"the visits of all states together are known to within {error:.2g}"
    if status != CERTIFIED:
        message = f"{status}: {message}, {tolerance:.2g} was asked for"
    return Occupancy(visits, visits[:, None] * pi, error, normalize, status, message, mdp)


class Flow:
    """The equation d = ρ + γ P_π^T d: a solution that comes closer, and a bound on Σ |d − exact d|.

        r = ρ + γ P_π^T d − d,     Σ |d − exact d| ≤ Σ |r| / (1 − γσ₊)

    since γ P_π^T makes no sum of absolute values larger than γσ₊ times that. The rounding of r is in the bound.
    """

    def __init__(self, problem: Problem, rho: Values) -> None:
        """The flow of a policy, whose problem has one action for each state."""
        assert problem.rows is not None
        states, (start, state, weight) = len(rho), problem.rows
        going = np.where(problem.mdp.terminal[state], 0.0, problem.discount * weight)
        chain = scipy.sparse.csr_array((going, state.view(np.int32), start.astype(np.int64)), shape=(states, states))
        self.matrix = chain.T.tocsr()
        self.chain = Chain(unsigned(self.matrix.indptr), unsigned(self.matrix.indices), self.matrix.data)
        self.ladder = Ladder(np.arange(states), onward=False)
        self.rho = np.where(problem.mdp.terminal, 0.0, rho)
        self.shrinks = problem.greatest_factor
        longest = int(np.diff(self.matrix.indptr).max(initial=1))
        self.roundings = 1.01 * U * (longest + problem.slack + 8)
        self.visits = self.rho
        self.error = np.inf
        self.left = self._judged(self.rho)

    def solve(self, tolerance: float, watch: Watch) -> str:
        """Come as close as was asked; says with which status it ended."""
        steps = [self._solved] * _SOLVES + [self._swept]
        idle = 0
        try:
            while self.error > tolerance:
                watch()
                before, step = self.error, steps[0]
                visits = np.maximum(step(watch), 0.0)
                left = self._judged(visits)
                if self.error > 0.5 * before and step == self._solved:
                    steps = [self._swept]  # rounding, or equations that no solver of the ladder gets right
                elif len(steps) > 1:
                    steps.pop(0)
                idle = 0 if self.error < before else idle + 1
                if idle >= _IDLE:
                    return BELOW_FLOOR
                if self.error <= before:
                    self.visits, self.left = visits, left
                else:
                    self.error = before
        except Stopped as stopped:
            return str(stopped)
        return CERTIFIED

    def _solved(self, watch: Watch) -> Values:
        return self.visits + self.ladder.climbed(self.chain, self.left, _ACCURACY, watch)

    def _swept(self, watch: Watch) -> Values:
        return self.visits + self.left

    def _judged(self, visits: Values) -> Values:
        """What is left of the equation at these visits; sets the bound on their error."""
        left = self.rho + self.matrix @ visits - visits
        size = self.rho.sum() + (1 + self.shrinks) * visits.sum()
        rounding = self.roundings * size + len(visits) * U * np.abs(left).sum()
        # What is left of the equation, and the rounding of d(s) π(a|s) and of 1 − γ.
        own = (np.abs(left).sum() + rounding) / (1 - self.shrinks) + 8 * U * visits.sum()
        self.error = float(own * (1 + 8 * U))
        return left
