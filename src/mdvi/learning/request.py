"""What is asked for when agents are trained: one model for the arguments of `train`, config.json and studies."""

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mdvi.checks import whole
from mdvi.learning.settings import Settings, preset_of, refusal
from mdvi.words import did_you_mean

NUMBERS = (
    *("learning_rate", "learning_rate_steps", "epsilon", "epsilon_steps", "lowest", "double", "sampled"),
    "every_action",
)
_ELSEWHERE = {
    "lr": "learning_rate",
    "batch_size": "batch",
    "buffer_size": "replay",
    "learning_starts": "warmup",
    "train_freq": "update_period",
    "target_update_interval": "target_period",
    "tau": "entropy",
    "net_arch": "hidden",
    "num_envs": "environments",
    "n_envs": "environments",
    "max_grad_norm": "clip_gradients",
}  # what other libraries call them
DISCOUNT = "the discount is a number of the environment, as in CartPole-v1:discount=0.99"
EXPLORATION = ("epsilon", "epsilon_steps")
_LEAST, _LARGEST = (float(number) for number in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
_MOST = 100_000  # members of one run
Grid = float | Sequence[float] | None
_HUGE = 1e300  # of a number in a file


class Cell(NamedTuple):
    """The numbers of one member; None for those of its agent."""

    kl: float | None
    beta: float | None
    entropy: float | None
    learning_rate: float | None
    seed: int


AXES = tuple(name for name in Cell._fields if name != "seed")  # the numbers that a grid is made of


class Arguments(TypedDict, total=False):
    """The arguments of `train` that say what is trained, as they are typed; see `Request` and `Settings`."""

    kl: Grid
    entropy: Grid
    beta: Grid
    learning_rate: Grid
    evaluate_kl: bool | None
    evaluate_entropy: bool | None
    seeds: int | Sequence[int]
    steps: int | None
    preset: str | None
    width: int | None
    hidden: Sequence[int]
    torso: Literal["none", "minatar", "nature"]
    normalize: bool
    environments: int
    update_period: int
    target_period: int
    replay: int
    warmup: int
    batch: int
    replay_on_disk: bool
    n_step: int
    optimizer: Literal["adam", "rmsprop"]
    optimizer_epsilon: float
    clip_gradients: float
    polyak: float
    loss: Literal["squared", "huber"]
    log_period: int
    evaluation_period: int
    evaluation_episodes: int
    stop_at: float | None
    diagnostics: bool
    learning_rate_steps: float
    epsilon: float
    epsilon_steps: float
    lowest: float
    double: bool
    sampled: bool
    every_action: bool


class Request(BaseModel):
    """What is asked for.

    Attributes:
        env: the name of the environment, or what an environment that is an object is told apart by.
        agent: the name of the agent.
        kl: λ, one or several; None for the agent's own.
        entropy: τ, likewise.
        beta: β = λ/(λ + τ) instead of λ; of an agent at κ = 0, its β.
        learning_rate: likewise; None for the preset's.
        evaluate_kl: whether the evaluation subtracts λ KL; None for as the agent has it.
        evaluate_entropy: whether it adds τ H, likewise.
        seeds: what everything random of a member comes from.
        steps: environment steps of each member.
        preset: sizes and numbers to start from; None for the environment's own.
        width: members that share a call; None for as many as suit.
        start: a digest of the networks that members start from; None for random networks.
        settings: changes of the preset: fields of `Settings`, and `NUMBERS` of the agent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    env: str
    agent: str
    kl: list[float] | None
    entropy: list[float] | None
    beta: list[float] | None
    learning_rate: list[float] | None
    evaluate_kl: bool | None
    evaluate_entropy: bool | None
    seeds: list[int]
    steps: int
    preset: str | None
    width: int | None
    settings: dict[str, Any]
    start: str | None = None

    @classmethod
    def of(cls, env: str, agent: str, /, **arguments: Unpack[Arguments]) -> "Request":
        """The request that the arguments of `train` stand for.

        Raises:
            ValueError: if an argument is invalid; the message names it.
        """
        if not isinstance(agent, str):
            raise ValueError(f"agent: expected a name, got {agent!r}")
        given: dict[str, Any] = dict(arguments)
        steps, preset = given.pop("steps", None), given.pop("preset", None)
        steps = preset_of(preset or "small", env).steps if steps is None else steps
        axes: dict[str, Any] = {name: _listed(name, given.pop(name, None)) for name in AXES}
        try:
            return cls(
                env=env,
                agent=agent,
                **axes,
                evaluate_kl=_switch(given.pop("evaluate_kl", None)),
                evaluate_entropy=_switch(given.pop("evaluate_entropy", None)),
                seeds=_seeds(given.pop("seeds", 1)),
                steps=whole("steps", steps),
                preset=preset or None,
                width=None if (width := given.pop("width", None)) is None else whole("width", width),
                settings={name: _plain(value) for name, value in given.items()},
            )
        except ValidationError as error:
            raise ValueError(refusal(error)) from None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Request":
        """The request in the content of config.json; what else is there is about the run.

        Raises:
            ValueError: when a field is missing or of the wrong kind.
        """
        try:
            found = cls(**{name: content[name] for name in cls.model_fields if name in content})
        except ValidationError as error:
            raise ValueError(f"{error.errors()[0]['loc'][0]} is missing or of the wrong kind") from None
        for name, value in found:
            if isinstance(value, list) and not all(-_HUGE < number < _HUGE for number in value):
                raise ValueError(f"{name} is missing or of the wrong kind")
        return found

    @property
    def content(self) -> dict[str, Any]:
        """The request as plain values: the content of config.json."""
        return {"version": version("mdvi"), **dict(self)}

    def explored(self, steps: int | None = None) -> "Request":
        """The request with the default exploration, where neither a preset nor ε is named; see `explored`.

        Args:
            steps: those that a run was made for, where it has been made longer since.
        """
        return self.model_copy(update={"settings": explored(self.settings, self.preset, steps or self.steps)})


_FIRST = frozenset(Request.model_fields) - {"start"}  # the fields that requests of version 0.1.0 have


def identifying(content: Mapping[str, Any], fields: Mapping[str, Any] = Request.model_fields) -> dict[str, Any]:
    """What tells a request from others, of what config.json holds.

    A field that came after version 0.1.0 is left out where it has its default, so that it renames no earlier run.

    Args:
        content: of config.json.
        fields: those of `Request`, with their defaults.
    """
    later = {name: field.default for name, field in fields.items() if name not in _FIRST}
    return {name: value for name, value in content.items() if name not in later or value != later[name]}


def explored(settings: dict[str, Any], preset: str | None, steps: int) -> dict[str, Any]:
    """Settings with the default exploration, where neither a preset nor ε is named.

    The probability of a random action falls from 1 over the first tenth of the steps: a reward that is far away is
    never seen by a policy that hardly ever tries anything. Presets keep theirs, and so do runs of version 0.1.0, where
    this default was not resolved.
    """
    if preset or not settings.keys().isdisjoint(EXPLORATION):
        return settings
    return settings | {"epsilon_steps": max(1, steps // 10)}


def check_settings(names: Iterable[str]) -> None:
    """Whether these are settings.

    Raises:
        ValueError: for the first that is none, suggesting the nearest.
    """
    for name in names:
        if name not in Settings.model_fields and name not in NUMBERS:
            if name in ("gamma", "discount"):
                raise ValueError(f"unknown setting {name!r}; {DISCOUNT}")
            other = setting_called(name)
            known = [*Settings.model_fields, *NUMBERS]
            hint = f"; did you mean {other!r}?" if other else did_you_mean(name, known)
            raise ValueError(f"unknown setting {name!r}{hint}")


def setting_called(name: str) -> str | None:
    """The setting of that name, or the one that other libraries call so; None where there is none."""
    return name if name in Settings.model_fields or name in NUMBERS else _ELSEWHERE.get(name)


def _seeds(seeds: Any) -> list[int]:
    """Which seeds, from how many or from a list."""
    if isinstance(seeds, int | float | np.integer):
        if not (count := whole("seeds", seeds)):
            raise ValueError("seeds: expected at least one, got 0")
        seeds = range(count)
    if isinstance(seeds, range):
        check_count(seeds.stop - seeds.start)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"seeds: expected how many, or a list of them, got {seeds!r}")
    return [whole("seeds", seed) for seed in seeds]


def check_count(members: int) -> None:
    """Whether one run takes so many members."""
    if members > _MOST:
        raise ValueError(f"{members} members are asked for, and one run takes {_MOST} at most")


def _listed(name: str, value: Any) -> list[float] | None:
    """One number or several, all of which single precision can tell from 0 and from infinity."""
    if value is None:
        return None
    numbers = np.asarray(value)
    if numbers.ndim > 1 or not numbers.size or numbers.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected a number or several, got {value!r}")
    found = [float(number) for number in np.atleast_1d(numbers)]
    for number in found:
        if number and math.isfinite(number) and not _LEAST <= abs(number) <= _LARGEST:
            raise ValueError(f"{name}: expected 0, or {_LEAST:.2g} to {_LARGEST:.2g} in size, got {number}")
    return found


def _switch(value: Any) -> Any:
    """A switch as Python has it, where it is one of NumPy's, 0 or 1."""
    return bool(value) if isinstance(value, np.bool_ | int) and value in (0, 1) else value


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return list(value) if isinstance(value, tuple) else value
