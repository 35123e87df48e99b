"""Environments that run on the host, outside of compiled programs: Gymnasium, ALE, and environments of users.

`Hosted` has the properties that an agent needs; its `worlds` are several environments that are stepped together:

    CheckedEnvs   Gymnasium environments in this process, with checked results
    Isolated      Gymnasium environments in worker processes, which may hang or crash
    Vector        a Gymnasium `VectorEnv` with any autoreset mode
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from mdvi.envs.host.checked import Spaces, Step
from mdvi.envs.spaces import Discrete
from mdvi.mdp.validation import check_discount
from mdvi.types import Array

LIMIT = 27_000  # steps after which an episode is truncated: the protocol of Machado et al. (2018)


@runtime_checkable
class Worlds(Protocol):
    """Environments that are stepped together: `send` requests a step, which may run concurrently until `recv`.

    Attributes:
        renews: whether the environments begin new episodes by themselves.
        repeats: whether each environment can be reset from a seed alone, so that its episodes can be repeated.
    """

    renews: bool
    repeats: bool

    @property
    def asked(self) -> bool:
        """Whether a step was requested whose result has not been received yet."""

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in the environments `who`, each from its seed; −1 continues its random numbers."""

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Request a step of each environment that is alive; the device may still be computing the actions."""

    def recv(self, following: Any = None) -> Step:
        """The result of the requested step; unless an episode ended, a step `following` may be requested: `asked`."""

    def close(self) -> None:
        """Close the environments."""


def step(worlds: Worlds, actions: Any, alive: np.ndarray) -> Step:
    """Make a step of each environment that is alive, and return the result."""
    worlds.send(actions, alive)
    return worlds.recv()


@runtime_checkable
class Watched(Worlds, Protocol):
    """Environments with pictures."""

    def picture(self) -> np.ndarray:
        """A picture of the first environment, shape (rows, columns, 3), bytes."""


@runtime_checkable
class Source(Protocol):
    """A source of environments; a hashable value."""

    def spaces(self) -> Spaces:
        """The spaces of an environment."""

    def worlds(self, members: int, each: int) -> Worlds:
        """`each` environments for every member, sorted by member."""

    def watched(self) -> Watched:
        """An environment for filming."""


class Hosted(eqx.Module):
    """The properties of environments on the host that an agent needs.

    Attributes:
        source: the source of environments.
        spaces: the number of actions, and shape and dtype of a frame.
        discount: γ, in [0, 1).
        stack: the number of consecutive frames in an observation. Frames with three axes are concatenated along their
            channels, all others are stacked along a new last axis. Frames before the episode are zeros.
        clip: the bound ±clip of rewards for learning; None for no clip.
        scale: the divisors of observations, one number for all elements or one each; None for no division.
        earlier: whether a run of version 0.1.0 is continued, which keeps the choices of that version.
    """

    source: Source = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    discount: Any
    stack: int = eqx.field(static=True, default=1)
    clip: float | None = eqx.field(static=True, default=None)
    scale: tuple[float, ...] | None = eqx.field(static=True, default=None)
    earlier: bool = eqx.field(static=True, default=False)

    @property
    def actions(self) -> int:
        """The number of actions."""
        return self.spaces.actions

    @property
    def action_space(self) -> Discrete:
        """The actions, with the number of the first action in the environment."""
        return Discrete(self.spaces.actions, self.spaces.first)

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an observation."""
        shape = stacked(self.spaces.shape, self.stack)
        return jax.ShapeDtypeStruct(shape, self.spaces.dtype)  # type: ignore[no-untyped-call]

    @property
    def observation_layout(self) -> str:
        """How an observation of several parts becomes one vector, see `mdvi.observations`.

        "" for observations of one part, and if observations are stacked.
        """
        return self.spaces.layout if self.stack == 1 else ""

    def as_kept(self, note: dict[str, Any]) -> "Hosted":
        """The environment with the scale that was in use when a checkpoint with this note was written."""
        if "scale" in note:
            scale = note["scale"] and tuple(map(float, note["scale"]))
            return dataclasses.replace(self, scale=scale, earlier=bool(note["earlier"]))
        return dataclasses.replace(self, scale=(255.0,) if self.spaces.dtype == np.uint8 else None, earlier=True)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """All actions are legal."""
        return jnp.ones((obs.shape[0], self.actions), bool)


def hosted(source: Source, discount: float = 0.99, *, stack: int = 1, clip: float | None = None) -> Hosted:
    """The `Hosted` of a source of environments."""
    if not 1 <= stack <= 255:
        raise ValueError(f"stack: expected 1 to 255, got {stack}")
    if clip is not None and not clip >= 0:
        raise ValueError(f"clip: expected at least 0, got {clip}")
    spaces = source.spaces()
    each = stack if spaces.scale and len(spaces.scale) > 1 else 1
    scale = spaces.scale and tuple(number for number in spaces.scale for _ in range(each))
    return Hosted(source, spaces, check_discount(discount), stack, clip or None, scale)


def stacked(shape: tuple[int, ...], stack: int) -> tuple[int, ...]:
    """The shape of an observation of `stack` frames; a picture in colours has the channels of all frames."""
    if stack == 1:
        return shape
    return (*shape[:2], shape[2] * stack) if len(shape) == 3 else (*shape, stack)
