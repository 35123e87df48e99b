"""Gymnasium environments whose results are checked, in this process or in worker processes.

As a program, this file steps environments for a parent process over two pipes, so that an environment that hangs or
crashes does not affect the parent. At its start it imports only `door` and `extras` of mdvi, so that a worker starts in
a fraction of a second.
"""

import contextlib
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_MOST = 2**24  # numbers in an observation of several parts
LONGEST = 300  # bytes of a message about what went wrong
_FLAG = (bool, np.bool_)
_UNSEEN = "the observation was not finite"
FAULTS = (Exception, SystemExit)  # exceptions that the code of an environment may raise


class Spaces(NamedTuple):
    """The actions and observations of an environment.

    Attributes:
        actions: the number of actions.
        shape: the shape of an observation.
        dtype: the dtype of an observation in the replay.
        scale: the divisors that bring observations into ±1, one number for all elements or one each; None for no
            division.
        first: the number of the first action.
        classes: the classes of the environment and its wrappers, outermost first; empty for a worker process.
        layout: how observations of several parts become one vector, see `mdvi.observations`; "" for a Box.
    """

    actions: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: tuple[float, ...] | None = None
    first: int = 0
    classes: tuple[type, ...] = ()
    layout: str = ""


class Step(NamedTuple):
    """The result of one step of several environments, one row each.

    Attributes:
        following: the observations after the step; at the end of an episode, its last observation.
        fresh: the observations to act on next; if a new episode began, its first observation.
        reward: the rewards.
        terminated: whether the process ended.
        truncated: whether the episode was cut off.
        real: whether the environment made a step.
        began: whether `fresh` is the first observation of an episode.
        wrong: the reason of a failure, "" for none; the other columns of a failed row are meaningless.
        legal: the legal actions on `following`, shape (environments, actions); None if no environment reported any.
        fresh_legal: the legal actions on `fresh`, likewise.
    """

    following: np.ndarray
    fresh: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    real: np.ndarray
    began: np.ndarray
    wrong: list[str]
    legal: np.ndarray | None = None
    fresh_legal: np.ndarray | None = None

    @property
    def over(self) -> np.ndarray:
        """Whether an episode ended."""
        return np.asarray(self.real & (self.terminated | self.truncated))


COLUMNS = Step._fields[: Step._fields.index("wrong")]  # columns that every row has


def blank(count: int, spaces: Spaces) -> Step:
    """An empty step of this many environments, none of which made a step or began an episode."""
    following, fresh = (np.zeros((count, *spaces.shape), spaces.dtype) for _ in range(2))
    terminated, truncated, real, began = (np.zeros(count, bool) for _ in range(4))
    return Step(following, fresh, np.zeros(count), terminated, truncated, real, began, [""] * count)


def sound(told: Step) -> Step:
    """The step, with rows that have a reward or an observation that is not finite marked as failed."""
    paid = seen = np.abs(told.reward) <= np.finfo(np.float32).max  # the replay stores rewards in single precision
    if told.following.dtype.kind == "f":
        seen = np.isfinite(told.following).reshape(len(paid), -1).all(1)
    if np.count_nonzero(paid & seen) == len(paid):
        return told
    wrong = list(told.wrong)
    for i in np.flatnonzero(~(paid & seen)):
        wrong[i] = wrong[i] or (_UNSEEN if paid[i] else f"the reward was {told.reward[i]}")
    return told._replace(real=told.real & paid & seen, wrong=wrong)


def legal_in(info: Any, actions: int) -> np.ndarray | None:
    """The actions that `info["action_mask"]` allows, shape (actions,); None if there is no mask.

    Raises:
        ValueError: unless the mask has a Boolean, or 0 or 1, for every action, and allows at least one.
    """
    told = info.get("action_mask") if isinstance(info, dict) else None
    if told is None:
        return None
    mask = np.asarray(told)
    if mask.shape != (actions,):
        raise ValueError(f"info['action_mask'] has shape {mask.shape}; expected ({actions},), one number per action")
    if mask.dtype.kind not in "bui":
        raise ValueError(f"info['action_mask'] has dtype {mask.dtype}; expected bool, or 0 and 1 as int8")
    if ((mask != 0) & (mask != 1)).any():
        raise ValueError(f"info['action_mask'] holds {mask[(mask != 0) & (mask != 1)][0]}; expected 0 and 1")
    if not mask.any():
        raise ValueError("info['action_mask'] allows no action; at least one must be legal until an episode terminates")
    return mask.astype(bool)


