"""The protocol of a construction: it represents the policy of a scheme by networks and defines their targets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Legal, Numbers, Outputs, Preferences, follow
from mdvi.learning.experience.base import Batch
from mdvi.scheme import GreedyStep, Scheme
from mdvi.types import Array

if TYPE_CHECKING:
    from mdvi.learning.agents.agent import Agent


class Construction(Protocol):
    """A hashable value without state; pass a construction of your own to `Agent` like those in `constructions.ALL`."""

    @property
    def name(self) -> str:
        """The name of the construction."""

    @property
    def has_actor(self) -> bool:
        """Whether a separate network holds the policy; otherwise the critic holds it."""

    def check(self, agent: "Agent") -> None:
        """Check that the construction can represent the scheme of the agent.

        Raises:
            ValueError: if it cannot; the message has the reason.
        """

    def preferences(self, scheme: Scheme, output: Outputs) -> Preferences:
        """The policy that the output of a network represents, shape (batch, actions)."""

    def step(
        self, agent: "Agent", online: Networks, target: Networks, obs: Array, legal: Legal
    ) -> tuple[Outputs, GreedyStep]:
        """The output of the target critic, and the step from the target policy to the policy that is evaluated."""

    def critic_target(self, agent: "Agent", y: Numbers, target: Networks, batch: Batch, legal: Legal) -> Numbers:
        """The regression target of the critic at the (s, a) of a batch, given y = G + γ^m (1 − d) v(s')."""

    def actor_loss(
        self, agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal
    ) -> Numbers:
        """The loss of the actor on each observation of a batch; q is the output of the critic in the greedy step."""


@dataclass(frozen=True)
class Explicit:
    """A construction with an actor; the critic holds q.

    Attributes:
        name: the name of the construction.
        check: see `Construction.check`.
        preferences: see `Construction.preferences`.
        actor_loss: see `Construction.actor_loss`.
    """

    name: str
    check: Callable[["Agent"], None]
    preferences: Callable[[Scheme, Outputs], Preferences]
    actor_loss: Callable[["Agent", Network, Outputs, Networks, Batch, Legal], Numbers]
    has_actor: ClassVar[bool] = True

    def step(
        self, agent: "Agent", online: Networks, target: Networks, obs: Array, legal: Legal
    ) -> tuple[Outputs, GreedyStep]:
        """q̄, and the step from the policy of the target actor to the policy of the online actor."""
        q = target.critic(obs)
        return q, follow(agent.preferences(online, obs), agent.preferences(target, obs), legal)

    def critic_target(self, agent: "Agent", y: Numbers, target: Networks, batch: Batch, legal: Legal) -> Numbers:
        """The target y of the scheme, unchanged."""
        return y


def logits(scheme: Scheme, output: Outputs) -> Preferences:
    """The policy of an actor that holds log π up to a constant: π = softmax(output)."""
    return Preferences(output, 1.0, scheme.temperature)


def check_logits(agent: "Agent") -> None:
    """Check that κ > 0 if β > 0: an actor of logits holds log π = s/κ, which is undefined for κ = 0.

    Raises:
        ValueError: if κ = 0 and β > 0.
    """
    if agent.scheme.temperature == 0 and agent.scheme.beta > 0:
        raise ValueError(f"{agent.construction.name} agents need kl + entropy > 0: their actor holds log π")
