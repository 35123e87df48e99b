"""A population: seeds × (λ, τ) × learning rates, trained side by side by one compiled program.

Members that share a call are vmapped. On a processor, calls run on as many threads as there are cores, and the
arithmetic of a member does not depend on other members. Members that do not fit into memory wait until others finish.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdvi.envs.base import Environment
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.learning.exact import exact_loss
from mdvi.learning.runs.checkpoint import flatten, unflatten
from mdvi.learning.runs.driver import Members, Room
from mdvi.learning.runs.member_log import MemberLog, Row
from mdvi.learning.settings import Settings
from mdvi.learning.training import learner, loop
from mdvi.learning.training.evaluation import Evaluations
from mdvi.learning.training.members import batched, single
from mdvi.learning.training.memory import MOST_KEPT, OVERHEAD, check_room, size_of


@dataclass
class Group:
    """Members that share a call.

    Attributes:
        first: the number of the first member.
        agents: the agents of the members; leaves have a leading axis if there are several members.
        seeds: the seeds of the members.
        member: the state of the members; None before they start, and after they finish if it is too large to keep.
        networks: the networks of the members after they finish; None before.
        chunks: the number of chunks that are done.
    """

    first: int
    agents: Agent
    seeds: np.ndarray
    member: loop.Member | None = None
    networks: Networks | None = None
    chunks: int = 0

    @property
    def numbers(self) -> range:
        """The numbers of the members."""
        return range(self.first, self.first + len(self.seeds))


class Population:
    """Agents of one structure, each with a seed, in training.

    Attributes:
        groups: members by the calls they share.
        log: metrics, recent returns and status of each member.
    """

    unit, takes_turns = "chunks", True

    def __init__(
        self,
        settings: Settings,
        env: Environment,
        members: Members,
        steps: int,
        *,
        width: int = 1,
        workers: int | None = None,
        memory: float | None = None,
        measure: Callable[[Agent, Networks], Row] | None = None,
        start: Sequence[Networks] | None = None,
    ) -> None:
        """Arrange the members.

        Args:
            settings: sizes and periods.
            env: the environment.
            members: an agent and a seed for each member; agents may differ in their leaves only.
            steps: environment steps of each member, rounded up to whole lines of metrics.
            width: members that share a call.
            workers: calls that run at a time; default: one for each core of a processor, one on an accelerator.
            memory: bytes that may be used; default: four fifths of the free memory.
            measure: computes additional columns of the lines of metrics from an agent and its networks.
            start: the networks that each member starts from; default: random networks.

        Raises:
            ValueError: if agents differ in structure, or if one group does not fit into memory.
        """
        self.settings, self.width, self.measure, self._start = settings, width, measure, start
        self.env = jax.tree.map(single, env)
        self.agents = [agent for agent, _ in members]
        if len(members) % width:
            raise ValueError(f"width: expected a divisor of the {len(members)} members, got {width}")
        self.total = settings.chunks(steps)
        self.workers = workers or (os.cpu_count() or 1 if jax.default_backend() == "cpu" else 1)
        batched(members)  # checks that all agents have one structure
        self.groups = [_group(first, members[first : first + width], width) for first in range(0, len(members), width)]
        self.log = MemberLog(len(members))
        self.evaluations = Evaluations(settings, self.env, np.array([seed for _, seed in members]))
        self._lock, self._compiled = threading.Lock(), False
        self.bytes_each = OVERHEAD * size_of(self._template())
        room = check_room(self.bytes_each, f"{width} member{'s' * (width > 1)} of the population", memory)
        self.at_once = int(min(len(self.groups), room / self.bytes_each))
        # Whether finished members keep the state to continue from.
        self._keeps = self.at_once == len(self.groups) and self.bytes_kept <= MOST_KEPT

    @classmethod
    def arranged(
        cls, settings: Settings, env: Any, members: Members, steps: int, room: Room,
        start: Sequence[Networks] | None = None,
    ) -> "Population":  # fmt: skip
        """See `Driver`."""
        if settings.replay_on_disk:
            raise ValueError("replay_on_disk: applies to environments on the host only; leave it out")
        if room.width is not None and room.width < 1:
            raise ValueError(f"width: expected at least 1, got {room.width}")
        width = room.width or (1 if jax.default_backend() == "cpu" else len(members))
        return cls(
            settings, env, members, steps, width=min(width, len(members)), workers=room.workers, memory=room.memory,
            measure=exact_loss(env) if settings.diagnostics else None, start=start,
        )  # fmt: skip

    @property
    def bytes_needed(self) -> float:
        """The peak of memory in bytes."""
        return self.bytes_each * self.at_once

    @property
    def bytes_kept(self) -> float:
        """The largest size of a checkpoint in bytes, without the lines of metrics."""
        return self.bytes_each * len(self.groups)

    @property
    def waves(self) -> str:
        """A remark if not all members run at the same time; otherwise ""."""
        return "" if self.at_once == len(self.groups) else f", {self.at_once} members at a time"

    @property
    def done(self) -> int:
        """The chunks of all groups that are done; at most `goal`."""
        return sum(group.chunks for group in self.groups)

    @property
    def goal(self) -> int:
        """The requested chunks of all groups together."""
        return self.total * len(self.groups)

    @property
    def finished(self) -> bool:
        """Whether all work is done."""
        return all(group.networks is not None for group in self.groups)

    @property
    def stuck(self) -> bool:
        """Whether some members need more steps but did not keep the state to continue from."""
        return any(group.networks is not None and not self._done(group) for group in self.groups)

    def advance(self, seconds: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Work for about this many seconds: repeatedly one chunk of the group with the fewest chunks."""
        deadline = time.monotonic() + seconds
        busy: set[int] = set()

        def work() -> None:
            while True:
                with self._lock:
                    open_ = [group for group in self.groups if group.networks is None][: self.at_once]
                    waiting = [group for group in open_ if group.first not in busy]
                    if not waiting or stopping():
                        return
                    group = min(waiting, key=lambda group: (group.chunks, group.first))
                    busy.add(group.first)
                try:
                    self._step(group, stopping)
                finally:
                    with self._lock:
                        busy.remove(group.first)
                if time.monotonic() > deadline:
                    return

        if not self._compiled:  # compile once, not once for each thread
            self._step(next(group for group in self.groups if group.networks is None), stopping)
            self._compiled = True
        if self.workers == 1 or len(self.groups) == 1:
            work()
            return
        with ThreadPoolExecutor(self.workers) as pool:
            for future in [pool.submit(work) for _ in range(self.workers)]:
                future.result()

    def networks(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the current networks of the member."""
        group, place = self.groups[number // self.width], number % self.width
        member = group.member
        networks = group.networks if member is None else member.learner.online
        if networks is None:
            raise ValueError(f"member {number} has not started yet")
        if self.width > 1:
            networks = jax.tree.map(lambda leaf: leaf[place], networks)
        return self.agents[number], networks

    def best(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the networks with its best evaluation."""
        return self.agents[number], self.evaluations.best_of(number)

    def close(self) -> None:
        """Do nothing: nothing runs outside of `advance`."""

    def save(self, folder: Path | None = None, serial: int = 0) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The state that `restore` needs: arrays, and a note of plain values; no separate files are written."""
        arrays: dict[str, np.ndarray] = {}
        notes = []
        for group in self.groups:
            arrays |= flatten({"member": group.member, "networks": group.networks}, f"{group.first}")
            state = "new" if group.member is None and group.networks is None else "running"
            state = "done" if group.networks is not None else state
            notes.append({"state": state, "chunks": group.chunks, "kept": group.member is not None})
        log, note = self.log.save()
        best, facts = self.evaluations.save()
        return arrays | log | best, {"groups": notes, "ledger": note, "evaluations": facts}

    def restore(self, arrays: dict[str, np.ndarray], note: dict[str, Any], folder: Path | None = None) -> None:
        """Restore the state of `save`.

        Raises:
            ValueError: if the arrays do not fit this population.
        """
        template = self._template()
        if len(note["groups"]) != len(self.groups):
            raise ValueError(f"checkpoint: expected {len(self.groups)} groups of members, got {len(note['groups'])}")
        for group, known in zip(self.groups, note["groups"], strict=True):
            kept = known.get("kept", known["state"] == "running") and folder is not None
            if kept or known["state"] == "running":
                group.member = unflatten({"member": template}, arrays, f"{group.first}")["member"]
            if known["state"] == "done":
                group.networks = unflatten({"networks": template.learner.online}, arrays, f"{group.first}")["networks"]
            group.chunks = known["chunks"]
        self.log.restore(arrays, note["ledger"])
        if "evaluations" in note:
            one = template.learner.online
            if self.width > 1:
                one = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), one)
            self.evaluations.restore(one, arrays, note["evaluations"])
        for group in self.groups:
            if group.member is not None and not self._done(group):  # more steps are requested than before
                group.networks = None

    def _template(self) -> loop.Member:
        group = self.groups[0]
        return jax.eval_shape(partial(_init, self.settings, self.width > 1), self.env, group.agents, group.seeds)[0]

    def _step(self, group: Group, stopping: Callable[[], bool]) -> None:
        """Train a group for one chunk, and start it first if it has not started."""
        many = self.width > 1
        member, pending = group.member, None
        if member is None:
            member, pending = _init(self.settings, many, self.env, group.agents, group.seeds, self._given(group))
            if stopping():  # compiling the program of the chunk would delay the stop
                return
        group.member, finished, means = _chunk(self.settings, many, self.env, group.agents, member)
        self._record(group, pending, finished, means)
        trouble = np.asarray(group.member.learner.trouble).reshape(len(group.seeds), -1)
        for number, updates in zip(group.numbers, trouble, strict=True):
            self.log.fail(number, learner.reason(self.settings, updates))
        if self._done(group):
            group.networks = group.member.learner.online
            group.member = group.member if self._keeps else None
            for number in group.numbers:  # no loss follows the last gradient step, so check the parameters
                if not learner.finite(self.networks(number)[1]):
                    step = self.settings.steps_after(group.chunks)
                    self.log.fail(number, f"diverged: a parameter was not finite at environment step {step}")

    def _given(self, group: Group) -> Networks | None:
        """The networks that the members of a group start from; None for random networks."""
        if self._start is None:
            return None
        networks = [self._start[number] for number in group.numbers]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *networks) if self.width > 1 else networks[0]

    def _done(self, group: Group) -> bool:
        """Whether the members of a group have done all chunks, failed, or reached `stop_at`."""
        return group.chunks >= self.total or all(
            self.log.status[number] or self.evaluations.reached(number) for number in group.numbers
        )

    def _record(self, group: Group, pending: Any, finished: loop.Finished, means: dict[str, Any]) -> None:
        """Add the lines of metrics of a chunk; the first chunk includes episodes that ended during warm-up."""
        group.chunks += 1
        step = self.settings.steps_after(group.chunks)
        count = len(group.seeds)
        told = [part for part in (pending, finished) if part is not None]
        returns, lengths, paid = (
            np.concatenate([np.asarray(getattr(part, name)).reshape(count, -1) for part in told], 1)
            for name in ("episode_return", "episode_length", "paid")
        )
        for place in range(count):
            over, number = lengths[place] > 0, group.first + place
            self.log.paid[number] |= paid[place].any()
            row = {name: float(np.asarray(value).reshape(count)[place]) for name, value in means.items()}
            if self.measure is not None:
                row |= self.measure(*self.networks(number))
            if not self.log.status[number]:
                row |= self.evaluations.look(number, step, *self.networks(number))
            self.log.add(number, step, returns[place][over], lengths[place][over], row)


@partial(jax.jit, static_argnums=(0, 1))
def _init(settings: Settings, many: bool, env: Environment, agents: Agent, seeds: Any, given: Any = None) -> Any:
    run = partial(loop.init, settings)
    return jax.vmap(run, (None, 0, 0, 0))(env, agents, seeds, given) if many else run(env, agents, seeds[0], given)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=4)
def _chunk(settings: Settings, many: bool, env: Environment, agents: Agent, member: loop.Member) -> Any:
    run = partial(loop.chunk, settings)
    return jax.vmap(run, (None, 0, 0))(env, agents, member) if many else run(env, agents, member)


def _group(first: int, members: Members, width: int) -> Group:
    """A group of members; leaves have a leading axis if `width` is larger than 1."""
    agents, seeds = batched(members)
    return Group(first, agents if width > 1 else jax.tree.map(lambda leaf: leaf[0], agents), seeds)
