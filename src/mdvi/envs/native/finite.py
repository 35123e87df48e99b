"""Any `FiniteMDP` as an environment, so that learned policies can be compared with exact solutions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from mdvi.mdp.kernels import Dense, Successors
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_discount
from mdvi.types import Array

_LEAK = 1e-6  # the rounding error in float32 of a row that sums to one


class FiniteEnvironment(eqx.Module):
    """A model for sampling: s' ~ P(·|s, a), reward r(s, a), terminated on reaching a terminal state.

    Observations are one-hot vectors of Booleans. If the probabilities of a row sum to p < 1, the episode ends with
    probability 1 − p.

    Attributes:
        mdp: the model.
        start: the first states of episodes, with equal probability.
    """

    mdp: FiniteMDP
    start: Int[Array, " starts"]

    def __init__(self, mdp: FiniteMDP, start: Any = None) -> None:
        """Build the environment.

        Args:
            mdp: a model that `FiniteMDP.table` can store.
            start: one state or several; default: every state that is not terminal.

        Raises:
            ValueError: if a state in `start` does not exist or is terminal, or if the discount is 1.
        """
        check_discount(mdp.discount)
        alive = np.flatnonzero(~mdp.terminal)
        chosen = alive if start is None else np.atleast_1d(np.asarray(start))
        for state in chosen[~np.isin(chosen, alive)][:1]:
            raise ValueError(f"start: state {state} is terminal or not one of 0…{mdp.states - 1}")
        if not len(chosen):
            raise ValueError("start: every state of the model is terminal")
        self.mdp = mdp.table()
        self.start = chosen.astype(np.int32)

    @property
    def actions(self) -> int:
        """The number of actions of the model."""
        return self.mdp.actions

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """A one-hot vector of Booleans."""
        return jax.ShapeDtypeStruct((self.mdp.states,), jnp.bool_)  # type: ignore[no-untyped-call]

    @property
    def scale(self) -> None:
        """No scaling: observations are zeros and ones."""

    @property
    def discount(self) -> Any:
        """γ of the model."""
        return self.mdp.discount

    def reset(self, key: jax.Array) -> Int[Array, ""]:
        """One of the states in `start`."""
        return jax.random.choice(key, jnp.asarray(self.start))

    def observe(self, state: Int[Array, ""]) -> Bool[Array, " states"]:
        """The one-hot vector of the state."""
        return jnp.arange(self.mdp.states) == state

    def step(self, state: Int[Array, ""], action: Any, key: jax.Array) -> tuple[Any, Any, Any, Any]:
        """Draw s' by inversion of the cumulative probabilities of the row."""
        row, successor = _row(self.mdp.kernel, state, action)
        cumulative = jnp.cumsum(row)
        last = jnp.max(jnp.where(row > 0, jnp.arange(row.shape[0]), 0))
        drawn = (jax.random.uniform(key) >= cumulative).sum()
        vanished = (drawn > last) & (cumulative[-1] < 1 - _LEAK)
        following = jnp.asarray(successor(jnp.minimum(drawn, last)), jnp.int32)
        ended = vanished | jnp.asarray(self.mdp.terminal)[following]
        reward = jnp.asarray(self.mdp.reward, jnp.float32)[state, action]
        return following, reward, ended, jnp.zeros((), bool)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """The actions that the model allows in each observed state."""
        return jnp.asarray(self.mdp.legal)[jnp.argmax(obs, -1)]

    def frame(self, state: Any) -> np.ndarray:
        """The states as a square of cells, the current one dark."""
        side = int(np.ceil(np.sqrt(self.mdp.states)))
        cells = np.full(side * side, 255, np.uint8)
        cells[: self.mdp.states] = 220
        cells[int(state)] = 40
        size = max(1, 240 // side)
        return np.kron(cells.reshape(side, side), np.ones((size, size), np.uint8))[..., None].repeat(3, -1)


def _row(kernel: Any, state: Any, action: Any) -> tuple[Array, Any]:
    """P(·|s, a), and the map from its entries to states."""
    probability = jnp.asarray(kernel.probability, jnp.float32)[state, action]
    if isinstance(kernel, Successors):
        listed = jnp.asarray(kernel.state)[state, action]
        return probability, lambda entry: listed[entry]
    assert isinstance(kernel, Dense)
    return probability, lambda entry: entry