def together(rows: Sequence[np.ndarray | None], actions: int) -> np.ndarray | None:
    """Masks of legal actions as an array; a row of None allows all actions; None if all rows are None."""
    if all(row is None for row in rows):
        return None
    return np.stack([np.ones(actions, bool) if row is None else row for row in rows])


def make(name: str, options: dict[str, Any]) -> Any:
    """Make the environment of a Gymnasium id, `module:ID` or `module:Class`; see `mdvi.door`.

    Raises:
        ValueError: if there is no environment of that name, or if it does not accept these options.
        ModuleNotFoundError: if Gymnasium, or a package that the environment needs, is not installed.
    """
    from mdvi import door
    from mdvi.extras import missing

    gymnasium = door.library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings from imports of environments
        try:
            env = door.maker(name)(**options)
        except gymnasium.error.DependencyNotInstalled as error:
            text = " ".join(str(error).split())
            if "box2d" in text.lower():
                text = missing("Box2D")
            raise ModuleNotFoundError(f"{name}: {text}", name=name) from None
        except FAULTS as error:
            text = says(error)
            if isinstance(error, ModuleNotFoundError) and error.name == name.partition(":")[0].partition(".")[0]:
                text += f"; it is looked for in the current folder, {os.getcwd()}, and among installed packages"
            raise ValueError(text if text.startswith(name) else f"{name}: {text}") from None
    if not isinstance(env, gymnasium.Env):
        raise ValueError(f"{name}: made an object of type {type(env).__name__}, which is not a gymnasium.Env")
    return env


def check_distinct(envs: Sequence[Any]) -> None:
    """Check that environments are distinct objects; if two were the same, one would end the episodes of the other.

    Raises:
        ValueError: if two environments are the same object.
    """
    bare = [getattr(env, "unwrapped", env) for env in envs]
    if len(set(map(id, bare))) < len(bare):
        raise ValueError(
            f"{type(bare[0]).__name__}: the function returned the same object twice, but environments must be "
            "distinct; construct the environment inside the function, as in made(lambda: MyEnv())"
        )


def agreed(spaces: Sequence[Spaces]) -> Spaces:
    """The common spaces of several environments.

    Raises:
        ValueError: if they differ.
    """
    for other in spaces[1:]:
        if other[:3] != spaces[0][:3] or other.layout != spaces[0].layout:
            one, two = (f"{s.actions} actions and observations {s.dtype}{list(s.shape)}" for s in (spaces[0], other))
            raise ValueError(f"environments from one source must have the same spaces: one has {one}, another {two}")
    return spaces[0]


def spaces_of(env: Any, name: str) -> Spaces:
    """The spaces of an environment.

    Raises:
        ValueError: unless actions are Discrete, and observations are a Box or parts that `mdvi.observations` flattens.
    """
    action: Any = getattr(env, "action_space", None)
    observation: Any = getattr(env, "observation_space", None)
    if action is None or observation is None:
        raise ValueError(f"{name}: expected a Gymnasium environment with an action_space and an observation_space")
    kinds = [type(space).__name__ for space in (action, observation)]
    if kinds[0] == "Box":
        raise ValueError(f"{name}: its actions are continuous ({action}); mdvi learns with Discrete actions only")
    if kinds[0] != "Discrete":
        raise ValueError(f"{name}: its actions are {kinds[0]}; mdvi learns with Discrete actions only")
    first = int(getattr(action, "start", 0))
    if kinds[1] != "Box":
        return _of_parts(observation, name)._replace(actions=int(action.n), first=first, classes=classes_of(env))
    if 0 in observation.shape:
        raise ValueError(f"{name}: its observations have shape {observation.shape}, which has no numbers")
    kept = observation.dtype if observation.dtype in (np.uint8, np.bool_) else np.float32
    return Spaces(
        int(action.n), tuple(observation.shape), np.dtype(kept), _scale_of(observation), first, classes_of(env)
    )


