"""Spaces of actions: what an agent chooses from."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Discrete:
    """Finitely many actions, which an agent numbers from 0.

    Attributes:
        count: how many there are.
        first: the number that the environment itself gives the first one.
    """

    count: int
    first: int = 0


@dataclass(frozen=True)
class Box:
    """Vectors of real numbers between bounds.

    Attributes:
        low: the least value of each component.
        high: the largest.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]


def actions_of(env: Any) -> Discrete:
    """The actions of an environment: its `action_space` if that is one of these, or as many as it says in `actions`.

    Raises:
        ValueError: for a `Box`, which no agent here can choose from.
    """
    space = getattr(env, "action_space", None)
    if isinstance(space, Box):
        raise ValueError("env: its actions are a Box; agents need a Discrete action space")
    return space if isinstance(space, Discrete) else Discrete(int(env.actions))
