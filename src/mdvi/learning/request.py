"""What is asked for when agents are trained: plain values in, members of a population out."""

import functools
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvi.checks import check_positive
from mdvi.envs.base import Interface
from mdvi.learning.agents import catalogue
from mdvi.learning.agents.agent import Agent
from mdvi.learning.pictures import check_seen, preset_for, remark_on
from mdvi.learning.runs.driver import Driver, Room
from mdvi.learning.settings import Settings, changed, preset_of
from mdvi.learning.training.drivers import driver_of
from mdvi.words import did_you_mean

NUMBERS = ("learning_rate", "epsilon", "epsilon_steps", "lowest", "double", "sampled", "every_action")
EXPLORATION = ("epsilon", "epsilon_steps")
_LEAST, _LARGEST = (float(number) for number in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
_MOST = 100_000  # members of one run
Grid = float | Sequence[float] | None


class Cell(NamedTuple):
    """The numbers of one member; None for those of its agent."""

    kl: float | None
    beta: float | None
    entropy: float | None
    learning_rate: float | None
    seed: int


def configuration(
    env: str,
    agent: str,
    *,
    kl: Grid = None,
    entropy: Grid = None,
    beta: Grid = None,
    learning_rate: Grid = None,
    evaluate_kl: bool | None = None,
    evaluate_entropy: bool | None = None,
    seeds: int | Sequence[int] = 1,
    steps: int | None = None,
    preset: str | None = None,
    width: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """What `train` is asked for, as plain values: the content of config.json. Arguments as there."""
    return {
        "version": version("mdvi"),
        "env": env,
        "agent": agent,
        "kl": _listed("kl", kl),
        "entropy": _listed("entropy", entropy),
        "beta": _listed("beta", beta),
        "learning_rate": _listed("learning_rate", learning_rate),
        "evaluate_kl": evaluate_kl,
        "evaluate_entropy": evaluate_entropy,
        "seeds": _seeds(seeds),
        "steps": _whole("steps", steps if steps is not None else preset_of(preset or "small", env).steps),
        "preset": preset,
        "width": width,
        "settings": {name: _plain(value) for name, value in settings.items()},
    }


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
            raise ValueError(f"unknown setting {name!r}{did_you_mean(name, [*Settings.model_fields, *NUMBERS])}")


def population_of(
    config: dict[str, Any], env: Interface, workers: int | None = None, memory: float | None = None, out: Any = None
) -> tuple[Driver, list[dict[str, Any]]]:
    """The members that a configuration asks for, and the facts that head their lines of metrics."""
    axes = {name: config[name] or [None] for name in ("kl", "beta", "entropy", "learning_rate")}
    axes["seeds"] = seeds = config["seeds"]
    if not seeds or any(seed != int(seed) or not 0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"seeds: expected at least one, all whole and in 0…2³² − 1, got {str(seeds)[:60]}")
    for name, values in axes.items():
        if len(set(values)) < len(values):  # they would pass for independent ones
            raise ValueError(f"{name}: {Counter(values).most_common(1)[0][0]:g} is there twice")
    _check_count(math.prod(map(len, axes.values())))
    cells = [Cell(*numbers) for numbers in itertools.product(*axes.values())]
    return population_with(config, cells, env, workers, memory, out)


@functools.lru_cache(4096)
def numbers_of(agent: str, kl: float | None, entropy: float | None, beta: float | None) -> tuple[float, float, float]:
    """λ, τ and β of an agent by name, from what is given of them.

    Raises:
        ValueError: for an unknown agent, or numbers that it does not take.
    """
    scheme = catalogue.find(agent).agent(kl, entropy, beta).scheme
    return catalogue.decimal(scheme.kl), catalogue.decimal(scheme.entropy), catalogue.decimal(scheme.beta)


def population_with(
    config: dict[str, Any],
    cells: Sequence[Cell],
    env: Interface,
    workers: int | None = None,
    memory: float | None = None,
    out: Any = None,
) -> tuple[Driver, list[dict[str, Any]]]:
    """The same with these numbers and seeds instead of those of the configuration."""
    entry = catalogue.find(config["agent"])
    settings, numbers = _settings(config, env)
    rate = numbers.pop("learning_rate")
    switches = {name: config[name] for name in ("evaluate_kl", "evaluate_entropy")}
    members: list[tuple[Agent, int]] = []
    columns: list[dict[str, Any]] = []
    for cell in cells:
        numbers["learning_rate"] = rate if cell.learning_rate is None else cell.learning_rate
        check_positive(learning_rate=numbers["learning_rate"])
        agent = entry.agent(cell.kl, cell.entropy, cell.beta, **switches, **numbers)
        members.append((agent, cell.seed))
        columns.append({
            "member": len(columns),
            "seed": cell.seed,
            "kl": catalogue.decimal(agent.scheme.kl),
            "entropy": catalogue.decimal(agent.scheme.entropy),
            "beta": catalogue.decimal(agent.scheme.beta),
            "learning_rate": float(numbers["learning_rate"]),
        })  # fmt: skip
    if not 1 <= config["steps"] <= 2**30:  # counters have 32 bits
        raise ValueError(f"steps: expected 1 to 2^30, got {config['steps']}")
    room = Room(config["width"], workers, memory, Path(out or tempfile.gettempdir()))
    driver = driver_of(env).arranged(settings, env, members, config["steps"], room)
    if line := remark_on(env, settings.torso, "torso" in config["settings"]):
        driver.ledger.remarks.append(line)
    return driver, columns


def _settings(config: dict[str, Any], env: Interface) -> tuple[Settings, dict[str, Any]]:
    """A preset with changes, and the numbers of the agent."""
    given = config["settings"]
    base, numbers, _ = preset_of(config["preset"] or preset_for(env), config["env"])
    check_settings(given)
    settings = changed(base, {name: value for name, value in given.items() if name in Settings.model_fields})
    check_seen(env, settings.torso, bool(config["preset"]) or "torso" in given)
    numbers = numbers | {name: _checked(name, value) for name, value in given.items() if name in NUMBERS}
    if numbers.get("lowest", 0.0) > 0:
        raise ValueError(f"lowest: bounds κ log π, which is at most 0, from below; got {numbers['lowest']}")
    for name in EXPLORATION:
        if not 0 <= numbers.get(name, 0) <= (1 if name == "epsilon" else float("inf")):
            raise ValueError(f"{name}: out of range, got {numbers[name]}")
    return settings, numbers


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int | float | np.integer) or value % 1 != 0 or value < 0:
        raise ValueError(f"{name}: expected a whole number, got {value!r}")
    return int(value)


def _seeds(seeds: Any) -> list[int]:
    """Which seeds, from how many or from a list."""
    if isinstance(seeds, int | float | np.integer):
        seeds = range(_whole("seeds", seeds))
    if isinstance(seeds, range):
        _check_count(seeds.stop - seeds.start)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"seeds: expected how many, or a list of them, got {seeds!r}")
    return [_whole("seeds", seed) for seed in seeds]


def _check_count(members: int) -> None:
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


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return list(value) if isinstance(value, tuple) else value


def _checked(name: str, value: Any) -> Any:
    """A switch that is one, or a number that is one."""
    switch = name in ("double", "sampled", "every_action")
    if isinstance(value, bool) != switch or not (switch or isinstance(value, int | float)) or value != value:
        raise ValueError(f"{name}: expected {'true or false' if switch else 'a number'}, got {value!r}")
    return value if switch else float(value)
