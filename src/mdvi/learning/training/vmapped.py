"""Steps of all members of a population on the host, each step as one compiled call."""

from functools import partial
from typing import Any

import equinox as eqx
import jax

from mdvi.envs.base import Transition
from mdvi.envs.host.hosted import Hosted
from mdvi.learning.agents import agent
from mdvi.learning.agents.agent import Agent, Noise
from mdvi.learning.agents.diagnostics import start_probe
from mdvi.learning.agents.networks import Networks
from mdvi.learning.settings import Settings
from mdvi.learning.training import learner as learning


@partial(jax.jit, static_argnums=0)
def start(
    settings: Settings, env: Hosted, agents: Agent, seeds: Any, given: Networks | None = None
) -> learning.Learner:
    """The learners of all members, from their seeds, and from `given` networks if there are any."""
    return jax.vmap(lambda *member: learning.start(settings, env, *member)[0])(agents, seeds, given)


@partial(jax.jit, static_argnums=(2, 3))
def noise(keys: jax.Array, steps: Any, each: int, actions: int) -> Noise:
    """The random numbers behind the actions of some steps, shapes (steps, members, each, …)."""

    def one(step: Any, key: jax.Array) -> Noise:
        return agent.noise(jax.random.fold_in(jax.random.fold_in(key, 1), step), each, actions)

    return jax.vmap(lambda step: jax.vmap(partial(one, step))(keys))(steps)


@jax.jit
def epsilons(agents: Agent, steps: Any) -> Any:
    """ε of every member at some steps, shape (steps, members)."""
    return jax.vmap(lambda step: jax.vmap(lambda member: member.epsilon_at(step))(agents))(steps)


@jax.jit
def act(env: Hosted, agents: Agent, networks: Networks, drawn: Noise, epsilon: Any, obs: Any, legal: Any = None) -> Any:
    """The actions of every member in each of its environments, chosen among the legal actions."""

    def one(member: Agent, networks: Networks, drawn: Noise, epsilon: Any, seen: Any, told: Any) -> Any:
        return member.act_by(drawn, networks, seen, agent.legal_on(env, seen, told), epsilon)

    return jax.vmap(one)(agents, networks, drawn, epsilon, obs, legal)


@partial(jax.jit, static_argnums=0)
def learn(settings: Settings, env: Hosted, agents: Agent, learner: learning.Learner, first: Any, second: Any) -> Any:
    """A gradient step of the critics on the first minibatches and of the actors on the second, and its metrics."""
    return jax.vmap(partial(learning.learn, settings, env))(agents, learner, first, second)


@partial(jax.jit, static_argnums=0)
def copied(settings: Settings, env: Hosted, agents: Agent, learner: learning.Learner) -> Any:
    """The learners after the copy to the target networks, and the diagnostics before it."""
    return jax.vmap(partial(learning.copied, settings, env))(agents, learner)


def probed(learner: learning.Learner, steps: Transition) -> learning.Learner:
    """The learners with the fixed set of transitions for their diagnostics."""
    probe = jax.vmap(start_probe)(steps)
    return eqx.tree_at(lambda m: m.probe, learner, probe, is_leaf=lambda leaf: leaf is None)
