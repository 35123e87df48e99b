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
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from mdvi.deep import replay as ring
from mdvi.deep.agent import Agent, Networks
from mdvi.deep.diagnostics import Probe, observe, start_probe
from mdvi.deep.networks import network
from mdvi.deep.replay import Batch, Replay
from mdvi.deep.settings import Settings
from mdvi.deep.targets import at
from mdvi.envs.base import Transition, advance
from mdvi.types import Array


class Learner(eqx.Module):
    """What learns, and what it needs to go on.

    Attributes:
        key: of its random numbers; those of update i are derived from it and i.
        updates: gradient steps done.
        online: the networks that learn.
        target: their copies.
        optimizer: its state, for both networks.
        probe: what the diagnostics remember.
        trouble: the updates at which an observation, a reward, a loss first was not finite (`TROUBLES`); −1 for never.
    """

    key: jax.Array
    updates: Int[Array, ""]
    online: Networks
    target: Networks
    optimizer: Any
    probe: Probe | None
    trouble: Int[Array, "3"]


class Member(eqx.Module):
    """One agent in training inside a compiled program, with the environments it lives in.

    Attributes:
        learner: what learns.
        replay: the ring of transitions.
        worlds: the states of its environments.
        gone: what the running episodes have returned so far, and their lengths.
    """

    learner: Learner
    replay: Replay
    worlds: Any
    gone: tuple[Float[Array, " environments"], Int[Array, " environments"]]


class Finished(eqx.Module):
    """Episodes that ended at a step: return and length, NaN and 0 where none did; and whether a reward was not 0."""

    episode_return: Float[Array, " environments"]
    episode_length: Int[Array, " environments"]
    paid: Bool[Array, ""]


_SMALL = 2**15  # parameters whose optimizer works on one vector of them all
TROUBLES = ("observation", "reward", "loss")


def optimizer_of(settings: Settings, networks: Networks) -> optax.GradientTransformation:
    """The direction of a step; the learning rate, a leaf of the agent, multiplies it."""
    direction = (
        optax.scale_by_adam(eps=settings.optimizer_epsilon)
        if settings.optimizer == "adam"
        else optax.scale_by_stddev(decay=0.95, eps=settings.optimizer_epsilon)
    )
    # A dozen small arrays cost more in calls than in arithmetic; large ones are better left where they are.
    small = sum(leaf.size for leaf in jax.tree.leaves(networks)) < _SMALL
    return optax.flatten(direction) if small else direction


def start(settings: Settings, env: Any, agent: Agent, seed: Any) -> tuple[Learner, tuple[jax.Array, jax.Array]]:
    """A learner before its first step, and the keys of the first states and of the steps that fill the replay.

    Everything random comes from the seed alone, so that members that differ in λ, τ or learning rate start alike.
    """
    weights, more_weights, worlds, filling, life = jax.random.split(jax.random.key(seed), 5)
    critic = network(env, settings.torso, settings.hidden, weights)
    actor = network(env, settings.torso, settings.hidden, more_weights) if agent.has_actor else None
    online = Networks(critic, actor)
    learner = Learner(
        key=life,
        updates=jnp.zeros((), jnp.int32),
        online=online,
        target=jax.tree.map(jnp.copy, online),
        optimizer=optimizer_of(settings, online).init(online),
        probe=None,
        trouble=jnp.full(3, -1, jnp.int32),
    )
    return learner, (worlds, filling)


