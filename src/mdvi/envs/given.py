"""The forms of an environment that `mdvi.train` accepts: a name, a class, a function, or a Gymnasium environment."""

import copy
import inspect
from functools import partial
from typing import Any

from mdvi import door, envs
from mdvi.envs import Environment, Hosted, made
from mdvi.envs.names import name_and_options
from mdvi.words import key_and_value, value_of

_TAKEN = set(inspect.signature(envs.gymnasium).parameters)  # options in a text that mdvi reads, not the environment
_MEMBERS = ("reset", "observe", "step")  # methods of a class of environments in JAX


def accepted(env: Any) -> Any:
    """The name, or the environment, for the argument `env` of `mdvi.train`.

    A class, or a function without arguments, becomes `mdvi.envs.made(env)`. An environment from `gymnasium.make`
    becomes its id with its arguments, such as `FrozenLake-v1:is_slippery=false`, if a text can express them; otherwise
    it is made again from its specification, with its wrappers.

    Raises:
        ValueError: if mdvi cannot make an environment for every member from it; the message says what to pass.

    Examples:
        >>> import gymnasium
        >>> accepted(gymnasium.make("FrozenLake-v1", is_slippery=False))
        'FrozenLake-v1:is_slippery=false'
    """
    if isinstance(env, type):
        if all(hasattr(env, name) for name in _MEMBERS):
            raise ValueError(f"env: expected an environment, got the class {env.__name__} itself; pass an instance")
        return made(env)
    if isinstance(env, str | Environment | Hosted):
        return env
    if hasattr(env, "single_action_space"):
        raise ValueError(
            f"env: {type(env).__name__} is a finished vector, but every member needs its own environments; pass a "
            "function of their number: mdvi.envs.vectored(lambda count: …)"
        )
    if hasattr(env, "action_space"):
        return _again(env)
    if callable(env):
        return made(env)
    if type(env).__name__ == "FiniteMDP":
        raise ValueError("env: a FiniteMDP is a model; mdvi.envs.FiniteEnvironment(model) makes an environment of it")
    raise ValueError(
        "env: expected a name, a class or a function that makes Gymnasium environments, an environment from "
        f"gymnasium.make, a `mdvi.envs.Environment` or a `mdvi.envs.Hosted`, got {type(env).__name__}"
    )


def _again(env: Any) -> Any:
    """A source of environments like the given one.

    Raises:
        ValueError: if its specification is missing, or does not record the arguments of a wrapper.
    """
    spec, name = getattr(env, "spec", None), type(getattr(env, "unwrapped", env)).__name__
    advice = f"every member needs its own environment, so pass a function: mdvi.envs.made(lambda: {name}(…))"
    if spec is None:
        raise ValueError(f"env: this {name} was not made by gymnasium.make, so it has no specification; {advice}")
    for wrapper in spec.additional_wrappers:
        if wrapper.kwargs is None:
            raise ValueError(f"env: the wrapper {wrapper.name} does not record its arguments; {advice}")
    spec = copy.deepcopy(spec)
    shown = spec.kwargs.pop("render_mode", None)
    text = _text_of(spec)
    if text is not None:
        return text
    options = {"render_mode": shown} if shown == "rgb_array" else {}  # no windows during training
    return made(partial(door.library().make, spec, disable_env_checker=True, **options))


def _text_of(spec: Any) -> str | None:
    """The text that names the same environment; None if no text does.

    A named Atari game follows the protocol of the paper, which differs from the environment of `gymnasium.make`.
    """
    registered = door.library().registry.get(spec.id)
    if registered is None or spec.additional_wrappers != registered.additional_wrappers or spec.id.startswith("ALE/"):
        return None
    given = {name: value for name, value in spec.kwargs.items() if registered.kwargs.get(name, _TAKEN) != value}
    if spec.max_episode_steps != registered.max_episode_steps:
        given["max_episode_steps"] = spec.max_episode_steps
    if not door.is_id(spec.id) or given.keys() & _TAKEN or (given and spec.id in envs.NAMES):
        return None
    words = (f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in given.items())
    text = f"{spec.id}:{','.join(words)}" if given else spec.id
    try:
        door.maker(spec.id)  # raises for functions that do not declare what they make
        read = {key: value_of(word) for key, word in map(key_and_value, name_and_options(text)[1])}
    except ValueError:
        return None
    return text if repr(read) == repr(given) else None
