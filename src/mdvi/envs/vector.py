"""Gymnasium's vector environments, whose steps are told as they truly were."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mdvi.envs.cells import Spaces, Step, blank, says, spaces_of


class Vector:
    """A Gymnasium `VectorEnv`, in whichever of three ways it begins new episodes.

    next step   the step after an end takes no action and returns the first observation
    same step   an end returns the first observation, and the last one beside it as info["final_obs"]
    disabled    whoever steps it resets it
    """

    def __init__(self, env: Any, spaces: Spaces | None = None, seeds: Callable[[list[int]], Any] = list) -> None:
        """Args: the vector, its spaces where frames are to be reshaped, and what its `reset` wants seeds to be."""
        self.env, self.spaces = env, spaces or single_spaces(env)
        self.mode = str(getattr(env.metadata.get("autoreset_mode"), "value", "NextStep"))
        self._seeds = seeds
        self._first = int(getattr(env.single_action_space, "start", 0))
        self._over = np.zeros(env.num_envs, bool)

    def reset(self, seeds: Sequence[int]) -> Step:
        """Begin episodes: only `fresh`, `began` and `wrong` of the answer tell something."""
        told = blank(self.env.num_envs, self.spaces)
        self._over[:] = False
        try:
            told.fresh[:] = self._shaped(self.env.reset(seed=self._seeds([int(seed) for seed in seeds]))[0])
            told.began[:] = True
        except Exception as error:
            told.wrong[:] = [says(error)] * len(told.wrong)
        return told

    def step(self, actions: np.ndarray, alive: np.ndarray) -> Step:
        """A step of all, also of those that are not alive, whose answers nobody wants."""
        told = blank(self.env.num_envs, self.spaces)
        try:
            obs, reward, terminated, truncated, info = self.env.step(np.asarray(actions) + self._first)
            told.reward[:], told.terminated[:], told.truncated[:] = reward, terminated, truncated & ~terminated
            over = terminated | truncated
            told.following[:] = told.fresh[:] = self._shaped(obs)
            told.real[:], told.began[:] = True, over
            if self.mode == "NextStep":
                told.real[:], told.began[:] = ~self._over, self._over
            elif self.mode == "SameStep":
                for i in np.flatnonzero(over):
                    told.following[i] = self._shaped(info["final_obs"][i])
            elif over.any():
                told.fresh[over] = self._shaped(self.env.reset(options={"reset_mask": over})[0])[over]
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