def init(settings: Settings, env: Any, agent: Agent, seed: Any) -> tuple[Member, Finished]:
    """A member at its first gradient step: networks drawn, replay filled by `warmup` steps of its first policy."""
    learner, (worlds, filling) = start(settings, env, agent, seed)
    member = Member(
        learner=learner,
        replay=ring.empty(env.observation, settings.replay // settings.environments, settings.environments),
        worlds=jax.vmap(env.reset)(jax.random.split(worlds, settings.environments)),
        gone=(jnp.zeros(settings.environments), jnp.zeros(settings.environments, jnp.int32)),
    )
    member, finished = interact(settings, env, agent, member, filling, settings.warmup // settings.environments)
    if settings.diagnostics:
        probe = start_probe(first_steps(member.replay, settings.warmup))
        member = eqx.tree_at(lambda m: m.learner.probe, member, probe, is_leaf=lambda leaf: leaf is None)
    return member, finished


def interact(
    settings: Settings, env: Any, agent: Agent, member: Member, key: jax.Array, rows: int
) -> tuple[Member, Finished]:
    """Act and store so many steps of every environment."""
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
        bad = ~jnp.stack([_finite(seen.next_obs), _finite(seen.reward), jnp.ones((), bool)])
        trouble = jnp.where((trouble < 0) & bad, learner.updates, trouble)
        return (ring.add(replay, seen), worlds, gone, trouble), finished

    carry = member.replay, member.worlds, member.gone, learner.trouble
    keys = jax.random.split(key, (rows, 1 + settings.environments))
    (replay, worlds, gone, trouble), finished = jax.lax.scan(one, carry, keys)
    where = lambda m: (m.replay, m.worlds, m.gone, m.learner.trouble)  # noqa: E731
    return eqx.tree_at(where, member, (replay, worlds, gone, trouble)), finished


def learn(
    settings: Settings, env: Any, agent: Agent, learner: Learner, first: Batch, second: Batch
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step of the critic on one minibatch, and of the actor on another."""
    y = jax.lax.stop_gradient(agent.critic_target(env, learner.online, learner.target, first))

    def loss(online: Networks) -> tuple[Array, dict[str, Array]]:
        q = at(online.critic(first.obs), first.action)
        error = optax.huber_loss(q, y) if settings.loss == "huber" else (q - y) ** 2
        parts = {"loss": error.mean(), "q": q.mean()}
        if online.actor is not None:
            held = jax.lax.stop_gradient(learner.online)
            parts["actor_loss"] = agent.actor_loss(env, online.actor, held, learner.target, second).mean()
        return parts["loss"] + parts.get("actor_loss", 0.0), parts

    gradients, parts = jax.grad(loss, has_aux=True)(learner.online)
    with jax.numpy_dtype_promotion("standard"):  # optax relies on it
        direction, state = optimizer_of(settings, learner.online).update(gradients, learner.optimizer, learner.online)
    online = jax.tree.map(lambda p, d: p - agent.learning_rate * d, learner.online, direction)
    bad = ~jnp.stack([jnp.ones((), bool)] * 2 + [jnp.isfinite(sum(parts.values()))])
    trouble = jnp.where((learner.trouble < 0) & bad, learner.updates, learner.trouble)
    where = lambda m: (m.online, m.optimizer, m.updates, m.trouble)  # noqa: E731
    return eqx.tree_at(where, learner, (online, state, learner.updates + 1, trouble)), parts


def copied(settings: Settings, env: Any, agent: Agent, learner: Learner) -> tuple[Learner, dict[str, Array]]:
    """The learner after its networks were copied to the target networks, and what the diagnostics saw before."""
    seen: dict[str, Array] = {}
    if settings.diagnostics:
        probe, seen = observe(env, agent, learner.online, learner.target, learner.probe)
        learner = eqx.tree_at(lambda m: m.probe, learner, probe)
    return eqx.tree_at(lambda m: m.target, learner, learner.online), seen


def period(settings: Settings, env: Any, agent: Agent, member: Member) -> tuple[Member, Any]:
    """C environment steps with their gradient steps, and the copy to the target networks."""

    def update(member: Member, _: None) -> tuple[Member, Any]:
        keys = jax.random.split(jax.random.fold_in(member.learner.key, member.learner.updates), 3)
        rows = settings.update_period // settings.environments
        member, finished = interact(settings, env, agent, member, keys[0], rows)
        batches = [ring.sample(member.replay, k, settings.batch, settings.n_step, env.discount) for k in keys[1:]]
        learner, parts = learn(settings, env, agent, member.learner, *batches)
        return eqx.tree_at(lambda m: m.learner, member, learner), (finished, parts)

    member, (finished, parts) = jax.lax.scan(update, member, None, settings.target_period // settings.update_period)
    learner, seen = copied(settings, env, agent, member.learner)
    return eqx.tree_at(lambda m: m.learner, member, learner), (finished, parts, seen)


def chunk(settings: Settings, env: Any, agent: Agent, member: Member) -> tuple[Member, Finished, dict[str, Array]]:
    """The target periods between two lines of metrics: the member after them, the episodes, the means."""
    member, (finished, parts, seen) = jax.lax.scan(
        lambda member, _: period(settings, env, agent, member), member, None, settings.chunk
    )
    return member, finished, {name: value.mean() for name, value in {**parts, **seen}.items()}


def first_steps(replay: Replay, filled: int) -> Transition:
    """The transitions that fill the replay by now, in the order they were made."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:filled], replay.steps)


def reason(settings: Settings, trouble: np.ndarray) -> str:
    """The first thing that was not finite, in words; "" for nothing."""
    found = [(int(update), what) for update, what in zip(trouble, TROUBLES, strict=True) if update >= 0]
    if not found:
        return ""
    update, what = min(found, key=lambda pair: pair[0])  # of one update, the environment's comes first
    step = settings.warmup + update * settings.update_period
    kind = "diverged" if what == "loss" else "env_error"
    return f"{kind}: the {what} was not finite at environment step {step}"


def finite(networks: Networks) -> bool:
    """Whether all parameters are."""
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(networks))


def _finite(values: Array) -> Array:
    return jnp.isfinite(values).all() if jnp.issubdtype(values.dtype, jnp.inexact) else jnp.ones((), bool)
