"""The protocol of environments as pure functions, and the record of one step.

Environments are JAX programs: they run inside `jit`, `vmap` and `scan`. A step distinguishes **termination**, which
makes the value of the next state zero, from **truncation**, which does not. The next observation of a transition is the
observation after the step, never the first observation of the next episode.
"""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from mdvi.types import Array


class Transition(eqx.Module):
    """One step, or a batch of steps, of an environment.

    Attributes:
        obs: the observation that the action was chosen on.
        action: the action.
        reward: the reward.
        terminated: whether the process ended, so that the value of `next_obs` is zero.
        truncated: whether the episode was cut off; `next_obs` keeps its value.
        next_obs: the observation after the step, also at the end of an episode.
        legal: the legal actions that the environment reported with `obs`; None if it reads them off observations.
        next_legal: the legal actions that the environment reported with `next_obs`; None likewise.
    """

    obs: Array
    action: Int[Array, "*batch"]
    reward: Float[Array, "*batch"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    next_obs: Array
    legal: Array | None = None
    next_legal: Array | None = None


@runtime_checkable
class Interface(Protocol):
    """The properties of an environment that an agent needs, whether it runs in JAX or on the host."""

    @property
    def actions(self) -> int:
        """The number of actions."""

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an observation."""

    @property
    def scale(self) -> tuple[float, ...] | None:
        """The divisors of observations in a network, one number for all elements or one each; None for no division."""

    @property
    def discount(self) -> Any:
        """γ, in [0, 1)."""

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """The legal actions, for a batch of observations."""


@runtime_checkable
class Environment(Interface, Protocol):
    """A Markov decision process that can be sampled, one state at a time, as a JAX program."""

    def reset(self, key: jax.Array) -> Any:
        """The first state of an episode."""

    def observe(self, state: Any) -> Array:
        """The observation of a state."""

    def step(self, state: Any, action: Any, key: jax.Array) -> tuple[Any, Any, Any, Any]:
        """The next state, the reward, whether the process terminated, and whether it was truncated."""


class Clocked(eqx.Module):
    """A state and the number of steps since the episode began."""

    state: Any
    clock: Int[Array, ""]


class TimeLimit(eqx.Module):
    """An environment whose episodes are truncated after a number of steps.

    Attributes:
        env: the environment.
        limit: the number of steps.
    """

    env: Any
    limit: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 1 <= self.limit < 2**31:  # the clock has 32 bits
            raise ValueError(f"limit: expected 1 to 2³¹ − 1, got {self.limit}")

    @property
    def actions(self) -> int:
        """The number of actions of the environment."""
        return self.env.actions

    @property
    def action_space(self) -> Any:
        """The action space of the environment; None if it has none."""
        return getattr(self.env, "action_space", None)

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an observation of the environment."""
        return self.env.observation

    @property
    def scale(self) -> tuple[float, ...] | None:
        """The divisors of observations of the environment."""
        return self.env.scale

    @property
    def discount(self) -> Any:
        """γ of the environment."""
        return self.env.discount

    def reset(self, key: jax.Array) -> Clocked:
        """A first state at clock zero."""
        return Clocked(self.env.reset(key), jnp.zeros((), jnp.int32))

    def observe(self, state: Clocked) -> Array:
        """The observation, which does not show the clock."""
        return self.env.observe(state.state)

    def step(self, state: Clocked, action: Any, key: jax.Array) -> tuple[Clocked, Any, Any, Any]:
        """A step of the environment, which is truncated at the limit unless it terminates there."""
        following, reward, terminated, truncated = self.env.step(state.state, action, key)
        clock = state.clock + 1
        return Clocked(following, clock), reward, terminated, truncated | ((clock >= self.limit) & ~terminated)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """The legal actions of the environment."""
        return self.env.legal(obs)

    def frame(self, state: Clocked) -> Any:
        """A picture of the state."""
        return self.env.frame(state.state)


def advance(env: Environment, state: Any, action: Any, key: jax.Array) -> tuple[Any, Transition]:
    """One step, and a new episode if one ended.

    Returns:
        The state to continue from, and the transition with its true next observation.
    """
    dynamics, renewal = jax.random.split(key)
    following, reward, terminated, truncated = env.step(state, action, dynamics)
    transition = Transition(env.observe(state), action, reward, terminated, truncated, env.observe(following))
    fresh, over = env.reset(renewal), terminated | truncated
    return jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, following), transition
