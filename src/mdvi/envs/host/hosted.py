"""Environments that run on the host, outside of compiled programs: Gymnasium's, ALE's, and those of users.

`Hosted` is what an agent needs to know of one; its `worlds` are many of them, stepped together:

    CheckedEnvs      Gymnasium environments in this process, each behind checks
    Isolated   the same in processes of their own, which may hang or die
    Vector     a Gymnasium `VectorEnv`, however it begins new episodes
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
    """Environments that are stepped together: `send` asks for a step, which may go on by itself until `recv`.

    Attributes:
        renews: whether they begin new episodes by themselves.
        repeats: whether each of them can be begun again from a seed, and so be repeated.
    """

    renews: bool
    repeats: bool

    @property
    def asked(self) -> bool:
        """Whether a step was requested whose result has not been received yet."""

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin an episode in some, from a seed each; where that is −1, from whatever random numbers come next."""

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Ask for a step in each that is alive; the actions may still be on their way from a device."""

    def recv(self, following: Any = None) -> Step:
        """What that step told; unless it ended an episode, the actions that follow may be asked for first: `asked`."""

    def close(self) -> None:
        """Close the environments."""


def step(worlds: Worlds, actions: Any, alive: np.ndarray) -> Step:
    """A step in each that is alive, and what it told."""
    worlds.send(actions, alive)
    return worlds.recv()


@runtime_checkable
class Watched(Worlds, Protocol):
    """Environments of which one can be seen."""

    def picture(self) -> np.ndarray:
        """What the first of them looks like, shape (rows, columns, 3), bytes."""


@runtime_checkable
class Source(Protocol):
    """Where environments come from; a value that can be hashed."""

    def spaces(self) -> Spaces:
        """What one of them can be told and tells."""

    def worlds(self, members: int, each: int) -> Worlds:
        """So many for each of so many members, those of a member side by side."""

    def watched(self) -> Watched:
        """One to be filmed."""


class Hosted(eqx.Module):
    """What an agent needs to know of an environment on the host.

    Attributes:
        source: where environments come from.
        spaces: the number of actions, and shape and dtype of a frame.
        discount: γ, in [0, 1).
        stack: consecutive frames that make an observation: their channels together where frames have three axes, and
            along a last axis of their own elsewhere; where an episode has not had so many, the first ones are zeros.
        clip: rewards are learned from as if they lay in ±clip; None for as they are.
        scale: what observations are divided by, one number or one for each; None for nothing.
        earlier: whether a run of version 0.1.0 goes on, which is trained with what that version chose.
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
        """The actions, with the number that the environment gives the first one."""
        return Discrete(self.spaces.actions, self.spaces.first)

    @property
    def observation(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an observation."""
        shape = stacked(self.spaces.shape, self.stack)
        return jax.ShapeDtypeStruct(shape, self.spaces.dtype)  # type: ignore[no-untyped-call]

    @property
    def observation_layout(self) -> str:
        """How an observation of several parts becomes the vector that agents see, see `mdvi.observations`.

        "" where that is not to be done, also where agents see several observations together.
        """
        return self.spaces.layout if self.stack == 1 else ""

    def as_kept(self, note: dict[str, Any]) -> "Hosted":
        """The environment as it was shown to agents when a checkpoint with this note was written."""
        if "scale" in note:
            scale = note["scale"] and tuple(map(float, note["scale"]))
            return dataclasses.replace(self, scale=scale, earlier=bool(note["earlier"]))
        return dataclasses.replace(self, scale=(255.0,) if self.spaces.dtype == np.uint8 else None, earlier=True)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """All, always."""
        return jnp.ones((obs.shape[0], self.actions), bool)


def hosted(source: Source, discount: float = 0.99, *, stack: int = 1, clip: float | None = None) -> Hosted:
    """What an agent needs to know of the environments of a source."""
    if not 1 <= stack <= 255:
        raise ValueError(f"stack: expected 1 to 255, got {stack}")
    if clip is not None and not clip >= 0:
        raise ValueError(f"clip: expected at least 0, got {clip}")
    spaces = source.spaces()
    each = stack if spaces.scale and len(spaces.scale) > 1 else 1
    scale = spaces.scale and tuple(number for number in spaces.scale for _ in range(each))
    return Hosted(source, spaces, check_discount(discount), stack, clip or None, scale)


def stacked(shape: tuple[int, ...], stack: int) -> tuple[int, ...]:
    """The shape of an observation of so many frames: a picture in colours has the channels of all of them."""
    if stack == 1:
        return shape
    return (*shape[:2], shape[2] * stack) if len(shape) == 3 else (*shape, stack)
