"""Transition kernels P(s'|s, a): the two storages, one set of verbs.

Both hold plain arrays and work on NumPy arrays as on JAX tracers. Rows may sum to less than one: the missing
mass is a transition into a terminal state, where the value is zero.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from mdvi.types import Array


class Dense(eqx.Module):
    """P as one array; right up to a few thousand states.

    Attributes:
        probability: P(s'|s, a), shape (states, actions, states).
    """

    probability: Float[Array, "states actions successors"]

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

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states)."""
        return scipy.sparse.csr_array(np.asarray(self.probability).reshape(-1, self.probability.shape[-1]))

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

    def csr(self) -> scipy.sparse.csr_array:
        """P as a sparse matrix of shape (states · actions, states)."""
        states, actions = self.shape
        row = np.repeat(np.arange(states * actions), self.state.shape[-1])
        entries = (np.asarray(self.probability).ravel(), (row, np.asarray(self.state).ravel()))
        return scipy.sparse.csr_array(scipy.sparse.coo_array(entries, shape=(states * actions, states)))

    def keep_rows(self, kept: np.ndarray) -> "Successors":
        """This kernel with the rows of all other (s, a) set to zero; `kept` has shape (states, actions)."""
        probability = np.where(kept[..., None], self.probability, 0.0)
        return type(self)(np.where(probability != 0, self.state, 0), probability)


Kernel = Dense | Successors


def _draw(key: jax.Array, probability: Array, samples: int) -> tuple[jax.Array, jax.Array]:
    """Indices drawn on the last axis by inversion, and the weight mass / samples each of them carries."""
    cumulative = jnp.cumsum(jnp.asarray(probability), axis=-1)
    mass = cumulative[..., -1:]
    height = mass * jax.random.uniform(key, (*mass.shape[:-1], samples), mass.dtype)
    beyond = height[..., :, None] >= cumulative[..., None, :]
    # Rounding may leave the height at the total mass; the last index is then the right one.
    index = jnp.minimum(beyond.sum(-1), probability.shape[-1] - 1)
    return index, jnp.broadcast_to(mass / samples, index.shape)
