"""The share of the time of a study of 320 small runs that is spent inside compiled training.

    some core    the share of the wall clock during which at least one core is inside a compiled call of training
    all cores    the share of the time of all cores together

The remaining time is compilation, lines of metrics, checkpoints and the store.
"""

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path

import jax

from mdvi.learning.training import population
from mdvi.study.execute import execute
from mdvi.study.spec import read

TEXT = """
title = "320 small runs"
env = "CartPole-v1"
preset = "small"
steps = {steps}
seeds = 5
settings = {{ hidden = [32, 32] }}
[[grid]]
agent = ["md-direct", "md-indirect"]
evaluation = ["w/", "w/o"]
beta = [0.1, 0.5, 0.9, 0.99]
entropy = [0.01, 0.1, 1.0, 10.0]
"""
Spans = list[tuple[float, float]]


def timed(spans: Spans, inner):
    """A wrapper of a call that waits for its results and records when it ran."""

    @functools.wraps(inner)
    def call(*arguments):
        start = time.perf_counter()
        found = jax.block_until_ready(inner(*arguments))
        spans.append((start, time.perf_counter()))
        return found

    return call


def covered(spans: Spans) -> float:
    """The seconds during which at least one call ran."""
    total = end = 0.0
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of a run (default 40 000)")
    steps = parser.parse_args().steps
    calls: Spans = []
    compiling: Spans = []

    def heard(name: str, seconds: float, **_: object) -> None:
        if name.startswith("/jax/core/compile/"):  # tracing, lowering, compiling
            compiling.append((time.perf_counter() - seconds, time.perf_counter()))

    jax.monitoring.register_event_duration_secs_listener(heard)
    population._init, population._chunk = timed(calls, population._init), timed(calls, population._chunk)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.toml"
        file.write_text(TEXT.format(steps=steps))
        study, start = read(file), time.perf_counter()
        execute(study, Path(folder) / "out")
        wall = time.perf_counter() - start
    # compilation happens inside the first calls, while nothing else is trained
    compiled, cores = covered(compiling), os.cpu_count() or 1
    some = covered(calls) - compiled
    every = sum(stop - start for start, stop in calls) - compiled
    print(
        f"{len(study.runs)} runs of {steps} steps on {cores} cores: {wall:.1f} s, of which compilation {compiled:.1f} s"
    )
    print(f"inside compiled training: some core {some / wall:.3f}, all cores {every / cores / wall:.3f}")


if __name__ == "__main__":
    main()
