"""Which observations are pictures, and whether the convolutions of a preset can see them as such.

A picture has the shape (rows, columns, channels). Pixels in another order, or without an axis of channels, would be
taken for something else, or for as many numbers that have nothing to do with each other.
"""

import math
from functools import singledispatch
from typing import Any

import numpy as np

from mdvi.envs import Hosted
from mdvi.envs.base import Interface
from mdvi.observations import described, leaves, parsed

_SIDE = 36  # rows and columns that the convolutions of the Atari preset need
_BYTES = (255.0,)


def preset_for(env: Interface) -> str:
    """The preset of an environment where none is named."""
    shape = layout(env)
    return "small" if len(shape) != 3 else "atari" if min(shape[:2]) >= _SIDE else "minatar"


@singledispatch
def layout(env: Interface) -> tuple[int, ...]:
    """The shape that tells a picture, (rows, columns, channels), from other observations."""
    return env.observation.shape


@layout.register
def _(env: Hosted) -> tuple[int, ...]:
    if env.earlier and env.stack > 1:
        return (*env.spaces.shape, env.stack)  # a picture in colours was none in version 0.1.0
    return env.observation.shape


@singledispatch
def check_seen(env: Interface, torso: str, named: bool) -> None:
    """Whether pixels reach a network that sees them as a picture, or one that somebody has named.

    Args:
        env: the environment; a compiled one shows pictures as networks see them.
        torso: the convolutions of the network, "none" for a dense one.
        named: whether the user has named it, or the preset that has it.

    Raises:
        ValueError: when they do not, saying how they would.
    """


@check_seen.register
def _(env: Hosted, torso: str, named: bool) -> None:
    if env.earlier:
        return
    for where, (_, shape, _) in [] if torso != "none" or named else _pictures_in(env):
        raise ValueError(
            f"env: observations hold a picture, obs{where} of shape {tuple(shape)}, and become one vector, in which it "
            f"is none; learn from it alone with gymnasium.wrappers.TransformObservation(env, lambda obs: obs{where}, "
            f"env.observation_space{where}), or name torso=none for a dense network on all "
            f"{math.prod(env.observation.shape)} numbers"
        )
    shape, advice = env.observation.shape, _advice(env)
    if advice and (len(shape) == 3 if torso != "none" else not named):
        otherwise = f"or name torso=none for a dense network on all {math.prod(shape)} numbers"
        raise ValueError(f"env: observations of shape {shape} look like pictures, but {advice}; {otherwise}")


@singledispatch
def remark_on(env: Interface, torso: str, named: bool) -> str:
    """A line where pixels reach a dense network whose torso nobody has named, or parts become one vector, or ""."""
    return ""


@remark_on.register
def _(env: Hosted, torso: str, named: bool) -> str:
    shape = env.observation.shape
    if env.spaces.layout:
        return (
            f"observations are seen as one vector of {env.spaces.shape[0]} numbers, one-hot where they are one of "
            f"several: {described(env.spaces.layout)}"
        )
    if torso != "none" or named:
        return ""
    if not _is_picture(env) and not (len(shape) > 1 and sorted(shape)[-2] >= _SIDE):
        return ""
    return (
        f"a dense network sees observations of shape {shape} as {math.prod(shape)} numbers without neighbours; "
        "for pictures, (rows, columns, channels), the torso nature has convolutions"
    )


def _pictures_in(env: Hosted) -> list[tuple[str, Any]]:
    """The parts of observations that are pictures which convolutions could see."""
    parts = leaves(parsed(env.spaces.layout)) if env.spaces.layout else []
    return [
        (where, part)
        for where, part in parts
        if part[0] == "numbers" and len(part[1]) in (2, 3) and sorted(part[1])[-2] >= _SIDE
    ]


def _is_picture(env: Hosted) -> bool:
    """Whether observations are pixels: by their axes, or because they are made of bytes from 0 to 255."""
    shape = env.spaces.shape
    pixels = env.spaces.dtype == np.uint8 and env.spaces.scale == _BYTES
    return len(env.observation.shape) == 3 or (pixels and (len(shape) > 1 or math.prod(shape) >= _SIDE**2))


def _advice(env: Hosted) -> str:
    """What to do about pictures that are not of the shape (rows, columns, channels); "" where all is well."""
    if not _is_picture(env):
        return ""
    shape = env.spaces.shape
    if len(shape) == 2 and env.stack > 1:  # frames in grey are the channels
        return ""
    if len(shape) == 1:
        return "are flat: leave out gymnasium.wrappers.FlattenObservation"
    if len(shape) == 2:
        return (
            f"have no axis of channels: add it with gymnasium.wrappers.ReshapeObservation(env, {(*shape, 1)}), or let "
            "the agent see several together, stack=4"
        )
    if len(shape) > 3:
        return (
            "have more axes than (rows, columns, channels): leave out gymnasium.wrappers.FrameStackObservation, and "
            f"let the agent see several together, stack={shape[0]}"
        )
    if shape[0] == shape[1] or shape[2] == min(shape):
        return ""
    moved = (*shape[1:], shape[0])
    return (
        "their channels must come last, (rows, columns, channels): move them with gymnasium.wrappers."
        f"TransformObservation(env, lambda obs: numpy.moveaxis(obs, 0, -1), Box(…, shape={moved})), or where "
        f"gymnasium.wrappers.FrameStackObservation put them first, leave it out and say stack={shape[0]}"
    )
