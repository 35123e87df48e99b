"""Atari 2600 games as the paper plays them, through ALE's vector environment.

A step repeats the action for four frames and looks at the larger of the last two, in grey, 84 × 84; with probability
.25 a frame repeats the action of the frame before (sticky actions). An episode ends with the game, not with a life, or
is truncated after 27 000 steps. The agent sees the last four looks; rewards are learned from as if they lay in ±1,
while the returns that are reported are the game's.

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
_SIDE = 84  # rows and columns of a look


@dataclass(frozen=True)
class Game:
    """A game of ALE and how it is played; see `atari`."""

    name: str
    sticky: float
    noops: int
    limit: int

    def vector(self, count: int, **options: Any) -> Any:
        """ALE's environment of so many games.

        Raises:
            ModuleNotFoundError: when ale-py is not installed.
            ValueError: for an unknown game.
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
        """The minimal set of actions of the game, and the shape of one look."""
        env = self.vector(1)
        actions = int(env.single_action_space.n)
        env.close()
        return Spaces(actions, (_SIDE, _SIDE), np.dtype(np.uint8), (255.0,))

    def worlds(self, members: int, each: int) -> Vector:
        """One vector of all. It begins episodes by itself in the next step, beside the steps of the others."""
        return Vector(self.vector(members * each), self.spaces(), lambda seeds, who: seeds[who], masked=True)

    def watched(self) -> "Screen":
        """A game to be filmed."""
        return Screen(self.worlds(1, 1))


class Screen:
    """A game whose pictures are what the agent sees of it, enlarged."""

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
        """Ask for a step of it."""
        self.vector.send(actions, alive)

    def recv(self, following: Any = None) -> Step:
        """What it told."""
        told = self.vector.recv(following)
        self.look = told.fresh[0]
        return told

    def picture(self) -> np.ndarray:
        """The last look, shape (336, 336, 3)."""
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
        sticky: the probability with which a frame repeats the action of the one before.
        noops: up to so many steps without an action begin an episode; 30 is common without sticky actions.
        stack: looks that the agent sees together.
        clip: rewards are learned from as if they lay in ±clip; 0 for as they are.
        limit: steps after which an episode is truncated.

    Raises:
        ModuleNotFoundError: when ale-py is not installed.
        ValueError: for an unknown game, or a number out of range.
    """
    if not 0 <= sticky <= 1:
        raise ValueError(f"sticky: expected a probability, got {sticky}")
    if noops < 0 or limit < 1:
        raise ValueError(f"noops and limit: expected at least 0 and 1, got {noops} and {limit}")
    if not name.endswith("-v5"):
        raise ValueError(f"{name}: ALE's games are named as in ALE/Breakout-v5")
    return hosted(Game(name, float(sticky), int(noops), int(limit)), discount, stack=stack, clip=clip)


def _nearest(game: str, games: Sequence[str]) -> str:
    near = nearest(game, games)
    return f"; did you mean {near!r}?" if near else ""
