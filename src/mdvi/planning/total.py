"""Solve for the total reward: what the graph of a model says first, then backups and turns as for discounted sums.

free end components, t = 0     collapsed: one may stay in them for nothing
no end components              every policy ends: the criterion `Ending`
others, and an h               going on for ever costs: `Paying`
a component that pays          unbounded
neither can be proved          undecided
"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from mdvi.native import clock
from mdvi.planning.chain import Chain, chain_of, ends, matrix_of
from mdvi.planning.collapse import Collapsed, collapsed, ended, obstacle, restricted
from mdvi.planning.components import NOWHERE, Graph, end_components, graph_of, surely_ending
from mdvi.planning.criteria.total import Ending, Paying
from mdvi.planning.ladder import Ladder
from mdvi.planning.methods import METHODS, Aim
from mdvi.planning.order import leaps, outward
from mdvi.planning.problem import Backup, Problem, U, Values
from mdvi.planning.solution import UNBOUNDED, UNDECIDED, Progress, Solution
from mdvi.planning.solver import Solver
from mdvi.planning.watch import Stopped, Watch, stoppable

_TURNS = 60  # of Newton's method for a weight or a witness, at the most
_HALVINGS = 12  # of c
_ROUNDS = 2000  # of value iteration in end components, to see which way they lead
_ENOUGH = 0.5  # how far the sum for one decision may be from 1: any weight with c > 0 will do
_ACCURATE = 1e-3  # how exactly linear equations are solved


def solve_total(
    problem: Problem,
    tolerance: float,
    method: str,
    time_limit: float | None,
    progress: Progress | None,
    began: float,
    start: Values | None,
) -> Solution:
    """The optimum of E Σ g, at γ = 1.

    Raises:
        ValueError: for a matrix-free model, whose graph cannot be seen.
    """
    if problem.rows is None:
        raise ValueError("criterion: total needs the rows of P; a matrix-free model has none")
    with stoppable(began, time_limit) as watch:
        try:
            return _Total(problem, tolerance, method, progress, watch, began).solution(start)
        except Stopped as stopped:
            return _nothing(problem, str(stopped), f"{stopped} before anything was proved", method, tolerance, began)


class _Total:
    """One solve."""

    def __init__(
        self,
        problem: Problem,
        tolerance: float,
        method: str,
        progress: Progress | None,
        watch: Watch,
        began: float,
    ) -> None:
        self.given, self.tolerance, self.method = problem, tolerance, method
        self.progress, self.watch, self.began = progress, watch, began

    def solution(self, start: Values | None) -> Solution:
        """Solve it, or say why not."""
        problem, graph = self.given, graph_of(self.given)
        tree = collapsed(problem, graph) if problem.temperature == 0 else None
        if tree is not None:
            problem, graph = tree.problem, graph_of(tree.problem)
        elif problem.temperature > 0:
            problem = ended(problem, graph)
            graph = graph_of(problem)
        label, inside = end_components(graph, graph.live)
        if (label == NOWHERE).all():
            criterion: Ending | Paying | None = self._ending(problem)
            first, reason = start, "the number of decisions until the end could not be bounded"
        else:
            criterion, first, reason = self._paying(problem, graph, label, inside)
            paid = np.zeros(0, np.int64) if criterion is not None else self._pays(problem, label, inside)
            if len(paid):
                return self._unbounded(tree, graph, label, paid, math.inf)
            traps = self._traps(problem, graph, label, inside) if criterion is None else paid
            if len(traps):
                return self._unbounded(tree, graph, label, traps, -math.inf)
        if criterion is None:
            return _nothing(self.given, UNDECIDED, reason, self.method, self.tolerance, self.began)
        criterion.check(problem)
        solver = Solver(problem, criterion, self.tolerance, self.method, self.progress)
        if first is not None:
            first = np.where(problem.mdp.terminal, 0.0, np.clip(first, *criterion.known(problem)))
        status = solver.run(self.watch, first)
        return self._back(solver.proof.solution(status, self.method, clock() - self.began), tree)

    def _back(self, found: Solution, tree: Collapsed | None) -> Solution:
        """The solution of the problem that was given."""
        if tree is None:
            return replace(found, problem=self.given)
        action = tree.actions(found.action)
        value, lower, upper = (tree.values(v) for v in (found.value, found.lower, found.upper))
        return replace(
            found, problem=self.given, value=value, lower=lower, upper=upper, action=action, forced=tree.members
        )

    def _ending(self, problem: Problem) -> Ending | None:
        """A weight: about the largest expected number of decisions until the end."""
        over = np.asarray(problem.mdp.terminal)
        hard = replace(problem, temperature=0.0, offset=None, max_offset=0.0)
        times = _rewarded(hard, np.where(np.isfinite(problem.gain), 1.0, -np.inf))
        w = self._improved(times, np.zeros(len(over)), _ENOUGH)
        if w is None:
            return None
        w = np.where(over, 0.0, np.maximum(w, 1.0))
        c = 1 - times.backup(w).high - 2 * times.rounding(float(w.max(initial=0.0)))
        return Ending(w, c) if c > 0 else None

    def _improved(self, problem: Problem, v: Values, enough: float) -> Values | None:
        """V with Tv − v ≤ `enough`, by Newton's method; None where that does not get there."""
        order = outward(problem)
        ladder = Ladder(order, leaps(problem, order, 0) <= 0)
        aim = Aim(
            criterion=Ending(np.ones(len(v)), 1.0),
            order=order,
            ladder=ladder,
            sweeps=0,
            accuracy=_ACCURATE,
            settled=enough,
            patience=math.inf,
            travels=problem.temperature == 0,
        )
        for _ in range(_TURNS):
            backup = problem.backup(v)
            if backup.high <= enough:
                return backup.v
            if not ends(chain_of(problem, backup)):
                return None  # going on for ever is worth more than to end
            v = METHODS["policy-iteration"](problem, backup, aim, self.watch).v
        return None

    def _paying(
        self, problem: Problem, graph: Graph, label: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]
    ) -> tuple[Paying | None, Values | None, str]:
        """A policy that ends, and a witness that going on for ever costs; and why there is none."""
        over = np.asarray(problem.mdp.terminal)
        surely, choice = surely_ending(graph)
        if not (surely | over).all():
            state = int(np.flatnonzero(~(surely | over))[0])
            return (
                None,
                None,
                f"from state {state} no policy ends for certain, and what it is worth could not be proved",
            )
        order = outward(problem)
        ladder = Ladder(order, leaps(problem, order, 0) <= 0)
        first = _chain_of_actions(problem, graph, choice)
        worth = np.where(over, 0.0, _reward_of(problem, choice))
        v = ladder.climbed(first, worth, 1e-12, self.watch)
        w = np.where(over, 0.0, np.maximum(ladder.climbed(first, (~over).astype(float), _ACCURATE, self.watch), 0.0))
        matrix = matrix_of(first)
        longest = float(w.max(initial=1.0))
        error = problem.rounding(float(np.abs(v).max(initial=0.0)))
        leaves = float((w - matrix @ w)[~over].min(initial=math.inf)) - 1.01 * U * (problem.entering + 8) * longest
        if not (leaves > 0 and np.isfinite(v).all()):
            return None, None, "the value of a policy that ends could not be bounded: it takes too many decisions"
        short = max(float(-(worth + matrix @ v - v)[~over].min(initial=0.0)), 0.0) + 4 * error
        lowest = np.where(over, 0.0, v - short / leaves * (1 + 8 * U) * w)
        found = self._witness(problem, label, v)
        if found is None:
            reason = "no proof was found that going on for ever costs, and none that it pays"
            if problem.temperature > 0:
                reason += "; Ω may reward going round for nothing, which a divergence to a policy (kl=…) does not"
            return None, v, reason
        return Paying(*found, lowest, ladder), v, ""

    def _witness(self, problem: Problem, label: Int[np.ndarray, " states"], v: Values) -> tuple[Values, float] | None:
        """An h with Th ≤ h − c, and c."""
        over, zero = np.asarray(problem.mdp.terminal), np.zeros(len(v))
        backup = problem.backup(zero)
        decrease = -backup.high - 2 * problem.rounding(0.0)
        if decrease > 0:
            return zero, decrease
        gains = np.where(np.isfinite(problem.gain), np.abs(problem.gain), 0.0)
        c = float(gains[label != NOWHERE].max(initial=0.0)) / 2 or problem.temperature
        for _ in range(_HALVINGS):
            self.watch()
            h = self._improved(_rewarded(problem, problem.gain + 2 * c), v, c / 2)
            if h is not None:
                h = np.where(over, 0.0, h)
                decrease = -problem.backup(h).high - 2 * problem.rounding(float(np.abs(h).max(initial=0.0)))
                if decrease > 0:
                    return h, decrease
            c /= 4
        return None

    def _pays(
        self, problem: Problem, label: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]
    ) -> Int[np.ndarray, " states"]:
        """The states of an end component whose best mean reward is proved to be positive; none where there is none.

        For every v, the least Tv − v of a component is a lower bound on its mean reward. Source: Odoni (1969).
        """
        return self._led(problem, label, inside, 1.0)

    def _traps(
        self, problem: Problem, graph: Graph, label: Int[np.ndarray, " states"], inside: Bool[np.ndarray, " rows"]
    ) -> Int[np.ndarray, " states"]:
        """The states from which no policy ends for certain, if all components there are proved to cost."""
        surely, _ = surely_ending(graph)
        away = ~(surely | np.asarray(problem.mdp.terminal))
        lost = away & (label != NOWHERE)
        if not lost.any():
            return np.zeros(0, np.int64)
        costly = self._led(problem, np.where(lost, label, NOWHERE), inside, -1.0, every=True)
        return np.flatnonzero(away) if len(costly) else costly

    def _led(
        self,
        problem: Problem,
        label: Int[np.ndarray, " states"],
        inside: Bool[np.ndarray, " rows"],
        sign: float,
        every: bool = False,
    ) -> Int[np.ndarray, " states"]:
        """The states of the components whose best mean reward is proved to be positive, or negative for a sign of −1.

        The first one, or all of them, if it is proved of `every` one.
        """
        within = label != NOWHERE
        if obstacle(problem, label, inside) is not None:
            return np.zeros(0, np.int64)
        part = restricted(problem, label, inside & np.repeat(within, problem.gain.shape[1]))
        count, v = int(label.max()) + 1, np.zeros(len(label))
        names = np.unique(label[within])
        for turn in range(_ROUNDS):
            if turn % 50 == 0:
                self.watch()
            value = part.backup(v).value
            change = np.where(within, value - v, 0.0)
            error = part.rounding(float(np.abs(v).max(initial=0.0)))
            bound = np.full(count, math.inf)
            np.minimum.at(bound, label[within], sign * change[within])
            proved = bound[names] > error
            if proved.all() if every else proved.any():
                chosen = names if every else names[proved][:1]
                return np.flatnonzero(np.isin(label, chosen))
            if turn >= 50 and not every and (bound[names] < -error).all() and turn % 50 == 0 and turn > 500:
                break
            v = v + change / 2  # damped: periods do no harm
            means = np.zeros(count)
            np.add.at(means, label[within], v[within])
            means /= np.maximum(np.bincount(label[within], minlength=count), 1)
            v = np.where(within, v - means[label], 0.0)
        return np.zeros(0, np.int64)

    def _unbounded(
        self,
        tree: Collapsed | None,
        graph: Graph,
        label: Int[np.ndarray, " states"],
        states: Int[np.ndarray, " states"],
        worth: float,
    ) -> Solution:
        """Infinite values, with the component that makes them so."""
        problem = self.given
        component = states[label[states] != NOWHERE]
        component = component if tree is None else np.flatnonzero(np.isin(tree.root, component))
        reaching = np.zeros(graph.states, bool)
        reaching[states] = True
        if worth > 0:  # one may go there
            size = 0
            while size < reaching.sum():
                size = int(reaching.sum())
                rows = graph.live & (graph.matrix @ reaching.astype(float) > 0)
                reaching |= rows.reshape(graph.states, graph.actions).any(-1)
        far = reaching if tree is None else reaching[tree.root]
        over = np.asarray(problem.mdp.terminal)
        lower = np.where(over, 0.0, np.where(far & (worth > 0), math.inf, -math.inf))
        upper = np.where(over, 0.0, np.where(far & (worth < 0), -math.inf, math.inf))
        value = np.where(far & ~over, worth, 0.0)
        names = problem.mdp.names
        shown = ", ".join(str(names.state(int(s))) for s in component[:5]) + (" …" if len(component) > 5 else "")
        word = (
            "pays on average, for ever: its values are infinite"
            if worth > 0
            else "costs for ever, and nothing leads out"
        )
        message = f"the end component of {len(component)} states ({shown}) {word}"
        found = _nothing(problem, UNBOUNDED, message, self.method, self.tolerance, self.began)
        return replace(found, value=value, lower=lower, upper=upper, component=component)


