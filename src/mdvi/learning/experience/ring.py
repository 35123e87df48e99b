"""Uniform replay on the device: a ring of rows, each with one step of every environment.

A sample of n steps stops at the end of an episode,

    G = Σ_{i<m} γ^i r_i,   discount = γ^m (1 − terminated),   m ≤ n the first step that ended an episode, otherwise n

and bootstraps from the observation after step m, also if step m was truncated.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Int

from mdvi.envs.base import Transition
from mdvi.learning.draws import below, words
from mdvi.learning.experience.base import Batch
from mdvi.types import Array


class Ring(eqx.Module):
    """The last steps; new rows overwrite the oldest.

    Attributes:
        steps: transitions, leaves of shape (rows, environments, …).
        written: the number of rows ever written.
    """

    steps: Transition
    written: Int[Array, ""]

    def add(self, step: Transition) -> "Ring":
        """Write one step of every environment over the oldest row."""
        row = self.written % self.steps.action.shape[0]
        steps = jax.tree.map(lambda ring, new: ring.at[row].set(new), self.steps, step)
        return Ring(steps, self.written + 1)

    def sample(self, draws: jax.Array, batch: int, n_step: int, discount: Any) -> Batch:
        """A minibatch, uniform with replacement over all sequences of n consecutive steps in the ring."""
        rows, environments = self.steps.action.shape
        filled = jnp.minimum(self.written, rows)
        starts = (filled - (n_step - 1)) * environments
        chosen = below(words(draws, (batch,)), starts.astype(jnp.uint32)).astype(jnp.int32)
        first, column = (self.written - filled + chosen // environments) % rows, chosen % environments
        steps = self.steps
        returns, remaining = jnp.zeros(batch), jnp.zeros(batch)
        last, going = first, jnp.ones(batch, bool)
        for i in range(n_step):
            row = (first + i) % rows
            ended = steps.terminated[row, column]
            returns = returns + jnp.where(going, discount**i * steps.reward[row, column], 0.0)
            last = jnp.where(going, row, last)
            remaining = jnp.where(going, discount ** (i + 1) * jnp.where(ended, 0.0, 1.0), remaining)
            going = going & ~(ended | steps.truncated[row, column])
        return Batch(
            steps.obs[first, column], steps.action[first, column], returns, remaining, steps.next_obs[last, column]
        )

    def first_steps(self, count: int) -> Transition:
        """The first transitions of a ring that has not been overwritten yet, in chronological order."""
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], self.steps)


def empty(observation: jax.ShapeDtypeStruct, rows: int, environments: int) -> Ring:
    """An empty ring with room for rows × environments steps; observations keep their dtype."""

    def room(shape: tuple[int, ...], dtype: Any) -> Array:
        return jnp.zeros((rows, environments, *shape), dtype)

    steps = Transition(
        obs=room(observation.shape, observation.dtype),
        action=room((), jnp.int32),
        reward=room((), jnp.float32),
        terminated=room((), bool),
        truncated=room((), bool),
        next_obs=room(observation.shape, observation.dtype),
    )
    return Ring(steps, jnp.zeros((), jnp.int32))
