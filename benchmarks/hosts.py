"""Environments on the host: how much of their raw speed is left when agents act, store and learn in them.

    lunarlander   sixteen members with the small network, against a `SyncVectorEnv` of sixteen under random actions
    atari         Breakout: ALE's vector of eight under random actions; the driver without and with gradient steps

Raw rate and ours are measured in turns, three times, in one process; rates are environment steps a second of all
members together. Time of the driver is accounted: stepping environments, acting (the call waits for the actions),
storing, drawing minibatches, and waiting for the gradient step before handing over the next.
"""

import argparse
import csv
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

from mdvi import envs
from mdvi.deep import host, named
from mdvi.deep.host import HostPopulation
from mdvi.deep.settings import changed, preset_of

HEADER = ("what", "ours", "raw", "share of raw", "bar", "env", "act", "store", "draw", "learn", "rest")


class Clock:
    """Seconds spent inside of functions."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def around(self, owner: object, name: str, label: str) -> None:
        """Measure a method or function from now on."""
        inner = getattr(owner, name)
        self.spent[label] = self.spent.get(label, 0.0)

        def timed(*arguments, **options):
            start = time.perf_counter()
            answer = inner(*arguments, **options)
            if label == "act":
                answer = np.asarray(answer)
            self.spent[label] += time.perf_counter() - start
            return answer

        setattr(owner, name, timed)


def driver(settings, env, members, seconds, learning=True, numbers=None):
    """Steps a second of all members, and shares of the time, after a start that compiles."""
    agent = named.find("dqn").agent(**(numbers or {}))
    steps = 2**30 if learning else settings.warmup
    population = HostPopulation(settings, env, [(agent, seed) for seed in range(members)], steps)
    if learning:
        while population.steps < settings.warmup + 8 * settings.update_period:
            population.advance(0.0)
        jax.block_until_ready(population.learner)
    else:
        population.advance(1.0)
    clock, inside = Clock(), (host._act, host._learn)
    clock.around(population.episodes._worlds, "step", "env")
    clock.around(host, "_act", "act")
    clock.around(population.replay, "add", "store")
    clock.around(population.replay, "sample", "draw")
    clock.around(host, "_learn", "learn")
    before, start = population.steps, time.perf_counter()
    while time.perf_counter() - start < seconds and not population.finished:
        population.advance(0.2)
    jax.block_until_ready(population.learner.online)
    took = time.perf_counter() - start
    host._act, host._learn = inside
    rate = (population.steps - before) * members / took
    population.close()
    shares = {label: spent / took for label, spent in clock.spent.items()}
    return rate, shares | {"rest": 1 - sum(shares.values())}


def raw(worlds, count, actions, seconds):
    """Steps a second under random actions."""
    worlds.reset(seed=0)
    generator = np.random.default_rng(0)
    plan = generator.integers(actions, size=(1000, count))
    for row in plan[:50]:
        worlds.step(row)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        worlds.step(plan[steps % 1000])
        steps += 1
    return steps * count / (time.perf_counter() - start)


def lunarlander(rounds, seconds):
    import gymnasium

    settings = changed(preset_of("small", "").settings, {"warmup": 1000})
    env, rows = envs.gymnasium("LunarLander-v3"), []
    for _ in range(rounds):
        vector = gymnasium.vector.SyncVectorEnv([partial(gymnasium.make, "LunarLander-v3")] * 16)
        plain = raw(vector, 16, 4, seconds)
        vector.close()
        rows.append((plain, *driver(settings, env, 16, seconds)))
    yield best("LunarLander-v3, 16 members, 64–64, F = 4", rows, 0.6)


def atari(rounds, seconds):
    env = envs.atari("ALE/Breakout-v5")
    base, numbers, _ = preset_of("atari", "")
    silent = changed(base, {"environments": 8, "update_period": 8, "warmup": 200_000, "replay": 200_000})
    loud = changed(base, {"environments": 8, "update_period": 32, "warmup": 2000, "replay": 20_000})
    kinds = {
        "Breakout, 8 environments, no gradient steps, random actions": (silent, False, numbers | {"epsilon": 1.0}),
        "Breakout, 8 environments, no gradient steps, the network acts": (
            silent,
            False,
            numbers | {"epsilon": 0.1},
        ),
        "Breakout, 8 environments, a gradient step every 32": (loud, True, numbers),
    }
    for name, (settings, learning, given) in kinds.items():
        rows = []
        for _ in range(rounds):
            vector = env.source.vector(8)
            plain = raw(vector, 8, env.actions, seconds)
            vector.close()
            rows.append((plain, *driver(settings, env, 1, seconds, learning, given)))
        yield best(name, rows, 0.95 if "random" in name else None)


def best(name, rows, bar):
    """The turn whose share of the raw rate is in the middle."""
    plain, rate, shares = sorted(rows, key=lambda row: row[1] / row[0])[len(rows) // 2]
    parts = [shares.get(label, 0.0) for label in HEADER[5:]]
    return (name, rate, plain, rate / plain, bar, *parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="lunarlander, atari; default both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("results/hosts.csv"))
    arguments = parser.parse_args()
    print("  ".join(HEADER))
    table = []
    for part in arguments.parts or ("lunarlander", "atari"):
        for row in {"lunarlander": lunarlander, "atari": atari}[part](arguments.rounds, arguments.seconds):
            print("  ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row), flush=True)
            table.append(row)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *table])


if __name__ == "__main__":
    main()
