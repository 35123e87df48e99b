"""A request for training: one data model for the arguments of `train`, for config.json and for studies."""

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
_HUGE = 1e300  # bound on the size of a number in a file


class Cell(NamedTuple):
    """The numbers of one member; None stands for the default of its agent."""

    kl: float | None
    beta: float | None
    entropy: float | None
    learning_rate: float | None
    seed: int


AXES = tuple(name for name in Cell._fields if name != "seed")  # the numbers that a grid is made of


class Arguments(TypedDict, total=False):
    """The arguments of `train` that describe what is trained, with their types; see `Request` and `Settings`."""

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
    """A request for training.

    Attributes:
        env: the name of the environment; for an environment object, its fingerprint.
        agent: the name of the agent; for an `Entry` of your own, its fingerprint.
        kl: λ, one value or several; None for the agent's default.
        entropy: τ, likewise.
        beta: β = λ/(λ + τ) instead of λ; for an agent with κ = 0, its β.
        learning_rate: one value or several; None for the learning rate of the preset.
        evaluate_kl: whether the evaluation subtracts λ KL; None for the agent's default.
        evaluate_entropy: whether the evaluation adds τ H, likewise.
        seeds: one seed for each member of a cell; all random numbers of the member derive from it.
        steps: environment steps of each member.
        preset: sizes and numbers to start from; None for the default preset of the environment.
        width: members that share a compiled call; None for the default of the device.
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
        """The request that the arguments of `train` describe.

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
        """The request in the content of config.json; other entries, which describe the run, are ignored.

        Raises:
            ValueError: if a field is missing or of the wrong kind.
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
        """The request with the default exploration if it names neither a preset nor ε; see `explored`.

        Args:
            steps: the steps that the run was made for, if it has been extended since.
        """
        return self.model_copy(update={"settings": explored(self.settings, self.preset, steps or self.steps)})


_FIRST = frozenset(Request.model_fields) - {"start"}  # the fields that requests of version 0.1.0 have


def identifying(content: Mapping[str, Any], fields: Mapping[str, Any] = Request.model_fields) -> dict[str, Any]:
    """The entries of config.json that identify a request.

    A field that was added after version 0.1.0 is left out if it has its default, so that the digests of earlier runs
    do not change.

    Args:
        content: the content of config.json.
        fields: the fields of `Request`, with their defaults.
    """
    later = {name: field.default for name, field in fields.items() if name not in _FIRST}
    return {name: value for name, value in content.items() if name not in later or value != later[name]}


def explored(settings: dict[str, Any], preset: str | None, steps: int) -> dict[str, Any]:
    """Settings with the default exploration, if neither a preset nor ε is named.

    The probability of a random action falls from 1 over the first tenth of the steps: a policy that hardly ever
    explores never reaches a distant reward. A preset keeps its own exploration, and so does a run of version 0.1.0,
    which did not store this default.
    """
    if preset or not settings.keys().isdisjoint(EXPLORATION):
        return settings
    return settings | {"epsilon_steps": max(1, steps // 10)}


def check_settings(names: Iterable[str]) -> None:
    """Check that all names are names of settings.

    Raises:
        ValueError: for the first unknown name; the message suggests the nearest one.
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
    """The list of seeds, from their number or from a list."""
    if isinstance(seeds, int | float | np.integer):
        if not (count := whole("seeds", seeds)):
            raise ValueError("seeds: expected at least one, got 0")
        seeds = range(count)
    if isinstance(seeds, range):
        check_count(seeds.stop - seeds.start)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"seeds: expected a number of seeds, or a list of seeds, got {seeds!r}")
    return [whole("seeds", seed) for seed in seeds]


def check_count(members: int) -> None:
    """Check that one run can have this many members."""
    if members > _MOST:
        raise ValueError(f"expected at most {_MOST} members in one run, got {members}; use several runs")


def _listed(name: str, value: Any) -> list[float] | None:
    """A list of one number or several; each is 0 or a normal number in single precision."""
    if value is None:
        return None
    numbers = np.asarray(value)
    if numbers.ndim > 1 or not numbers.size or numbers.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected a number or a list of numbers, got {value!r}")
    found = [float(number) for number in np.atleast_1d(numbers)]
    for number in found:
        if number and math.isfinite(number) and not _LEAST <= abs(number) <= _LARGEST:
            raise ValueError(f"{name}: expected 0, or {_LEAST:.2g} to {_LARGEST:.2g} in size, got {number}")
    return found


def _switch(value: Any) -> Any:
    """A Boolean of Python if the value is a Boolean of NumPy, 0 or 1; any other value unchanged."""
    return bool(value) if isinstance(value, np.bool_ | int) and value in (0, 1) else value


def _plain(value: Any) -> Any:
    """A setting as a value that JSON can hold."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return list(value) if isinstance(value, tuple) else value
