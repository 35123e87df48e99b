"""Gymnasium vector environments, with their automatic resets undone: each step reports its true next observation."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from mdvi.envs.host.checked import (
    Spaces,
    Step,
    blank,
    classes_of,
    fitting,
    legal_in,
    says,
    sound,
    spaces_of,
    together,
)
from mdvi.observations import flattened


def _all_seeds(seeds: np.ndarray, who: np.ndarray) -> list[int | None]:
    """Seeds as the vector environments in Gymnasium expect them: one for each environment."""
    return [None if seed < 0 else int(seed) for seed in seeds]


def _one_seed(seeds: np.ndarray, who: np.ndarray) -> int | None:
    return None if seeds[0] < 0 else int(seeds[0])


class Vector:
    """A Gymnasium `VectorEnv` with any of the three autoreset modes.

    next step   the step after the end of an episode ignores its action and returns the first observation
    same step   the last step of an episode returns the first observation of the next, and info["final_obs"]
    disabled    the caller resets the environment

    Attributes:
        renews: whether the vector begins new episodes by itself.
        repeats: whether each environment can be reset from a seed alone, so that its episodes can be repeated.
        asked: whether a step was requested and its result has not been received yet.
    """

    def __init__(
        self,
        env: Any,
        spaces: Spaces | None = None,
        seeds: Callable[[Any, Any], Any] = _all_seeds,
        masked: bool = False,
    ) -> None:
        """Prepare a vector.

        Args:
            env: the vector.
            spaces: the spaces, if frames are to be reshaped; default: the spaces of the vector.
            seeds: the argument `seed` of `reset`, as a function of all seeds and the mask of environments to reset.
            masked: whether environments can be reset one by one although the vector begins new episodes by itself.
        """
        self.env, self.spaces = env, spaces or single_spaces(env)
        self.mode = str(getattr(env.metadata.get("autoreset_mode"), "value", "NextStep"))
        self.renews = self.mode != "Disabled"
        self.repeats = masked or not self.renews
        self._seeds = seeds
        kind = np.dtype(getattr(env.single_action_space, "dtype", np.int64)).type
        self._first = kind(getattr(env.single_action_space, "start", 0))
        self._over = np.ones(env.num_envs, bool)
        self._began = self.asked = False
        self._open: np.ndarray | None = None  # the legal actions of the last report
        self._answer: Callable[[], Any] = partial(_raise, RuntimeError("no step was requested"))

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in the environments `who`, with their seeds unless −1; sets `fresh`, `began` and `wrong`."""
        told = blank(self.env.num_envs, self.spaces)
        some = not who.all() or (self._began and not self.renews)
        options = {"options": {"reset_mask": who}} if some else {}
        try:
            obs, info = self._reset(seeds, who, options)
            told.fresh[who] = self._shaped(self._array(obs))[who]
            told = told._replace(fresh_legal=self._legal(_masks(info), who, told.wrong))
            self._note(who, told.fresh_legal)
            told.began[:] = who & [not text for text in told.wrong]
            self._over, self._began = self._over & ~who, True
        except Exception as error:
            told.wrong[:] = [says(error)] * len(told.wrong)
        return told

    def send(self, actions: Any, alive: np.ndarray | None = None) -> None:
        """Request a step of all environments; the results of environments that are not alive are ignored."""
        actions = np.asarray(actions).reshape(-1).astype(self._first.dtype) + self._first
        self.asked = True
        try:
            if not self.renews and self._over.any():  # failed members, which the vector steps too
                _, info = self.env.reset(options={"reset_mask": self._over})
                self._note(self._over, self._legal(_masks(info), self._over, [""] * len(actions)))
            if alive is not None and self._open is not None:  # environments that are not alive need a legal action too
                actions = np.where(alive, actions, self._open.argmax(-1) + self._first)
            self._answer = _begun(self.env, actions)
        except Exception as error:
            self._answer = partial(_raise, error)

    def recv(self, following: Any = None) -> Step:
        """The result; requests a step `following` first, unless an episode ended or a mask was reported."""
        self.asked = False
        try:
            obs, reward, terminated, truncated, info = self._answer()
            obs = self._array(obs) if self.spaces.layout or getattr(self.env, "copy", True) else np.copy(obs)
            over = np.asarray(terminated | truncated)
            ended = np.count_nonzero(over)
            masks = _masks(info)
            if following is not None and not ended and not masks:
                self.send(following)
            last = fresh = self._shaped(obs)
            if self.mode == "NextStep":
                real, began = ~self._over, self._over
            else:
                real, began = np.ones_like(over), over & self.renews
            if self.mode == "SameStep" and ended:
                last = fresh.copy()
                for i in np.flatnonzero(over):
                    last[i] = self._shaped(self._array(info["final_obs"][i]))[0]
            cut, wrong = truncated & ~terminated, [""] * len(over)
            goes = np.ones_like(over) if self.mode == "SameStep" else ~np.asarray(terminated)
            legal = fresh_legal = self._legal(masks, goes, wrong)
            if self.mode == "SameStep" and ended:
                final = self._legal(_masks(info.get("final_info")), cut, wrong)
                if not (final is None and fresh_legal is None):
                    both = (True if mask is None else mask for mask in (final, fresh_legal))
                    legal = np.where(over[:, None], *both)
            told = Step(
                last, fresh, np.asarray(reward, np.float64), np.asarray(terminated), cut, real, began, wrong, legal,
                fresh_legal,
            )  # fmt: skip
            self._over = over
            self._note(np.ones_like(over), fresh_legal)
        except Exception as error:
            told = blank(self.env.num_envs, self.spaces)
            return told._replace(wrong=[says(error)] * len(told.wrong))
        return sound(told)

    def _legal(self, masks: dict[str, Any], who: np.ndarray, wrong: list[str]) -> np.ndarray | None:
        """The legal actions of the environments `who`, from masks; sets `wrong` for invalid masks."""
        rows: list[np.ndarray | None] = [None] * len(wrong)
        for i in np.flatnonzero(who & masks.get("_action_mask", True)) if masks else ():
            try:
                rows[i] = legal_in({"action_mask": masks["action_mask"][i]}, self.spaces.actions)
            except ValueError as error:
                wrong[i] = wrong[i] or says(error)
        return together(rows, self.spaces.actions)

    def _note(self, who: np.ndarray, legal: np.ndarray | None) -> None:
        """Store the last reported legal actions of the environments `who`."""
        if legal is not None or self._open is not None:
            new, old = (True if mask is None else mask for mask in (legal, self._open))
            self._open = np.broadcast_to(np.where(who[:, None], new, old), (len(who), self.spaces.actions))

    def _reset(self, seeds: np.ndarray, who: np.ndarray, options: dict[str, Any]) -> Any:
        try:
            return self.env.reset(seed=self._seeds(seeds, who), **options)
        except Exception:
            if self._began or self._seeds is not _all_seeds:
                raise
            self._seeds, self.repeats = _one_seed, False  # native vectors of Gymnasium take one seed for all
            return self.env.reset(seed=self._seeds(seeds, who), **options)

    def picture(self) -> np.ndarray:
        """A picture of the first environment.

        Raises:
            ValueError: if the environment does not render a picture.
        """
        pictures = self.env.render()
        if not pictures or not isinstance(pictures[0], np.ndarray):
            raise ValueError("the environment does not render a picture; make it with render_mode='rgb_array'")
        return pictures[0]

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def _array(self, obs: Any) -> np.ndarray:
        """Observations as numbers; observations of several parts as vectors."""
        return flattened(self.spaces.layout, obs) if self.spaces.layout else np.asarray(obs)

    def _shaped(self, obs: np.ndarray) -> np.ndarray:
        array = fitting(obs, self.spaces.dtype)
        if array.dtype != self.spaces.dtype:
            with np.errstate(over="ignore"):  # numbers too large for single precision become infinite
                array = array.astype(self.spaces.dtype)
        return array.reshape(-1, *self.spaces.shape)


