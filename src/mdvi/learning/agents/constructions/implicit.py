"""The implicit construction: the critic holds x = q + βs, which determines the policy; there is no actor.

    critic   y + β·max(s'(s, a), lowest),     s' = κ log π'

The second term is the Munchausen term. Source: Vieillard, Pietquin and Geist, "Munchausen RL" (2020), equation 2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Int

from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Legal, Numbers, Outputs, Preferences, at, state_of
from mdvi.learning.experience.base import Batch
from mdvi.scheme import GreedyStep, Scheme
from mdvi.types import Array

if TYPE_CHECKING:
    from mdvi.learning.agents.agent import Agent


@dataclass(frozen=True)
class Implicit:
    """A construction without an actor."""

    name: ClassVar[str] = "implicit"
    has_actor: ClassVar[bool] = False

    def check(self, agent: "Agent") -> None:
        """Check that the evaluation keeps the KL, since the critic holds q + βs."""
        if not agent.munchausen and agent.scheme.beta > 0:
            raise ValueError("munchausen: implicit agents with beta > 0 need the Munchausen term; set munchausen=True")
        if not agent.scheme.evaluate_kl and agent.scheme.beta > 0:
            raise ValueError(
                "evaluate_kl: implicit agents with beta > 0 need evaluate_kl=True: their critic holds q + βs, not q"
            )

    def preferences(self, scheme: Scheme, output: Outputs) -> Preferences:
        """π = softmax(x/κ)."""
        return Preferences(output, scheme.temperature, 1.0)

    def step(
        self, agent: "Agent", online: Networks, target: Networks, obs: Array, legal: Legal
    ) -> tuple[Outputs, GreedyStep]:
        """x̄ and the exact greedy step, which reads the online critic if the agent is double."""
        x = target.critic(obs)
        exact = implicit_step(agent.scheme, online.critic(obs) if agent.double else x, legal)
        return x, eqx.tree_at(lambda s: s.v, exact, None) if agent.double else exact

    def critic_target(self, agent: "Agent", y: Numbers, target: Networks, batch: Batch, legal: Legal) -> Numbers:
        """y with the Munchausen term if β > 0."""
        if not agent.munchausen:
            return y
        here = implicit_step(agent.scheme, target.critic(batch.obs), legal)
        return y + munchausen_term(agent.scheme, here, batch.action, agent.lowest)

    def actor_loss(
        self, agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal
    ) -> Numbers:
        """Zero, since there is no actor."""
        return jnp.zeros_like(batch.returns)


def implicit_step(scheme: Scheme, x: Outputs, legal: Legal) -> GreedyStep:
    """The exact greedy step that x = q + βs implies; since x holds βs already, it starts from s = 0."""
    return scheme.greedy(state_of(scheme, x, jnp.zeros_like(x)), legal)


def munchausen_term(scheme: Scheme, step: GreedyStep, action: Int[Array, " batch"], lowest: Any) -> Numbers:
    """β · max(κ log π'(a|s), lowest)."""
    return scheme.beta * jnp.maximum(at(step.scaled_log_policy, action), lowest)


IMPLICIT = Implicit()
