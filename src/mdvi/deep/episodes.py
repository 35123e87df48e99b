"""The running episodes of environments on the host: each one can be repeated from its seed and its actions."""

from typing import Any

import numpy as np

from mdvi.deep.host_replay import HostReplay
from mdvi.envs.cells import Step
from mdvi.envs.host import Source

_KEPT = ("returns", "lengths", "numbers")


class Episodes:
    """Environments of several members and the episodes that run in them.

    Attributes:
        returns: what the running episode of every environment has returned so far.
        lengths: its steps so far.
        numbers: how many episodes were begun in it.
        actions: those of the running episode.
    """

    def __init__(self, source: Source, seeds: np.ndarray, each: int) -> None:
        """Args: where environments come from, the seed of each member, and environments of each."""
        self.source, self.seeds, self.each = source, seeds, each
        count = len(seeds) * each
        self.returns, self.lengths, self.numbers = np.zeros(count), np.zeros(count, int), np.zeros(count, int)
        self.actions: list[list[int]] = [[] for _ in range(count)]
        self._worlds: Any = None

    def open(self, replay: HostReplay, alive: np.ndarray) -> Step | None:
        """Make the environments, each in the episode that was running, or else in a new one.

        An episode that does not come out as it was is lost, and so are all of vector environments that begin episodes
        from seeds of their own.

        Returns:
            The beginnings of new episodes, if there are any; None where the environments are open already.
        """
        if self._worlds is not None:
            return None
        self._worlds = self.source.worlds(len(self.seeds), self.each)
        new = np.ones_like(alive)
        if self.numbers.any() and not self._worlds.renews:
            new = alive & ~self._repeated(replay, alive)
        return self._begin(new) if new.any() else None

    def step(self, actions: np.ndarray, alive: np.ndarray) -> tuple[Step, list[tuple[int, float, int]], Step | None]:
        """A step of every environment that is alive.

        Returns:
            What it told; the environment, return and length of every episode that ended; the beginnings of those that
            follow, where the environments have not begun them by themselves.
        """
        told = self._worlds.step(actions, alive)
        told = told._replace(real=told.real & alive, began=told.began & alive)
        self.returns += np.where(told.real, told.reward, 0.0)
        self.lengths += told.real
        for i in np.flatnonzero(told.real).tolist():
            self.actions[i].append(int(actions[i]))
        over = told.real & (told.terminated | told.truncated)
        ended = [(int(i), float(self.returns[i]), int(self.lengths[i])) for i in np.flatnonzero(over)]
        self._forget(over)
        well = over & np.array([not text for text in told.wrong])
        return told, ended, None if self._worlds.renews or not well.any() else self._begin(well)

    def close(self) -> None:
        """Let the environments go."""
        if self._worlds is not None:
            self._worlds.close()
            self._worlds = None

    def save(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        arrays = {f"episodes.{name}": getattr(self, name) for name in _KEPT}
        return arrays | {"episodes.actions": np.array([a for actions in self.actions for a in actions], np.int32)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up where `save` was called."""
        for name in _KEPT:
            getattr(self, name)[:] = arrays[f"episodes.{name}"]
        parts = np.split(arrays["episodes.actions"], np.cumsum(self.lengths)[:-1])
        self.actions = [part.tolist() for part in parts]

    def _begin(self, who: np.ndarray) -> Step:
        """New episodes in the place of those that ran, or had ended, there."""
        self._forget(who)
        self.numbers += who
        return self._worlds.reset(self._running_seeds(who), who)

    def _forget(self, who: np.ndarray) -> None:
        """The episodes of these environments are over."""
        self.returns[who], self.lengths[who] = 0.0, 0
        for i in np.flatnonzero(who).tolist():
            self.actions[i] = []

    def _running_seeds(self, who: np.ndarray) -> np.ndarray:
        """The seeds of some episodes: of the member's seed, the environment's place and the episode's number."""
        seeds = np.zeros(len(who), np.int64)
        for i in np.flatnonzero(who):
            source = [int(self.seeds[i // self.each]), int(i % self.each), int(self.numbers[i])]
            seeds[i] = np.random.SeedSequence(source).generate_state(1)[0] >> 1
        return seeds

    def _repeated(self, replay: HostReplay, alive: np.ndarray) -> np.ndarray:
        """Repeat the running episodes; tell which of them came out at the frame that they were left at."""
        known, everybody, streams = alive.copy(), np.ones_like(alive), np.arange(len(alive))
        seeds = self._running_seeds(everybody)
        self._worlds.reset(seeds, everybody)
        last = np.zeros((len(known), *replay.frames.shape[2:]), replay.frames.dtype)
        for left in range(int(self.lengths.max(initial=0)), -1, -1):  # steps until all are where they were
            starts = known & (self.lengths == left)
            if starts.any():
                last[starts] = self._worlds.reset(seeds, starts).fresh[starts]
            going = known & (self.lengths >= left)
            if left:
                actions = [past[-left] if goes else 0 for past, goes in zip(self.actions, going, strict=True)]
                told = self._worlds.step(np.array(actions, np.int32), going)
                known &= told.real | ~going
                last[going] = told.following[going]
        wanted = replay.frames[streams, (replay.filmed - 1) % replay.room]
        return known & (last == wanted).reshape(len(known), -1).all(1)
