"""The exact loss of a trained agent on a finite model."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from mdvi.envs import FiniteEnvironment, TimeLimit
from mdvi.envs.base import Interface
from mdvi.laboratory.bellman import BellmanOperator, Objective, optimum, policy_value
from mdvi.learning.acting import play
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.learning.runs.member_log import Row


def exact_loss(env: Interface) -> Callable[[Agent, Networks], Row] | None:
    """‖q* − q_π‖_∞ on a finite model, q* optimal for the problem with entropy τ; None for other environments."""
    inner = env.env if isinstance(env, TimeLimit) else env
    if not isinstance(inner, FiniteEnvironment):
        return None
    mdp = inner.mdp.dense()
    seen = jnp.eye(mdp.states, dtype=bool)

    def objective(tau: jax.Array) -> Objective:
        return Objective(tau, jnp.zeros(mdp.legal.shape))

    @cache
    def best(tau: float) -> jax.Array:
        return jnp.asarray(optimum(mdp, objective(jnp.asarray(tau))))

    @jax.jit
    def loss(log_policy: jax.Array, tau: jax.Array, q: jax.Array) -> jax.Array:
        probability = jnp.exp(log_policy)
        v = policy_value(mdp, probability, objective(tau).bonus(probability, log_policy, mdp.legal))
        return jnp.abs(jnp.where(mdp.live, q - BellmanOperator(mdp).backup(v), 0.0)).max()

    def measure(agent: Agent, networks: Networks) -> Row:
        log_policy = np.asarray(play.log_policy(inner, agent, networks, seen), np.float64)
        tau = float(agent.scheme.entropy)
        with jax.enable_x64(True):
            return {"exact_loss": float(loss(jnp.asarray(log_policy), jnp.asarray(tau), best(tau)))}

    return measure
