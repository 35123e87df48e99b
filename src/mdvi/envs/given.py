"""Environments as people have them: a name, a class, a function, or one that `gymnasium.make` has made."""

import copy
import inspect
from functools import partial
from typing import Any

from mdvi import door, envs
from mdvi.envs import Environment, Hosted, made
from mdvi.envs.names import name_and_options
from mdvi.words import key_and_value, value_of

_TAKEN = set(inspect.signature(envs.gymnasium).parameters)  # what a text says to mdvi and not to the environment
_MEMBERS = ("reset", "observe", "step")  # that a class of environments written in JAX has


def accepted(env: Any) -> Any:
    """The name, or the environment, that something given to `mdvi.train` stands for.

    A class, or a function without arguments, stands for what it makes, `mdvi.envs.made(env)`. An environment that
    `gymnasium.make` made stands for its id and its arguments, as their text where they have one, such as
    `FrozenLake-v1:is_slippery=false`; where wrappers were put around it that can be made again, for all of these.

    Raises:
        ValueError: for anything that members could not have environments of their own from, saying what to give.

    Examples:
        >>> import gymnasium
        >>> accepted(gymnasium.make("FrozenLake-v1", is_slippery=False))
        'FrozenLake-v1:is_slippery=false'
    """
    if isinstance(env, type):
        if all(hasattr(env, name) for name in _MEMBERS):
            raise ValueError(f"env: expected an environment, got the class {env.__name__} itself; make one of it")
        return made(env)
    if isinstance(env, str | Environment | Hosted):
        return env
    if hasattr(env, "single_action_space"):
        raise ValueError(
            f"env: {type(env).__name__} is a vector that is made already, and has no environments for every member; "
            "pass a function of their number: mdvi.envs.vectored(lambda count: …)"
        )
    if hasattr(env, "action_space"):
        return _again(env)
    if callable(env):
        return made(env)
    if type(env).__name__ == "FiniteMDP":
        raise ValueError("env: a FiniteMDP is a model; mdvi.envs.FiniteEnvironment(model) makes an environment of it")
    raise ValueError(
        "env: expected a name, a class or a function that makes Gymnasium environments, an environment of "
        f"gymnasium.make, a `mdvi.envs.Environment` or a `mdvi.envs.Hosted`, got {type(env).__name__}"
    )


def _again(env: Any) -> Any:
    """What makes environments like one that is made already.

    Raises:
        ValueError: where its specification is missing, or does not tell how to make a wrapper.
    """
    spec, name = getattr(env, "spec", None), type(getattr(env, "unwrapped", env)).__name__
    advice = f"pass what makes one, mdvi.envs.made(lambda: {name}(…)), since every member needs one of its own"
    if spec is None:
        raise ValueError(f"env: this {name} was not made by gymnasium.make, which would tell how; {advice}")
    for wrapper in spec.additional_wrappers:
        if wrapper.kwargs is None:
            raise ValueError(f"env: the wrapper {wrapper.name} does not record how it was made; {advice}")
    spec = copy.deepcopy(spec)
    shown = spec.kwargs.pop("render_mode", None)
    text = _text_of(spec)
    if text is not None:
        return text
    options = {"render_mode": shown} if shown == "rgb_array" else {}  # no windows that show how members learn
    return made(partial(door.library().make, spec, disable_env_checker=True, **options))


def _text_of(spec: Any) -> str | None:
    """The text that names the same environment; None where there is none.

    Atari games that are named are played by the protocol of the paper, and not as `gymnasium.make` makes them.
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
        door.maker(spec.id)  # which refuses functions that do not say what they make
        read = {key: value_of(word) for key, word in map(key_and_value, name_and_options(text)[1])}
    except ValueError:
        return None
    return text if repr(read) == repr(given) else None
