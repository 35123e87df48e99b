"""The dual construction: an actor h that averages q, with the policy softmax(h/τ).

    actor    (H − [β H̄ + (1 − β) q̄])²

Source: Vieillard et al. (2020), section 5 and appendix D.
"""

from typing import TYPE_CHECKING

import jax.numpy as jnp

from mdvi.learning.agents.constructions.base import Explicit
from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Legal, Numbers, Outputs, Preferences, at
from mdvi.learning.experience.base import Batch
from mdvi.scheme import Scheme

if TYPE_CHECKING:
    from mdvi.learning.agents.agent import Agent


def dual_target(scheme: Scheme, h: Outputs, q: Outputs) -> Outputs:
    """β h̄ + (1 − β) q̄."""
    return scheme.beta * h + (1 - scheme.beta) * q


def _check(agent: "Agent") -> None:
    if agent.scheme.beta == 1:
        raise ValueError("dual agents need entropy > 0 or beta < 1: they average q with weight 1 − β")


def _preferences(scheme: Scheme, output: Outputs) -> Preferences:
    """x = h/(1 − β), so that softmax(x/κ) = softmax(h/τ)."""
    return Preferences(output / (1 - scheme.beta), scheme.temperature, 1.0)


def _actor_loss(agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal) -> Numbers:
    """The squared error at the action taken, or its mean over all legal actions."""
    assert target.actor is not None
    h, wanted = actor(batch.obs), dual_target(agent.scheme, target.actor(batch.obs), q)
    error = jnp.where(legal, h - wanted, 0.0) ** 2
    if agent.every_action:
        return error.sum(-1) / legal.sum(-1).astype(error.dtype)
    return at(error, batch.action)


DUAL = Explicit("dual", _check, _preferences, _actor_loss)
