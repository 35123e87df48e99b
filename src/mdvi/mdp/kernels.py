"""Transition kernels P(s'|s, a): dense, a padded table, compressed rows, or a function, with common methods.

`Dense` and `Successors` work with NumPy arrays and JAX tracers, and the laboratory uses them; `Sparse` and `MatrixFree`
are for planning at any size. Rows may sum to less than one: the missing probability is a transition into a terminal
state, where the value is zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from mdvi.types import Array, namespace


def same_content(one: object, other: object) -> bool:
    """Whether two models or kernels have equal content, including arrays; fields with `compare=False` are ignored."""
    if not is_dataclass(one) or type(one) is not type(other):
        return False
    pairs = ((getattr(one, part.name), getattr(other, part.name)) for part in fields(one) if part.compare)
    return all(a is b or bool(np.all(a == b) if np.shape(a) == np.shape(b) else False) for a, b in pairs)


def hash_of_size(kernel: Any) -> int:
    """A hash of type and shape, which is equal for equal kernels and does not read arrays."""
    return hash((type(kernel), kernel.shape))


def shown_size(kernel: Any) -> str:
    """The representation of a kernel, without its arrays."""
    states, actions = kernel.shape
    return f"{type(kernel).__name__}(states={states}, actions={actions})"


@dataclass(frozen=True, eq=False, repr=False)
class Dense:
    """P as one array, for up to a few thousand states.

    Attributes:
        probability: P(s'|s, a), shape (states, actions, states).
    """

    probability: Float[Array, "states actions successors"]

    __eq__ = same_content
    __hash__ = hash_of_size
    __repr__ = shown_size

    @property
    def shape(self) -> tuple[int, int]:
        """(states, actions)."""
        return self.probability.shape[0], self.probability.shape[1]

    def expect(self, v: Float[Array, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a) = Σ_{s'} P(s'|s, a) v(s')."""
        return self.probability @ v

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """P_π(s'|s) = Σ_a π(a|s) P(s'|s, a): the state chain of a policy."""
        return (policy[:, None, :] @ self.probability)[:, 0, :]

    def dense(self) -> "Dense":
        """This kernel."""
        return self

    def table(self) -> "Dense":
        """This kernel, which the laboratory can use directly."""
        return self

    def successor(self, place: Int[Array, "states actions places"]) -> Int[Array, "states actions places"]:
        """The next states at these places of each row."""
        return place

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states)."""
        return scipy.sparse.csr_array(np.asarray(self.probability).reshape(-1, self.probability.shape[-1]))

    def row_sums(self) -> np.ndarray:
        """Σ_{s'} P(s'|s, a), shape (states, actions)."""
        return np.asarray(self.probability).sum(-1)

    def keep_rows(self, kept: np.ndarray) -> "Dense":
        """This kernel with the rows of all other (s, a) set to zero; `kept` has shape (states, actions)."""
        return type(self)(np.where(kept[..., None], self.probability, 0.0))


@dataclass(frozen=True, eq=False, repr=False)
class Successors:
    """P as a table of possible next states, padded with probability zero; no row is ever densified.

    Attributes:
        state: the next states, shape (states, actions, branching).
        probability: their probabilities, same shape.
    """

    state: Int[Array, "states actions branching"]
    probability: Float[Array, "states actions branching"]

    __eq__ = same_content
    __hash__ = hash_of_size
    __repr__ = shown_size

    @property
    def shape(self) -> tuple[int, int]:
        """(states, actions)."""
        return self.state.shape[0], self.state.shape[1]

    def expect(self, v: Float[Array, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a) = Σ_{s'} P(s'|s, a) v(s')."""
        return (self.probability * v[self.state]).sum(-1)

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """P_π(s'|s) = Σ_a π(a|s) P(s'|s, a): the state chain of a policy."""
        flow = policy[:, :, None] * self.probability
        if isinstance(flow, np.ndarray):
            return self.dense().induced(policy)
        states = self.shape[0]
        xp = namespace(flow)
        here = xp.broadcast_to(xp.arange(states)[:, None, None], flow.shape)
        return xp.zeros((states, states), flow.dtype).at[here, self.state].add(flow)

    def dense(self) -> Dense:
        """The same kernel as one array of states · actions · states numbers."""
        states, actions = self.shape
        return Dense(self.csr().toarray().reshape(states, actions, states))

    def table(self) -> "Successors":
        """This kernel, which the laboratory can use directly."""
        return self

    def successor(self, place: Int[Array, "states actions places"]) -> Int[Array, "states actions places"]:
        """The next states at these places of each row."""
        xp = namespace(place)
        return xp.take_along_axis(xp.asarray(self.state), place, axis=-1)

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states), without the padding."""
        states, actions = self.shape
        listed = np.asarray(self.probability) != 0
        start = np.concatenate([[0], np.cumsum(listed.reshape(states * actions, -1).sum(-1))])
        entries = (np.asarray(self.probability)[listed], np.asarray(self.state)[listed], start)
        matrix = scipy.sparse.csr_array(entries, shape=(states * actions, states))
        matrix.sort_indices()
        return matrix

    def row_sums(self) -> np.ndarray:
        """Σ_{s'} P(s'|s, a), shape (states, actions)."""
        return np.asarray(self.probability).sum(-1)

    def keep_rows(self, kept: np.ndarray) -> "Successors":
        """This kernel with the rows of all other (s, a) set to zero; `kept` has shape (states, actions)."""
        probability = np.where(kept[..., None], self.probability, 0.0)
        return type(self)(np.where(probability != 0, self.state, 0), probability)


@dataclass(frozen=True, eq=False, repr=False)
class Sparse:
    """P as compressed rows (CSR): row s · actions + a holds the successors of (s, a). For planning at any size.

    Attributes:
        start: the first entry of each row, shape (states · actions + 1,).
        state: the next states, row after row, ascending within a row.
        probability: the probabilities of the next states.
        states: the number of states.
    """

    start: Int[Array, " rows_and_one"]
    state: Int[Array, " entries"]
    probability: Float[Array, " entries"]
    states: int

    __eq__ = same_content
    __hash__ = hash_of_size
    __repr__ = shown_size

    @property
    def shape(self) -> tuple[int, int]:
        """(states, actions)."""
        return self.states, (len(self.start) - 1) // self.states

    def expect(self, v: Float[Array, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a) = Σ_{s'} P(s'|s, a) v(s')."""
        return (self.csr() @ np.asarray(v)).reshape(self.shape)

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """P_π(s'|s) = Σ_a π(a|s) P(s'|s, a): the state chain of a policy, dense."""
        return self.table().induced(np.asarray(policy))

    def dense(self) -> Dense:
        """The same kernel as one array of states · actions · states numbers."""
        return Dense(self.csr().toarray().reshape(*self.shape, self.states))

    def table(self) -> Successors:
        """The same kernel as a table with the width of the longest row, for the laboratory."""
        length = np.diff(self.start)
        row = np.repeat(np.arange(len(length)), length)
        slot = np.arange(len(row)) - np.asarray(self.start)[row]
        state = np.zeros((len(length), max(int(length.max(initial=0)), 1)), np.int64)
        probability = np.zeros(state.shape)
        state[row, slot], probability[row, slot] = self.state, self.probability
        return Successors(state.reshape(*self.shape, -1), probability.reshape(*self.shape, -1))

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states); the arrays are shared, not copied."""
        shape = (len(self.start) - 1, self.states)
        return scipy.sparse.csr_array((self.probability, self.state, self.start), shape=shape, copy=False)

    def row_sums(self) -> np.ndarray:
        """Σ_{s'} P(s'|s, a), shape (states, actions)."""
        return np.asarray(self.expect(np.ones(self.states)))

    def keep_rows(self, kept: np.ndarray) -> "Sparse":
        """This kernel without the entries of all other (s, a); `kept` has shape (states, actions)."""
        if kept.all():
            return self
        length = np.where(kept.ravel(), np.diff(self.start), 0)
        listed = np.repeat(kept.ravel(), np.diff(self.start))
        start = np.concatenate([[0], np.cumsum(length)]).astype(self.start.dtype)
        return Sparse(start, self.state[listed], self.probability[listed], self.states)


@dataclass(frozen=True, eq=False, repr=False)
class MatrixFree:
    """P as a function, for models that are too large to store; planning needs only v ↦ Pv.

    Attributes:
        function: takes v of shape (states,) and returns Σ_{s'} P(s'|s, a) v(s') of shape (states, actions), in float64.
        shape: (states, actions).
        terms: the largest number of products that the function adds for one (s, a), which bounds its rounding error.
        kept: the pairs (s, a) whose rows are not zero, shape (states, actions); None for all pairs.
    """

    function: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, int]
    terms: int
    kept: Bool[np.ndarray, "states actions"] | None = None

    __eq__ = same_content
    __hash__ = hash_of_size
    __repr__ = shown_size

    def expect(self, v: Float[Array, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a) from the function; zero on rows that are not in `kept`."""
        pv = np.asarray(self.function(np.asarray(v)))
        if pv.shape != self.shape or pv.dtype != np.float64:
            raise ValueError(
                f"transition: the function returned {pv.dtype} of shape {pv.shape}, expected float64 of {self.shape}"
            )
        return pv if self.kept is None else np.where(self.kept, pv, 0.0)

    def row_sums(self) -> np.ndarray:
        """Σ_{s'} P(s'|s, a), shape (states, actions)."""
        return np.asarray(self.expect(np.ones(self.shape[0])))

    def keep_rows(self, kept: np.ndarray) -> "MatrixFree":
        """This kernel with the rows of all other (s, a) set to zero; `kept` has shape (states, actions)."""
        return MatrixFree(self.function, self.shape, self.terms, kept)

    def csr(self) -> scipy.sparse.csr_array:
        """Not available, since there is no matrix; raises ValueError."""
        raise ValueError("transition: a matrix-free model has no matrix; it can be solved, not stored or iterated on")

    def dense(self) -> Dense:
        """Not available, since there is no matrix; raises ValueError."""
        return Dense(self.csr().toarray())

    def table(self) -> Successors:
        """Not available, since there is no matrix; raises ValueError."""
        raise ValueError("transition: a matrix-free model can be solved, but not iterated on")

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """Not available, since there is no matrix; raises ValueError."""
        return self.dense().induced(policy)


Kernel = Dense | Successors | Sparse | MatrixFree
