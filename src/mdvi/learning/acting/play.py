"""Use a trained agent: act, evaluate, film."""

import dataclasses
from functools import partial, singledispatch
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mdvi.envs.base import Environment, Interface
from mdvi.learning.agents import targets
from mdvi.learning.agents.agent import Agent, legal_on
from mdvi.learning.agents.networks import Networks
from mdvi.types import Array

_STRETCH = 500  # steps between two checks whether all episodes are over


@jax.jit
def log_policy(env: Interface, agent: Agent, networks: Networks, obs: Array, legal: Array | None = None) -> Array:
    """Log π(·|obs) for a batch of observations; without `legal`, the environment reads the legal actions off them."""
    return targets.log_policy(agent.preferences(networks, obs), legal_on(env, obs, legal))


def actions(
    env: Interface,
    agent: Agent,
    networks: Networks,
    obs: Array,
    key: jax.Array | None = None,
    legal: Array | None = None,
) -> Array:
    """The most probable actions, or with a key a sample of the policy."""
    log_probability = log_policy(env, agent, networks, obs, legal)
    if key is None:
        return jnp.argmax(log_probability, -1)
    return jax.random.categorical(key, log_probability)


@singledispatch
def evaluate(
    env: Any,
    agent: Agent,
    networks: Networks,
    episodes: int,
    seed: int,
    *,
    sampled: bool,
    epsilon: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Play episodes in parallel, each to its end or to `limit` steps.

    Returns:
        Undiscounted returns and lengths, shape (episodes,).
    """
    start, life = jax.random.split(jax.random.key(seed))
    worlds = jax.vmap(env.reset)(jax.random.split(start, episodes))
    carry = worlds, jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32), jnp.zeros(episodes, bool)
    for first in range(0, limit, _STRETCH):
        carry = _stretch(sampled, env, agent, networks, carry, jax.random.fold_in(life, first), epsilon, limit)
        if np.asarray(carry[3]).all():
            break
    return np.asarray(carry[1]), np.asarray(carry[2])


@partial(jax.jit, static_argnums=0)
def _stretch(
    sampled: bool,
    env: Environment,
    agent: Agent,
    networks: Networks,
    carry: Any,
    key: jax.Array,
    epsilon: Any,
    limit: Any,
) -> Any:
    agent = dataclasses.replace(agent, sampled=sampled)

    def one(carry: Any, key: jax.Array) -> tuple[Any, None]:
        worlds, returns, lengths, over = carry
        acting, moving = jax.random.split(key)
        obs = jax.vmap(env.observe)(worlds)
        action = agent.act(networks, obs, env.legal(obs), acting, epsilon)
        keys = jax.random.split(moving, over.shape[0])
        worlds, reward, terminated, truncated = jax.vmap(env.step)(worlds, action, keys)
        returns = returns + jnp.where(over, 0.0, reward)
        lengths = lengths + jnp.where(over, 0, 1)
        return (worlds, returns, lengths, over | terminated | truncated | (lengths >= limit)), None

    return jax.lax.scan(one, carry, jax.random.split(key, _STRETCH))[0]


@singledispatch
def film(
    env: Any, agent: Agent, networks: Networks, seed: int, *, sampled: bool, limit: int
) -> tuple[list[Any], float]:
    """The pictures of one episode, and its return."""
    start, life = jax.random.split(jax.random.key(seed))
    world, total = env.reset(start), 0.0
    step, look = eqx.filter_jit(env.step), eqx.filter_jit(env.observe)
    frames = [env.frame(world)]
    for moment in range(limit):
        one, other = jax.random.split(jax.random.fold_in(life, moment))
        action = actions(env, agent, networks, look(world)[None], one if sampled else None)[0]
        world, reward, terminated, truncated = step(world, action, other)
        frames.append(env.frame(world))
        total += float(reward)
        if terminated or truncated:
            break
    return frames, total
