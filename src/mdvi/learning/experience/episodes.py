"""The running episodes of environments on the host, which can be repeated from a seed and the later actions.

An environment is seeded at the beginning of some episodes only, because seeding takes ALE a tenth of a second.
"""

from typing import Any

import numpy as np

from mdvi.envs.host.checked import Step
from mdvi.envs.host.hosted import Source, step
from mdvi.learning.experience.frames import HostReplay

_STRETCH = 10_000  # steps after which the next episode is seeded; at most these and one episode must be repeated
_KEPT = ("returns", "lengths", "numbers")


class Episodes:
    """The environments of several members, and their running episodes.

    Attributes:
        returns: the return so far of the running episode of every environment.
        lengths: the steps so far of the running episode of every environment.
        numbers: the number of seeds that every environment has received.
        actions: one array of the actions of all environments for each step, back to the earliest last seed.
        since: for every environment, the number of entries of `actions` before its last seed.
    """

    def __init__(self, source: Source, seeds: np.ndarray, each: int) -> None:
        """Args: the source of environments, the seed of each member, and the number of environments of each member."""
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
        """Whether a step was requested and its result has not been received yet."""
        return self._worlds is not None and self._worlds.asked

    @property
    def counts(self) -> np.ndarray:
        """For every environment, the number of steps since its last seed, which a resumed run must repeat."""
        return len(self.actions) - self.since

    def open(self, replay: HostReplay, alive: np.ndarray) -> Step | None:
        """Make the environments, each in its running episode if that can be repeated, otherwise in a new episode.

        An episode that the repetition does not reproduce is lost. Vector environments that cannot begin one episode
        alone lose all running episodes.

        Returns:
            The beginnings of new episodes, if there are any.
        """
        self._worlds = self.source.worlds(len(self.seeds), self.each)
        new = np.ones_like(alive)
        if self.numbers.any() and self._worlds.repeats:
            new = alive & ~self._repeated(replay, alive)
        return self._begin(new, new) if new.any() else None

    def send(self, actions: Any, alive: np.ndarray) -> None:
        """Request a step of every environment in `alive`; environments in other processes then run concurrently."""
        self._order = actions, alive
        self._worlds.send(actions, alive)

    def recv(self, following: Any = None) -> tuple[np.ndarray, Step]:
        """The actions of the requested step and its result; a step with the actions `following` may then be requested.

        `asked` says whether it was.
        """
        told, (actions, alive) = self._worlds.recv(following), self._order
        if self.asked:
            self._order = following, alive
        return np.asarray(actions).reshape(-1), told._replace(real=told.real & alive, began=told.began & alive)

    def count(self, actions: np.ndarray, told: Step) -> tuple[list[tuple[int, float, int]], Step | None]:
        """Add a step to the running episodes.

        Returns:
            The environment, return and length of every episode that ended; the beginnings of the next episodes, unless
            the environments have begun them by themselves.
        """
        self.returns += np.where(told.real, told.reward, 0.0)
        self.lengths += told.real
        if self._worlds.repeats:
            self.actions.append(actions)
            idle = ~(told.real | told.began)  # all other environments made a step or began an episode
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
        """Close the environments."""
        if self._worlds is not None:
            self._worlds.close()
            self._worlds = None

    def save(self) -> dict[str, np.ndarray]:
        """The arrays that `restore` needs."""
        arrays = {f"episodes.{name}": getattr(self, name) for name in _KEPT}
        arrays["episodes.counts"] = self.counts
        table = np.reshape(self.actions, (-1, len(self.since))).astype(np.int32)
        past = [table[start:, i] for i, start in enumerate(self.since)]
        return arrays | {"episodes.actions": np.concatenate(past)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore the state from the arrays of `save`.

        Raises:
            ValueError: if the number of actions differs from the number of steps.
        """
        for name in _KEPT:
            getattr(self, name)[:] = arrays[f"episodes.{name}"]
        counts = arrays["episodes.counts"]
        if (counts < 0).any() or counts.sum() != len(arrays["episodes.actions"]):
            raise ValueError(
                f"the running episodes have {counts.sum()} steps and {len(arrays['episodes.actions'])} actions"
            )
        steps = int(counts.max())
        table, self.since = np.zeros((steps, len(counts)), np.int32), steps - counts
        for i, past in enumerate(np.split(arrays["episodes.actions"], np.cumsum(counts)[:-1])):
            table[self.since[i] :, i] = past
        self.actions = list(table)

    def _begin(self, who: np.ndarray, seeded: np.ndarray) -> Step:
        """Begin new episodes in the environments `who`; the environments `seeded` get a new seed."""
        self.returns[who], self.lengths[who] = 0.0, 0
        self.numbers += seeded
        self.since[seeded] = len(self.actions)
        if old := int(self.since.min()):
            del self.actions[:old]
            self.since -= old
        return self._worlds.reset(self._last_seeds(seeded), who)

    def _last_seeds(self, who: np.ndarray) -> np.ndarray:
        """The last seed of each environment in `who`, and −1, which means no seed, for all others.

        It derives from the seed of the member, the number of the environment and the number of its seeds so far.
        """
        seeds = np.full(len(who), -1, np.int64)
        for i in np.flatnonzero(who):
            source = [int(self.seeds[i // self.each]), int(i % self.each), int(self.numbers[i])]
            seeds[i] = np.random.SeedSequence(source).generate_state(1)[0] >> 1
        return seeds

    def _repeated(self, replay: HostReplay, alive: np.ndarray) -> np.ndarray:
        """Repeat the steps since the last seeds; return which environments reach the frame they had stopped at."""
        known, everybody, streams = alive.copy(), np.ones_like(alive), np.arange(len(alive))
        counts = self.counts
        seeds = self._last_seeds(everybody)
        self._worlds.reset(seeds, everybody)
        last = np.zeros((len(known), *replay.frames.shape[2:]), replay.frames.dtype)
        for left in range(int(counts.max(initial=0)), -1, -1):  # steps that remain to be repeated
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
