"""The loop: act, store, learn, copy. One program for every agent, environment and member of a population.

    for each target period:
        for each gradient step:
            act F steps and store them
            one step of the critic on one minibatch, one of the actor on another
        copy the networks to the target networks

Source: Vieillard et al. (2020), Algorithm 2.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from mdvi.deep import replay as ring
from mdvi.deep.agent import Agent, Networks
from mdvi.deep.diagnostics import Probe, observe, start_probe
from mdvi.deep.networks import network
from mdvi.deep.replay import Replay
from mdvi.deep.settings import Settings
from mdvi.deep.targets import at
from mdvi.envs.base import advance
from mdvi.types import Array


class Member(eqx.Module):
    """One agent in training, and everything its program needs to go on.

    Attributes:
        key: of its random numbers; those of update i are derived from it and i.
        updates: gradient steps done.
        online: the networks that learn.
        target: their copies.
        optimizer: its state, for both networks.
        replay: the ring of transitions.
        worlds: the states of its environments.
        gone: what the running episodes have returned so far, and their lengths.
        probe: what the diagnostics remember.
        trouble: the updates at which an observation, a reward, a loss first was not finite (`TROUBLES`); −1 for never.
    """

    key: jax.Array
    updates: Int[Array, ""]
    online: Networks
    target: Networks
    optimizer: Any
    replay: Replay
    worlds: Any
    gone: tuple[Float[Array, " environments"], Int[Array, " environments"]]
    probe: Probe | None
    trouble: Int[Array, "3"]


class Finished(eqx.Module):
    """Episodes that ended at a step: return and length, NaN and 0 where none did."""

    episode_return: Float[Array, " environments"]
    episode_length: Int[Array, " environments"]


TROUBLES = ("observation", "reward", "loss")


def optimizer_of(settings: Settings) -> optax.GradientTransformation:
    """The direction of a step; the learning rate, a leaf of the agent, multiplies it."""
    if settings.optimizer == "adam":
        return optax.scale_by_adam(eps=settings.optimizer_epsilon)
    return optax.scale_by_stddev(decay=0.95, eps=settings.optimizer_epsilon)


def init(settings: Settings, env: Any, agent: Agent, seed: Any) -> tuple[Member, Finished]:
    """A member at its first gradient step: networks drawn, replay filled by `warmup` steps of its first policy.

    Everything random comes from the seed alone, so that members that differ in λ, τ or learning rate start alike.
    """
    weights, more_weights, worlds, filling, life = jax.random.split(jax.random.key(seed), 5)
    critic = network(env, settings.torso, settings.hidden, weights)
    actor = network(env, settings.torso, settings.hidden, more_weights) if agent.has_actor else None
    online = Networks(critic, actor)
    rows = settings.replay // settings.environments
    member = Member(
        key=life,
        updates=jnp.zeros((), jnp.int32),
        online=online,
        target=jax.tree.map(jnp.copy, online),
        optimizer=optimizer_of(settings).init(online),
        replay=ring.empty(env.observation, rows, settings.environments),
        worlds=jax.vmap(env.reset)(jax.random.split(worlds, settings.environments)),
        gone=(jnp.zeros(settings.environments), jnp.zeros(settings.environments, jnp.int32)),
        probe=None,
        trouble=jnp.full(3, -1, jnp.int32),
    )
    member, finished = interact(settings, env, agent, member, filling, settings.warmup // settings.environments)
    if settings.diagnostics:
        member = eqx.tree_at(
            lambda m: m.probe, member, start_probe(member.replay, settings.warmup), is_leaf=lambda leaf: leaf is None
        )
    return member, finished


def interact(
    settings: Settings, env: Any, agent: Agent, member: Member, key: jax.Array, rows: int
) -> tuple[Member, Finished]:
    """Act and store so many steps of every environment."""
    step = settings.warmup + member.updates * settings.update_period
    epsilon = agent.epsilon_at(step)

    def one(carry: Any, keys: jax.Array) -> tuple[Any, Finished]:
        replay, worlds, (returns, lengths), trouble = carry
        obs = jax.vmap(env.observe)(worlds)
        action = agent.act(member.online, obs, env.legal(obs), keys[0], epsilon)
        worlds, seen = jax.vmap(partial(advance, env))(worlds, action, keys[1:])
        returns, lengths = returns + seen.reward, lengths + 1
        over = seen.terminated | seen.truncated
        finished = Finished(jnp.where(over, returns, jnp.nan), jnp.where(over, lengths, 0))
        gone = jnp.where(over, 0.0, returns), jnp.where(over, 0, lengths)
        bad = ~jnp.stack([_finite(seen.next_obs), _finite(seen.reward), jnp.ones((), bool)])
        trouble = jnp.where((trouble < 0) & bad, member.updates, trouble)
        return (ring.add(replay, seen), worlds, gone, trouble), finished

    carry = member.replay, member.worlds, member.gone, member.trouble
    keys = jax.random.split(key, (rows, 1 + settings.environments))
    (replay, worlds, gone, trouble), finished = jax.lax.scan(one, carry, keys)
    where = lambda m: (m.replay, m.worlds, m.gone, m.trouble)  # noqa: E731
    return eqx.tree_at(where, member, (replay, worlds, gone, trouble)), finished


def learn(
    settings: Settings, env: Any, agent: Agent, member: Member, keys: jax.Array
) -> tuple[Member, dict[str, Array]]:
    """One gradient step of the critic on one minibatch, and of the actor on another."""
    first, second = (ring.sample(member.replay, k, settings.batch, settings.n_step, env.discount) for k in keys)
    y = jax.lax.stop_gradient(agent.critic_target(env, member.online, member.target, first))

    def loss(online: Networks) -> tuple[Array, dict[str, Array]]:
        q = at(online.critic(first.obs), first.action)
        error = optax.huber_loss(q, y) if settings.loss == "huber" else (q - y) ** 2
        parts = {"loss": error.mean(), "q": q.mean()}
        if online.actor is not None:
            held = jax.lax.stop_gradient(member.online)
            parts["actor_loss"] = agent.actor_loss(env, online.actor, held, member.target, second).mean()
        return parts["loss"] + parts.get("actor_loss", 0.0), parts

    gradients, parts = jax.grad(loss, has_aux=True)(member.online)
    with jax.numpy_dtype_promotion("standard"):  # optax relies on it
        direction, state = optimizer_of(settings).update(gradients, member.optimizer, member.online)
    online = jax.tree.map(lambda p, d: p - agent.learning_rate * d, member.online, direction)
    bad = ~jnp.stack([jnp.ones((), bool)] * 2 + [jnp.isfinite(sum(parts.values()))])
    trouble = jnp.where((member.trouble < 0) & bad, member.updates, member.trouble)
    where = lambda m: (m.online, m.optimizer, m.updates, m.trouble)  # noqa: E731
    return eqx.tree_at(where, member, (online, state, member.updates + 1, trouble)), parts


def period(settings: Settings, env: Any, agent: Agent, member: Member) -> tuple[Member, Any]:
    """C environment steps with their gradient steps, and the copy to the target networks."""

    def update(member: Member, _: None) -> tuple[Member, Any]:
        keys = jax.random.split(jax.random.fold_in(member.key, member.updates), 3)
        rows = settings.update_period // settings.environments
        member, finished = interact(settings, env, agent, member, keys[0], rows)
        member, parts = learn(settings, env, agent, member, keys[1:])
        return member, (finished, parts)

    member, (finished, parts) = jax.lax.scan(update, member, None, settings.target_period // settings.update_period)
    seen: dict[str, Array] = {}
    if settings.diagnostics:
        probe, seen = observe(env, agent, member.online, member.target, member.probe)
        member = eqx.tree_at(lambda m: m.probe, member, probe)
    member = eqx.tree_at(lambda m: m.target, member, member.online)
    return member, (finished, parts, seen)


def chunk(settings: Settings, env: Any, agent: Agent, member: Member) -> tuple[Member, Finished, dict[str, Array]]:
    """The target periods between two lines of metrics: the member after them, the episodes, the means."""
    member, (finished, parts, seen) = jax.lax.scan(
        lambda member, _: period(settings, env, agent, member), member, None, settings.chunk
    )
    return member, finished, {name: value.mean() for name, value in {**parts, **seen}.items()}


def _finite(values: Array) -> Array:
    return jnp.isfinite(values).all() if jnp.issubdtype(values.dtype, jnp.inexact) else jnp.ones((), bool)
