"""Minibatches, and the protocol of replays that draw them."""

from typing import Any, NamedTuple, Protocol

from jaxtyping import Float, Int

from mdvi.types import Array


class Batch(NamedTuple):
    """A minibatch of sequences of n steps.

    Attributes:
        obs: the first observation of each sequence.
        action: the first action.
        returns: G, the discounted sum of rewards.
        discount: γ^m (1 − terminated), the factor of the value of `next_obs`.
        next_obs: the observation after the last step.
        legal: the legal actions that the environment reported with `obs`; None if it reads them off observations.
        next_legal: the legal actions that the environment reported with `next_obs`; None likewise.
    """

    obs: Array
    action: Int[Array, "*batch"]
    returns: Float[Array, "*batch"]
    discount: Float[Array, "*batch"]
    next_obs: Array
    legal: Array | None = None
    next_legal: Array | None = None


class Experience(Protocol):
    """Transitions, from play or from a recording, that minibatches are drawn from."""

    def sample(self, draws: Any, batch: int, n_step: int, discount: Any) -> Batch:
        """A minibatch, uniform with replacement over all sequences of n steps.

            G = Σ_{i<m} γ^i r_i,     m ≤ n the first step that ended an episode, otherwise n

        Args:
            draws: the source of random numbers: a key in a compiled program; on the host, where the transitions of
                several members are stored together, one generator for each member.
            batch: sequences for each member.
            n_step: n.
            discount: γ.
        """
