"""CartPole with the same steps as CartPole-v1 of Gymnasium.

Source: Barto, Sutton and Anderson (1983); the constants, the Euler step and the limits are from Gymnasium.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mdvi.mdp.validation import check_discount
from mdvi.types import Array

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
TRACK, ANGLE = 2.4, 12 * 2 * np.pi / 360  # beyond these the episode terminates; metres and radians
TOTAL, MOMENT = CART + POLE, POLE * HALF_LENGTH


class CartPole(eqx.Module):
    """A pole on a cart: +1 for every step until the pole falls or the cart leaves the track.

    The observation is the state (x, ẋ, θ, θ̇).

    Attributes:
        discount: γ, in [0, 1).
    """

    discount: Any = eqx.field(default=0.99, converter=check_discount)

    @property
    def actions(self) -> int:
        """Two actions: push left and push right."""
        return 2

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """Four numbers."""
        return jax.ShapeDtypeStruct((4,), jnp.float32)  # type: ignore[no-untyped-call]

    @property
    def scale(self) -> tuple[float, ...]:
        """The bounds that Dopamine uses."""
        return (TRACK, 5.0, np.pi / 12, 2 * np.pi)

    def reset(self, key: jax.Array) -> Float[Array, "4"]:
        """A state drawn uniformly in ±0.05."""
        return jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)

    def observe(self, state: Float[Array, "4"]) -> Float[Array, "4"]:
        """The state."""
        return state

    def step(self, state: Float[Array, "4"], action: Any, key: jax.Array) -> tuple[Any, Any, Any, Any]:
        """An Euler step of 0.02 seconds under a force of ±10 newtons."""
        x, speed, angle, turning = state
        force = jnp.where(action == 1, FORCE, -FORCE)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        push = (force + MOMENT * turning**2 * sine) / TOTAL
        turn = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine**2 / TOTAL))
        acceleration = push - MOMENT * turn * cosine / TOTAL
        following = jnp.stack(
            [x + SECONDS * speed, speed + SECONDS * acceleration, angle + SECONDS * turning, turning + SECONDS * turn]
        )
        fallen = (jnp.abs(following[0]) > TRACK) | (jnp.abs(following[2]) > ANGLE)
        return following, jnp.ones((), jnp.float32), fallen, jnp.zeros((), bool)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """Both actions are legal."""
        return jnp.ones((obs.shape[0], 2), bool)

    def frame(self, state: Any) -> np.ndarray:
        """The cart on its track and the pole, 160 × 240 pixels."""
        x, _, angle, _ = np.asarray(state)
        row, column = np.mgrid[:160, :240]
        centre, floor = 120 + 45 * x, 120
        picture = np.full((160, 240, 3), 255, np.uint8)
        picture[(row == floor) & (abs(column - 120) < 45 * TRACK)] = 150
        picture[(abs(row - floor) <= 8) & (abs(column - centre) <= 20)] = (40, 40, 40)
        along = (column - centre) * np.sin(angle) - (row - floor) * np.cos(angle)
        across = (column - centre) * np.cos(angle) + (row - floor) * np.sin(angle)
        picture[(abs(across) <= 3) & (along >= 0) & (along <= 80)] = (200, 120, 40)
        return picture
