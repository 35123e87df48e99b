"""`FiniteMDP`: a finite Markov decision process (S, A, P, r, γ) that is known to be one.

Conventions, stated once. **Terminal** states are absorbing and worth zero: no reward, no entropy bonus, whatever
their rows say; q is zero there, for every action. **Illegal** actions of other states have no probability under any
policy, and their q is −∞. The discount belongs to the model and to nothing else.
"""

import reprlib
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from mdvi.mdp.kernels import Dense, Kernel, MatrixFree, Sparse, Successors, same_content
from mdvi.mdp.labels import Layout, Names, names_of
from mdvi.mdp.validation import (
    ACTIONS_FIRST,
    check_discount,
    check_indices,
    check_order,
    check_rewards,
    check_row_starts,
    check_rows,
    check_shape,
    check_some_legal_action,
    check_successors,
    first_outside,
    longest_row,
    normalized,
    row_tolerance,
)
from mdvi.types import Array, Reduced, namespace
from mdvi.words import as_html


@dataclass(frozen=True, eq=False, init=False, repr=False)
class FiniteMDP:
    """(S, A, P, r, γ), with terminal states and state-dependent action sets.

    Attributes:
        kernel: P(s'|s, a), zero on illegal and terminal rows.
        reward: r(s, a), shape (states, actions), zero on illegal and terminal rows.
        discount: γ in [0, 1].
        terminal: shape (states,).
        legal: shape (states, actions).
        names: what states and actions are called.
        layout: where states lie on a map, None where they do not.

    Models are equal (`==`) when their numbers are: kernel, reward, discount, terminal states and legal actions. Names
    and maps are for people and are not compared. Equal models have the same hash, which reads no array.
    """

    kernel: Kernel
    reward: Float[Array, "states actions"]
    discount: Float[Array, ""]
    terminal: Bool[Array, " states"]
    legal: Bool[Array, "states actions"]
    names: Names = field(default=Names(), compare=False)
    layout: Layout | None = field(default=None, compare=False)

    def __init__(
        self,
        transition: Any,
        reward: Any,
        discount: float,
        *,
        terminal: Any = None,
        legal: Any = None,
        substochastic: bool = False,
        normalize: bool = False,
        order: str = "sas",
        states: Iterable[Hashable] | None = None,
        actions: Iterable[Hashable] | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Check every number and build the model.

        Args:
            transition: P(s'|s, a), either an array of shape (states, actions, states), a SciPy sparse matrix of
                shape (states · actions, states) with row s · actions + a (kept as it is when it is CSR in float64),
                or a list with one sparse matrix of shape (states, states) for each action, or a pair
                `(next_state, probability)` of arrays of shape (states, actions, branching), padded with
                probability 0, or a `MatrixFree` kernel. Rows must sum to 1 to the rounding of a long sum in
                their type; those of a narrower type than float64 are then divided by their sum.
            reward: r(s, a) of shape (states, actions); or r(s) of shape (states,); or, with a dense transition,
                r(s, a, s') of shape (states, actions, states), of which the mean is taken.
            discount: γ in [0, 1]. With 1 there are only values of a finite number of decisions, see
                `backward_induction`.
            terminal: Boolean, shape (states,). Default: none.
            legal: Boolean, shape (states, actions). Default: all. Illegal rows are not looked at.
            substochastic: rows may sum to less than 1; what is missing ends the episode, with value zero.
            normalize: divide every row whose sum differs from 1 by at most 1e-4 by that sum, as rows that were
                rounded to a few decimals need it. Other rows are refused as without it.
            order: "sas" for arrays with the axes above; "ass" for arrays with the actions first: P and r(s, a, s') of
                shape (actions, states, states), or next states and probabilities of shape (actions, states,
                branching). All else stays as it is, r(s, a) too.
            states: the names of the states, in their order: text, numbers or tuples. Default: none.
            actions: the names of the actions.
            layout: where the states lie on a map, for pictures.

        Raises:
            ValueError: naming the state, the action and the value that is wrong.
        """
        transition, reward = _states_first(order, transition, reward)
        kernel = _kernel(transition)
        shape = kernel.shape
        if shape[0] != shape[1] and np.shape(reward)[:2] == shape[::-1]:
            raise ValueError(
                f"transition: {shape[0]} states and {shape[1]} actions do not fit the reward; {ACTIONS_FIRST}"
            )
        ends = np.zeros(shape[0], bool) if terminal is None else _mask("terminal", terminal, shape[:1])
        allowed = np.ones(shape, bool) if legal is None else _mask("legal", legal, shape)
        check_some_legal_action(allowed | ends[:, None])
        live = allowed & ~ends[:, None]
        if not substochastic:  # rows of any sum up to 1 say nothing about the order
            check_order(kernel, live)
        check_successors(kernel, live)
        epsilon = _epsilon(transition)
        kernel = kernel.keep_rows(live)
        if normalize:
            if substochastic:
                raise ValueError("normalize: rows that may sum to less than 1 (substochastic) cannot be rescaled to 1")
            kernel, _, _ = normalized(kernel)
        check_rows(kernel, live, row_tolerance(longest_row(kernel), epsilon), substochastic)
        if epsilon > np.finfo(float).eps and not substochastic and not isinstance(kernel, MatrixFree):
            kernel, _, _ = normalized(kernel, most=1.0)
        vars(self).update(
            kernel=kernel,
            reward=_reward(reward, kernel, live),
            discount=np.asarray(check_discount(discount, finite=True)),
            terminal=ends,
            legal=allowed | ends[:, None],
            names=Names(names_of("states", states), names_of("actions", actions)).check(*kernel.shape),
            layout=layout,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        discount: float,
        *,
        state: str | Sequence[str] = "state",
        action: str | Sequence[str] = "action",
        next: str | Sequence[str] = "next_state",
        probability: str = "probability",
        reward: str | None = "reward",
        terminal: Iterable[Hashable] = (),
        states: Iterable[Hashable] | None = None,
        actions: Iterable[Hashable] | None = None,
        duplicates: str = "refuse",
        normalize: bool = False,
    ) -> "FiniteMDP":
        """The model of a table with a row for each transition, which keeps what states and actions are called.

        >>> table = {
        ...     "state": ["new", "new", "old"], "action": ["run", "run", "run"], "next_state": ["new", "old", "scrap"],
        ...     "probability": [0.9, 0.1, 1.0], "reward": [5.0, 5.0, 2.0],
        ... }
        >>> model = FiniteMDP.from_frame(table, 0.95, terminal=["scrap"])
        >>> model.names.states
        ('new', 'old', 'scrap')

        Pairs of a state and an action without a row are illegal; a reward of −∞ in all rows of a pair makes it so too.
        Rewards are averaged over the next states. Numbers are put in order, other names stay in the order in which they
        first appear, first as states, then as next states.

        Args:
            frame: a data frame of pandas or Polars, a table of Arrow's, or any mapping of columns.
            discount: γ in [0, 1].
            state: the column of the states, or several columns, of which each row makes a tuple.
            action: likewise for the actions.
            next: likewise for the next states.
            probability: the column of P(s'|s, a).
            reward: the column of r(s, a, s'); None for rewards of 0.
            terminal: the states in which an episode ends; their rows are not looked at.
            states: all states in the order that they are to have; default those in the table.
            actions: likewise for the actions.
            duplicates: what to do where (s, a, s') has several rows: "refuse" them, or "sum" their probabilities and
                average their rewards.
            normalize: divide the probabilities of a state and action whose sum differs from 1 by at most 1e-4 by that
                sum. Sums that differ by more are refused with and without it.

        Raises:
            ValueError: naming the column, or the state, the action and the value that is wrong.
        """
        from mdvi.mdp.frames import model_of_frame  # which makes models itself

        columns = (state, action, next)
        return model_of_frame(
            frame, discount, columns, probability, reward, terminal, states, actions, duplicates, normalize
        )

    @classmethod
    def from_functions(
        cls,
        states: Iterable[Hashable],
        actions: Iterable[Hashable] | Callable[[Any], Iterable[Hashable]],
        transitions: Callable[[Any, Any], Mapping[Any, float] | Iterable[tuple[Any, float]]],
        reward: Callable[..., float] | None,
        discount: float,
        *,
        terminal: Collection[Hashable] | Callable[[Any], bool] = (),
        explore: bool = False,
        most: int = 1_000_000,
        duplicates: str = "refuse",
        normalize: bool = False,
    ) -> "FiniteMDP":
        """The model of functions of states and actions, which may be of any kind that can be hashed.

        >>> def step(capital, stake):
        ...     return {capital + stake: 0.4, capital - stake: 0.6}
        >>> model = FiniteMDP.from_functions(
        ...     [5], lambda capital: range(1, min(capital, 10 - capital) + 1), step,
        ...     lambda capital, stake, then: float(then == 10), 0.99, terminal=[0, 10], explore=True,
        ... )
        >>> model
        FiniteMDP(states=11, actions=5, discount=0.99, terminal=2, storage=Sparse)

        Args:
            states: all states in the order that they are to have; with `explore`, those to set out from.
            actions: the actions, the same in every state, or a function of a state that gives its legal actions.
            transitions: a function of (s, a) that gives the next states with their probabilities, as a mapping
                {s': P(s'|s, a)} or as pairs (s', P(s'|s, a)).
            reward: a function of (s, a) or of (s, a, s'), averaged over s'; None for rewards of 0.
            discount: γ in [0, 1].
            terminal: the states in which an episode ends, as a list or as a function of a state; `actions`,
                `transitions` and `reward` are not asked about them.
            explore: find every state that is reached, by breadth-first search.
            most: how many states may be found before the search is given up.
            duplicates: what to do where (s, a) gives a next state twice: "refuse" it, or "sum" the probabilities.
            normalize: as in `from_frame`.

        Raises:
            ValueError: naming the state, the action and the value that is wrong.
        """
        from mdvi.mdp.functions import model_of_functions  # which makes models itself

        return model_of_functions(
            states, actions, transitions, reward, discount, terminal, explore, most, duplicates, normalize
        )

    @classmethod
    def from_pairs(
        cls,
        state: Any,
        action: Any,
        transition: Any,
        reward: Any,
        discount: float,
        *,
        terminal: Any = None,
        normalize: bool = False,
        states: Iterable[Hashable] | None = None,
        actions: Iterable[Hashable] | None = None,
    ) -> "FiniteMDP":
        """The model of a list of state–action pairs, as QuantEcon has them; pairs that are not listed are illegal.

        >>> import numpy as np
        >>> FiniteMDP.from_pairs([0, 0, 1], [0, 1, 0], [[0.5, 0.5], [0, 1], [0, 1]], [5, 10, -1], 0.95)
        FiniteMDP(states=2, actions=2, discount=0.95, terminal=0, storage=Sparse)

        Args:
            state: the state of each pair, whole numbers of shape (pairs,); QuantEcon's `s_indices`.
            action: its action; QuantEcon's `a_indices`.
            transition: P(·|s, a) of each pair, an array or a SciPy sparse matrix of shape (pairs, states).
            reward: r(s, a) of each pair, shape (pairs,); −∞ makes the pair illegal.
            discount: γ in [0, 1].
            terminal: Boolean, shape (states,). Default: none.
            normalize: as in `from_frame`.
            states: the names of the states, in their order. Default: none.
            actions: the names of the actions.

        Raises:
            ValueError: naming the state, the action and the value that is wrong.
        """
        from mdvi.mdp.pairs import model_of_pairs  # which makes models itself

        return model_of_pairs(state, action, transition, reward, discount, terminal, normalize, (states, actions))

    @property
    def states(self) -> int:
        """The number of states."""
        return self.kernel.shape[0]

    @property
    def actions(self) -> int:
        """The number of actions, illegal ones included."""
        return self.kernel.shape[1]

    @property
    def nonzeros(self) -> int:
        """The number of stored transitions, of (s, a) pairs for a matrix-free model."""
        if isinstance(self.kernel, MatrixFree):
            return int(np.count_nonzero(self.live))
        return int(np.count_nonzero(self.kernel.probability))

    @property
    def live(self) -> Bool[Array, "states actions"]:
        """The pairs (s, a) that can be met: legal, and not in a terminal state."""
        return self.legal & ~self.terminal[:, None]

    @property
    def max_abs_reward(self) -> float:
        """r_max = max |r(s, a)|."""
        return float(np.abs(self.reward).max())

    @property
    def log_actions(self) -> float:
        """Log |A|, the largest entropy a policy can have in any state, in nats."""
        return float(np.log(self.legal[~self.terminal].sum(-1).max(initial=1)))

    def expect(self, v: Float[Reduced, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a), where terminal states count as zero whatever v says."""
        return self.kernel.expect(namespace(v, self.terminal).where(self.terminal, 0.0, v))

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """P_π(s'|s), without the transitions into terminal states, whose value is zero."""
        chain = self.kernel.induced(policy)
        return namespace(chain, self.terminal).where(self.terminal[None, :], 0.0, chain)

    def dense(self) -> "FiniteMDP":
        """The same model with a dense kernel."""
        return self.changed(kernel=self.kernel.dense())

    def table(self) -> "FiniteMDP":
        """The same model with a kernel that the laboratory runs on: a dense array or a table of successors."""
        return self.changed(kernel=self.kernel.table())

    def replace(
        self,
        *,
        reward: Any = None,
        discount: float | None = None,
        names: Names | None = None,
        layout: Layout | None = None,
    ) -> "FiniteMDP":
        """The same model with another reward, discount or names; the kernel is kept, and not checked again.

        >>> import numpy as np
        >>> model = FiniteMDP(np.full((2, 1, 2), 0.5), [[0.0], [1.0]], 0.9)
        >>> other = model.replace(reward=[[3.0], [1.0]], discount=0.5)
        >>> other.kernel is model.kernel, other.reward.ravel().tolist(), float(other.discount)
        (True, [3.0, 1.0], 0.5)

        Args:
            reward: as the constructor takes it.
            discount: γ in [0, 1].
            names: what states and actions are called.
            layout: where states lie on a map.

        Raises:
            ValueError: naming the state, the action and the value that is wrong.
        """
        parts: dict[str, Any] = {}
        if reward is not None:
            parts["reward"] = _reward(reward, self.kernel, np.asarray(self.live))
        if discount is not None:
            parts["discount"] = np.asarray(check_discount(discount, finite=True))
        if names is not None:
            parts["names"] = names.check(self.states, self.actions)
        if layout is not None:
            parts["layout"] = layout
        return self.changed(**parts)

    __eq__ = same_content

    def __hash__(self) -> int:
        return hash((FiniteMDP, self.kernel))

    def changed(self, **parts: Any) -> "FiniteMDP":
        """The same model with other parts, which are right by construction: nothing is checked again."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | parts)
        return other

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first names."""
        facts: dict[str, object] = {
            "states": f"{self.states}, {int(np.count_nonzero(self.terminal))} of them terminal",
            "actions": self.actions,
            "discount": f"{float(self.discount):g}",
            "transitions": f"{self.nonzeros} ({type(self.kernel).__name__})",
            "rewards": f"{float(np.min(self.reward)):g} … {float(np.max(self.reward)):g}",
        }
        for kind, names in self.names._asdict().items():
            if names:
                facts[f"names of {kind}"] = ", ".join(map(str, names[:8])) + (" …" if len(names) > 8 else "")
        return as_html("FiniteMDP", facts)

    def __repr__(self) -> str:
        ends = int(np.count_nonzero(self.terminal))
        return (
            f"FiniteMDP(states={self.states}, actions={self.actions}, discount={float(self.discount):g}, "
            f"terminal={ends}, storage={type(self.kernel).__name__})"
        )


def _states_first(order: Any, transition: Any, reward: Any) -> tuple[Any, Any]:
    """Transitions and rewards with the axes that the model has."""
    if order not in ("sas", "ass"):
        raise ValueError(f"order: expected 'sas' or 'ass', got {order!r}")
    if isinstance(transition, list | tuple) and any(map(scipy.sparse.issparse, transition)):
        return _interleaved(transition), reward
    if order == "ass" and (isinstance(transition, Kernel) or scipy.sparse.issparse(transition)):
        raise ValueError(
            "transition: order='ass' is for arrays; a sparse matrix has row state · actions + action, or give a list "
            "with one sparse matrix of shape (states, states) for each action"
        )
    if order == "sas":
        return transition, reward
    if isinstance(transition, tuple):
        return tuple(map(_swapped, transition)), reward
    return _swapped(transition), _swapped(reward)


def _interleaved(matrices: Any) -> scipy.sparse.coo_array:
    """One matrix with row s · actions + a, of one matrix for each action."""
    states = matrices[0].shape[-1]
    for action, matrix in enumerate(matrices):
        shape = getattr(matrix, "shape", None)
        if shape != (states, states) or not scipy.sparse.issparse(matrix):
            raise ValueError(
                f"transition: a list needs one sparse matrix of shape {(states, states)} for each action; action "
                f"{action} has {type(matrix).__name__} of shape {shape}"
            )
    listed = [scipy.sparse.coo_array(matrix) for matrix in matrices]
    row = [matrix.coords[0].astype(np.int64) * len(listed) + action for action, matrix in enumerate(listed)]
    entries = np.concatenate(row), np.concatenate([matrix.coords[1] for matrix in listed])
    probability = np.concatenate([matrix.data for matrix in listed])
    return scipy.sparse.coo_array((probability, entries), shape=(states * len(listed), states))


def _swapped(array: Any) -> Any:
    """An array of three axes with the first two swapped; whatever else it is, it is refused later."""
    try:
        array = np.asarray(array)
    except ValueError:  # lists of several lengths
        return array
    return array.swapaxes(0, 1) if array.ndim == 3 else array


def _kernel(transition: Any) -> Kernel:
    if isinstance(transition, Kernel):
        return transition
    if isinstance(transition, tuple) and len(transition) == 2:
        return _successor_table(*transition)
    if scipy.sparse.issparse(transition):
        return _from_sparse(transition)
    probability = _floats("transition", transition)
    if probability.ndim != 3 or probability.shape[0] != probability.shape[2] or 0 in probability.shape:
        actions_first = probability.ndim == 3 and probability.shape[1] == probability.shape[2]
        advice = "sparse models go in as a SciPy sparse matrix or a pair (next_state, probability)"
        raise ValueError(
            f"transition: expected shape (states, actions, states), got {probability.shape}; "
            f"{ACTIONS_FIRST if actions_first else advice}"
        )
    return Dense(probability)


def _successor_table(state: Any, probability: Any) -> Successors:
    state, probability = np.asarray(state), _floats("transition probabilities", probability)
    if state.ndim != 3 or 0 in state.shape or not np.issubdtype(state.dtype, np.integer):
        raise ValueError(
            f"transition: next states must be integers of shape (states, actions, branching), "
            f"got {state.dtype} of shape {state.shape}"
        )
    check_shape("transition probabilities", probability, state.shape)
    return Successors(state.astype(np.int64), probability)


def _from_sparse(matrix: Any) -> Sparse:
    """Compressed rows with rising successors; duplicates stay, to be refused later.

    CSR in float64 is not copied, but for indices of 64 bits that do not need them.
    """
    rows, states = matrix.shape
    if states == 0 or rows % states or rows == 0:
        raise ValueError(f"transition: a sparse matrix needs shape (states · actions, states), got {matrix.shape}")
    if matrix.format == "csr":
        check_row_starts(matrix)
    elif matrix.format == "coo":
        # SciPy's own conversion adds duplicates up.
        check_indices("row", matrix.row, rows, rows // states)
        order = np.argsort(matrix.row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(matrix.row, minlength=rows))])
        matrix = scipy.sparse.csr_array((matrix.data[order], matrix.col[order], start), shape=matrix.shape)
    else:
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
    start, state = matrix.indptr, matrix.indices
    probability = matrix.data if matrix.data.dtype == np.float64 else _floats("transition", matrix.data)
    for row, entry in first_outside(start, state, states):
        s, a = divmod(row, rows // states)
        raise ValueError(f"transition: state {s}, action {a} names next state {state[entry]}, outside 0…{states - 1}")
    if not scipy.sparse.csr_array((probability, state, start), shape=matrix.shape).has_sorted_indices:
        matrix = scipy.sparse.csr_array((probability, state, start), shape=matrix.shape, copy=True)
        matrix.sort_indices()
        state, probability = matrix.indices, matrix.data
    if max(len(state), states) < 2**31:
        start, state = start.astype(np.int32, copy=False), state.astype(np.int32, copy=False)
    return Sparse(start, state, probability, states)


def _reward(reward: Any, kernel: Kernel, live: np.ndarray) -> np.ndarray:
    r = _floats("reward", reward)
    states, actions = kernel.shape
    if r.ndim == 3 and isinstance(kernel, Dense):
        check_shape("reward", r, (states, actions, states))
        # Rewards of impossible transitions are not read.
        r = np.where(kernel.probability > 0, kernel.probability * r, 0.0).sum(-1)
    elif r.shape == (states,):
        r = np.repeat(r[:, None], actions, axis=1)
    elif r.shape != (states, actions):
        dense = f" or ({states}, {actions}, {states})" if isinstance(kernel, Dense) else ""
        raise ValueError(f"reward: expected shape ({states}, {actions}), ({states},){dense}, got {r.shape}")
    check_rewards(r, live)
    return np.where(live, r, 0.0)


def _floats(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "OSUc":
            raise TypeError
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected an array of real numbers, got {reprlib.repr(values)}") from None


def _mask(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype != bool:
        raise ValueError(f"{name}: expected Booleans, got {array.dtype}")
    check_shape(name, array, shape)
    return array


def _epsilon(transition: Any) -> float:
    """The rounding unit of the type that the probabilities came in."""
    given = transition[-1] if isinstance(transition, tuple) else getattr(transition, "probability", transition)
    dtype = getattr(given, "dtype", np.dtype(float))
    return float(np.finfo(dtype if dtype.kind == "f" else float).eps)
