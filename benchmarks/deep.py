"""Deep agents against their peers: the same work, one contestant after the other, each in a separate process.

The first benchmark is DQN on CartPole: network 120–84, minibatches of 128, one gradient step for ten environment steps,
a replay of 10⁴, 5·10⁵ environment steps. Compilation is not timed. The second is the floating-point rate of a
population of eight with the paper's network, against one large matrix product. The third is a grid of 5 × 5 × 4 small
runs against one such run.

    make deep SIZE=full           builds an environment with rejax and Stable-Baselines3, then prints the table
    python benchmarks/deep.py --quick | --full   [--out FILE]

Rounds alternate between the contestants, and the best round of each counts, because the speed of the machine varies.
"""

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdvi.learning.settings import Settings
    from mdvi.learning.training.population import Population


def ours(steps: int, seeds: int) -> float:
    """Environment steps per second of all seeds together."""
    return _timed(_population("dqn", "speed", steps, seeds=range(seeds)))


def rejax(steps: int, seeds: int) -> float:
    import jax
    from flax import linen as nn
    from rejax import DQN
    from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy

    algorithm = DQN.create(
        env="CartPole-v1", num_envs=10, total_timesteps=steps, eval_freq=steps, buffer_size=10_000, fill_buffer=1000,
        batch_size=128, learning_rate=2.5e-4, num_epochs=1, target_update_freq=500, skip_initial_evaluation=True,
        ddqn=False,
    )  # fmt: skip
    network = EpsilonGreedyPolicy(DiscreteQNetwork)(hidden_layer_sizes=(120, 84), action_dim=2, activation=nn.relu)
    algorithm = algorithm.replace(agent=network)
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    keys, train = (keys, jax.vmap(DQN.train, (None, 0))) if seeds > 1 else (keys[0], DQN.train)
    compiled = jax.jit(train).lower(algorithm, keys).compile()
    start = time.perf_counter()
    jax.block_until_ready(compiled(algorithm, keys))
    return steps * seeds / (time.perf_counter() - start)


def sb3(steps: int, seeds: int) -> float:
    import gymnasium
    from stable_baselines3 import DQN

    agent = DQN(
        "MlpPolicy", gymnasium.make("CartPole-v1"), learning_rate=2.5e-4, buffer_size=10_000, learning_starts=1000,
        batch_size=128, train_freq=10, gradient_steps=1, target_update_interval=500, device="cpu",
        policy_kwargs={"net_arch": [120, 84]}, seed=0,
    )  # fmt: skip
    start = time.perf_counter()
    agent.learn(steps)
    return steps / (time.perf_counter() - start)


def gemm(size: int, repeats: int) -> float:
    """Floating-point operations per second of one f32 matrix product; the best of several measurements."""
    import jax
    import numpy as np

    x = jax.device_put(np.random.default_rng(0).normal(size=(size, size)).astype(np.float32))
    product = jax.jit(lambda a, b: a @ b)
    jax.block_until_ready(product(x, x))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(product(x, x))
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def paper_rate(steps: int, seeds: int) -> float:
    """Floating-point operations per second of DQN with the paper's network; only matrix products count."""
    population = _population("dqn", "paper", steps, seeds=range(seeds))
    return _timed(population) * _operations(population.settings)


def grid_rate(steps: int, seeds: int) -> float:
    """Environment steps per second of a grid of 5 × 5 cells with this many seeds; for 0 seeds, of one run."""
    betas, entropies = (0.1, 0.3, 0.5, 0.7, 0.9), (0.01, 0.03, 0.1, 0.3, 1.0)
    cells = {"beta": betas, "entropy": entropies} if seeds else {"beta": 0.9, "entropy": 0.1}
    return _timed(_population("md-direct", "small", steps, **cells, seeds=range(max(seeds, 1))))


