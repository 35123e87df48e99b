"""What a study would cost, before anything is trained."""

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

_SHARE = 0.5  # of the speed of a large matrix product that large networks reach
_LOSS = 300e-6  # seconds for an iteration of the curves of Figure 1 on one Garnet
_UPDATE, _STEP = 150e-6, 15e-6  # seconds that a gradient step and an environment step take beside the arithmetic


class Plan(NamedTuple):
    """What a study would cost.

    Attributes:
        groups: for each program its env, agent and evaluation, runs, steps, and of each run `flops` and `bytes`; the
            `seconds` of all its runs on this machine, within a factor of two or three.
        totals: runs, flops of them, bytes of the largest run, and the seconds of all, Figure 1 among it.
    """

    groups: list[dict[str, Any]]
    totals: dict[str, float]


def plan_of(study: Study, own: Collection[str] = ()) -> Plan:
    """What a study would cost.

    Args:
        study: what is wanted.
        own: environments of the study that may be any code, named as there.

    Raises:
        ValueError: for what cannot be trained, naming it.
    """
    for name in study.environments():
        check_named_by_file(name, own)
    rate, groups = _rate(), []
    figure = 0.0 if study.figure1 is None else _LOSS * study.figure1.garnets * study.figure1.iterations
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
        "seconds": sum(group["seconds"] for group in groups) + figure,
    }
    return Plan(groups, totals)


def _cost(runs: list[Run], rate: float) -> tuple[float, float, float]:
    """Floating-point operations, bytes and seconds of each run of a group; every cell of it is looked at."""
    env = environment_of(runs[0].env)
    cells = [run.cell for run in runs]
    population_with(runs[0].request, cells, env, memory=float("inf"))  # all of them can be meant
    population, _ = population_with(runs[0].request, cells[:1], env, memory=float("inf"))
    settings, agent = population.settings, population.agents[0]
    learner, _ = jax.eval_shape(lambda: learning.start(settings, env, agent, 0))
    look, count = env.observation, settings.batch
    seen, numbers = _shape((count, *look.shape), look.dtype), _shape((count,), np.float32)  # nothing so large is made
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
    """An array that is only spoken of."""
    struct: Any = jax.ShapeDtypeStruct
    return struct(shape, dtype)


def _flops(function: Any, *shapes: Any) -> float:
    """Floating-point operations by XLA's own count."""
    found: Any = jax.jit(function).lower(*shapes).cost_analysis()
    return float((found or {}).get("flops", 0.0))


def _rate() -> float:
    """Floating-point operations a second of a matrix product, here and now."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(1024, 1024)), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 0.2:
        product(a).block_until_ready()
        count += 1
    return 2 * 1024**3 * count / (time.perf_counter() - start)
