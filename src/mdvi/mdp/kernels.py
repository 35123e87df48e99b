"""Transition kernels P(s'|s, a): dense, a padded table, compressed rows, or a function; one set of verbs.

`Dense` and `Successors` work on NumPy arrays as on JAX tracers and are what the laboratory runs on; `Sparse` and
`MatrixFree` are for planning at any size. Rows may sum to less than one: the missing mass is a transition into a
terminal state, where the value is zero.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from mdvi.types import Array, hash_of


class Dense(eqx.Module):
    """P as one array; right up to a few thousand states.

    Attributes:
        probability: P(s'|s, a), shape (states, actions, states).
    """

    probability: Float[Array, "states actions successors"]

    __hash__ = hash_of

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
        """This kernel itself."""
        return self

    def sample(self, key: jax.Array, samples: int) -> "Successors":
        """The empirical kernel of `samples` independent next states per (s, a)."""
        chosen, mass = _draw(key, self.probability, samples)
        return Successors(chosen, mass)

    def table(self) -> "Dense":
        """This kernel itself: the laboratory takes it as it is."""
        return self

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states)."""
        return scipy.sparse.csr_array(np.asarray(self.probability).reshape(-1, self.probability.shape[-1]))

    def row_sums(self) -> np.ndarray:
        """Σ_{s'} P(s'|s, a), shape (states, actions)."""
        return np.asarray(self.probability).sum(-1)

    def keep_rows(self, kept: np.ndarray) -> "Dense":
        """This kernel with the rows of all other (s, a) set to zero; `kept` has shape (states, actions)."""
        return type(self)(np.where(kept[..., None], self.probability, 0.0))


class Successors(eqx.Module):
    """P as a table of possible next states, padded with probability zero; no row is ever densified.

    Attributes:
        state: the next states, shape (states, actions, branching).
        probability: their probabilities, same shape.
    """

    state: Int[Array, "states actions branching"]
    probability: Float[Array, "states actions branching"]

    __hash__ = hash_of

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
        here = jnp.broadcast_to(jnp.arange(states)[:, None, None], flow.shape)
        return jnp.zeros((states, states), flow.dtype).at[here, self.state].add(flow)

    def dense(self) -> Dense:
        """The same kernel as one array of states · actions · states numbers."""
        states, actions = self.shape
        return Dense(self.csr().toarray().reshape(states, actions, states))

    def sample(self, key: jax.Array, samples: int) -> "Successors":
        """The empirical kernel of `samples` independent next states per (s, a)."""
        slot, mass = _draw(key, self.probability, samples)
        return Successors(jnp.take_along_axis(jnp.asarray(self.state), slot, axis=-1), mass)

    def table(self) -> "Successors":
        """This kernel itself: the laboratory takes it as it is."""
        return self

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states), the padding left out."""
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


class Sparse(eqx.Module):
    """P as compressed rows (CSR): row s · actions + a holds the successors of (s, a). For planning at any size.

    Attributes:
        start: where each row begins, shape (states · actions + 1,).
        state: the next states, row after row, rising within a row.
        probability: their probabilities.
        states: the number of states.
    """

    start: Int[Array, " rows_and_one"]
    state: Int[Array, " entries"]
    probability: Float[Array, " entries"]
    states: int = eqx.field(static=True)

    __hash__ = hash_of

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
        """The same kernel as a table as wide as the longest row, which the laboratory runs on."""
        length = np.diff(self.start)
        row = np.repeat(np.arange(len(length)), length)
        slot = np.arange(len(row)) - np.asarray(self.start)[row]
        state = np.zeros((len(length), max(int(length.max(initial=0)), 1)), np.int64)
        probability = np.zeros(state.shape)
        state[row, slot], probability[row, slot] = self.state, self.probability
        return Successors(state.reshape(*self.shape, -1), probability.reshape(*self.shape, -1))

    def sample(self, key: jax.Array, samples: int) -> Successors:
        """The empirical kernel of `samples` independent next states per (s, a)."""
        return self.table().sample(key, samples)

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


class MatrixFree(eqx.Module):
    """P as a function: for models too large to store. Planning needs nothing but v ↦ Pv.

    Attributes:
        function: takes v of shape (states,) and returns Σ_{s'} P(s'|s, a) v(s') of shape (states, actions), in float64.
        shape: (states, actions).
        terms: the longest sum the function forms, which bounds its rounding: at most this many products are
            added up for one (s, a).
    """

    function: Callable[[np.ndarray], np.ndarray] = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)
    terms: int = eqx.field(static=True)
    kept: Bool[np.ndarray, "states actions"] | None = None

    __hash__ = hash_of

    def expect(self, v: Float[Array, " states"]) -> Float[Array, "states actions"]:
        """(Pv)(s, a), as the function says; zero on rows that are not kept."""
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
        """Refused: there is no matrix."""
        raise ValueError("transition: a matrix-free model has no matrix; it can be solved, but not stored or iterated")

    def dense(self) -> Dense:
        """Refused: there is no matrix."""
        return Dense(self.csr().toarray())

    def table(self) -> Successors:
        """Refused: there is no matrix."""
        raise ValueError("transition: a matrix-free model can be solved, but not iterated on")

    def induced(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """Refused: there is no matrix."""
        return self.dense().induced(policy)

    def sample(self, key: jax.Array, samples: int) -> Successors:
        """Refused: there is no matrix."""
        return self.table().sample(key, samples)


Kernel = Dense | Successors | Sparse | MatrixFree


def _draw(key: jax.Array, probability: Array, samples: int) -> tuple[jax.Array, jax.Array]:
    """Indices drawn on the last axis by inversion, and the weight mass / samples each of them carries."""
    cumulative = jnp.cumsum(jnp.asarray(probability), axis=-1)
    mass = cumulative[..., -1:]
    height = mass * jax.random.uniform(key, (*mass.shape[:-1], samples), mass.dtype)
    beyond = height[..., :, None] >= cumulative[..., None, :]
    # Rounding may leave the height at the total mass; the last index is then the right one.
    index = jnp.minimum(beyond.sum(-1), probability.shape[-1] - 1)
    return index, jnp.broadcast_to(mass / samples, index.shape)