def _population(agent: str, preset: str, steps: int, **request: object) -> "Population":
    """The population that `mdvi.train` would train on CartPole."""
    from mdvi.envs.names import environment_of
    from mdvi.learning.arrange import population_of
    from mdvi.learning.request import Request

    config = Request.of("CartPole-v1", agent, preset=preset, steps=steps, **request)
    return population_of(config, environment_of("CartPole-v1"))[0]


def _timed(population: "Population") -> float:
    """Environment steps per second after the compilation of all programs."""
    while not all(group.chunks for group in population.groups[:2]):
        population.advance(0.0)
    before, start = population.done, time.perf_counter()
    while not population.finished:
        population.advance(1.0)
    seconds = time.perf_counter() - start
    settings = population.settings
    return (population.done - before) * settings.chunk * settings.target_period * population.width / seconds


def _operations(settings: "Settings") -> float:
    """Operations per environment step: two forward and one backward pass of a minibatch, and a forward pass to act."""
    widths = (4, *settings.hidden, 2)
    layers = [2 * i * o for i, o in itertools.pairwise(widths)]
    forward = sum(layers)
    update = settings.batch * (2 * forward + forward + forward - layers[0])
    return update / settings.update_period + forward


CONTESTANTS = {f.__name__: f for f in (ours, rejax, sb3, gemm, paper_rate, grid_rate)}


def ask(name: str, *numbers: int) -> float:
    """The figure of a contestant in a separate process; NaN if it fails, with the reason on stderr."""
    command = [sys.executable, __file__, "--contestant", name, *map(str, numbers)]
    with tempfile.TemporaryDirectory() as scratch:  # Stable-Baselines3 creates a folder in the working directory
        environment = os.environ | {"TMPDIR": scratch}
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode:
        print(f"{name}: {answer.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return float("nan")
    return json.loads(answer.stdout.strip().splitlines()[-1])


def compare(full: bool) -> list[tuple[str, float, float, float, str]]:
    """The lines of the table: benchmark, our figure, the figure of the peer, ratio, required ratio."""
    steps, rounds = (500_000, 3) if full else (100_000, 1)
    best: dict[tuple, float] = {}
    tasks = [
        ("ours", steps, 1), ("rejax", steps, 1), ("ours", steps, 10), ("rejax", steps, 10),
        ("sb3", min(steps, 100_000), 1),
        ("gemm", 2048, 10), ("paper_rate", 20_000 if full else 6_000, 8),
        ("grid_rate", 20_000 if full else 8_000, 0), ("grid_rate", 20_000 if full else 8_000, 4),
    ]  # fmt: skip
    for round_ in range(rounds):
        for task in tasks:
            figure = ask(*task)
            print(f"round {round_ + 1}: {' '.join(map(str, task))}: {figure:.4g}", file=sys.stderr, flush=True)
            key = task[0], task[2]
            best[key] = max(best.get(key, 0.0), figure)
    pairs = [
        ("W1, one seed, against rejax", ("ours", 1), ("rejax", 1), "≥ 1.5"),
        ("W1, ten seeds, against rejax", ("ours", 10), ("rejax", 10), "≥ 1.2"),
        ("W1, one seed, against Stable-Baselines3", ("ours", 1), ("sb3", 1), "≥ 8"),
        ("512–512, eight seeds, FLOP/s against GEMM", ("paper_rate", 8), ("gemm", 10), "≥ 0.6"),
        ("5 × 5 × 4 grid against one run, steps/s", ("grid_rate", 4), ("grid_rate", 0), "≥ 1/1.3"),
    ]
    return [(what, best[one], best[other], best[one] / best[other], bar) for what, one, other, bar in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--contestant", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("results/deep.csv"))
    arguments = parser.parse_args()
    if arguments.contestant:
        name, *numbers = arguments.contestant
        print(json.dumps(CONTESTANTS[name](*map(int, numbers))))
        return
    rows = compare(arguments.full)
    for what, one, other, ratio, bar in rows:
        print(f"{what:<45} {one:>10.4g} {other:>10.4g} {ratio:>7.2f}  ({bar})")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("what", "figure", "against", "ratio", "bar"), *rows])


if __name__ == "__main__":
    main()
