"""Gymnasium environments for tests: two probes, a counting one, and those that misbehave in a way each."""

import contextlib
import os
import pathlib
import subprocess
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text


class Row(gymnasium.Env):
    """Seven states in a row, one-hot, reward 1 a step; the last one ends it, or somebody stops looking."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = Discrete(1)

    def __init__(self, end="terminated", render_mode=None, steps=7):
        self.end, self.render_mode, self.steps, self.place = end, render_mode, steps, 0
        self.observation_space = Box(0, 1, (steps if end == "terminated" else 1,), np.float32)

    def look(self):
        obs = np.zeros(self.observation_space.shape, np.float32)
        if self.end != "terminated" or self.place < self.steps:
            obs[self.place if self.end == "terminated" else 0] = 1.0
        return obs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self.look(), {}

    def step(self, action):
        self.place += 1
        over = self.place == self.steps
        return self.look(), 1.0, over and self.end == "terminated", over and self.end == "truncated", {}

    def render(self):
        return np.full((20, 30, 3), self.place, np.uint8)


class Counter(gymnasium.Env):
    """Observes how many steps it has made in this episode and its number; episodes last as long as their number."""

    action_space = Discrete(3, start=5)
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, lasts=(3, 1, 5, 2), cut=()):
        self.lasts, self.cut, self.episode, self.clock, self.taken = lasts, cut, -1, 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.clock = 0
        self.obs = np.array([self.episode, 0.0])
        return self.obs, {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.taken.append(action)
        self.clock += 1
        self.obs[1] = self.clock  # the same array as before
        over = self.clock == self.lasts[self.episode % len(self.lasts)]
        cut = self.episode in self.cut
        return self.obs, 10.0 * self.episode + self.clock, over and not cut, over and cut, {}


class Hostile(gymnasium.Env):
    """Well for some steps, then not; the reset seed tells members apart, and only odd ones misbehave."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, way="raises", after=60, always=False):
        self.way, self.after, self.always, self.clock, self.episode = way, after, always, 0, 0
        self.bad = True if always else None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.bad is None:
            self.bad = seed % 2 == 1
        self.episode = 0
        if self.bad and self.clock >= self.after and self.way == "raises at reset":
            raise RuntimeError("no more")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.clock += 1
        self.episode += 1
        obs, reward, terminated, truncated = np.full(2, 0.1, np.float32), 1.0, self.episode >= 10, False
        if not self.bad or self.clock < self.after:
            return obs, reward, terminated, truncated, {}
        ways = {
            "nan reward": lambda: (obs, float("nan"), terminated, truncated, {}),
            "infinite reward": lambda: (obs, float("inf"), terminated, truncated, {}),
            "nan observation": lambda: (obs * np.nan, reward, terminated, truncated, {}),
            "wrong shape": lambda: (np.zeros(3, np.float32), reward, terminated, truncated, {}),
            "wrong dtype": lambda: (np.array(["a", "b"]), reward, terminated, truncated, {}),
            "wrong flags": lambda: (obs, reward, "no", truncated, {}),
            "no tuple": lambda: None,
            "raises": lambda: 1 / 0,
            "leaves": lambda: (_ for _ in ()).throw(SystemExit(3)),
            "raises at reset": lambda: (obs, reward, True, False, {}),
            "dies": lambda: os._exit(7),
            "hangs": lambda: time.sleep(3600),
            "ends twice": lambda: (obs, reward, True, True, {}),
            "never ends": lambda: (obs, reward, False, False, {}),
            "ends at once": lambda: (obs, reward, True, False, {}),
        }
        return ways[self.way]()


class Shrinking(Hostile):
    """Has fewer actions after a while."""

    def reset(self, *, seed=None, options=None):
        found = super().reset(seed=seed)
        if self.bad and self.clock >= self.after:
            self.action_space = Discrete(1)
        return found


