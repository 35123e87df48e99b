"""Gymnasium's vector environments, whose steps are told as they truly were."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from mdvi.envs.cells import Spaces, Step, blank, says, spaces_of


def _all_seeds(seeds: np.ndarray, who: np.ndarray) -> list[int | None]:
    """As Gymnasium's own vectors want them."""
    return [None if seed < 0 else int(seed) for seed in seeds]


class Vector:
    """A Gymnasium `VectorEnv`, in whichever of three ways it begins new episodes.

    next step   the step after an end takes no action and returns the first observation
    same step   an end returns the first observation, and the last one beside it as info["final_obs"]
    disabled    whoever steps it resets it
    """

    def __init__(
        self, env: Any, spaces: Spaces | None = None, seeds: Callable[[Any, Any], Any] = _all_seeds, mode: str = ""
    ) -> None:
        """Prepare a vector.

        Args:
            env: the vector.
            spaces: where frames are to be reshaped.
            seeds: what its `reset` wants to know, from the seeds of all and the mask of those that are reset.
            mode: how it begins new episodes; default what its metadata say.
        """
        self.env, self.spaces = env, spaces or single_spaces(env)
        self.mode = mode or str(getattr(env.metadata.get("autoreset_mode"), "value", "NextStep"))
        self._seeds = seeds
        self._first = int(getattr(env.single_action_space, "start", 0))
        self._over = np.ones(env.num_envs, bool)
        self._began = False

    @property
    def renews(self) -> bool:
        """Whether it begins new episodes by itself."""
        return self.mode != "Disabled"

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin episodes in some, from a seed where it is not −1: `fresh`, `began` and `wrong` tell how it went."""
        told = blank(self.env.num_envs, self.spaces)
        some = not who.all() or (self._began and not self.renews)
        options = {"options": {"reset_mask": who}} if some else {}
        try:
            told.fresh[who] = self._shaped(self.env.reset(seed=self._seeds(seeds, who), **options)[0])[who]
            told.began[who] = True
            self._over, self._began = self._over & ~who, True
        except Exception as error:
            told.wrong[:] = [says(error)] * len(told.wrong)
        return told

    def step(self, actions: np.ndarray, alive: np.ndarray) -> Step:
        """A step of all, also of those that are not alive, whose answers nobody wants."""
        told = blank(self.env.num_envs, self.spaces)
        try:
            if self._over.any() and not self.renews:  # nobody wants them, but they cannot be left out
                self.env.reset(options={"reset_mask": self._over})
            obs, reward, terminated, truncated, info = self.env.step(np.asarray(actions) + self._first)
            told.reward[:], told.terminated[:], told.truncated[:] = reward, terminated, truncated & ~terminated
            over = terminated | truncated
            told.following[:] = told.fresh[:] = self._shaped(obs)
            told.real[:], told.began[:] = True, over & self.renews
            if self.mode == "NextStep":
                told.real[:], told.began[:] = ~self._over, self._over
            elif self.mode == "SameStep":
                for i in np.flatnonzero(over):
                    told.following[i] = self._shaped(info["final_obs"][i])
            self._over = over
        except Exception as error:
            return blank(self.env.num_envs, self.spaces)._replace(wrong=[says(error)] * len(told.wrong))
        for i in np.flatnonzero(~np.isfinite(told.reward)):
            told.wrong[i] = f"the reward was {told.reward[i]}"
        if told.following.dtype.kind == "f":
            parts = np.isfinite(told.following).reshape(len(told.wrong), -1).all(1)
            for i in np.flatnonzero(~parts):
                told.wrong[i] = told.wrong[i] or "the observation was not finite"
        told.real[[bool(text) for text in told.wrong]] = False
        return told

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
        """Let them go."""
        self.env.close()

    def _shaped(self, obs: Any) -> np.ndarray:
        return np.asarray(obs).reshape(-1, *self.spaces.shape)


def single_spaces(env: Any) -> Spaces:
    """The spaces of one environment of a vector.

    Raises:
        ValueError: unless actions are Discrete and observations a Box.
    """
    one = SimpleNamespace(action_space=env.single_action_space, observation_space=env.single_observation_space)
    return spaces_of(one, type(env).__name__)
