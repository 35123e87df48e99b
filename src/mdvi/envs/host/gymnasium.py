"""Sources of environments on the host: a Gymnasium id, a class, a function, or a vector environment."""

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
        options: the keyword arguments of the constructor, as JSON.
        limit: steps after which an episode is truncated.
        timeout: seconds that a worker process may take per step; 0 for no limit.
        processes: the number of worker processes; 0 for this process alone, None for one for each member.
    """

    name: str
    options: str
    limit: int
    timeout: float
    processes: int | None

    def spaces(self) -> Spaces:
        """The spaces of an environment that is made for this purpose and closed."""
        if self.processes != 0:
            process = self._process(1)
            process.close()
            return process.spaces
        return _looked_at(partial(checked.make, self.name, json.loads(self.options)), self.name, spaces_of)

    def worlds(self, members: int, each: int) -> Worlds:
        """Environments in this process, or in worker processes that each have the environments of whole members."""
        if self.processes != 0:
            shares = np.array_split(np.arange(members), min(self.processes or members, members))
            return Isolated([self._process(len(share) * each) for share in shares])
        options = json.loads(self.options)
        made = [checked.make(self.name, options) for _ in range(members * each)]
        return CheckedEnvs([CheckedEnv(env, self.name, self.limit) for env in made])

    def watched(self) -> Watched:
        """An environment in this process that renders pictures."""
        env = checked.make(self.name, json.loads(self.options) | {"render_mode": "rgb_array"})
        return CheckedEnvs([CheckedEnv(env, self.name, self.limit)])

    def _process(self, count: int) -> Process:
        return Process(self.name, self.options, count, self.limit, self.timeout)


@dataclass(frozen=True)
class Made:
    """A function without arguments that makes a new Gymnasium environment at each call."""

    make: Callable[[], Any]
    limit: int

    def spaces(self) -> Spaces:
        """The spaces of an environment that is made and closed; checks that two calls make distinct environments."""
        seen: list[Any] = []

        def look(env: Any, name: str) -> Spaces:
            seen.append(env)
            return spaces_of(env, name)

        spaces = _looked_at(self.make, _name_of(self.make), look)
        _looked_at(self.make, _name_of(self.make), look)
        checked.check_distinct(seen)
        return spaces

    def worlds(self, members: int, each: int) -> Worlds:
        """Environments in this process."""
        made = [self.make() for _ in range(members * each)]
        return CheckedEnvs([CheckedEnv(env, type(env).__name__, self.limit) for env in made])

    def watched(self) -> Watched:
        """An environment that renders pictures if the function sets its render_mode."""
        env = self.make()
        return CheckedEnvs([CheckedEnv(env, type(env).__name__, self.limit)])


@dataclass(frozen=True)
class Vectored:
    """A function of the number of environments that makes a Gymnasium `VectorEnv`."""

    make: Callable[[int], Any]

    def spaces(self) -> Spaces:
        """The spaces of a vector with one environment."""
        return _looked_at(partial(self.make, 1), _name_of(self.make), single_spaces)

    def worlds(self, members: int, each: int) -> Worlds:
        """One vector of all environments."""
        env = self.make(members * each)
        if env.num_envs != members * each:
            raise ValueError(
                f"{_name_of(self.make)}: expected a vector of {members * each} environments, got {env.num_envs}"
            )
        checked.check_distinct(getattr(env, "envs", ()))
        return Vector(env)

    def watched(self) -> Watched:
        """A vector of one environment that renders pictures if the function sets its render_mode."""
        return Vector(self.make(1))


def gymnasium(
    name: str, /, discount: float = 0.99, *, stack: int = 1, clip: float | None = None, limit: int = LIMIT,
    timeout: float | None = None, processes: int | None = None, **options: Any,
) -> Hosted:  # fmt: skip
    """The environments of a Gymnasium id, or of a class of your own as `module:Class`.

    Args:
        name: the id or the class.
        discount: γ, in [0, 1).
        stack: the number of consecutive observations that the agent sees together.
        clip: clip rewards to ±clip for learning; 0 for no clip.
        limit: steps after which an episode is truncated, if it has not ended before.
        timeout: seconds a worker process may take per step; 0 for no limit. Default: 0 for an id, 60 for a class.
        processes: the number of worker processes, each with the environments of some members; 0 to step all
            environments in this process. Default: one for each member if there is a timeout, otherwise 0.
        options: the keyword arguments of the constructor.

    Raises:
        ValueError: if there is no environment of that name, if its actions are not Discrete or its observations are not
            supported, if a number is out of range, or for a timeout without worker processes, which cannot be enforced.
        ModuleNotFoundError: if a package is not installed.
    """
    if timeout is None:
        own = ":" in name and not is_id(name)
        timeout = 60.0 if own and processes != 0 else 0.0
    if processes is None and not timeout:
        processes = 0
    if not 0 <= timeout <= _PATIENT:
        raise ValueError(f"timeout: expected 0 to {_PATIENT:g} seconds, got {timeout}")
    if processes is not None and processes < 0:
        raise ValueError(f"processes: expected at least 0, got {processes}")
    if timeout and processes == 0:
        raise ValueError(f"timeout: {timeout:g} s needs worker processes, but processes=0; leave one of them out")
    try:
        text = json.dumps(options)
    except TypeError as error:
        raise ValueError(f"{name}: options must be values that JSON can hold: {error}") from None
    source = Named(name, text, _limit(limit), timeout, processes)
    return hosted(source, discount, stack=stack, clip=clip)


def made(
    make: Callable[[], Any], discount: float = 0.99, *, stack: int = 1, clip: float | None = None, limit: int = LIMIT
) -> Hosted:
    """Gymnasium environments from a function without arguments; the other arguments are as in `gymnasium`."""
    return hosted(Made(make, _limit(limit)), discount, stack=stack, clip=clip)


def vectored(
    make: Callable[[int], Any], discount: float = 0.99, *, stack: int = 1, clip: float | None = None
) -> Hosted:
    """Gymnasium vector environments from a function of their number; the other arguments are as in `gymnasium`."""
    return hosted(Vectored(make), discount, stack=stack, clip=clip)


def _limit(steps: int) -> int:
    if not 1 <= steps < 2**31:
        raise ValueError(f"limit: expected 1 to 2³¹ − 1 steps, got {steps}")
    return steps


def _looked_at(make: Callable[[], Any], name: str, look: Callable[[Any, str], Spaces]) -> Spaces:
    """The spaces of an environment, which is made and closed again.

    Raises:
        ValueError: if its spaces are not supported, or if the environment raises an exception.
        ModuleNotFoundError: if a package is not installed.
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
