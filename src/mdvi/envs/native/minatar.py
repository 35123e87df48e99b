"""MinAtar (Asterix, Breakout, Freeway, Seaquest, Space Invaders) as implemented by pgx, with sticky actions.

Source: Young and Tian, "MinAtar" (2019); Koyama et al., "Pgx" (2023).
"""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from mdvi.extras import explained
from mdvi.mdp.validation import check_discount
from mdvi.types import Array

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")


class MinAtar(eqx.Module):
    """A MinAtar game: a board of 10 × 10 cells with a Boolean channel for each kind of object.

    Attributes:
        game: the environment of pgx.
        discount: γ, in [0, 1).
    """

    game: Any = eqx.field(static=True)
    discount: Any

    def __init__(self, game: str, discount: float = 0.99) -> None:
        """Load one of `GAMES`.

        Raises:
            ModuleNotFoundError: if pgx is not installed.
        """
        with explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings from imports of pgx
            import pgx
        self.game = pgx.make(f"minatar-{game}")
        self.discount = check_discount(discount)

    @property
    def actions(self) -> int:
        """The minimal action set of the game."""
        return int(self.game.num_actions)

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """The board, shape (10, 10, channels), Booleans."""
        return jax.ShapeDtypeStruct(self.game.observation_shape, jnp.bool_)  # type: ignore[no-untyped-call]

    @property
    def scale(self) -> None:
        """No scaling: observations are zeros and ones."""

    def reset(self, key: jax.Array) -> Any:
        """A new game."""
        with jax.numpy_dtype_promotion("standard"):  # pgx relies on it
            return self.game.init(key)

    def observe(self, state: Any) -> Bool[Array, "10 10 channels"]:
        """The board."""
        return state.observation

    def step(self, state: Any, action: Any, key: jax.Array) -> tuple[Any, Any, Any, Any]:
        """A step; with probability 0.1 the previous action is repeated instead."""
        with jax.numpy_dtype_promotion("standard"):
            following = self.game.step(state, action, key)
        return following, following.rewards[0], following.terminated, following.truncated

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """All actions are legal."""
        return jnp.ones((obs.shape[0], self.actions), bool)

    def frame(self, state: Any) -> np.ndarray:
        """The board with one colour for each channel, 240 × 240 pixels."""
        board = np.asarray(state.observation)
        colours = np.array(
            [[int(255 * c) for c in _hue(i / board.shape[-1])] for i in range(board.shape[-1])], np.uint8
        )
        picture = np.where(board.any(-1, keepdims=True), colours[board.argmax(-1)], np.uint8(20))
        return picture.repeat(24, 0).repeat(24, 1)


def _hue(turn: float) -> tuple[float, float, float]:
    """The colour of a hue between 0 and 1."""
    import colorsys

    return colorsys.hsv_to_rgb(turn, 0.8, 1.0)