def _nothing(problem: Problem, status: str, message: str, method: str, tolerance: float, began: float) -> Solution:
    """A solution that proves nothing."""
    states, over = problem.mdp.states, np.asarray(problem.mdp.terminal)
    return Solution(
        value=np.zeros(states),
        lower=np.where(over, 0.0, -math.inf),
        upper=np.where(over, 0.0, math.inf),
        gap=math.inf,
        status=status,
        message=message,
        method=method,
        tolerance=tolerance,
        backups=0,
        seconds=clock() - began,
        action=np.asarray(problem.mdp.legal).argmax(-1).astype(np.int32),
        trace=np.zeros(0),
        problem=problem,
        criterion=Ending(np.zeros(states), 1.0),
    )


def _rewarded(problem: Problem, gain: np.ndarray) -> Problem:
    """The same problem with another gain."""
    return replace(problem, gain=gain, max_gain=float(np.abs(gain[np.isfinite(gain)]).max(initial=0.0)))


def _chain_of_actions(problem: Problem, graph: Graph, choice: np.ndarray) -> Chain:
    """The chain of a deterministic policy; nothing follows where the action is −1."""
    value = np.zeros(len(choice))
    best = np.maximum(choice, 0).astype(np.int32)
    chain = chain_of(replace(problem, temperature=0.0), Backup(value, value, best, None, 0.0, 0.0))
    return chain


def _reward_of(problem: Problem, choice: np.ndarray) -> Values:
    """The gain of these actions, less the regulariser of a policy that takes them for certain."""
    chosen = problem.gain[np.arange(len(choice)), np.maximum(choice, 0)]
    price = problem.temperature * problem.regularizer.at_vertices(problem.widest)[1] if problem.temperature else 0.0
    return np.where(np.isfinite(chosen), chosen, 0.0) - price
