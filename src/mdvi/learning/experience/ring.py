"""Uniform replay on the device: a ring of steps, each of as many environments side by side.

A sample of n steps stops where an episode does,

    G = Σ_{i<m} γ^i r_i,     discount = γ^m (1 − terminated),     m ≤ n the first step that ended an episode, else n

and bootstraps from the observation that truly followed step m: of a truncation as of any other step.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Int

from mdvi.envs.base import Transition
from mdvi.learning import draws
from mdvi.learning.experience.base import Batch
from mdvi.types import Array


class Replay(eqx.Module):
    """The last steps, overwritten in turn.

    Attributes:
        steps: transitions, leaves of shape (rows, environments, …).
        written: the number of rows ever written.
    """

    steps: Transition
    written: Int[Array, ""]


def empty(observation: jax.ShapeDtypeStruct, rows: int, environments: int) -> Replay:
    """A ring with room for rows × environments steps; observations keep their dtype."""

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
    return Replay(steps, jnp.zeros((), jnp.int32))


def add(replay: Replay, step: Transition) -> Replay:
    """Write one step of every environment over the oldest row."""
    row = replay.written % replay.steps.action.shape[0]
    steps = jax.tree.map(lambda ring, new: ring.at[row].set(new), replay.steps, step)
    return Replay(steps, replay.written + 1)


def sample(replay: Replay, key: jax.Array, batch: int, n_step: int, discount: Any) -> Batch:
    """A minibatch, uniform with replacement over all sequences of n consecutive steps in the ring."""
    rows, environments = replay.steps.action.shape
    filled = jnp.minimum(replay.written, rows)
    starts = (filled - (n_step - 1)) * environments
    chosen = draws.below(draws.words(key, (batch,)), starts.astype(jnp.uint32)).astype(jnp.int32)
    first, column = (replay.written - filled + chosen // environments) % rows, chosen % environments
    steps = replay.steps
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
