"""Environments: JAX programs, and Gymnasium environments on the host.

`NAMES` has the JAX programs with a name; `FiniteEnvironment(mdp)` turns a `FiniteMDP` into one. Gymnasium environments
become a `Hosted` by `gymnasium` (an id, or a class of your own), `made` (a function), `vectored` (a function that makes
vector environments) or `atari`. Conversely, `as_gymnasium` turns a `FiniteMDP` into a Gymnasium environment.
"""

from collections.abc import Callable
from typing import Any

from mdvi.door import is_known
from mdvi.extras import explained

with explained():
    from mdvi.envs.base import Environment, TimeLimit, Transition
    from mdvi.envs.host.atari import atari
    from mdvi.envs.host.gymnasium import gymnasium, made, vectored
    from mdvi.envs.host.hosted import Hosted
    from mdvi.envs.host.model import as_gymnasium
    from mdvi.envs.native import minatar, probes
    from mdvi.envs.native.cartpole import CartPole
    from mdvi.envs.native.finite import FiniteEnvironment
    from mdvi.envs.spaces import Box, Discrete

__all__ = [
    "NAMES",
    "Box",
    "CartPole",
    "Discrete",
    "Environment",
    "FiniteEnvironment",
    "Hosted",
    "TimeLimit",
    "Transition",
    "as_gymnasium",
    "atari",
    "gymnasium",
    "is_known",
    "made",
    "minatar",
    "probes",
    "vectored",
]


def cartpole(discount: float = 0.99, limit: int = 500) -> TimeLimit:
    """CartPole-v1 of Gymnasium: balance a pole; reward +1 for each step, truncated after 500 steps."""
    return TimeLimit(CartPole(discount), limit)


def _game(name: str) -> Callable[..., Any]:
    def make(discount: float = 0.99) -> Any:
        return minatar.MinAtar(name, discount)

    make.__doc__ = f"The MinAtar game {name.replace('_', ' ')} as implemented by pgx, with sticky actions."
    return make


NAMES: dict[str, Callable[..., Any]] = {
    "CartPole-v1": cartpole,
    **{f"minatar-{name.replace('_', '-')}": _game(name) for name in minatar.GAMES},
    **{f"probe-{name}": make for name, make in probes.ALL.items()},
}
