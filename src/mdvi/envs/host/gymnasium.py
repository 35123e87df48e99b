"""Where environments on the host come from: a Gymnasium id, a class, a function, a vector of them."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mdvi.door import is_id
from mdvi.envs.host import checked
from mdvi.envs.host.checked import CheckedEnv, CheckedEnvs, Spaces, spaces_of
from mdvi.envs.host.hosted import LIMIT, Hosted, Watched, Worlds, hosted
from mdvi.envs.host.isolated import Isolated, Process
from mdvi.envs.host.vector import Vector, single_spaces

_PATIENT = 1e6  # seconds


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
        return _looked_at(partial(checked.make, self.name, json.loads(self.options)), self.name, spaces_of)

    def worlds(self, members: int, each: int) -> Worlds:
        """In this process, or whole members in each of the others."""
        if self.processes != 0:
            shares = np.array_split(np.arange(members), min(self.processes or members, members))
            return Isolated([self._process(len(share) * each) for share in shares])
        options = json.loads(self.options)
        made = [checked.make(self.name, options) for _ in range(members * each)]
        return CheckedEnvs([CheckedEnv(env, self.name, self.limit) for env in made])

    def watched(self) -> Watched:
        """One in this process that gives pictures."""
        env = checked.make(self.name, json.loads(self.options) | {"render_mode": "rgb_array"})
        return CheckedEnvs([CheckedEnv(env, self.name, self.limit)])

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
        checked.check_distinct(seen)
        return spaces

    def worlds(self, members: int, each: int) -> Worlds:
        """In this process."""
        made = [self.make() for _ in range(members * each)]
        return CheckedEnvs([CheckedEnv(env, type(env).__name__, self.limit) for env in made])

    def watched(self) -> Watched:
        """One that gives pictures, if it was made to."""
        env = self.make()
        return CheckedEnvs([CheckedEnv(env, type(env).__name__, self.limit)])


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
        checked.check_distinct(getattr(env, "envs", ()))
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
            for a number out of range, and for a timeout in this process, which could not be enforced.
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
        raise ValueError(f"timeout: {timeout:g} s needs a worker process, and processes is 0")
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
            with contextlib.suppress(*checked.FAULTS):
                env.close()
    except (ValueError, ModuleNotFoundError):
        raise
    except checked.FAULTS as error:
        raise ValueError(f"{name}: {checked.says(error)}") from None


def _name_of(make: Callable[..., Any]) -> str:
    return str(getattr(make, "__qualname__", type(make).__name__))
