"""Action spaces."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Discrete:
    """Finitely many actions, which an agent numbers from 0.

    Attributes:
        count: the number of actions.
        first: the number of the first action in the environment.
    """

    count: int
    first: int = 0


@dataclass(frozen=True)
class Box:
    """Vectors of real numbers between bounds.

    Attributes:
        low: the least value of each component.
        high: the largest value of each component.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]


def actions_of(env: Any) -> Discrete:
    """The action space of an environment: its `action_space` if that is `Discrete`, otherwise from its `actions`.

    Raises:
        ValueError: for a `Box`, since all agents need discrete actions.
    """
    space = getattr(env, "action_space", None)
    if isinstance(space, Box):
        raise ValueError("env: the action space is a Box; agents need a Discrete action space")
    return space if isinstance(space, Discrete) else Discrete(int(env.actions))
