"""Environments that run on the host, outside of compiled programs: Gymnasium's, ALE's, and those of users.

`Hosted` is what an agent needs to know of one; its `worlds` are many of them, stepped together:

    Cells      Gymnasium environments in this process, each behind checks
    Isolated   the same in processes of their own, which may hang or die
    Vector     a Gymnasium `VectorEnv`, however it begins new episodes
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from mdvi.door import is_id
from mdvi.envs import cells
from mdvi.envs.cells import Cell, Cells, Spaces, Step, spaces_of
from mdvi.envs.isolated import Isolated, Process
from mdvi.envs.vector import Vector, single_spaces
from mdvi.mdp.validation import check_discount
from mdvi.types import Array

_PATIENT = 1e6  # seconds
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
        """Whether a step was asked for that nobody has received yet."""

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin an episode in some, from a seed each; where that is −1, from whatever random numbers come next."""

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Ask for a step in each that is alive; the actions may still be on their way from a device."""

    def recv(self, following: Any = None) -> Step:
        """What that step told; unless it ended an episode, the actions that follow may be asked for first: `asked`."""

    def close(self) -> None:
        """Let them go."""


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
    def observation(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an observation."""
        shape = stacked(self.spaces.shape, self.stack)
        return jax.ShapeDtypeStruct(shape, self.spaces.dtype)  # type: ignore[no-untyped-call]

    def as_kept(self, note: dict[str, Any]) -> "Hosted":
        """The environment as it was shown to agents when a checkpoint with this note was written."""
        if "scale" in note:
            scale = note["scale"] and tuple(map(float, note["scale"]))
            return dataclasses.replace(self, scale=scale, earlier=bool(note["earlier"]))
        return dataclasses.replace(self, scale=(255.0,) if self.spaces.dtype == np.uint8 else None, earlier=True)

    def legal(self, obs: Array) -> Bool[Array, "batch actions"]:
        """All, always."""
        return jnp.ones((obs.shape[0], self.actions), bool)


@dataclass(frozen=True)
class Named:
    """A Gymnasium id, or `module:Class`.

    Attributes:
        name: the id or the class.
        options: what its constructor takes, as JSON.
        limit: steps after which an episode is truncated.
        timeout: seconds that a process of them may take to answer; 0 for ever.
        processes: how many share the members; 0 for this process alone, None for one for each member.
    """

    name: str
    options: str
    limit: int
    timeout: float
    processes: int | None

    def spaces(self) -> Spaces:
        """Those of one that is made and thrown away."""
        if self.processes != 0:
            process = self._process(1)
            process.close()
            return process.spaces
        return _looked_at(partial(cells.make, self.name, json.loads(self.options)), self.name, spaces_of)

    def worlds(self, members: int, each: int) -> Worlds:
        """In this process, or whole members in each of the others."""
        if self.processes != 0:
            shares = np.array_split(np.arange(members), min(self.processes or members, members))
            return Isolated([self._process(len(share) * each) for share in shares])
        options = json.loads(self.options)
        made = [cells.make(self.name, options) for _ in range(members * each)]
        return Cells([Cell(env, self.name, self.limit) for env in made])

    def watched(self) -> Watched:
        """One in this process that gives pictures."""
        env = cells.make(self.name, json.loads(self.options) | {"render_mode": "rgb_array"})
        return Cells([Cell(env, self.name, self.limit)])

    def _process(self, count: int) -> Process:
        return Process(self.name, self.options, count, self.limit, self.timeout)


@dataclass(frozen=True)
class Made:
    """What a function without arguments makes: a Gymnasium environment, as often as it is called."""

    make: Callable[[], Any]
    limit: int

    def spaces(self) -> Spaces:
        """Those of one that is made and thrown away, and is another one when it is made again."""
        seen: list[Any] = []

        def look(env: Any, name: str) -> Spaces:
            seen.append(env)
            return spaces_of(env, name)

        spaces = _looked_at(self.make, _name_of(self.make), look)
        _looked_at(self.make, _name_of(self.make), look)
        cells.check_distinct(seen)
        return spaces

    def worlds(self, members: int, each: int) -> Worlds:
        """In this process."""
        made = [self.make() for _ in range(members * each)]
        return Cells([Cell(env, type(env).__name__, self.limit) for env in made])

    def watched(self) -> Watched:
        """One that gives pictures, if it was made to."""
        env = self.make()
        return Cells([Cell(env, type(env).__name__, self.limit)])


