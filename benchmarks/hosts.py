"""Environments on the host: the share of their raw speed that remains when agents act, store and learn in them.

    lunarlander   sixteen members with the small network, against a `SyncVectorEnv` of sixteen under random actions
    atari         Breakout: the vector of ALE under random actions; the driver without and with gradient steps

The raw rate and the rate of mdvi are measured in one process, in many short turns. Rates are environment steps per
second of all members together; the table also has the tenth and ninetieth percentile of their ratio over the turns. The
time of the driver is split into stepping environments, acting (the call waits for the actions), storing, drawing
minibatches, and waiting for the gradient step before starting the next one.
"""

import argparse
import csv
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

from mdvi import envs
from mdvi.learning.acting import numpy_acting
from mdvi.learning.agents import catalogue
from mdvi.learning.settings import changed, preset_of
from mdvi.learning.training import vmapped
from mdvi.learning.training.host import HostPopulation

HEADER = ("what", "ours", "raw", "share of raw", "10 %", "90 %", "bar", "env", "act", "store", "draw", "learn", "rest")


class Clock:
    """Seconds spent inside functions; a call inside a measured call belongs to the outer call."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.running = False

    def around(self, owner: object, name: str, label: str) -> None:
        """Measure a method or function from now on."""
        inner = getattr(owner, name)
        self.spent[label] = self.spent.get(label, 0.0)

        def timed(*arguments, **options):
            if self.running:
                return inner(*arguments, **options)
            self.running, start = True, time.perf_counter()
            answer = inner(*arguments, **options)
            if label == "act":
                answer = np.asarray(answer)
            self.spent[label] += time.perf_counter() - start
            self.running = False
            return answer

        setattr(owner, name, timed)


class Raw:
    """A vector environment under random actions."""

    def __init__(self, worlds, count, actions):
        self.worlds, self.count, self.moment = worlds, count, 0
        self.plan = np.random.default_rng(0).integers(actions, size=(1000, count))
        worlds.reset(seed=0)
        self.go(1.0)

    def go(self, seconds):
        """The number of steps in this many seconds."""
        before, deadline = self.moment, time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            self.worlds.step(self.plan[self.moment % 1000])
            self.moment += 1
        return (self.moment - before) * self.count


class Driver:
    """Agents in training in their own environments, after a start that compiles."""

    def __init__(self, settings, env, members, numbers=None):
        agent = catalogue.find("dqn").agent(**(numbers or {}))
        self.population = HostPopulation(settings, env, [(agent, seed) for seed in range(members)], 2**30)
        while self.population.steps < settings.warmup + 500 * settings.environments:
            self.population.advance(0.0)
        self.clock, self._inside = Clock(), (numpy_acting.act, vmapped.act, vmapped.learn)
        worlds, replay = self.population.episodes._worlds, self.population.replay
        for owner, name, label in (
            (worlds, "send", "env"), (worlds, "recv", "env"), (worlds, "reset", "env"),
            (numpy_acting, "act", "act"), (vmapped, "act", "act"),
            (replay, "add", "store"), (replay, "sample", "draw"), (vmapped, "learn", "learn"),
        ):  # fmt: skip
            self.clock.around(owner, name, label)

    def go(self, seconds):
        """The number of steps of all members in about this many seconds."""
        before = self.population.done
        self.population.advance(seconds)
        jax.block_until_ready(self.population.learner.online)
        return self.population.done - before

    def close(self):
        """Close the environments."""
        numpy_acting.act, vmapped.act, vmapped.learn = self._inside
        self.population.close()


def lunarlander(rounds, seconds):
    import gymnasium

    settings = changed(preset_of("small", "").settings, {"warmup": 1000})
    env = envs.gymnasium("LunarLander-v3")
    vector = gymnasium.vector.SyncVectorEnv([partial(gymnasium.make, "LunarLander-v3")] * 16)
    what = "LunarLander-v3, 16 members, 64–64, F = 4"
    yield in_turns(what, Raw(vector, 16, 4), Driver(settings, env, 16), 0.6, rounds, seconds)


def atari(rounds, seconds):
    """The Breakout benchmark; without gradient steps, the first one would be due after 2²⁴ steps.

    The replay is small, so that it is soon full, as in a long run. A vector of few environments waits for the core on
    which the driver runs: with eight environments on two cores, one environment is a quarter of the work of a core.
    """
    env = envs.atari("ALE/Breakout-v5")
    base, numbers, _ = preset_of("atari", "")
    never = {"update_period": 2**24, "target_period": 2**24}
    for count, what, sizes, given, bar in (
        *((count, "no gradient steps, random actions", never, {"epsilon": 1.0}, 0.95) for count in (8, 16, 32, 64)),
        (8, "no gradient steps, the network acts", never, {"epsilon": 0.1}, None),
        (8, "a gradient step every 32", {"update_period": 32}, {}, None),
    ):
        settings = changed(base, sizes | {"environments": count, "warmup": 250 * count, "replay": 1000 * count})
        ours = Driver(settings, env, 1, numbers | given)
        raw = Raw(env.source.vector(count), count, env.actions)
        yield in_turns(f"Breakout, {count} environments, {what}", raw, ours, bar, rounds, seconds)


def in_turns(what, raw, ours, bar, rounds, seconds):
    """Measure both in short turns, because the speed of a shared machine changes from second to second."""
    steps, took = np.zeros((rounds, 2)), np.zeros((rounds, 2))
    for turn in range(rounds):
        for column, one in enumerate((raw, ours)):
            start = time.perf_counter()
            steps[turn, column] = one.go(seconds)
            took[turn, column] = time.perf_counter() - start
    raw.worlds.close()
    ours.close()
    plain, rate = steps.sum(0) / took.sum(0)
    low, high = np.percentile((steps / took)[:, 1] / (steps / took)[:, 0], [10, 90])
    shares = {label: spent / took[:, 1].sum() for label, spent in ours.clock.spent.items()}
    shares["rest"] = 1 - sum(shares.values())
    return (what, rate, plain, rate / plain, low, high, bar, *(shares.get(label, 0.0) for label in HEADER[7:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="lunarlander, atari; default both")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0)
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
