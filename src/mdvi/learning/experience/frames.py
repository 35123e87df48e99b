"""Uniform replay on the host: every frame is stored once, and stacks of frames are assembled when they are drawn.

The frames of one environment are a stream, which includes the last frame of each episode:

    f₀ f₁ … f_T  f'₀ f'₁ …

A transition has the number i of the frame that its action was chosen on, the action and the reward. The next
observation is frame i + 1, whether or not an episode ended there. A transition continues the previous one if its number
is one more. A stack of n frames reaches back to the first frame of the episode, and is zero before it.

If an environment reports legal actions, one bit for each action is stored with the frame.
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

_SPARE = 1.05  # frames stored for each transition of an image: one more for each episode of at least 20 steps
_TOLD = {"action": np.int32, "reward": np.float32, "terminated": bool, "truncated": bool}
_STEP = np.dtype([("where", np.int64), *_TOLD.items()])


class HostReplay:
    """The last transitions of several streams.

    Attributes:
        frames: shape (streams, room, …).
        age: for each frame, the number of earlier frames of its episode, at most stack − 1.
        steps: the transitions, shape (streams, size): `where`, the number of the frame that the action was chosen on,
            and `action`, `reward`, `terminated`, `truncated`.
        filmed: the number of frames that each stream has ever added.
        taken: the number of transitions that each stream has ever added.
        oldest: the first transition of each stream whose frames were complete at the last draw.
        forbidden: the illegal actions on each frame as bits, shape (streams, room, bytes); None until an environment
            reports legal actions.
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
            streams: the number of environments.
            size: the capacity of each stream in transitions.
            shape: the shape of a frame.
            dtype: the dtype of a frame.
            stack: the number of frames in an observation.
            scratch: a folder for the frames, in a file without a name; default: in memory.
            actions: the number of actions, if the environments may report legal actions.
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
        """Store a step of every stream, and the first frames of new episodes."""
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
        """The latest observation of every stream, shape (streams, …)."""
        return self._stacks(np.arange(len(self.filmed)), self.filmed - 1)

    def latest_legal(self) -> np.ndarray | None:
        """The legal actions on the latest observations, shape (streams, actions); None if never reported."""
        return self._legal(np.arange(len(self.filmed)), self.filmed - 1)

    def first_steps(self, streams: slice, count: int) -> Transition:
        """The oldest transitions of some streams, in chronological order."""
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
            draws: a generator for each member; streams are divided among the members in order.
            batch: transitions for each member.
            n_step: rewards in the sum, up to the end of the episode; see `mdvi.learning.experience.ring`.
            discount: γ.
        """
        self._forget()
        members = len(draws)
        edges = np.maximum(self.taken - self.oldest - (n_step - 1), 0).reshape(members, -1).cumsum(1)
        counts = np.maximum(edges[:, -1], 1)  # a member that failed early has no transitions; its zeros are not used
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
        """The frames and transitions after these counts that are still stored, as arrays for `extend`."""
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
        """Add the arrays of `since`."""
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
        """Store the first frames of new episodes; a running episode stops here without a terminal step."""
        if np.count_nonzero(told.began):
            self._film(told.began.nonzero()[0], told.fresh, 0, told.fresh_legal)

    @staticmethod
    def _rows(start: np.ndarray, end: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """The streams and rows of the entries from `start` to `end` of each stream.

        Raises:
            ValueError: if the number of entries is negative or exceeds the room.
        """
        if ((end < start) | (end - start > room)).any():
            raise ValueError(f"expected 0 to {room} new entries in each stream, got {(end - start).tolist()}")
        streams = np.repeat(np.arange(len(end)), end - start)
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)])
        return streams, numbers % room

    def _film(self, who: np.ndarray, frames: np.ndarray, age: Any, legal: np.ndarray | None) -> None:
        row = self.filmed[who] % self.room
        self.frames[who, row] = frames if len(who) == len(frames) else frames[who]  # avoids a copy
        self.age[who, row] = age
        if legal is not None:
            self._forbid((who, row), np.packbits(~legal[who], axis=-1))
        elif self.forbidden is not None:
            self.forbidden[who, row] = 0
        self.filmed[who] += 1

    def _forbid(self, where: tuple[np.ndarray, np.ndarray], bits: np.ndarray) -> None:
        """Store the illegal actions on some frames; on frames without a report, all actions are legal."""
        if self.forbidden is None:
            self.forbidden = np.zeros((*self.age.shape, -(-self.actions // 8)), np.uint8)
        self.forbidden[where] = bits

    def _forget(self) -> None:
        """Drop the transitions that are overwritten, or whose first frame is."""
        while True:
            first = self.steps["where"][np.arange(len(self.taken)), self.oldest % self.size] - (self.stack - 1)
            stale = (self.oldest < self.taken - self.size) | (
                (self.oldest < self.taken) & (first < self.filmed - self.room)
            )
            if not stale.any():
                return
            self.oldest = np.maximum(self.oldest + stale, self.taken - self.size)

    def _seen(self, stream: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The observations that end with these frames, and the legal actions on them."""
        return self._stacks(stream, frame), self._legal(stream, frame)

    def _legal(self, stream: np.ndarray, frame: np.ndarray) -> np.ndarray | None:
        if self.forbidden is None:
            return None
        bits = self.forbidden.reshape(-1, self.forbidden.shape[-1]).take(stream * self.room + frame % self.room, 0)
        return np.unpackbits(bits, axis=-1, count=self.actions) == 0

    def _stacks(self, stream: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """The observations that end with these frames."""
        frames, start = self.frames.reshape(-1, *self.frames.shape[2:]), stream * self.room
        if self.stack == 1:
            return frames.take(start + frame % self.room, 0)  # several times faster than indexing
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
        OSError: if the file cannot be made; the error has the name of the folder.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Writing to a sparse file on a full disk would kill the process.
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        error.filename = str(folder)
        raise


def no_steps(look: Any, shape: tuple[int, ...], actions: int = 0) -> Transition:
    """Transitions of zeros, with the shape and dtype of the observation `look`, and masks for this many actions."""
    obs, ends = np.zeros((*shape, *look.shape), look.dtype), np.zeros(shape, bool)
    legal = np.zeros((*shape, actions), bool) if actions else None
    return Transition(obs, np.zeros(shape, np.int32), np.zeros(shape, np.float32), ends, ends, obs, legal, legal)


def room_for(size: int, shape: tuple[int, ...]) -> int:
    """The number of frames stored for this many transitions: 5 % more for images, twice as many for vectors.

    If episodes are too short for the spare frames, the oldest transitions are dropped early.
    """
    return int(size * (_SPARE if len(shape) > 1 else 2)) + 16


def replay_bytes(size: int, shape: tuple[int, ...], dtype: Any) -> tuple[int, int]:
    """The bytes of one stream: without its frames, and of its frames."""
    frame = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return room_for(size, shape) + size * _STEP.itemsize, room_for(size, shape) * frame