def _masks(info: Any) -> dict[str, Any]:
    """The masks of legal actions, and the environments that reported them."""
    known = isinstance(info, dict) and info.get("action_mask") is not None
    return {name: info[name] for name in ("action_mask", "_action_mask") if name in info} if known else {}


def _begun(env: Any, actions: np.ndarray) -> Callable[[], Any]:
    """Begin a step, if the vector can step asynchronously; returns the function that returns the result."""
    for begin, finish in (("send", "recv"), ("step_async", "step_wait")):
        if hasattr(env, begin):
            getattr(env, begin)(actions)
            return getattr(env, finish)
    return partial(env.step, actions)


def _raise(error: Exception) -> None:
    raise error


def single_spaces(env: Any, name: str = "") -> Spaces:
    """The spaces of one environment of a vector.

    Raises:
        ValueError: as in `checked.spaces_of`.
    """
    name = name or type(env).__name__
    if not hasattr(env, "single_action_space"):
        raise ValueError(f"{name}: expected a function that makes a Gymnasium VectorEnv, got {type(env).__name__}")
    one = SimpleNamespace(action_space=env.single_action_space, observation_space=env.single_observation_space)
    first = list(getattr(env, "envs", ()))[:1]  # available only if the environments are in this process
    classes = (type(env), *(kind for found in first for kind in classes_of(found)))
    return spaces_of(one, name)._replace(classes=classes)
