"""Uniform replay on the host: every frame is kept once, and the stacks that agents see are put together when drawn.

The frames of one environment are a stream, the last one of an episode among them, the first one of the next after it:

    f₀ f₁ … f_T  f'₀ f'₁ …

A transition is the number i of the frame it was chosen on, with what was done and paid; what followed is frame i + 1,
whether or not an episode ended there. Of two transitions in a row the second goes on from the first if its number is
one more. A stack of n frames reaches back to the first frame of the episode, and is zero before.

Where an environment tells which actions are legal, a bit for each action is kept beside the frame it was told with.
"""

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvi.envs.base import Transition
from mdvi.envs.host.checked import Step
from mdvi.envs.host.hosted import stacked
from mdvi.learning.experience.base import Batch

_SPARE = 1.05  # frames kept for each transition of an image: one more for each episode of at least 20 steps
_TOLD = {"action": np.int32, "reward": np.float32, "terminated": bool, "truncated": bool}
_STEP = np.dtype([("where", np.int64), *_TOLD.items()])


class HostReplay:
    """The last transitions of several streams.

    Attributes:
        frames: shape (streams, room, …), and how many frames of its episode come before each, at most stack − 1: `age`.
        steps: the transitions, shape (streams, size): the number of the frame each was chosen on as `where`, beside it
            `action`, `reward`, `terminated`, `truncated`.
        filmed: frames ever seen by each stream.
        taken: transitions ever made by each.
        oldest: the first transition that was still whole when some were drawn last.
        forbidden: the actions that are illegal on each frame, bits of bytes, shape (streams, room, bytes); None until
            some are told.
    """

    def __init__(
        self,
        streams: int,
        size: int,
        shape: tuple[int, ...],
        dtype: Any,
        stack: int,
        scratch: Path | None = None,
        actions: int = 0,
    ) -> None:
        """An empty replay.

        Args:
            streams: environments.
            size: transitions of each that are kept.
            shape: of a frame.
            dtype: of a frame.
            stack: frames that make an observation.
            scratch: a folder to keep the frames in, in a file without a name; default in memory.
            actions: how many there are, where it may be told which are legal.
        """
        self.stack, self.size, self.actions = stack, size, actions
        self.room = room_for(size, shape)
        where = (streams, self.room, *shape)
        if scratch is None:
            self.frames: Any = np.zeros(where, dtype)
        else:
            self.frames = _on_disk(scratch, where, dtype)
        self.age = np.zeros((streams, self.room), np.uint8)
        self.steps = np.zeros((streams, size), _STEP)
        self.filmed, self.taken, self.oldest = (np.zeros(streams, np.int64) for _ in range(3))
        self.forbidden: np.ndarray | None = None

    def add(self, actions: np.ndarray, reward: np.ndarray, told: Step) -> None:
        """Store a step of every stream, and the first frames of the episodes that began."""
        who = told.real.nonzero()[0]
        latest = self.filmed[who] - 1
        made = np.empty(len(who), _STEP)
        made["where"], made["action"], made["reward"] = latest, actions[who], reward[who]
        made["terminated"], made["truncated"] = told.terminated[who], told.truncated[who]
        self.steps[who, self.taken[who] % self.size] = made
        self.taken[who] += 1
        age = np.minimum(self.age[who, latest % self.room] + 1, self.stack - 1)
        self._film(who, told.following, age, told.legal)
        self.begin(told)

    def latest(self) -> np.ndarray:
        """What every stream would be acted on, shape (streams, …)."""
        return self._stacks(np.arange(len(self.filmed)), self.filmed - 1)

    def latest_legal(self) -> np.ndarray | None:
        """The actions that are legal there, shape (streams, actions); None where it was never told."""
        return self._legal(np.arange(len(self.filmed)), self.filmed - 1)

    def first_steps(self, streams: slice, count: int) -> Transition:
        """The oldest transitions of some streams, in the order they were made."""
        self._forget()
        found = []
        for one in range(*streams.indices(len(self.taken))):
            numbers = np.arange(self.oldest[one], self.taken[one])[:count]
            found.append((np.full_like(numbers, one), numbers))
        stream, number = (np.concatenate(parts)[:count] for parts in zip(*found, strict=True))
        made = self.steps[stream, number % self.size]
        (obs, legal), (following, next_legal) = (self._seen(stream, made["where"] + i) for i in (0, 1))
        told = {name: made[name] for name in _TOLD}
        return Transition(obs=obs, next_obs=following, legal=legal, next_legal=next_legal, **told)

    def sample(self, draws: Sequence[np.random.Generator], batch: int, n_step: int, discount: float) -> Batch:
        """A minibatch for every member, uniform with replacement over all sequences of n steps in its streams.

        Args:
            draws: a generator for each member; streams are divided among them in order.
            batch: transitions for each.
            n_step: rewards that are summed, up to the end of the episode; see `mdvi.learning.experience.ring`.
            discount: γ.
        """
        self._forget()
        members = len(draws)
        edges = np.maximum(self.taken - self.oldest - (n_step - 1), 0).reshape(members, -1).cumsum(1)
        counts = np.maximum(edges[:, -1], 1)  # a member that failed early has none, and nobody learns from its zeros
        chosen = np.stack([draw.integers(count, size=batch) for draw, count in zip(draws, counts, strict=True)])
        stream = np.arange(members)[:, None]
        if (each := edges.shape[1]) > 1:
            place = np.minimum((chosen[:, :, None] >= edges[:, None, :]).sum(-1), each - 1)
            before = np.take_along_axis(edges, np.maximum(place - 1, 0), 1)
            stream, chosen = stream * each + place, chosen - np.where(place > 0, before, 0)
        number = self.oldest[stream] + chosen
        steps, start = self.steps.reshape(-1), stream * self.size
        made = first = steps.take(start + number % self.size)
        last = frame = first["where"]
        returns, ended = first["reward"], first["terminated"]
        remaining = np.where(ended, np.float32(0.0), np.float32(discount))
        going = np.ones(chosen.shape, bool)
        for i in range(1, n_step):
            going = going & ~(made["terminated"] | made["truncated"])
            made = steps.take(start + (number + i) % self.size)
            going = going & (made["where"] == frame + i)
            ended = made["terminated"]
            returns = returns + np.where(going, np.float32(discount**i) * made["reward"], np.float32(0.0))
            remaining = np.where(going, np.where(ended, 0.0, discount ** (i + 1)), remaining)
            last = last + going
        (obs, legal), (following, next_legal) = self._seen(stream, frame), self._seen(stream, last + 1)
        return Batch(obs, first["action"], returns, remaining.astype(np.float32), following, legal, next_legal)

    def since(self, filmed: np.ndarray, taken: np.ndarray) -> dict[str, np.ndarray]:
        """What came after these counts and is still there, as arrays for `extend`."""
        frames = self._rows(np.maximum(filmed, self.filmed - self.room), self.filmed, self.room)
        steps = self._rows(np.maximum(taken, self.taken - self.size), self.taken, self.size)
        arrays = {name: getattr(self, name)[frames] for name in ("frames", "age")}
        if self.forbidden is not None:
            arrays["forbidden"] = self.forbidden[frames]
        made = self.steps[steps]
        arrays |= {name: made[name] for name in ("where", *_TOLD)}
        for name, (streams, _), end in (("filmed", frames, self.filmed), ("taken", steps, self.taken)):
            counts = np.bincount(streams, minlength=len(end))
            arrays[name] = np.stack([end - counts, end])
        return arrays

    def extend(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what `since` gave."""
        frames = self._rows(arrays["filmed"][0], arrays["filmed"][1], self.room)
        steps = self._rows(arrays["taken"][0], arrays["taken"][1], self.size)
        for name in ("frames", "age"):
            getattr(self, name)[frames] = arrays[name]
        if "forbidden" in arrays:
            self._forbid(frames, arrays["forbidden"])
        for name in ("where", *_TOLD):
            self.steps[name][steps] = arrays[name]
        self.filmed, self.taken = arrays["filmed"][1].copy(), arrays["taken"][1].copy()

    def begin(self, told: Step) -> None:
        """The first frames of episodes, also where another one was running, which ends here without an end."""
        if np.count_nonzero(told.began):
            self._film(told.began.nonzero()[0], told.fresh, 0, told.fresh_legal)

    @staticmethod
    def _rows(start: np.ndarray, end: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Streams and rows of the entries from start to end of each.

        Raises:
            ValueError: for more entries than there is room for, or fewer than none.
        """
        if ((end < start) | (end - start > room)).any():
            raise ValueError(f"expected 0 to {room} new entries of each stream, got {(end - start).tolist()}")
        streams = np.repeat(np.arange(len(end)), end - start)
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)])
        return streams, numbers % room

    def _film(self, who: np.ndarray, frames: np.ndarray, age: Any, legal: np.ndarray | None) -> None:
        row = self.filmed[who] % self.room
        self.frames[who, row] = frames if len(who) == len(frames) else frames[who]  # a copy less
        self.age[who, row] = age
        if legal is not None:
            self._forbid((who, row), np.packbits(~legal[who], axis=-1))
        elif self.forbidden is not None:
            self.forbidden[who, row] = 0
        self.filmed[who] += 1

    def _forbid(self, where: tuple[np.ndarray, np.ndarray], bits: np.ndarray) -> None:
        """Note which actions are illegal on some frames; on all others, unless it was told, none is."""
        if self.forbidden is None:
            self.forbidden = np.zeros((*self.age.shape, -(-self.actions // 8)), np.uint8)
        self.forbidden[where] = bits

    def _forget(self) -> None:
        """Transitions leave when they, or the first frame they need, are overwritten."""
        while True:
            first = self.steps["where"][np.arange(len(self.taken)), self.oldest % self.size] - (self.stack - 1)
            stale = (self.oldest < self.taken - self.size) | (
                (self.oldest < self.taken) & (first < self.filmed - self.room)
            )
            if not stale.any():
                return
            self.oldest = np.maximum(self.oldest + stale, self.taken - self.size)

    def _seen(self, stream: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Observations that end with these frames, and the actions that are legal on them."""
        return self._stacks(stream, frame), self._legal(stream, frame)

    def _legal(self, stream: np.ndarray, frame: np.ndarray) -> np.ndarray | None:
        if self.forbidden is None:
            return None
        bits = self.forbidden.reshape(-1, self.forbidden.shape[-1]).take(stream * self.room + frame % self.room, 0)
        return np.unpackbits(bits, axis=-1, count=self.actions) == 0

    def _stacks(self, stream: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Observations that end with these frames."""
        frames, start = self.frames.reshape(-1, *self.frames.shape[2:]), stream * self.room
        if self.stack == 1:
            return frames.take(start + frame % self.room, 0)  # several times faster than [...]
        age = self.age.take(start + frame % self.room)
        parts = []
        for back in reversed(range(self.stack)):
            part = frames.take(start + (frame - back) % self.room, 0)
            part[age < back] = 0
            parts.append(part)
        return np.stack(parts, -1).reshape(*age.shape, *stacked(self.frames.shape[2:], self.stack))


def _on_disk(folder: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros in a file without a name.

    Raises:
        OSError: naming the folder.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # A file with holes would end the process at the write for which the disk has no room.
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        error.filename = str(folder)
        raise


def no_steps(look: Any, shape: tuple[int, ...], actions: int = 0) -> Transition:
    """Transitions of zeros, of observations that look like this, with so many actions of which it is told."""
    obs, ends = np.zeros((*shape, *look.shape), look.dtype), np.zeros(shape, bool)
    legal = np.zeros((*shape, actions), bool) if actions else None
    return Transition(obs, np.zeros(shape, np.int32), np.zeros(shape, np.float32), ends, ends, obs, legal, legal)


def room_for(size: int, shape: tuple[int, ...]) -> int:
    """Frames kept for so many transitions: of images few more, of a handful of numbers twice as many.

    Where episodes are shorter than the spare frames allow, the oldest transitions leave early.
    """
    return int(size * (_SPARE if len(shape) > 1 else 2)) + 16


def replay_bytes(size: int, shape: tuple[int, ...], dtype: Any) -> tuple[int, int]:
    """What one stream takes: beside its frames, and for them."""
    frame = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return room_for(size, shape) + size * _STEP.itemsize, room_for(size, shape) * frame
