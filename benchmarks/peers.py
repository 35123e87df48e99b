"""Peer solvers on models of mdvi: each takes a model and returns a function from an accuracy to values.

The conversion of a model into the form of a peer is not timed. For peers, terminal states are absorbing states that pay
nothing. Usage: python peers.py MODEL.npz SOLVER ACCURACY SECONDS VALUES.npy, which prints the time of each repetition
as JSON. An alarm kills the process after SECONDS.
"""

import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse

from mdvi import FiniteMDP, solve
from mdvi.mdp import read

Solve = Callable[[float], np.ndarray]

TIGHTER = (1e-6, 1e-8, 1e-10, 1e-12)  # requested accuracies, until the result is accurate to 1e-6
MANY = 10**9  # the limit of iterations, so that the accuracy ends them
MEMORY = 20 * 2**30
REPETITIONS, LONG = 3, 30.0  # the best of three repetitions counts, or of fewer after LONG seconds,
MOST, SHORT = 50, 2.0  # or of up to MOST within SHORT seconds, to reduce noise


def as_pairs(model: FiniteMDP) -> tuple[np.ndarray, np.ndarray, np.ndarray, scipy.sparse.csr_array]:
    """State, action and reward of every legal pair, and its row of P; terminal states stay, and pay nothing."""
    states, actions = model.states, model.actions
    state, action = np.nonzero(np.where(model.terminal[:, None], np.arange(actions) == 0, model.legal))
    ends = np.flatnonzero(model.terminal)
    loops = scipy.sparse.csr_array((np.ones(len(ends)), (ends * actions, ends)), shape=(states * actions, states))
    matrix = scipy.sparse.csr_array(model.kernel.csr() + loops) if len(ends) else model.kernel.csr()
    everything = len(state) == states * actions
    return state, action, model.reward[state, action], matrix if everything else matrix[state * actions + action]


def mdvi(model: FiniteMDP, entropy: float = 0.0) -> Solve:
    return lambda accuracy: solve(model, entropy=entropy, tolerance=accuracy).value


def quantecon(method: str) -> Callable[[FiniteMDP], Solve]:
    def prepare(model: FiniteMDP) -> Solve:
        from quantecon.markov import DiscreteDP

        state, action, reward, rows = as_pairs(model)
        problem = DiscreteDP(reward, scipy.sparse.csr_matrix(rows), float(model.discount), state, action)
        return lambda accuracy: problem.solve(method, epsilon=accuracy, max_iter=MANY).v

    return prepare


def mdpsolver(algorithm: str) -> Callable[[FiniteMDP], Solve]:
    def prepare(model: FiniteMDP) -> Solve:
        import mdpsolver

        state, _, reward, rows = as_pairs(model)
        chance, successor = rows.data.tolist(), rows.indices.tolist()
        start, pairs = rows.indptr.tolist(), np.searchsorted(state, np.arange(model.states + 1)).tolist()
        chances, successors = (
            [[column[start[i] : start[i + 1]] for i in range(*pairs[s : s + 2])] for s in range(model.states)]
            for column in (chance, successor)
        )
        rewards = [reward[slice(*pairs[s : s + 2])].tolist() for s in range(model.states)]

        problem = mdpsolver.model()
        problem.mdp(float(model.discount), rewards, tranMatProbs=chances, tranMatColumns=successors)

        def values(accuracy: float) -> np.ndarray:
            problem.solve(algorithm, tolerance=accuracy)
            return np.array(problem.getValueVector())

        return values

    return prepare


def toolbox(method: str) -> Callable[[FiniteMDP], Solve]:
    def prepare(model: FiniteMDP) -> Solve:
        from mdptoolbox import mdp

        state, action, reward, rows = as_pairs(model)
        table = np.full((model.states, model.actions), -1e9)  # illegal actions get a prohibitive cost
        table[state, action] = reward
        p = []
        for a in range(model.actions):
            chosen = np.flatnonzero(action == a)
            missing = np.setdiff1d(np.arange(model.states), state[chosen])
            table[missing, a] = np.where(model.terminal[missing], 0.0, table[missing, a])
            stay = scipy.sparse.coo_array((np.ones(len(missing)), (missing, missing)), shape=2 * (model.states,))
            part = scipy.sparse.coo_array(rows[chosen])
            place = (np.concatenate([state[chosen][part.row], stay.row]), np.concatenate([part.col, stay.col]))
            p.append(scipy.sparse.csr_matrix((np.concatenate([part.data, stay.data]), place), shape=stay.shape))

        def values(accuracy: float) -> np.ndarray:
            caps = {} if method == "PolicyIteration" else {"epsilon": accuracy}
            solver = getattr(mdp, method)(p, table, float(model.discount), max_iter=10**7, **caps)
            solver.run()
            return np.array(solver.V)

        return values

    return prepare