@dataclass(frozen=True)
class Vectored:
    """What a function of their number makes: a Gymnasium `VectorEnv`."""

    make: Callable[[int], Any]

    def spaces(self) -> Spaces:
        """Those of a vector of one."""
        return _looked_at(partial(self.make, 1), _name_of(self.make), single_spaces)

    def worlds(self, members: int, each: int) -> Worlds:
        """One vector of all."""
        env = self.make(members * each)
        if env.num_envs != members * each:
            raise ValueError(
                f"{_name_of(self.make)}: was asked for {members * each} environments and made {env.num_envs}"
            )
        cells.check_distinct(getattr(env, "envs", ()))
        return Vector(env)

    def watched(self) -> Watched:
        """A vector of one that gives pictures, if it was made to."""
        return Vector(self.make(1))


def gymnasium(
    name: str, /, discount: float = 0.99, *, stack: int = 1, clip: float | None = None, limit: int = LIMIT,
    timeout: float | None = None, processes: int | None = None, **options: Any,
) -> Hosted:  # fmt: skip
    """A Gymnasium id, or an environment of your own as `module:Class`.

    Args:
        name: the id or the class.
        discount: γ, in [0, 1).
        stack: consecutive observations that the agent sees together.
        clip: learn from rewards as if they lay in ±clip; 0 for as they are.
        limit: steps after which an episode is truncated, if nothing ends it before.
        timeout: seconds in which another process must have stepped its environments; 0 for as long as it takes.
            Default 0 for an id, 60 for a class.
        processes: how many step the environments while this one learns, each those of some members; 0 for none but
            this one. Default one for each member where there is a timeout, otherwise 0.
        options: what its constructor takes.

    Raises:
        ValueError: when there is none of that name, for other actions than Discrete or other observations than a Box,
            for a number out of range, and for a timeout in this process, which nobody could keep.
        ModuleNotFoundError: when something is not installed.
    """
    if timeout is None:
        own = ":" in name and not is_id(name)
        timeout = 60.0 if own and processes != 0 else 0.0
    if processes is None and not timeout:
        processes = 0
    if not 0 <= timeout <= _PATIENT:
        raise ValueError(f"timeout: expected seconds, 0 to {_PATIENT:g}, got {timeout}")
    if processes is not None and processes < 0:
        raise ValueError(f"processes: expected at least 0, got {processes}")
    if timeout and processes == 0:
        raise ValueError(f"timeout: {timeout:g} s can be kept by another process only, and processes is 0")
    try:
        text = json.dumps(options)
    except TypeError as error:
        raise ValueError(f"{name}: its options must be plain values: {error}") from None
    source = Named(name, text, _limit(limit), timeout, processes)
    return hosted(source, discount, stack=stack, clip=clip)


def made(
    make: Callable[[], Any], discount: float = 0.99, *, stack: int = 1, clip: float | None = None, limit: int = LIMIT
) -> Hosted:
    """Gymnasium environments that a function without arguments makes; the rest as in `gymnasium`."""
    return hosted(Made(make, _limit(limit)), discount, stack=stack, clip=clip)


def vectored(
    make: Callable[[int], Any], discount: float = 0.99, *, stack: int = 1, clip: float | None = None
) -> Hosted:
    """Gymnasium vector environments that a function of their number makes; the rest as in `gymnasium`."""
    return hosted(Vectored(make), discount, stack=stack, clip=clip)


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


def _limit(steps: int) -> int:
    if not 1 <= steps < 2**31:
        raise ValueError(f"limit: expected 1 to 2³¹ − 1 steps, got {steps}")
    return steps


def _looked_at(make: Callable[[], Any], name: str, look: Callable[[Any, str], Spaces]) -> Spaces:
    """The spaces of an environment that is made and let go again.

    Raises:
        ValueError: when it cannot be learned in, or anything else goes wrong.
        ModuleNotFoundError: when something is not installed.
    """
    try:
        env = make()
        try:
            return look(env, name)
        finally:
            with contextlib.suppress(*cells.FAULTS):
                env.close()
    except (ValueError, ModuleNotFoundError):
        raise
    except cells.FAULTS as error:
        raise ValueError(f"{name}: {cells.says(error)}") from None


def _name_of(make: Callable[..., Any]) -> str:
    return str(getattr(make, "__qualname__", type(make).__name__))
