"""What agents learn from, whatever keeps it."""

from typing import NamedTuple

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
