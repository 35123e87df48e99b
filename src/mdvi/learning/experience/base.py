"""What agents learn from, whatever keeps it."""

from typing import Any, NamedTuple, Protocol

from jaxtyping import Float, Int

from mdvi.types import Array


class Batch(NamedTuple):
    """What a minibatch tells of n steps.

    Attributes:
        obs: where the steps begin.
        action: the first action.
        returns: G, the discounted sum of rewards.
        discount: γ^m (1 − terminated), the factor of the value of `next_obs`.
        next_obs: where they end.
        legal: the actions that were told to be legal on `obs`; None where an environment reads them off observations.
        next_legal: the same on `next_obs`.
    """

    obs: Array
    action: Int[Array, "*batch"]
    returns: Float[Array, "*batch"]
    discount: Float[Array, "*batch"]
    next_obs: Array
    legal: Array | None = None
    next_legal: Array | None = None


class Experience(Protocol):
    """What agents learn from: transitions that are played or recorded, from which minibatches are drawn."""

    def sample(self, draws: Any, batch: int, n_step: int, discount: Any) -> Batch:
        """A minibatch, uniform with replacement over all sequences of n steps.

            G = Σ_{i<m} γ^i r_i,     m ≤ n the first step that ended an episode, else n

        Args:
            draws: what its random numbers come from: a key in a compiled program; on the host, where the transitions of
                several members are kept together, a generator for each.
            batch: sequences for each member.
            n_step: n.
            discount: γ.
        """
