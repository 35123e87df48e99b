"""`FiniteMDP`: a checked finite Markov decision process (S, A, P, r, γ).

Conventions. **Terminal** states are absorbing and have value zero: no reward and no entropy bonus, whatever their rows
contain; q is zero there for every action. **Illegal** actions of other states have probability zero under every policy,
and their q is −∞. The discount is a part of the model only.
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
        names: the names of states and actions.
        layout: the positions of states on a map, or None.

    Models are equal (`==`) if their numbers are equal: kernel, reward, discount, terminal states and legal actions.
    Names and maps are not compared. Equal models have the same hash, which does not read arrays.
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
                shape (states · actions, states) with row s · actions + a (not copied if it is CSR in float64),
                or a list with one sparse matrix of shape (states, states) for each action, or a pair
                `(next_state, probability)` of arrays of shape (states, actions, branching), padded with
                probability 0, or a `MatrixFree` kernel. Rows must sum to 1 up to the rounding of a long sum in
                their type; rows of a narrower type than float64 are then divided by their sum.
            reward: r(s, a) of shape (states, actions); or r(s) of shape (states,); or, with a dense transition,
                r(s, a, s') of shape (states, actions, states), which is averaged over s'.
            discount: γ in [0, 1]. With γ = 1, only problems with a finite number of decisions have values, see
                `backward_induction`.
            terminal: Boolean, shape (states,). Default: none.
            legal: Boolean, shape (states, actions). Default: all. Illegal rows are ignored.
            substochastic: rows may sum to less than 1; with the missing probability the episode ends, with value zero.
            normalize: divide every row whose sum differs from 1 by at most 1e-4 by that sum, for rows that were
                rounded to a few decimals. Rows with larger differences are refused.
            order: "sas" for arrays with the axes above; "ass" for arrays with the actions first: P and r(s, a, s') of
                shape (actions, states, states), or next states and probabilities of shape (actions, states,
                branching). Other arrays, such as r(s, a), keep the axes above.
            states: the names of the states, in their order: text, numbers or tuples. Default: none.
            actions: the names of the actions.
            layout: the positions of the states on a map, for pictures.

        Raises:
            ValueError: if a number is invalid; the message names the state, the action and the value.
        """
        transition, reward = _states_first(order, transition, reward)
        kernel = _kernel(transition)
        shape = kernel.shape
        if shape[0] != shape[1] and np.shape(reward)[:2] == shape[::-1]:
            if np.ndim(transition) == 3 and np.shape(transition)[2] == shape[0]:  # which has the states first
                raise ValueError(
                    f"reward: expected shape {shape}, ({shape[0]},) or {(*shape, shape[0])}, got {np.shape(reward)}, "
                    "which has the actions first; exchange its first two axes"
                )
            raise ValueError(
                f"transition: {shape[0]} states and {shape[1]} actions do not fit the reward; {ACTIONS_FIRST}"
            )
        ends = np.zeros(shape[0], bool) if terminal is None else _mask("terminal", terminal, shape[:1])
        allowed = np.ones(shape, bool) if legal is None else _mask("legal", legal, shape)
        check_some_legal_action(allowed | ends[:, None])
        live = allowed & ~ends[:, None]
        if not substochastic:  # sums below 1 do not reveal the order of the axes
            check_order(kernel, live)
        check_successors(kernel, live)
        epsilon = _epsilon(transition)
        kernel = kernel.keep_rows(live)
        if normalize:
            if substochastic:
                raise ValueError("normalize: conflicts with substochastic=True, whose rows may sum to less than 1")
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
        """The model of a table with one row for each transition; the names of states and actions are kept.

        >>> table = {
        ...     "state": ["new", "new", "old"], "action": ["run", "run", "run"], "next_state": ["new", "old", "scrap"],
        ...     "probability": [0.9, 0.1, 1.0], "reward": [5.0, 5.0, 2.0],
        ... }
        >>> model = FiniteMDP.from_frame(table, 0.95, terminal=["scrap"])
        >>> model.names.states
        ('new', 'old', 'scrap')

        A pair of state and action is illegal if it has no row, or if all its rows have the reward −∞. Rewards are
        averaged over the next states. Numbers are sorted; other names stay in the order of their first appearance,
        first as states, then as next states.

        Args:
            frame: a data frame of pandas or Polars, an Arrow table, or any mapping of columns.
            discount: γ in [0, 1].
            state: the column of the states, or several columns, whose rows form tuples.
            action: the column or columns of the actions.
            next: the column or columns of the next states.
            probability: the column of P(s'|s, a).
            reward: the column of r(s, a, s'); None for rewards of 0.
            terminal: the terminal states; their rows are ignored.
            states: all states in the order of the model; default: the states in the table.
            actions: all actions in the order of the model; default: the actions in the table.
            duplicates: "refuse" several rows for one (s, a, s'), or "sum" their probabilities and average their
                rewards.
            normalize: divide the probabilities of a state and action by their sum if it differs from 1 by at most 1e-4.
                Larger differences are refused.

        Raises:
            ValueError: for an invalid column or number; the message names the column, or the state and the action.
        """
        from mdvi.mdp.frames import model_of_frame  # imported here, since it imports this file

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
        """The model of functions of states and actions, which may have any hashable type.

        >>> def step(capital, stake):
        ...     return {capital + stake: 0.4, capital - stake: 0.6}
        >>> model = FiniteMDP.from_functions(
        ...     [5], lambda capital: range(1, min(capital, 10 - capital) + 1), step,
        ...     lambda capital, stake, then: float(then == 10), 0.99, terminal=[0, 10], explore=True,
        ... )
        >>> model
        FiniteMDP(states=11, actions=5, discount=0.99, terminal=2, storage=Sparse)

        Args:
            states: all states in the order of the model; with `explore`, the first states of the search.
            actions: the actions, the same in every state, or a function from a state to its legal actions.
            transitions: a function of (s, a) that returns the next states with their probabilities, as a mapping
                {s': P(s'|s, a)} or as pairs (s', P(s'|s, a)).
            reward: a function of (s, a) or of (s, a, s'), averaged over s'; None for rewards of 0.
            discount: γ in [0, 1].
            terminal: the terminal states, as a list or as a function of a state; `actions`, `transitions` and
                `reward` are not called for them.
            explore: find all reachable states by breadth-first search.
            most: the largest number of states; the search raises an error if it finds more.
            duplicates: "refuse" repeated next states of one (s, a), or "sum" their probabilities.
            normalize: as in `from_frame`.

        Raises:
            ValueError: for an invalid number; the message names the state and the action.
        """
        from mdvi.mdp.functions import model_of_functions  # imported here, since it imports this file

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
        """The model of a list of state–action pairs, as in QuantEcon; pairs that are not listed are illegal.

        >>> import numpy as np
        >>> FiniteMDP.from_pairs([0, 0, 1], [0, 1, 0], [[0.5, 0.5], [0, 1], [0, 1]], [5, 10, -1], 0.95)
        FiniteMDP(states=2, actions=2, discount=0.95, terminal=0, storage=Sparse)

        Args:
            state: the state of each pair, integers of shape (pairs,); `s_indices` in QuantEcon.
            action: the action of each pair, likewise; `a_indices` in QuantEcon.
            transition: P(·|s, a) of each pair, an array or a SciPy sparse matrix of shape (pairs, states).
            reward: r(s, a) of each pair, shape (pairs,); −∞ makes the pair illegal.
            discount: γ in [0, 1].
            terminal: Boolean, shape (states,). Default: none.
            normalize: as in `from_frame`.
            states: the names of the states, in their order. Default: none.
            actions: the names of the actions.

        Raises:
            ValueError: for an invalid number; the message names the state, the action and the value.
        """
        from mdvi.mdp.pairs import model_of_pairs  # imported here, since it imports this file

        return model_of_pairs(state, action, transition, reward, discount, terminal, normalize, (states, actions))

    @property
    def states(self) -> int:
        """The number of states."""
        return self.kernel.shape[0]

    @property
    def actions(self) -> int:
        """The number of actions, including illegal actions."""
        return self.kernel.shape[1]

    @property
    def nonzeros(self) -> int:
        """The number of stored transitions; for a matrix-free model, the number of pairs (s, a)."""
        if isinstance(self.kernel, MatrixFree):
            return int(np.count_nonzero(self.live))
        return int(np.count_nonzero(self.kernel.probability))

    @property
    def live(self) -> Bool[Array, "states actions"]:
        """The pairs (s, a) that can occur: legal, and not in a terminal state."""
        return self.legal & ~self.terminal[:, None]

    @property
    def max_abs_reward(self) -> float:
        """r_max = max |r(s, a)|."""
        return float(np.abs(self.reward).max())

    @property
    def log_actions(self) -> float:
        """Log |A|, the largest entropy of a policy in any state, in nats."""
        return float(np.log(self.legal[~self.terminal].sum(-1).max(initial=1)))

    def expect(self, v: Float[Reduced, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a), with v replaced by zero in terminal states."""
        return self.kernel.expect(namespace(v, self.terminal).where(self.terminal, 0.0, v))

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """P_π(s'|s), without the transitions into terminal states, whose value is zero."""
        chain = self.kernel.induced(policy)
        return namespace(chain, self.terminal).where(self.terminal[None, :], 0.0, chain)

    def dense(self) -> "FiniteMDP":
        """The same model with a dense kernel."""
        return self.changed(kernel=self.kernel.dense())

    def table(self) -> "FiniteMDP":
        """The same model with a kernel for the laboratory: a dense array or a table of successors."""
        return self.changed(kernel=self.kernel.table())

    def replace(
        self,
        *,
        reward: Any = None,
        discount: float | None = None,
        names: Names | None = None,
        layout: Layout | None = None,
    ) -> "FiniteMDP":
        """The same model with another reward, discount, names or layout; the kernel is not checked again.

        >>> import numpy as np
        >>> model = FiniteMDP(np.full((2, 1, 2), 0.5), [[0.0], [1.0]], 0.9)
        >>> other = model.replace(reward=[[3.0], [1.0]], discount=0.5)
        >>> other.kernel is model.kernel, other.reward.ravel().tolist(), float(other.discount)
        (True, [3.0, 1.0], 0.5)

        Args:
            reward: as in the constructor.
            discount: γ in [0, 1].
            names: the names of states and actions.
            layout: the positions of states on a map.

        Raises:
            ValueError: for an invalid number; the message names the state, the action and the value.
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
        """The same model with other parts, which are not checked; the caller ensures that they are valid."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | parts)
        return other

    def _repr_html_(self) -> str:
        """A summary for notebooks, with the first names."""
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
    """Transitions and rewards with the axes of the model."""
    if order not in ("sas", "ass"):
        raise ValueError(f"order: expected 'sas' or 'ass', got {order!r}")
    if isinstance(transition, list | tuple) and any(map(scipy.sparse.issparse, transition)):
        return _interleaved(transition), reward
    if order == "ass" and (isinstance(transition, Kernel) or scipy.sparse.issparse(transition)):
        raise ValueError(
            "transition: order='ass' is for arrays only; pass a sparse matrix with row state · actions + action, or a "
            "list with one sparse matrix of shape (states, states) for each action"
        )
    if order == "sas":
        return transition, reward
    if isinstance(transition, tuple):
        return tuple(map(_swapped, transition)), reward
    return _swapped(transition), _swapped(reward)


def _interleaved(matrices: Any) -> scipy.sparse.coo_array:
    """One matrix with row s · actions + a, from one matrix for each action."""
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
    """An array of three axes with the first two swapped; other values are returned, and refused later."""
    try:
        array = np.asarray(array)
    except ValueError:  # lists of different lengths
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
        advice = "pass a sparse model as a SciPy sparse matrix or a pair (next_state, probability)"
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
    """Compressed rows with ascending successors; duplicates are kept, and refused later.

    CSR in float64 is not copied, except for 64-bit indices that fit into 32 bits.
    """
    rows, states = matrix.shape
    if states == 0 or rows % states or rows == 0:
        raise ValueError(f"transition: a sparse matrix needs shape (states · actions, states), got {matrix.shape}")
    if matrix.format == "csr":
        check_row_starts(matrix)
    elif matrix.format == "coo":
        # The conversion in SciPy would add duplicates.
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
        # Rewards of impossible transitions are ignored.
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
    """The machine epsilon of the type of the given probabilities."""
    given = transition[-1] if isinstance(transition, tuple) else getattr(transition, "probability", transition)
    dtype = getattr(given, "dtype", np.dtype(float))
    return float(np.finfo(dtype if dtype.kind == "f" else float).eps)
