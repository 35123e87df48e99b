"""Atari 2600 games by the protocol of the paper, through the vector environment of ALE.

A step repeats the action for four frames and observes the maximum of the last two, in grey, 84 × 84. With probability
.25, a frame repeats the action of the previous frame (sticky actions). An episode ends with the game, not with a life,
or is truncated after 27 000 steps. The agent sees the last four observations. Rewards are clipped to ±1 for learning;
reported returns are unclipped.

Source: Machado et al. (2018), "Revisiting the Arcade Learning Environment"; Mnih et al. (2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdvi.envs.host.checked import Spaces, Step
from mdvi.envs.host.hosted import LIMIT, Hosted, hosted
from mdvi.envs.host.vector import Vector
from mdvi.extras import explained
from mdvi.words import nearest

_SKIP = 4  # frames for each step
_SIDE = 84  # rows and columns of an observation


@dataclass(frozen=True)
class Game:
    """A game of ALE and its protocol; see `atari`."""

    name: str
    sticky: float
    noops: int
    limit: int

    def vector(self, count: int, **options: Any) -> Any:
        """The vector environment of ALE with this many games.

        Raises:
            ModuleNotFoundError: if ale-py is not installed.
            ValueError: if the game is unknown.
        """
        with explained():
            from ale_py import AtariVectorEnv, roms
        title = self.name.removeprefix("ALE/").rpartition("-v")[0]
        game = "".join(f"_{c.lower()}" if c.isupper() else c for c in title).lstrip("_")
        if game not in roms.get_all_rom_ids():
            raise ValueError(f"{self.name}: ALE has no game {title!r}{_nearest(game, roms.get_all_rom_ids())}")
        return AtariVectorEnv(
            game, count, frameskip=_SKIP, stack_num=1, img_height=_SIDE, img_width=_SIDE,
            grayscale=True, maxpool=True, noop_max=self.noops, use_fire_reset=False, episodic_life=False,
            reward_clipping=False, repeat_action_probability=self.sticky,
            max_num_frames_per_episode=self.limit * _SKIP,
        )  # fmt: skip

    def spaces(self) -> Spaces:
        """The minimal action set of the game, and the shape of an observation."""
        env = self.vector(1)
        actions = int(env.single_action_space.n)
        env.close()
        return Spaces(actions, (_SIDE, _SIDE), np.dtype(np.uint8), (255.0,))

    def worlds(self, members: int, each: int) -> Vector:
        """One vector of all games, which begins a new episode in the step after the end of one."""
        return Vector(self.vector(members * each), self.spaces(), lambda seeds, who: seeds[who], masked=True)

    def watched(self) -> "Screen":
        """A game for filming."""
        return Screen(self.worlds(1, 1))


class Screen:
    """A game whose pictures are the enlarged observations of the agent."""

    def __init__(self, vector: Vector) -> None:
        self.vector, self.look = vector, np.zeros((_SIDE, _SIDE), np.uint8)
        self.renews, self.repeats = vector.renews, vector.repeats

    @property
    def asked(self) -> bool:
        """Whether a step was requested whose result has not been received yet."""
        return self.vector.asked

    def reset(self, seeds: np.ndarray, who: np.ndarray) -> Step:
        """Begin the game."""
        told = self.vector.reset(seeds, who)
        self.look = told.fresh[0]
        return told

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Request a step."""
        self.vector.send(actions, alive)

    def recv(self, following: Any = None) -> Step:
        """The result of the requested step."""
        told = self.vector.recv(following)
        self.look = told.fresh[0]
        return told

    def picture(self) -> np.ndarray:
        """The last observation, enlarged to the shape (336, 336, 3)."""
        return np.repeat(self.look.repeat(4, 0).repeat(4, 1)[:, :, None], 3, 2)

    def close(self) -> None:
        """Close the environments."""
        self.vector.close()


def atari(
    name: str, /, discount: float = 0.99, *, sticky: float = 0.25, noops: int = 0, stack: int = 4, clip: float = 1.0,
    limit: int = LIMIT,
) -> Hosted:  # fmt: skip
    """A game by its Gymnasium id, such as ALE/Breakout-v5.

    Args:
        name: the id.
        discount: γ, in [0, 1).
        sticky: the probability that a frame repeats the action of the previous frame.
        noops: the largest number of steps without an action at the beginning of an episode; 30 is common without
            sticky actions.
        stack: the number of observations that the agent sees together.
        clip: clip rewards to ±clip for learning; 0 for no clip.
        limit: steps after which an episode is truncated.

    Raises:
        ModuleNotFoundError: if ale-py is not installed.
        ValueError: if the game is unknown, or a number is out of range.
    """
    if not 0 <= sticky <= 1:
        raise ValueError(f"sticky: expected a probability in [0, 1], got {sticky}")
    if noops < 0 or limit < 1:
        raise ValueError(f"noops and limit: expected at least 0 and 1, got {noops} and {limit}")
    if not name.endswith("-v5"):
        raise ValueError(f"{name}: expected the name of a game as in ALE/Breakout-v5")
    return hosted(Game(name, float(sticky), int(noops), int(limit)), discount, stack=stack, clip=clip)


def _nearest(game: str, games: Sequence[str]) -> str:
    near = nearest(game, games)
    return f"; did you mean {near!r}?" if near else ""
