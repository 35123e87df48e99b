"""The members that a request asks for, and the columns that identify them in their lines of metrics."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from mdvi.checks import check_positive
from mdvi.envs.base import Interface
from mdvi.learning.agents import catalogue
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.catalogue import Entry
from mdvi.learning.pictures import check_seen, preset_for, remark_on
from mdvi.learning.request import AXES, EXPLORATION, NUMBERS, Cell, Request, check_count, check_settings
from mdvi.learning.runs.driver import Driver, Room
from mdvi.learning.settings import Settings, changed, preset_of
from mdvi.learning.start import Start, for_members
from mdvi.learning.training import learner
from mdvi.learning.training.drivers import driver_of


def population_of(
    request: Request,
    env: Interface,
    workers: int | None = None,
    memory: float | None = None,
    out: Any = None,
    agent: Entry | None = None,
    start: Start | None = None,
) -> tuple[Driver, list[dict[str, Any]]]:
    """The members that a request asks for, and the columns that identify each of them in its lines of metrics.

    Args:
        request: the request.
        env: the environment that the request names.
        workers: the number of compiled calls that run at a time.
        memory: bytes that may be used.
        out: the folder of the run.
        agent: the agent, if the request does not name one of the catalogue.
        start: the networks of another run that members start from.
    """
    axes = {name: getattr(request, name) or [None] for name in AXES}
    axes["seeds"] = seeds = request.seeds
    if not seeds or any(seed != int(seed) or not 0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"seeds: expected at least one, all whole and in 0…2³² − 1, got {str(seeds)[:60]}")
    for name, values in axes.items():
        if len(set(values)) < len(values):  # duplicates would be counted as independent runs
            raise ValueError(f"{name}: {Counter(values).most_common(1)[0][0]:g} is listed twice")
    check_count(math.prod(map(len, axes.values())))
    cells = [Cell(*numbers) for numbers in itertools.product(*axes.values())]
    return population_with(request, cells, env, workers, memory, out, agent, start)


@functools.lru_cache(4096)
def numbers_of(agent: str, kl: float | None, entropy: float | None, beta: float | None) -> tuple[float, float, float]:
    """λ, τ and β of an agent by name; a number that is None has the default of the agent.

    Raises:
        ValueError: for an unknown agent, or numbers that the agent does not take.
    """
    scheme = catalogue.find(agent).agent(kl, entropy, beta).scheme
    return catalogue.decimal(scheme.kl), catalogue.decimal(scheme.entropy), catalogue.decimal(scheme.beta)


def population_with(
    request: Request,
    cells: Sequence[Cell],
    env: Interface,
    workers: int | None = None,
    memory: float | None = None,
    out: Any = None,
    agent: Entry | None = None,
    start: Start | None = None,
) -> tuple[Driver, list[dict[str, Any]]]:
    """`population_of` with the numbers and seeds of these cells instead of the grid of the request."""
    entry = catalogue.find(agent or request.agent)
    settings, numbers = _settings(request, env)
    rate = numbers.pop("learning_rate")
    switches = {"evaluate_kl": request.evaluate_kl, "evaluate_entropy": request.evaluate_entropy}
    members: list[tuple[Agent, int]] = []
    columns: list[dict[str, Any]] = []
    for cell in cells:
        numbers["learning_rate"] = rate if cell.learning_rate is None else cell.learning_rate
        check_positive(learning_rate=numbers["learning_rate"])
        one = entry.agent(cell.kl, cell.entropy, cell.beta, **switches, **numbers)
        members.append((one, cell.seed))
        columns.append({
            "member": len(columns),
            "seed": cell.seed,
            "kl": catalogue.decimal(one.scheme.kl),
            "entropy": catalogue.decimal(one.scheme.entropy),
            "beta": catalogue.decimal(one.scheme.beta),
            "learning_rate": float(numbers["learning_rate"]),
        })  # fmt: skip
    if not 1 <= request.steps <= 2**30:  # counters have 32 bits
        raise ValueError(f"steps: expected 1 to 2^30, got {request.steps}")
    room = Room(request.width, workers, memory, Path(out) if out else None)
    networks = None
    if start is not None:
        like = jax.eval_shape(lambda: learner.start(settings, env, members[0][0], 0)[0].online)
        networks = for_members(start, len(members), like)
    driver = driver_of(env).arranged(settings, env, members, request.steps, room, networks)
    if line := remark_on(env, settings.torso, "torso" in request.settings):
        driver.log.remarks.append(line)
    return driver, columns


def _settings(request: Request, env: Interface) -> tuple[Settings, dict[str, Any]]:
    """The settings of the request (its preset with its changes), and the numbers of the agent."""
    given = request.settings
    base, numbers, _ = preset_of(request.preset or preset_for(env), request.env)
    check_settings(given)
    settings = changed(base, {name: value for name, value in given.items() if name in Settings.model_fields})
    check_seen(env, settings.torso, bool(request.preset) or "torso" in given)
    numbers = numbers | {name: _checked(name, value) for name, value in given.items() if name in NUMBERS}
    if numbers.get("lowest", 0.0) > 0:
        raise ValueError(f"lowest: expected at most 0, since it bounds κ log π ≤ 0; got {numbers['lowest']}")
    for name in (*EXPLORATION, "learning_rate_steps"):
        if not 0 <= numbers.get(name, 0) <= (1 if name == "epsilon" else float("inf")):
            allowed = "a number in [0, 1]" if name == "epsilon" else "a number of at least 0"
            raise ValueError(f"{name}: expected {allowed}, got {numbers[name]}")
    return settings, numbers


def _checked(name: str, value: Any) -> Any:
    """The value of a setting, if a switch is a Boolean and a number is a number other than NaN."""
    switch = name in ("double", "sampled", "every_action")
    if isinstance(value, bool) != switch or not (switch or isinstance(value, int | float)) or value != value:
        raise ValueError(f"{name}: expected {'true or false' if switch else 'a number'}, got {value!r}")
    return value if switch else float(value)
