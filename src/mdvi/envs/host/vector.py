"""Gymnasium's vector environments, with automatic resets undone: each step reports its true next observation."""

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
    """As Gymnasium's own vectors want them."""
    return [None if seed < 0 else int(seed) for seed in seeds]


def _one_seed(seeds: np.ndarray, who: np.ndarray) -> int | None:
    return None if seeds[0] < 0 else int(seeds[0])


class Vector:
    """A Gymnasium `VectorEnv`, in whichever of three ways it begins new episodes.

    next step   the step after an end takes no action and returns the first observation
    same step   an end returns the first observation, and the last one beside it as info["final_obs"]
    disabled    the caller resets it

    Attributes:
        renews: whether it begins new episodes by itself.
        repeats: whether each of its environments can be begun again from a seed, and so be repeated.
        asked: whether a step was requested whose result has not been received yet.
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
            spaces: where frames are to be reshaped.
            seeds: what its `reset` wants to know, from the seeds of all and the mask of those that are reset.
            masked: whether some can be reset alone although it begins new episodes by itself.
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
        self._open: np.ndarray | None = None  # the legal actions that were told last
        self._answer: Callable[[], Any] = partial(_raise, RuntimeError("no step was asked for"))

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in some, from a seed where it is not −1: `fresh`, `began` and `wrong` tell how it went."""
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
        """Ask for a step of all, also of those that are not alive, whose answers nobody wants."""
        actions = np.asarray(actions).reshape(-1).astype(self._first.dtype) + self._first
        self.asked = True
        try:
            if not self.renews and self._over.any():  # nobody wants them, but they cannot be left out
                _, info = self.env.reset(options={"reset_mask": self._over})
                self._note(self._over, self._legal(_masks(info), self._over, [""] * len(actions)))
            if alive is not None and self._open is not None:  # those that are not still need a legal action
                actions = np.where(alive, actions, self._open.argmax(-1) + self._first)
            self._answer = _begun(self.env, actions)
        except Exception as error:
            self._answer = partial(_raise, error)

    def recv(self, following: Any = None) -> Step:
        """What it told; the actions that follow are asked for first unless it ended an episode or told a mask."""
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
        """The actions that masks allow to some; `wrong` tells where they cannot be meant."""
        rows: list[np.ndarray | None] = [None] * len(wrong)
        for i in np.flatnonzero(who & masks.get("_action_mask", True)) if masks else ():
            try:
                rows[i] = legal_in({"action_mask": masks["action_mask"][i]}, self.spaces.actions)
            except ValueError as error:
                wrong[i] = wrong[i] or says(error)
        return together(rows, self.spaces.actions)

    def _note(self, who: np.ndarray, legal: np.ndarray | None) -> None:
        """Keep what was told of some last."""
        if legal is not None or self._open is not None:
            new, old = (True if mask is None else mask for mask in (legal, self._open))
            self._open = np.broadcast_to(np.where(who[:, None], new, old), (len(who), self.spaces.actions))

    def _reset(self, seeds: np.ndarray, who: np.ndarray, options: dict[str, Any]) -> Any:
        try:
            return self.env.reset(seed=self._seeds(seeds, who), **options)
        except Exception:
            if self._began or self._seeds is not _all_seeds:
                raise
            self._seeds, self.repeats = _one_seed, False  # Gymnasium's native vectors take one for all
            return self.env.reset(seed=self._seeds(seeds, who), **options)

    def picture(self) -> np.ndarray:
        """What the first of them looks like.

        Raises:
            ValueError: when it gives no picture.
        """
        pictures = self.env.render()
        if not pictures or not isinstance(pictures[0], np.ndarray):
            raise ValueError("the environment gives no picture: its render_mode must be rgb_array")
        return pictures[0]

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def _array(self, obs: Any) -> np.ndarray:
        """Observations as numbers; those of several parts as vectors."""
        return flattened(self.spaces.layout, obs) if self.spaces.layout else np.asarray(obs)

    def _shaped(self, obs: np.ndarray) -> np.ndarray:
        array = fitting(obs, self.spaces.dtype)
        if array.dtype != self.spaces.dtype:
            with np.errstate(over="ignore"):  # what does not fit into single precision is not finite
                array = array.astype(self.spaces.dtype)
        return array.reshape(-1, *self.spaces.shape)


def _masks(info: Any) -> dict[str, Any]:
    """The masks of legal actions, and the environments that they belong to."""
    known = isinstance(info, dict) and info.get("action_mask") is not None
    return {name: info[name] for name in ("action_mask", "_action_mask") if name in info} if known else {}


def _begun(env: Any, actions: np.ndarray) -> Callable[[], Any]:
    """Begin a step, if the vector can go on by itself; what gives its answer."""
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
        ValueError: as `checked.spaces_of` does.
    """
    name = name or type(env).__name__
    if not hasattr(env, "single_action_space"):
        raise ValueError(f"{name}: made no Gymnasium VectorEnv but {type(env).__name__}")
    one = SimpleNamespace(action_space=env.single_action_space, observation_space=env.single_observation_space)
    first = list(getattr(env, "envs", ()))[:1]  # where they are in this process
    classes = (type(env), *(kind for found in first for kind in classes_of(found)))
    return spaces_of(one, name)._replace(classes=classes)
