"""What is learned in: environments as JAX programs, and those of others on the host.

`NAMES` are the JAX programs that can be named; a `FiniteMDP` becomes one as `FiniteEnvironment(mdp)`. Whatever
Gymnasium makes becomes a `Hosted` by `gymnasium` (an id, or a class of your own), `made` (a function), `vectored` (a
function that makes vector environments) or `atari`. The other way round, `as_gymnasium` makes an environment of
Gymnasium's of a `FiniteMDP`.
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
    """CartPole as Gymnasium's CartPole-v1: balance a pole; +1 a step, truncated after 500 steps."""
    return TimeLimit(CartPole(discount), limit)


def _game(name: str) -> Callable[..., Any]:
    def make(discount: float = 0.99) -> Any:
        return minatar.MinAtar(name, discount)

    make.__doc__ = f"MinAtar's {name.replace('_', ' ')}, as pgx has it, with sticky actions."
    return make


NAMES: dict[str, Callable[..., Any]] = {
    "CartPole-v1": cartpole,
    **{f"minatar-{name.replace('_', '-')}": _game(name) for name in minatar.GAMES},
    **{f"probe-{name}": make for name, make in probes.ALL.items()},
}