class Odd(Hostile):
    """Lawful, but for one habit."""

    def __init__(self, habit="", where="", **options):
        super().__init__(**options)
        self.habit, self.where, self.child = habit, where, None
        self.bad = False
        if habit == "closes":
            self.child = subprocess.Popen(["sleep", "1234"])
            (pathlib.Path(where) / f"open-{os.getpid()}-{id(self)}").touch()
        if habit == "imports":
            with contextlib.suppress(ModuleNotFoundError):
                import isolated  # of the library: not to be found under this name

                raise AssertionError(isolated.__file__)
        if habit in ("bytes", "fractions"):
            self.observation_space = Box(0, 255, (2,), np.uint8)
        if habit == "cannot be closed":
            self.observation_space = Box(0, 255, (0,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.habit == "imports late":
            import late_import  # noqa: F401  beside this file only
        return self.look(), {}

    def look(self):
        return {"bytes": [3, 200], "fractions": [0.3, 0.9], "huge": [1e300, 0.0]}.get(self.habit, [0.0, 0.1])

    def step(self, action):
        _, reward, terminated, truncated, _ = super().step(action)
        if self.habit == "moves":
            os.chdir("/")
        if self.habit == "pays too much":
            reward = 1e300
        if self.habit == "splits":
            os.fork()
        return self.look(), reward, terminated, truncated, {}

    def close(self):
        if self.habit == "cannot be closed":
            raise SystemExit(5)
        if self.child is not None:
            (pathlib.Path(self.where) / f"closed-{os.getpid()}-{id(self)}").touch()


class Masked(gymnasium.Env):
    """Tells which of its actions are legal, refuses all others, and observes what that depends on."""

    observation_space = Box(0, 100, (2,), np.float32)

    def __init__(self, way="always", after=30, actions=11, start=0, cut=()):
        self.action_space = Discrete(actions, start=start)
        self.way, self.after, self.cut, self.steps, self.episode, self.clock = way, after, cut, 0, -1, 0

    def told(self, over=False):
        legal = allowed(self.clock, self.episode % 5, int(self.action_space.n))
        ways = {
            "always": lambda: legal.astype(np.int8),
            "as a list": lambda: legal.tolist(),
            "sometimes": lambda: legal if self.clock % 2 else None,
            "late": lambda: legal if self.steps >= self.after else None,
            "never": lambda: None,
            "nothing at the end": lambda: legal & (not over),
            "empty at the end": lambda: legal[:0] if over else legal,
            "too short": lambda: legal[:-1] if self.steps >= self.after else legal,
            "a matrix": lambda: legal[None] if self.steps >= self.after else legal,
            "a number": lambda: 1 if self.steps >= self.after else legal,
            "fractions": lambda: legal * (1.0 if self.steps >= self.after else 1),
            "text": lambda: "all" if self.steps >= self.after else legal,
            "twos": lambda: legal * (2 if self.steps >= self.after else 1),
            "nothing": lambda: legal & (self.steps < self.after),
        }
        mask = ways[self.way]()
        sound = isinstance(mask, list) or (mask is not None and np.shape(mask) == legal.shape and np.any(mask))
        self.legal = legal if sound else np.ones_like(legal)
        obs = np.array([self.clock, self.episode % 5], np.float32)
        return obs, {"other": 1} if mask is None else {"action_mask": mask, "other": 1}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.clock = self.episode + 1 if seed is None else seed % 5, 0
        return self.told()

    def step(self, action):
        assert self.legal[action - self.action_space.start], f"action {action} is not legal"
        self.steps, self.clock = self.steps + 1, self.clock + 1
        over = self.clock == 3 + self.episode % 5
        cut = self.episode % 5 in self.cut
        obs, info = self.told(over and not cut)
        return obs, float(action), over and not cut, over and cut, info


def allowed(clock, episode, actions):
    """The legal actions of `Masked`."""
    generator = np.random.default_rng([int(clock), int(episode)])
    legal = generator.random(actions) < 0.4
    legal[generator.integers(actions)] = True
    return legal


class Continuous(Hostile):
    """Its actions are not Discrete."""

    action_space = Box(-1, 1, (2,), np.float32)


class Several(Hostile):
    """Its actions are several at a time."""

    action_space = MultiDiscrete([2, 2])


class Mixed(Hostile):
    """Its observations have a text in them."""

    observation_space = Dict({"a": Box(-1, 1, (2,), np.float32), "b": Text(3)})
