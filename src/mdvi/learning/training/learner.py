"""The learner of a member: networks, target networks and optimizer, and the gradient step."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int

from mdvi.envs.base import Interface
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.diagnostics import Probe, observe
from mdvi.learning.agents.networks import Networks, check_network, network
from mdvi.learning.agents.targets import at
from mdvi.learning.experience.base import Batch, Experience
from mdvi.learning.settings import Settings
from mdvi.types import Array


class Learner(eqx.Module):
    """The state of learning.

    Attributes:
        key: the key of random numbers; the numbers of update i derive from the key and i.
        updates: the number of gradient steps so far.
        online: the networks that gradient steps change.
        target: the target networks.
        optimizer: the state of the optimizer, for critic and actor.
        probe: the state of the diagnostics.
        trouble: the first updates with an observation, a reward, a loss that is not finite (`TROUBLES`); −1 for none.
    """

    key: jax.Array
    updates: Int[Array, ""]
    online: Networks
    target: Networks
    optimizer: Any
    probe: Probe | None
    trouble: Int[Array, "3"]


_SMALL = 2**15  # below this number of parameters, the optimizer works on one vector of all parameters
TROUBLES = ("observation", "reward", "loss")


def optimizer_of(settings: Settings, networks: Networks) -> optax.GradientTransformation:
    """The optimizer, which gives the direction of a step; the learning rate, a leaf of the agent, multiplies it."""
    direction = (
        optax.scale_by_adam(eps=settings.optimizer_epsilon)
        if settings.optimizer == "adam"
        else optax.scale_by_stddev(decay=0.95, eps=settings.optimizer_epsilon)
    )
    if settings.clip_gradients:
        direction = optax.chain(optax.clip_by_global_norm(settings.clip_gradients), direction)
    # For small arrays the overhead of calls exceeds the arithmetic; large arrays are not worth copying.
    small = sum(leaf.size for leaf in jax.tree.leaves(networks)) < _SMALL
    return optax.flatten(direction) if small else direction


def start(
    settings: Settings, env: Interface, agent: Agent, seed: Any, given: Networks | None = None
) -> tuple[Learner, tuple[jax.Array, jax.Array]]:
    """A learner before its first step, and the keys of the first states and of the steps that fill the replay.

    Its networks are `given`, or have random weights.

    All random numbers derive from the seed alone, so that members that differ in λ, τ or learning rate start alike.
    """
    weights, more_weights, worlds, filling, life = jax.random.split(jax.random.key(seed), 5)
    if agent.network is not None and settings.normalize:
        raise ValueError("normalize: applies to mdvi's layers only, and the agent has its own network; leave it out")
    make = agent.network or partial(network, torso=settings.torso, hidden=settings.hidden, normalize=settings.normalize)
    critic = make(env, weights)
    actor = make(env, more_weights) if agent.has_actor else None
    if agent.network is not None:
        check_network(env, critic)
    online = Networks(critic, actor) if given is None else given
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


def minibatches(settings: Settings, experience: Experience, draws: Iterable[Any], discount: Any) -> list[Batch]:
    """One minibatch for each element of `draws`, see `Experience.sample`."""
    return [experience.sample(draw, settings.batch, settings.n_step, discount) for draw in draws]


def learn(
    settings: Settings, env: Interface, agent: Agent, learner: Learner, first: Batch, second: Batch
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
    rate = agent.learning_rate_at(settings.warmup + learner.updates * settings.update_period)
    online = jax.tree.map(lambda p, d: p - rate * d, learner.online, direction)
    if settings.normalize:
        actor = None if online.actor is None else online.actor.after(first.obs)
        online = Networks(online.critic.after(first.obs), actor)
    target = learner.target
    if settings.polyak:
        target = jax.tree.map(lambda old, new: old + settings.polyak * (new - old), target, online)
    bad = ~jnp.stack([jnp.ones((), bool)] * 2 + [jnp.isfinite(sum(parts.values()))])
    trouble = jnp.where((learner.trouble < 0) & bad, learner.updates, learner.trouble)
    where = lambda m: (m.online, m.target, m.optimizer, m.updates, m.trouble)  # noqa: E731
    return eqx.tree_at(where, learner, (online, target, state, learner.updates + 1, trouble)), parts


def copied(settings: Settings, env: Interface, agent: Agent, learner: Learner) -> tuple[Learner, dict[str, Array]]:
    """The learner after the copy of its networks to the target networks, and the diagnostics before the copy.

    If the target networks follow at every gradient step (`polyak`), there is no copy.
    """
    seen: dict[str, Array] = {}
    if settings.diagnostics:
        probe, seen = observe(env, agent, learner.online, learner.target, learner.probe)
        learner = eqx.tree_at(lambda m: m.probe, learner, probe)
    return (learner if settings.polyak else eqx.tree_at(lambda m: m.target, learner, learner.online)), seen


def reason(settings: Settings, trouble: np.ndarray) -> str:
    """A message about the first value that was not finite; "" if all were finite."""
    found = [(int(update), what) for update, what in zip(trouble, TROUBLES, strict=True) if update >= 0]
    if not found:
        return ""
    update, what = min(found, key=lambda pair: pair[0])  # within one update, observation and reward come before loss
    step = settings.warmup + update * settings.update_period
    kind = "diverged" if what == "loss" else "env_error"
    return f"{kind}: the {what} was not finite at environment step {step}"


def finite(networks: Networks) -> bool:
    """Whether all parameters are finite."""
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(networks))


def all_finite(values: Array) -> Array:
    """Whether all values are finite; integers always are."""
    return jnp.isfinite(values).all() if jnp.issubdtype(values.dtype, jnp.inexact) else jnp.ones((), bool)
