"""The running episodes of environments on the host, which can be repeated from a seed and the actions since.

An environment is given a seed now and then, at the beginning of an episode: not of every one, because ALE takes a tenth
of a second for it.
"""

from typing import Any

import numpy as np

from mdvi.envs.host.checked import Step
from mdvi.envs.host.hosted import Source, step
from mdvi.learning.experience.frames import HostReplay

_STRETCH = 10_000  # steps after which the next episode gets a seed: what must be repeated at most, and one episode
_KEPT = ("returns", "lengths", "numbers")


class Episodes:
    """Environments of several members and the episodes that run in them.

    Attributes:
        returns: what the running episode of every environment has returned so far.
        lengths: its steps so far.
        numbers: how many seeds it was given.
        actions: those of all environments, an array for each step, as far back as one of them needs.
        since: how many of these came before the last seed of each.
    """

    def __init__(self, source: Source, seeds: np.ndarray, each: int) -> None:
        """Args: where environments come from, the seed of each member, and environments of each."""
        self.source, self.seeds, self.each = source, seeds, each
        count = len(seeds) * each
        self.returns, self.lengths, self.numbers = np.zeros(count), np.zeros(count, int), np.zeros(count, int)
        self.actions, self.since = list[np.ndarray](), np.zeros(count, int)
        self._worlds: Any = None
        self._order: Any = None

    @property
    def running(self) -> bool:
        """Whether the environments are open."""
        return self._worlds is not None

    @property
    def asked(self) -> bool:
        """Whether a step was requested whose result has not been received yet."""
        return self._worlds is not None and self._worlds.asked

    @property
    def counts(self) -> np.ndarray:
        """Steps of each that would have to be repeated."""
        return len(self.actions) - self.since

    def open(self, replay: HostReplay, alive: np.ndarray) -> Step | None:
        """Make the environments, each in the episode that was running, or else in a new one.

        An episode that does not come out as it was is lost, and so are all of vector environments that cannot begin
        one alone.

        Returns:
            The beginnings of new episodes, if there are any.
        """
        self._worlds = self.source.worlds(len(self.seeds), self.each)
        new = np.ones_like(alive)
        if self.numbers.any() and self._worlds.repeats:
            new = alive & ~self._repeated(replay, alive)
        return self._begin(new, new) if new.any() else None

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Ask for a step of every environment that is alive; some go on by themselves from here on."""
        self._order = actions, alive
        self._worlds.send(actions, alive)

    def recv(self, following: Any = None) -> tuple[np.ndarray, Step]:
        """The actions of that step, and what it told; the actions that follow may have been asked for: see `asked`."""
        told, (actions, alive) = self._worlds.recv(following), self._order
        if self.asked:
            self._order = following, alive
        return np.asarray(actions).reshape(-1), told._replace(real=told.real & alive, began=told.began & alive)

    def count(self, actions: np.ndarray, told: Step) -> tuple[list[tuple[int, float, int]], Step | None]:
        """Add a step to the episodes that are running.

        Returns:
            The environment, return and length of every episode that ended; the beginnings of those that follow, where
            the environments have not begun them by themselves.
        """
        self.returns += np.where(told.real, told.reward, 0.0)
        self.lengths += told.real
        if self._worlds.repeats:
            self.actions.append(actions)
            idle = ~(told.real | told.began)  # others have at least begun an episode
            if np.count_nonzero(idle):
                self.since[idle] = len(self.actions)
        over = told.over
        if not np.count_nonzero(over):
            return [], None
        ended = [(int(i), float(self.returns[i]), int(self.lengths[i])) for i in np.flatnonzero(over)]
        self.returns[over], self.lengths[over] = 0.0, 0
        long = over & (self.counts >= _STRETCH)
        begin = long if self._worlds.renews else over
        return ended, self._begin(begin, long) if begin.any() else None

    def close(self) -> None:
        """Let the environments go."""
        if self._worlds is not None:
            self._worlds.close()
            self._worlds = None

    def save(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        arrays = {f"episodes.{name}": getattr(self, name) for name in _KEPT}
        arrays["episodes.counts"] = self.counts
        table = np.reshape(self.actions, (-1, len(self.since))).astype(np.int32)
        past = [table[start:, i] for i, start in enumerate(self.since)]
        return arrays | {"episodes.actions": np.concatenate(past)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up where `save` was called.

        Raises:
            ValueError: when there is not an action for each step that is counted.
        """
        for name in _KEPT:
            getattr(self, name)[:] = arrays[f"episodes.{name}"]
        counts = arrays["episodes.counts"]
        if (counts < 0).any() or counts.sum() != len(arrays["episodes.actions"]):
            raise ValueError("there is not an action for each step of the running episodes")
        steps = int(counts.max())
        table, self.since = np.zeros((steps, len(counts)), np.int32), steps - counts
        for i, past in enumerate(np.split(arrays["episodes.actions"], np.cumsum(counts)[:-1])):
            table[self.since[i] :, i] = past
        self.actions = list(table)

    def _begin(self, who: np.ndarray, seeded: np.ndarray) -> Step:
        """New episodes in the place of those that ran, or had ended, there; some from a new seed."""
        self.returns[who], self.lengths[who] = 0.0, 0
        self.numbers += seeded
        self.since[seeded] = len(self.actions)
        if old := int(self.since.min()):
            del self.actions[:old]
            self.since -= old
        return self._worlds.reset(self._last_seeds(seeded), who)

    def _last_seeds(self, who: np.ndarray) -> np.ndarray:
        """The seeds some were given last: of the member's seed, the environment's place and the seed's number.

        −1, which means none, for the others.
        """
        seeds = np.full(len(who), -1, np.int64)
        for i in np.flatnonzero(who):
            source = [int(self.seeds[i // self.each]), int(i % self.each), int(self.numbers[i])]
            seeds[i] = np.random.SeedSequence(source).generate_state(1)[0] >> 1
        return seeds

    def _repeated(self, replay: HostReplay, alive: np.ndarray) -> np.ndarray:
        """Repeat what came since the last seeds; tell which environments came out at the frame they were left at."""
        known, everybody, streams = alive.copy(), np.ones_like(alive), np.arange(len(alive))
        counts = self.counts
        seeds = self._last_seeds(everybody)
        self._worlds.reset(seeds, everybody)
        last = np.zeros((len(known), *replay.frames.shape[2:]), replay.frames.dtype)
        for left in range(int(counts.max(initial=0)), -1, -1):  # steps until all are where they were
            starts = known & (counts == left)
            if starts.any():
                last[starts] = self._worlds.reset(seeds, starts).fresh[starts]
            going = known & (counts >= left)
            if left:
                told = step(self._worlds, np.where(going, self.actions[-left], 0), going)
                known &= told.real | told.began | ~going
                last[going] = told.fresh[going]
                over = going & told.real & (told.terminated | told.truncated)
                if over.any() and not self._worlds.renews:
                    last[over] = self._worlds.reset(np.full_like(seeds, -1), over).fresh[over]
        wanted = replay.frames[streams, (replay.filmed - 1) % replay.room]
        return known & (last == wanted).reshape(len(known), -1).all(1)
