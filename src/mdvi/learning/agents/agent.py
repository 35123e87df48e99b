"""An agent is an immutable value: a scheme, a construction, and the numbers of its training."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Int

from mdvi.envs.base import Interface
from mdvi.learning import draws
from mdvi.learning.agents import constructions, targets
from mdvi.learning.agents.constructions import Construction
from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Numbers, Preferences
from mdvi.learning.experience.base import Batch
from mdvi.regularizers import KL_TO_UNIFORM, SHANNON
from mdvi.scheme import Scheme
from mdvi.types import Array


class Noise(NamedTuple):
    """The random numbers behind a batch of actions.

    Attributes:
        gumbel: Gumbel noise, which samples a policy, shape (batch, actions).
        uniform: uniform numbers; an action is random where they are below ε, shape (batch,).
        words: random bits that a random action is drawn from, see `mdvi.learning.draws`, shape (batch, 2).
    """

    gumbel: Array
    uniform: Array
    words: Array


def noise(key: jax.Array, batch: int, actions: int) -> Noise:
    """Draw the random numbers for a batch of actions from a key."""
    one, other, third = jax.random.split(key, 3)
    gumbel, uniform = jax.random.gumbel(one, (batch, actions)), jax.random.uniform(other, (batch,))
    return Noise(gumbel, uniform, draws.words(third, (batch,)))


def legal_on(env: Interface, obs: Array, told: Array | None = None) -> Array:
    """The legal actions that the environment reported with observations, or otherwise reads off the observations."""
    return env.legal(obs) if told is None else told


class Agent(eqx.Module):
    """A point of the scheme with a representation of its policy.

    Attributes:
        scheme: λ, τ and the terms that the evaluation keeps; m = 1.
        construction: the representation of the policy; a name of `constructions.ALL`, or a construction of your own.
        learning_rate: the learning rate of critic and actor.
        learning_rate_steps: environment steps over which the learning rate falls linearly to 0; 0 for no decay.
        epsilon: the probability of a random action, after its decay.
        epsilon_steps: environment steps over which ε falls linearly from 1; 0 for no decay.
        lowest: the least value of κ log π in the Munchausen term of an implicit agent; −∞ for no clip.
        double: the greedy step reads the online critic while the evaluation reads the target critic. For a dual
            agent this is the target of the paper's main text, βH̄ + (1 − β)Q with the online Q.
        sampled: sample actions from the policy; otherwise take the most probable action.
        every_action: a dual agent regresses all actions, not only the action taken.
        network: makes a critic, or an actor, from an environment and a key: an `equinox.Module` that maps a batch of
            observations to numbers of shape (batch, actions). None for the layers that the settings describe.
        munchausen: whether the target of an implicit agent has the term β·s'(s, a). For β = 0 the term vanishes, and
            leaving it out saves a pass through the network.

    Raises:
        ValueError: if the construction cannot represent the scheme.
    """

    scheme: Scheme
    construction: Construction = eqx.field(static=True, converter=constructions.find)
    learning_rate: Any = 1e-3
    learning_rate_steps: Any = 0.0
    epsilon: Any = 0.01
    epsilon_steps: Any = 0.0
    lowest: Any = -math.inf
    double: bool = eqx.field(default=False, static=True)
    sampled: bool = eqx.field(default=True, static=True)
    every_action: bool = eqx.field(default=False, static=True)
    network: Callable[[Interface, jax.Array], Any] | None = eqx.field(default=None, static=True)
    munchausen: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        scheme = self.scheme
        if scheme.backups != 1 or scheme.prior != "previous":
            raise ValueError(
                f"scheme: deep agents need backups=1 and prior='previous', got {scheme.backups} and {scheme.prior!r}"
            )
        softmax = scheme.regularizer in (SHANNON, KL_TO_UNIFORM) and scheme.reference is None and scheme.floor is None
        if not softmax:
            raise ValueError(
                "scheme: deep agents act by softmax, so they take the regularizers 'shannon' and 'kl-to-uniform' "
                f"without reference and floor, got {scheme}"
            )
        if self.has_actor and not scheme.entropic:
            raise ValueError("scheme: an agent with an actor needs maximum=soft_maximum; use the implicit construction")
        concrete = not isinstance(scheme.beta, jax.core.Tracer)
        if concrete and (jnp.ndim(scheme.beta) or jnp.ndim(scheme.temperature)):
            raise ValueError("scheme: deep agents need constant coefficients, not schedules")
        if concrete:
            self.construction.check(self)

    @property
    def has_actor(self) -> bool:
        """Whether the agent has a separate network for the policy."""
        return self.construction.has_actor

    def preferences(self, networks: Networks, obs: Array) -> Preferences:
        """The policy at a batch of observations."""
        output = networks.critic(obs) if networks.actor is None else networks.actor(obs)
        return self.construction.preferences(self.scheme, output)

    def act(self, networks: Networks, obs: Array, legal: Array, key: jax.Array, epsilon: Any) -> Int[Array, " batch"]:
        """The action of the policy, or with probability ε a random legal action."""
        return self.act_by(noise(key, *legal.shape), networks, obs, legal, epsilon)

    def act_by(self, noise: Noise, networks: Networks, obs: Array, legal: Array, epsilon: Any) -> Int[Array, " batch"]:
        """`act` with random numbers that were drawn before."""
        of = self.preferences(networks, obs)
        wanted = of.x + of.temperature * noise.gumbel if self.sampled else of.x
        best = jnp.argmax(jnp.where(legal, wanted, -jnp.inf), -1)
        return jnp.where(noise.uniform < epsilon, draws.choice(noise.words, legal), best).astype(jnp.int32)

    def epsilon_at(self, step: Any) -> Any:
        """ε after this many environment steps."""
        share = jnp.asarray(step, jnp.float32) / jnp.maximum(self.epsilon_steps, 1.0)
        return 1.0 + (self.epsilon - 1.0) * jnp.where(self.epsilon_steps > 0, jnp.minimum(share, 1.0), 1.0)

    def learning_rate_at(self, step: Any) -> Any:
        """The learning rate after this many environment steps."""
        share = jnp.asarray(step, jnp.float32) / jnp.maximum(self.learning_rate_steps, 1.0)
        return self.learning_rate * jnp.where(self.learning_rate_steps > 0, jnp.maximum(1.0 - share, 0.0), 1.0)

    def critic_target(self, env: Interface, online: Networks, target: Networks, batch: Batch) -> Numbers:
        """The regression target of Q(s, a)."""
        legal = legal_on(env, batch.next_obs, batch.next_legal)
        q, step = self.construction.step(self, online, target, batch.next_obs, legal)
        y = targets.critic_target(self.scheme, batch.returns, batch.discount, q, step)
        return self.construction.critic_target(self, y, target, batch, legal_on(env, batch.obs, batch.legal))

    def actor_loss(self, env: Interface, actor: Network, online: Networks, target: Networks, batch: Batch) -> Numbers:
        """The loss of the policy on each observation of a batch."""
        q = (online if self.double else target).critic(batch.obs)
        return self.construction.actor_loss(self, actor, q, target, batch, legal_on(env, batch.obs, batch.legal))