def mdpax(model: FiniteMDP) -> Solve:
    import jax
    import jax.numpy as jnp
    from mdpax import solvers
    from mdpax.core.problem import Problem

    jax.config.update("jax_enable_x64", True)
    if not model.legal.all():
        raise ValueError("mdpax knows no illegal actions")
    kernel = model.table().kernel
    ends = np.arange(model.states)[:, None, None]
    successor = jnp.asarray(np.where(model.terminal[:, None, None], ends, kernel.state))
    first = np.arange(kernel.state.shape[-1]) == 0
    chance = jnp.asarray(np.where(model.terminal[:, None, None], first, kernel.probability))
    reward = jnp.asarray(model.reward)

    class Table(Problem):
        name = "table"

        def _construct_state_space(self):
            return jnp.arange(model.states)

        def _construct_action_space(self):
            return jnp.arange(model.actions)

        def _construct_random_event_space(self):
            return jnp.arange(successor.shape[-1])

        def state_to_index(self, state):
            return state[0]

        def random_event_probability(self, state, action, event):
            return chance[state[0], action[0], event[0]]

        def transition(self, state, action, event):
            return successor[state[0], action[0], event[0]][None], reward[state[0], action[0]]

    problem, made = Table(), {}

    def values(accuracy: float) -> np.ndarray:
        return np.array(made[accuracy].solve(max_iterations=10**7).values)

    for accuracy in TIGHTER:  # compiles before the timing starts
        made[accuracy] = solvers.ValueIteration(
            problem, gamma=float(model.discount), epsilon=accuracy, convergence_test="max_diff", verbose=0
        )
        made[accuracy].solve(max_iterations=1)
        made[accuracy]._initialize_solver_state_elements()
    return values


def storm(model: FiniteMDP) -> Solve:
    import stormpy
    from stormpy import datastructures, models

    state, _, reward, rows = as_pairs(model)
    builder = datastructures.SparseMatrixBuilder(force_dimensions=False, has_custom_row_grouping=True)
    start, successor, chance = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
    before = -1
    for row, s in enumerate(state.tolist()):
        if s != before:
            builder.new_row_group(row)
            before = s
        for j in range(start[row], start[row + 1]):
            builder.add_next_value(row, successor[j], chance[j])
    labels = models.StateLabeling(model.states)
    labels.add_label("init")
    labels.add_label_to_state("init", 0)
    rewards = {"r": models.SparseRewardModel(optional_state_action_reward_vector=reward.tolist())}
    mdp = models.SparseMdp(models.SparseModelComponents(builder.build(), labels, rewards))
    formula = stormpy.parse_properties(f"Rmax=? [ Cdiscount={float(model.discount)!r} ]")[0]

    def values(accuracy: float) -> np.ndarray:
        environment = stormpy.Environment()
        solver = environment.solver().min_max()
        solver.precision, solver.relative_termination_criterion = stormpy.Rational(accuracy), False
        solver.maximal_number_of_iterations = MANY
        result = stormpy.model_checking(mdp, formula, only_initial_states=False, environment=environment)
        return np.array(result.get_value_vector())

    return values


PEERS: dict[str, Callable[[FiniteMDP], Solve]] = {
    "quantecon vi": quantecon("value_iteration"),
    "quantecon mpi": quantecon("modified_policy_iteration"),
    "quantecon pi": quantecon("policy_iteration"),
    "mdpsolver vi": mdpsolver("vi"),
    "mdpsolver mpi": mdpsolver("mpi"),
    "mdpsolver pi": mdpsolver("pi"),
    "pymdptoolbox vi": toolbox("ValueIteration"),
    "pymdptoolbox mpi": toolbox("PolicyIterationModified"),
    "pymdptoolbox pi": toolbox("PolicyIteration"),
    "mdpax vi": mdpax,
    "storm": storm,
}
SOLVERS = {"mdvi": mdvi, "mdvi τ = .01": lambda model: mdvi(model, 0.01), **PEERS}


def main(path: str, solver: str, accuracy: float, limit: int, out: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    model = read(Path(path)).model
    seconds: list[float] = []
    while sum(seconds) < (LONG if len(seconds) < REPETITIONS else SHORT) and len(seconds) < MOST:
        run = SOLVERS[solver](model)  # a new function, because some solvers continue from their last state
        signal.alarm(0 if seconds else limit)
        start = time.perf_counter()
        values = run(accuracy)
        seconds.append(time.perf_counter() - start)
        signal.alarm(0)
        np.save(out, values)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
