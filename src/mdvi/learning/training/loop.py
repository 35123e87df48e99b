"""The training loop (act, store, learn, copy): one program for every agent, environment and member of a population.

    for each target period:
        for each gradient step:
            act F steps and store them
            one step of the critic on one minibatch, and of the actor on another
        copy the networks to the target networks

Source: Vieillard et al. (2020), Algorithm 2.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from mdvi.envs.base import Environment, advance
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.diagnostics import start_probe
from mdvi.learning.agents.networks import Networks
from mdvi.learning.experience import ring
from mdvi.learning.experience.ring import Ring
from mdvi.learning.settings import Settings
from mdvi.learning.training.learner import Learner, all_finite, copied, learn, minibatches, start
from mdvi.types import Array


class Member(eqx.Module):
    """One agent in training inside a compiled program, with its environments.

    Attributes:
        learner: the networks and their optimizer.
        replay: the ring of transitions.
        worlds: the states of the environments.
        gone: the returns and the lengths of the running episodes so far.
    """

    learner: Learner
    replay: Ring
    worlds: Any
    gone: tuple[Float[Array, " environments"], Int[Array, " environments"]]


class Finished(eqx.Module):
    """Episodes that ended at a step: return and length, NaN and 0 if none ended; and whether a reward was not 0."""

    episode_return: Float[Array, " environments"]
    episode_length: Int[Array, " environments"]
    paid: Bool[Array, ""]


def init(
    settings: Settings, env: Environment, agent: Agent, seed: Any, given: Networks | None = None
) -> tuple[Member, Finished]:
    """A member before its first gradient step, with `warmup` steps of its first policy in the replay."""
    learner, (worlds, filling) = start(settings, env, agent, seed, given)
    member = Member(
        learner=learner,
        replay=ring.empty(env.observation, settings.replay // settings.environments, settings.environments),
        worlds=jax.vmap(env.reset)(jax.random.split(worlds, settings.environments)),
        gone=(jnp.zeros(settings.environments), jnp.zeros(settings.environments, jnp.int32)),
    )
    member, finished = interact(settings, env, agent, member, filling, settings.warmup // settings.environments)
    if settings.diagnostics:
        probe = start_probe(member.replay.first_steps(settings.warmup))
        member = eqx.tree_at(lambda m: m.learner.probe, member, probe, is_leaf=lambda leaf: leaf is None)
    return member, finished


def interact(
    settings: Settings, env: Environment, agent: Agent, member: Member, key: jax.Array, rows: int
) -> tuple[Member, Finished]:
    """Act, and store `rows` steps of every environment."""
    learner = member.learner
    epsilon = agent.epsilon_at(settings.warmup + learner.updates * settings.update_period)

    def one(carry: Any, keys: jax.Array) -> tuple[Any, Finished]:
        replay, worlds, (returns, lengths), trouble = carry
        obs = jax.vmap(env.observe)(worlds)
        action = agent.act(learner.online, obs, env.legal(obs), keys[0], epsilon)
        worlds, seen = jax.vmap(partial(advance, env))(worlds, action, keys[1:])
        returns, lengths = returns + seen.reward, lengths + 1
        over = seen.terminated | seen.truncated
        finished = Finished(jnp.where(over, returns, jnp.nan), jnp.where(over, lengths, 0), (seen.reward != 0).any())
        gone = jnp.where(over, 0.0, returns), jnp.where(over, 0, lengths)
        bad = ~jnp.stack([all_finite(seen.next_obs), all_finite(seen.reward), jnp.ones((), bool)])
        trouble = jnp.where((trouble < 0) & bad, learner.updates, trouble)
        return (replay.add(seen), worlds, gone, trouble), finished

    carry = member.replay, member.worlds, member.gone, learner.trouble
    keys = jax.random.split(key, (rows, 1 + settings.environments))
    (replay, worlds, gone, trouble), finished = jax.lax.scan(one, carry, keys)
    where = lambda m: (m.replay, m.worlds, m.gone, m.learner.trouble)  # noqa: E731
    return eqx.tree_at(where, member, (replay, worlds, gone, trouble)), finished


def period(settings: Settings, env: Environment, agent: Agent, member: Member) -> tuple[Member, Any]:
    """C environment steps with their gradient steps, and the copy to the target networks."""

    def update(member: Member, _: None) -> tuple[Member, Any]:
        keys = jax.random.split(jax.random.fold_in(member.learner.key, member.learner.updates), 3)
        rows = settings.update_period // settings.environments
        member, finished = interact(settings, env, agent, member, keys[0], rows)
        batches = minibatches(settings, member.replay, keys[1:], env.discount)
        learner, parts = learn(settings, env, agent, member.learner, *batches)
        return eqx.tree_at(lambda m: m.learner, member, learner), (finished, parts)

    member, (finished, parts) = jax.lax.scan(update, member, None, settings.target_period // settings.update_period)
    learner, seen = copied(settings, env, agent, member.learner)
    return eqx.tree_at(lambda m: m.learner, member, learner), (finished, parts, seen)


def chunk(
    settings: Settings, env: Environment, agent: Agent, member: Member
) -> tuple[Member, Finished, dict[str, Array]]:
    """The target periods between two lines of metrics; returns the member after them, the episodes and the means."""
    member, (finished, parts, seen) = jax.lax.scan(
        lambda member, _: period(settings, env, agent, member), member, None, settings.chunk
    )
    return member, finished, {name: value.mean() for name, value in {**parts, **seen}.items()}
