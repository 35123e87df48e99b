"""Which observations are pictures, and whether the convolutions of a preset can read them.

A picture has the shape (rows, columns, channels). Convolutions would misread pixels in another order, and pixels
without an axis of channels would be learned from as numbers without neighbours.
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
    """The preset of an environment if the request names no preset."""
    shape = layout(env)
    return "small" if len(shape) != 3 else "atari" if min(shape[:2]) >= _SIDE else "minatar"


@singledispatch
def layout(env: Interface) -> tuple[int, ...]:
    """The shape of an observation; for a picture (rows, columns, channels)."""
    return env.observation.shape


@layout.register
def _(env: Hosted) -> tuple[int, ...]:
    if env.earlier and env.stack > 1:
        return (*env.spaces.shape, env.stack)  # version 0.1.0 did not treat a picture in colours as a picture
    return env.observation.shape


@singledispatch
def check_seen(env: Interface, torso: str, named: bool) -> None:
    """Check that pixels reach convolutions in the right order, unless the user has chosen a dense network.

    Args:
        env: the environment; an environment in JAX has its pictures in the right order already.
        torso: the convolutions of the network, "none" for a dense network.
        named: whether the user has named the torso, or the preset that sets it.

    Raises:
        ValueError: if pixels would not be read as a picture; the message names the remedy.
    """


@check_seen.register
def _(env: Hosted, torso: str, named: bool) -> None:
    if env.earlier:
        return
    for where, (_, shape, _) in [] if torso != "none" or named else _pictures_in(env):
        raise ValueError(
            f"env: observations hold a picture, obs{where} of shape {tuple(shape)}, which convolutions cannot read "
            "because all parts are flattened into one vector; learn from the picture alone with "
            f"gymnasium.wrappers.TransformObservation(env, lambda obs: obs{where}, env.observation_space{where}), or "
            f"set torso=none for a dense network on all {math.prod(env.observation.shape)} numbers"
        )
    shape, advice = env.observation.shape, _advice(env)
    if advice and (len(shape) == 3 if torso != "none" else not named):
        otherwise = f"or set torso=none for a dense network on all {math.prod(shape)} numbers"
        raise ValueError(f"env: observations of shape {shape} look like pictures, but {advice}; {otherwise}")


@singledispatch
def remark_on(env: Interface, torso: str, named: bool) -> str:
    """A remark if pixels reach a dense network by default, or if several parts become one vector; otherwise ""."""
    return ""


@remark_on.register
def _(env: Hosted, torso: str, named: bool) -> str:
    shape = env.observation.shape
    if env.spaces.layout:
        return (
            f"observations are flattened into one vector of {env.spaces.shape[0]} numbers, with discrete parts "
            f"one-hot: {described(env.spaces.layout)}"
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
    """The parts of observations that are pictures and large enough for convolutions."""
    parts = leaves(parsed(env.spaces.layout)) if env.spaces.layout else []
    return [
        (where, part)
        for where, part in parts
        if part[0] == "numbers" and len(part[1]) in (2, 3) and sorted(part[1])[-2] >= _SIDE
    ]


def _is_picture(env: Hosted) -> bool:
    """Whether observations are pixels: they have three axes, or consist of bytes from 0 to 255."""
    shape = env.spaces.shape
    pixels = env.spaces.dtype == np.uint8 and env.spaces.scale == _BYTES
    return len(env.observation.shape) == 3 or (pixels and (len(shape) > 1 or math.prod(shape) >= _SIDE**2))


def _advice(env: Hosted) -> str:
    """What to do about pictures that do not have the shape (rows, columns, channels); "" if they have it."""
    if not _is_picture(env):
        return ""
    shape = env.spaces.shape
    if len(shape) == 2 and env.stack > 1:  # frames in grey are the channels
        return ""
    if len(shape) == 1:
        return "are flat: leave out gymnasium.wrappers.FlattenObservation"
    if len(shape) == 2:
        return (
            f"have no axis of channels: add it with gymnasium.wrappers.ReshapeObservation(env, {(*shape, 1)}), or "
            "stack several frames with stack=4"
        )
    if len(shape) > 3:
        return (
            "have more axes than (rows, columns, channels): leave out gymnasium.wrappers.FrameStackObservation, and "
            f"stack frames with stack={shape[0]}"
        )
    if shape[0] == shape[1] or shape[2] == min(shape):
        return ""
    moved = (*shape[1:], shape[0])
    return (
        "their channels must come last, (rows, columns, channels): move them with gymnasium.wrappers."
        f"TransformObservation(env, lambda obs: numpy.moveaxis(obs, 0, -1), Box(…, shape={moved})), or if "
        f"gymnasium.wrappers.FrameStackObservation put them first, leave it out and set stack={shape[0]}"
    )