def _of_parts(space: Any, name: str) -> Spaces:
    """The spaces of observations of several parts, flattened into one vector; without actions.

    Raises:
        ValueError: if a part cannot be flattened, or if there are too many numbers.
    """
    from mdvi.observations import leaves, numbers_in

    layout: list[Any] = _layout_of(space, name)
    text, parts = json.dumps(layout), leaves(layout)
    numbers = numbers_in(text)
    if not 0 < numbers <= _MOST:
        raise ValueError(f"{name}: its observations would be flattened to {numbers} numbers; expected 1 to {_MOST}")
    kept = np.bool_ if all(part[0] == "choices" for _, part in parts) else np.float32
    scale = None
    if any(part[0] == "numbers" for _, part in parts):
        scale = _shortened(np.concatenate(_scales_of(space)))
    return Spaces(0, (numbers,), np.dtype(kept), scale, layout=text)


def _layout_of(space: Any, name: str) -> list[Any]:
    """The layout of a Gymnasium space, see `mdvi.observations`."""
    kind = type(space).__name__
    if kind in ("Box", "MultiBinary"):
        return ["numbers", list(space.shape), np.dtype(space.dtype).name]
    if kind == "Discrete":
        return ["choices", [], [int(space.n)], [int(space.start)]]
    if kind == "MultiDiscrete":
        return ["choices", list(space.shape), space.nvec.ravel().tolist(), np.ravel(space.start).tolist()]
    if kind == "Tuple":
        return ["tuple", [_layout_of(part, name) for part in space.spaces]]
    if kind == "Dict" and all(isinstance(key, str) for key in space.spaces):
        return ["dict", [[key, _layout_of(part, name)] for key, part in space.spaces.items()]]
    raise ValueError(
        f"{name}: its observations are {kind}; mdvi learns from Box, Discrete, MultiDiscrete and MultiBinary, and from "
        "Dict and Tuple of these"
    )


def _scales_of(space: Any) -> list[np.ndarray]:
    """The divisors of the numbers of each part."""
    from mdvi.observations import numbers_in

    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        parts = space.spaces.values() if kind == "Dict" else space.spaces
        return [scale for part in parts for scale in _scales_of(part)]
    if kind == "Box":
        return [np.resize(_scale_of(space) or (1.0,), int(np.prod(space.shape)))]
    return [np.ones(numbers_in(json.dumps(_layout_of(space, ""))))]


def classes_of(env: Any) -> tuple[type, ...]:
    """The classes of an environment and its wrappers, outermost first."""
    found = [type(env)]
    while getattr(env, "unwrapped", env) is not env and hasattr(env, "env"):
        env = env.env
        found.append(type(env))
    return tuple(found)


def _scale_of(space: Any) -> tuple[float, ...] | None:
    """The larger of |low| and |high| of a bounded Box of integers; None for other numbers."""
    kind = np.dtype(space.dtype)
    if kind.kind not in "iu":
        return None
    low, high = (np.asarray(bound, np.float64) for bound in (space.low, space.high))
    scale = np.maximum(abs(low), abs(high))
    bounded = space.bounded_below & space.bounded_above
    if kind.itemsize > 2:  # a space without bounds has the bounds of its dtype
        bounded = bounded & (high < np.iinfo(kind).max) & ((low > np.iinfo(kind).min) | (low == 0))
    return _shortened(np.where(bounded & (scale > 0), scale, 1.0).reshape(-1))


def _shortened(scale: np.ndarray) -> tuple[float, ...] | None:
    """The divisors as one number if they are equal, and None if that number is 1."""
    if (scale == scale[0]).all():
        return None if scale[0] == 1 else (float(scale[0]),)
    return tuple(scale.tolist())


