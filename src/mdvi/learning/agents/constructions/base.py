"""What a construction is: a way to represent the policy of a scheme by networks, and what these are trained on."""

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
    """A value without state, which can be hashed; one's own is passed to `Agent` like those of `constructions.ALL`."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def has_actor(self) -> bool:
        """Whether a network of its own holds the policy; otherwise the critic does."""

    def check(self, agent: "Agent") -> None:
        """Whether it can represent the agent's scheme.

        Raises:
            ValueError: when it cannot, saying why.
        """

    def preferences(self, scheme: Scheme, output: Outputs) -> Preferences:
        """The policy that the output of the network stands for, shape (batch, actions)."""

    def step(
        self, agent: "Agent", online: Networks, target: Networks, obs: Array, legal: Legal
    ) -> tuple[Outputs, GreedyStep]:
        """What the target critic holds, and the step from the target policy to the one that is evaluated."""

    def critic_target(self, agent: "Agent", y: Numbers, target: Networks, batch: Batch, legal: Legal) -> Numbers:
        """What the critic is trained on at the (s, a) of a batch, given y = G + γ^m (1 − d) v(s')."""

    def actor_loss(
        self, agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal
    ) -> Numbers:
        """The loss of the policy on each observation of a batch; q is the critic's that the greedy step reads."""


@dataclass(frozen=True)
class Explicit:
    """A construction with an actor; the critic holds q.

    Attributes:
        name: what it is called.
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
        """q̄, and the step from the target actor's policy to the online actor's."""
        q = target.critic(obs)
        return q, follow(agent.preferences(online, obs), agent.preferences(target, obs), legal)

    def critic_target(self, agent: "Agent", y: Numbers, target: Networks, batch: Batch, legal: Legal) -> Numbers:
        """The scheme's own y."""
        return y


def logits(scheme: Scheme, output: Outputs) -> Preferences:
    """The policy of an actor that holds log π up to a constant: π = softmax(output)."""
    return Preferences(output, 1.0, scheme.temperature)


def check_logits(agent: "Agent") -> None:
    """An actor of logits holds log π = s/κ, which κ = 0 leaves open.

    Raises:
        ValueError: at κ = 0 where β is positive.
    """
    if agent.scheme.temperature == 0 and agent.scheme.beta > 0:
        raise ValueError(f"a {agent.construction.name} agent holds log π: it needs kl + entropy > 0")
