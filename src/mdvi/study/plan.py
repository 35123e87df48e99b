"""The estimated cost of a study, before training."""

import json
import time
from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvi.envs.names import check_named_by_file, environment_of
from mdvi.learning.arrange import population_with
from mdvi.learning.experience.base import Batch
from mdvi.learning.training import learner as learning
from mdvi.study.spec import Run, Study

_SHARE = 0.5  # the speed of large networks as a share of the speed of a large matrix product
_LOSS = 20e-6  # seconds for an iteration of a scheme on one Garnet, with the loss of its policy
_UPDATE, _STEP = 150e-6, 15e-6  # overhead in seconds of a gradient step and of an environment step


class Plan(NamedTuple):
    """The estimated cost of a study.

    Attributes:
        groups: for each program its `env`, `agent`, `evaluation`, `runs` and `steps`, the `flops` and `bytes` of each
            run, and the `seconds` of all its runs on this machine, within a factor of two or three.
        totals: the number of runs, the flops of all runs, the bytes of the largest run, and the seconds of all runs and
            of the experiments.
    """

    groups: list[dict[str, Any]]
    totals: dict[str, float]


def plan_of(study: Study, own: Collection[str] = ()) -> Plan:
    """Estimate the cost of a study.

    Args:
        study: the study.
        own: environments of the study that may execute any code, by their names in the study.

    Raises:
        ValueError: if a run cannot be trained; the message has the reason.
    """
    for name in study.environments():
        check_named_by_file(name, own)
    rate, groups = _rate(), []
    tables = sum(_LOSS * asked.schemes * asked.garnets * asked.iterations for asked in study.experiments)
    for runs in study.groups():
        flops, size, seconds = _cost(runs, rate)
        first = runs[0]
        groups.append({
            "env": first.env, "agent": first.agent, "evaluation": first.evaluation, "runs": len(runs),
            "steps": first.steps, "settings": json.loads(first.settings), "flops": flops, "bytes": size,
            "seconds": seconds * len(runs),
        })  # fmt: skip
    totals = {
        "runs": len(study.runs),
        "flops": float(sum(group["flops"] * group["runs"] for group in groups)),
        "bytes": max((group["bytes"] for group in groups), default=0.0),
        "seconds": sum(group["seconds"] for group in groups) + tables,
    }
    return Plan(groups, totals)


def _cost(runs: list[Run], rate: float) -> tuple[float, float, float]:
    """Floating-point operations, bytes and seconds of each run of a group; checks the numbers of every cell."""
    env = environment_of(runs[0].env)
    cells = [run.cell for run in runs]
    population_with(runs[0].request, cells, env, memory=float("inf"))  # raises for invalid numbers
    population, _ = population_with(runs[0].request, cells[:1], env, memory=float("inf"))
    settings, agent = population.settings, population.agents[0]
    learner, _ = jax.eval_shape(lambda: learning.start(settings, env, agent, 0))
    look, count = env.observation, settings.batch
    seen, numbers = _shape((count, *look.shape), look.dtype), _shape((count,), np.float32)  # without allocation
    batch = Batch(seen, _shape((count,), np.int32), numbers, numbers, seen)
    learned = _flops(lambda learner, batch: learning.learn(settings, env, agent, learner, batch, batch), learner, batch)
    acted = _flops(
        lambda networks, obs: agent.act(networks, obs, env.legal(obs), jax.random.key(0), 0.1),
        learner.online,
        _shape((1, *look.shape), look.dtype),
    )
    updates = max(0, runs[0].steps - settings.warmup) / settings.update_period
    flops = updates * learned + runs[0].steps * acted
    seconds = flops / (_SHARE * rate) + (updates * _UPDATE + runs[0].steps * _STEP) / getattr(population, "workers", 1)
    return flops, population.bytes_needed, seconds


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    """The shape and dtype of an array, without an allocation."""
    struct: Any = jax.ShapeDtypeStruct
    return struct(shape, dtype)


def _flops(function: Any, *shapes: Any) -> float:
    """Floating-point operations as counted by XLA."""
    found: Any = jax.jit(function).lower(*shapes).cost_analysis()
    return float((found or {}).get("flops", 0.0))


def _rate() -> float:
    """The measured floating-point operations per second of a matrix product on this machine."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(1024, 1024)), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 0.2:
        product(a).block_until_ready()
        count += 1
    return 2 * 1024**3 * count / (time.perf_counter() - start)