class CheckedEnv:
    """One environment whose results are checked.

    Attributes:
        env: the environment.
        spaces: the spaces of the environment.
    """

    def __init__(self, env: Any, name: str, limit: int) -> None:
        """Args: the environment, its name in messages, and the steps after which an episode is truncated."""
        self.env, self.spaces, self.limit = env, spaces_of(env, name), limit
        self._shape, self._flat = self.spaces.shape, np.asarray
        if self.spaces.layout:
            from mdvi.observations import flattened

            self._flat = partial(flattened, self.spaces.layout)
        kind = np.dtype(getattr(env.action_space, "dtype", np.int64)).type
        self._first, self._clock = kind(getattr(env.action_space, "start", 0)), 0

    def reset(self, seed: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The first observation of an episode, and its legal actions if the environment reports them.

        Raises:
            Exception: any exception of the environment, and ValueError for an invalid result.
        """
        self._clock = 0
        obs, info = self.env.reset(seed=seed)
        if self.env.action_space.n != self.spaces.actions:
            raise ValueError(f"the number of actions changed from {self.spaces.actions} to {self.env.action_space.n}")
        first = self._checked(obs)
        if not np.isfinite(first).all():
            raise ValueError(_UNSEEN)
        return first, legal_in(info, self.spaces.actions)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, np.ndarray | None]:
        """The next observation, the reward, whether it terminated, whether it was truncated, and the legal actions.

        After termination no action follows, so a mask is ignored.

        Raises:
            Exception: as in `reset`.
        """
        self._clock += 1
        obs, reward, terminated, truncated, info = self.env.step(self._first + action)
        if not isinstance(terminated, _FLAG) or not isinstance(truncated, _FLAG):
            raise ValueError(f"terminated and truncated: expected Booleans, got {terminated!r} and {truncated!r}")
        legal = None if terminated else legal_in(info, self.spaces.actions)
        return self._checked(obs), float(reward), bool(terminated), bool(truncated) or self._clock >= self.limit, legal

    def _checked(self, obs: Any) -> np.ndarray:
        array = self._flat(obs)
        if array.shape != self._shape:
            raise ValueError(f"an observation has shape {array.shape}, but its space has shape {self._shape}")
        return fitting(array, self.spaces.dtype)


def fitting(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The array, after a check that `dtype` can hold its numbers.

    Raises:
        ValueError: if it cannot.
    """
    if array.dtype.kind not in "buif":
        raise ValueError(f"an observation has dtype {array.dtype}; expected Booleans, integers or floats")
    if array.dtype != dtype and dtype.kind != "f":
        with np.errstate(invalid="ignore"):
            if not np.array_equal(array, array.astype(dtype)):
                raise ValueError(f"an observation of {array.dtype} has numbers that its space, of {dtype}, cannot hold")
    return array


class CheckedEnvs:
    """Several environments, stepped one after the other; a failure of one does not affect the others."""

    renews, repeats, asked = False, True, False  # the caller begins new episodes

    def __init__(self, envs: Sequence[CheckedEnv]) -> None:
        self.envs, self.spaces = envs, agreed([env.spaces for env in envs])
        check_distinct([env.env for env in envs])
        self._order: tuple[Any, np.ndarray] | None = None

    @np.errstate(over="ignore")  # numbers too large for single precision are reported as not finite
    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in the environments `who`, with their seeds unless −1; sets `fresh`, `began` and `wrong`."""
        told = blank(len(self.envs), self.spaces)
        legal: list[np.ndarray | None] = [None] * len(self.envs)
        for i in np.flatnonzero(who):
            try:
                told.fresh[i], legal[i] = self.envs[int(i)].reset(None if seeds[i] < 0 else int(seeds[i]))
                told.began[i] = True
            except FAULTS as error:
                told.wrong[i] = says(error)
        return told._replace(fresh_legal=together(legal, self.spaces.actions))

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Store the request for a step; `recv` makes the step."""
        self._order, self.asked = (actions, alive), True

    @np.errstate(over="ignore")
    def recv(self, following: Any = None) -> Step:
        """Make the requested step in the environments that are alive."""
        assert self._order is not None, "no step was requested"
        actions, alive = np.asarray(self._order[0]).reshape(-1).tolist(), self._order[1].tolist()
        self.asked = False
        told = blank(len(self.envs), self.spaces)
        legal: list[np.ndarray | None] = [None] * len(self.envs)
        for i, (env, action, goes) in enumerate(zip(self.envs, actions, alive, strict=True)):
            if not goes:
                continue
            try:
                told.following[i], told.reward[i], told.terminated[i], told.truncated[i], legal[i] = env.step(action)
                told.real[i] = True
            except FAULTS as error:
                told.wrong[i] = says(error)
        mask = together(legal, self.spaces.actions)
        truncated = told.truncated & ~told.terminated
        return sound(told._replace(fresh=told.following, truncated=truncated, legal=mask, fresh_legal=mask))

    def picture(self) -> np.ndarray:
        """A picture of the first environment, shape (rows, columns, 3), bytes.

        Raises:
            ValueError: if the environment does not render a picture.
        """
        try:
            picture = self.envs[0].env.render()
        except FAULTS as error:
            raise ValueError(f"the environment does not render a picture: {says(error)}") from None
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.dtype != np.uint8:
            raise ValueError("the environment does not render a picture; make it with render_mode='rgb_array'")
        return picture

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            with contextlib.suppress(*FAULTS):
                env.env.close()


def says(error: BaseException) -> str:
    """The message of an exception in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "an exception without a readable message"
    return (text if type(error) is ValueError else f"{type(error).__name__}: {text}")[:LONGEST]


def record(spaces: Spaces, masked: bool = False) -> np.dtype[Any]:
    """The dtype of a row of a `Step`, with or without legal actions."""
    pictures = [(name, spaces.dtype, spaces.shape) for name in ("following", "fresh")]
    flags = [(name, np.bool_) for name in ("terminated", "truncated", "real", "began")]
    masks = [(name, np.bool_, (spaces.actions,)) for name in ("legal", "fresh_legal")] if masked else []
    return np.dtype([*pictures, ("reward", np.float64), *flags, ("wrong", f"S{LONGEST}"), *masks])


def packed(told: Step, spaces: Spaces) -> bytes:
    """A step as bytes; the first byte is 1 if there are legal actions."""
    masked = told.legal is not None or told.fresh_legal is not None
    rows = np.zeros(len(told.wrong), record(spaces, masked))
    for name in COLUMNS:
        rows[name] = getattr(told, name)
    rows["wrong"] = [text.encode(errors="replace")[:LONGEST] for text in told.wrong]
    for name in ("legal", "fresh_legal") if masked else ():
        mask = getattr(told, name)
        rows[name] = True if mask is None else mask
    return bytes([masked]) + rows.tobytes()


def size_of(head: bytes, count: int, spaces: Spaces) -> int:
    """The number of bytes that `packed` makes of a step of this many environments, from the first byte."""
    return 1 + count * record(spaces, head[:1] == b"\1").itemsize


def unpacked(data: bytes, spaces: Spaces) -> Step:
    """The step from the bytes of `packed`."""
    masked = data[:1] == b"\1"
    rows = np.frombuffer(data, record(spaces, masked), offset=1)
    columns = {name: rows[name] for name in COLUMNS + (("legal", "fresh_legal") if masked else ())}
    return Step(**columns, wrong=[text.decode(errors="replace") for text in rows["wrong"].tolist()])


def serve(name: str, options: dict[str, Any], count: int, limit: int) -> None:
    """Serve the parent until it closes the pipe: send a line about the spaces, then one step for each order."""
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    answers, orders = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # output that the environment prints must not mix with the answers,
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # and the environment must not read the orders
    sys.path.append(str(Path(__file__).parents[3]))  # the mdvi of the parent
    try:
        envs = CheckedEnvs([CheckedEnv(make(name, options), name, limit) for _ in range(count)])
    except (ValueError, ModuleNotFoundError) as error:
        hello: dict[str, Any] = {"wrong": str(error), "missing": isinstance(error, ModuleNotFoundError)}
    else:
        hello = envs.spaces._asdict() | {"dtype": envs.spaces.dtype.name, "classes": ()}
    answers.write(json.dumps(hello).encode() + b"\n")
    answers.flush()
    while "wrong" not in hello and (kind := orders.read(1)):
        if kind == b"r":
            numbers = np.frombuffer(orders.read(16 * count), np.int64)
            told = envs.reset(numbers[:count], numbers[count:] > 0)
        else:
            numbers = np.frombuffer(orders.read(8 * count), np.int32)
            envs.send(numbers[:count], numbers[count:] > 0)
            told = envs.recv()
        answers.write(packed(told, envs.spaces))
        answers.flush()
    if "wrong" not in hello:
        envs.close()


def _leave_with(parent: int) -> None:
    """End this process when the parent has ended, even if the environment hangs."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
