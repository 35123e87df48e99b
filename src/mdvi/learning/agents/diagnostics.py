"""Diagnostics of training: how far the policy moves, its entropy, and whether the errors average out.

The errors are the errors of the theorems, on a fixed set of transitions. With q_k the target network of iteration k and
q_{k+1} = Q_θ the online network at the end of the period,

    ε_{k+1} = q_{k+1} − T q_k  ≈  Q_θ(s, a) − y(s, a),      E_{k+1} = mean of ε_1 … ε_{k+1}            (β = 1)
                                                            E_{k+1} = β E_k + (1 − β) ε_{k+1}         (β < 1)

The estimate uses the single next state that was observed for each (s, a), so the sampling noise is part of ε.

Source: Vieillard et al. (2020), Theorems 1 and 2.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from mdvi.envs.base import Interface, Transition
from mdvi.learning.agents import targets
from mdvi.learning.agents.agent import Agent, legal_on
from mdvi.learning.agents.networks import Networks
from mdvi.learning.experience.base import Batch
from mdvi.regularizers import entropy, kl_divergence
from mdvi.types import Array

_SIZE = 256  # transitions in the fixed set, at most


class Probe(eqx.Module):
    """A fixed set of transitions, their average error so far, and the number of periods in the average."""

    action: Array
    reward: Array
    terminated: Array
    obs: Array
    next_obs: Array
    average: Float[Array, " probes"]
    periods: Array
    legal: Array | None = None
    next_legal: Array | None = None


def start_probe(steps: Transition) -> Probe:
    """A probe of the first transitions of a batch."""
    steps = jax.tree.map(lambda leaf: leaf[:_SIZE], steps)
    count = steps.action.shape[0]
    return Probe(
        steps.action, steps.reward, steps.terminated, steps.obs, steps.next_obs, jnp.zeros(count), jnp.zeros(()),
        steps.legal, steps.next_legal,
    )  # fmt: skip


def observe(
    env: Interface, agent: Agent, online: Networks, target: Networks, probe: Any
) -> tuple[Probe, dict[str, Array]]:
    """Measure the change over a period, at its end and before the copy to the target networks.

    Returns:
        The updated probe, and: `policy_kl`, KL(π_{k+1}‖π_k); `entropy_nats`, H(π_{k+1}); `action_gap`;
        `bellman_error`, the root mean square of ε_{k+1}; `average_error`, the root mean square of E_{k+1}.
    """
    legal = legal_on(env, probe.obs, probe.legal)
    new, old = agent.preferences(online, probe.obs), agent.preferences(target, probe.obs)
    log_new, log_old = (targets.log_policy(of, legal) for of in (new, old))
    discount = env.discount * jnp.where(probe.terminated, 0.0, 1.0)
    batch = Batch(
        probe.obs, probe.action, probe.reward, discount, probe.next_obs, probe.legal, probe.next_legal
    )  # fmt: skip
    y = agent.critic_target(env, online, target, batch)
    error = targets.at(online.critic(probe.obs), probe.action) - y
    beta, periods = agent.scheme.beta, probe.periods + 1
    average = jnp.where(
        beta == 1, probe.average + (error - probe.average) / periods, beta * probe.average + (1 - beta) * error
    )
    seen = {
        "policy_kl": kl_divergence(log_new, log_old).mean(),
        "entropy_nats": entropy(log_new).mean(),
        "action_gap": targets.action_gap(new, legal).mean(),
        "bellman_error": jnp.sqrt((error**2).mean()),
        "average_error": jnp.sqrt((average**2).mean()),
    }
    return eqx.tree_at(lambda p: (p.average, p.periods), probe, (average, periods)), seen
