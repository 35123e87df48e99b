"""The driver for environments on the host: environments and gradient steps on the device run concurrently.

One call steps all environments of all members, and one call makes a gradient step of all members. While a gradient step
runs, the environments act with the networks from before it, so the acting policy is one gradient step behind.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdvi.envs.host.checked import Step
from mdvi.envs.host.hosted import Hosted
from mdvi.learning.acting import numpy_acting
from mdvi.learning.agents.agent import Agent, Noise
from mdvi.learning.agents.networks import Networks
from mdvi.learning.experience.episodes import Episodes
from mdvi.learning.experience.frames import HostReplay, no_steps, replay_bytes
from mdvi.learning.runs import checkpoint
from mdvi.learning.runs.driver import Members, Room
from mdvi.learning.runs.member_log import Averages, MemberLog
from mdvi.learning.runs.segments import Segments
from mdvi.learning.settings import Settings
from mdvi.learning.training import learner, vmapped
from mdvi.learning.training.evaluation import Evaluations
from mdvi.learning.training.members import batched, single
from mdvi.learning.training.memory import MOST_KEPT, OVERHEAD, check_room, size_of

_LONG = 1000  # steps to repeat from which a remark is made
_AHEAD = 64  # steps whose random numbers are drawn in one call, which takes hardly longer than for one step


class HostPopulation:
    """Agents of one structure, each with a seed and its own environments on the host.

    Attributes:
        log: metrics, recent returns and status of each member.
        steps: environment steps of each member so far.
        learner: networks and optimizer, with a leading axis of members on the leaves.
        episodes: the environments and their running episodes.
        replay: the transitions of all members.
    """

    unit, waves, takes_turns = "environment steps", "", False

    def __init__(
        self,
        settings: Settings,
        env: Hosted,
        members: Members,
        steps: int,
        *,
        memory: float | None = None,
        scratch: Path | None = None,
        start: Sequence[Networks] | None = None,
    ) -> None:
        """Arrange the members.

        Args:
            settings: sizes and periods.
            env: the environment.
            members: an agent and a seed for each member; agents may differ in their leaves only.
            steps: environment steps of each member, rounded up to whole lines of metrics.
            memory: bytes that may be used; default: four fifths of the free memory.
            scratch: a folder for the frames of the replay; default: in memory.
            start: the networks that each member starts from; default: random networks.

        Raises:
            ValueError: if agents differ in structure, or if the members do not fit into memory.
        """
        self.settings, self.scratch = settings, scratch
        self._given = None if start is None else jax.tree.map(lambda *leaves: np.stack(leaves), *start)
        self.env = jax.device_put(jax.tree.map(single, env))
        self.agents = [agent for agent, _ in members]
        stacked, self.seeds = batched(members)
        self.batch = jax.device_put(stacked)
        self._policies = numpy_acting.policies_of(env, stacked) if numpy_acting.suits(settings, stacked) else None
        self._always_random = bool((np.asarray(stacked.epsilon) == 1).all())
        self._discount, self._clip, self._actions = float(env.discount), env.clip, env.actions
        self.total = settings.steps_after(settings.chunks(steps))
        self.log = MemberLog(len(members))
        self.evaluations = Evaluations(settings, self.env, self.seeds)
        self.bytes_needed = OVERHEAD * size_of(
            jax.eval_shape(partial(vmapped.start, settings), env, self.batch, self.seeds)
        )
        each, frame = settings.replay // settings.environments, env.spaces
        streams = len(members) * settings.environments
        beside, frames = (streams * part for part in replay_bytes(each, frame.shape, frame.dtype))
        self.bytes_needed += beside + (frames if scratch is None else 0)
        if scratch is not None:
            _check_disk(scratch, frames)
        self._memory = memory
        self._check_room(self.bytes_needed)
        self.steps = 0
        self._chosen: Any = None  # the actions of the next step
        self._undecided = False  # whether the next actions remain to be chosen, because training was about to end
        self._chances: tuple[int, Any] = 0, []  # the first of some steps, and random numbers and ε of each of them
        self.learner: Any = None  # a `Learner` after the start
        self.replay: Any = None  # a `HostReplay` after the start
        self.episodes = Episodes(env.source, self.seeds, settings.environments)
        self._averages = {"parts": Averages(), "seen": Averages()}
        self._ended: list[list[tuple[float, int]]] = [[] for _ in members]
        self._segments = Segments()
        self._keeps = self.bytes_needed <= MOST_KEPT and scratch is None  # whether finished members can be continued
        self._left = False  # whether the members finished without the state to continue from

    @classmethod
    def arranged(
        cls, settings: Settings, env: Hosted, members: Members, steps: int, room: Room,
        start: Sequence[Networks] | None = None,
    ) -> "HostPopulation":  # fmt: skip
        """See `Driver`."""
        if room.width is not None:
            raise ValueError("width: leave it out for environments on the host, whose members always share a call")
        scratch = (room.scratch or Path(tempfile.gettempdir())).absolute() if settings.replay_on_disk else None
        return cls(settings, env, members, steps, memory=room.memory, scratch=scratch, start=start)

    @property
    def bytes_kept(self) -> float:
        """The largest size of a checkpoint in bytes, without the lines of metrics and the replay."""
        return self.bytes_needed

    @property
    def done(self) -> int:
        """Environment steps of all members together; at most `goal`."""
        return self.goal if self.finished else self.steps * len(self.agents)

    @property
    def goal(self) -> int:
        """The requested environment steps of all members together."""
        return self.total * len(self.agents)

    @property
    def finished(self) -> bool:
        """Whether all work is done."""
        return self._over or self._left

    @property
    def stuck(self) -> bool:
        """Whether the members need more steps but did not keep the state to continue from."""
        return self._left and not self._over

    @property
    def _over(self) -> bool:
        """Whether all steps were done, or every member has failed or reached `stop_at`."""
        return self.steps >= self.total or not any(
            well and not self.evaluations.reached(number) for number, well in enumerate(self.log.well)
        )

    def advance(self, seconds: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Work for about this many seconds, but at least one step."""
        deadline = time.monotonic() + seconds
        if self.learner is None:
            self._start()
        self._open()
        settings = self.settings
        while not (self.finished or stopping()):
            self._step()
            since = self.steps - settings.warmup
            if since == 0 and settings.diagnostics:
                self._start_probes()
            if self._due:
                self._learn()
                if since % settings.target_period == 0:
                    self.learner, seen = vmapped.copied(settings, self.env, self.batch, self.learner)
                    self._averages["seen"].add(seen)
                if since % (settings.target_period * settings.chunk) == 0:
                    self._write_down()
            if time.monotonic() > deadline:
                break
        if self.finished:
            self.close()

    def close(self) -> None:
        """Close the environments."""
        self.episodes.close()

    def networks(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the current networks of the member."""
        if self.learner is None:
            raise ValueError(f"member {number} has not started yet")
        return self.agents[number], jax.tree.map(lambda leaf: leaf[number], self.learner.online)

    def best(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the networks with its best evaluation."""
        return self.agents[number], self.evaluations.best_of(number)

    def _start(self) -> None:
        self.learner = vmapped.start(self.settings, self.env, self.batch, self.seeds, self._given)
        self._act_by(self.learner.online)
        self._draws = [np.random.default_rng([int(seed), 1]) for seed in self.seeds]
        self.replay = self._empty()

    def _empty(self) -> HostReplay:
        settings, spaces = self.settings, self.env.spaces
        streams = len(self.seeds) * settings.environments
        each = settings.replay // settings.environments
        return HostReplay(streams, each, spaces.shape, spaces.dtype, self.env.stack, self.scratch, spaces.actions)

    def _open(self) -> None:
        """Open the environments, if they are not open, and request their next step."""
        if self.episodes.running:
            return
        began = self.episodes.open(self.replay, self._alive())
        if began is not None:
            if self.steps:
                lost = f"{began.began.sum()} of {len(began.began)} running episodes could not be repeated and are lost"
                self.log.remarks.append(f"{lost}; new episodes have begun instead")
            self._begin(began)
            self._undecided = True
        self._decide()
        self.episodes.send(self._chosen, self._alive())

    def _begin(self, began: Step) -> None:
        """Store the beginnings of new episodes; members whose environments failed to reset fail."""
        self.replay.begin(began)
        if not self.steps and self.replay.forbidden is not None:
            self._check_room(self.bytes_needed + self.replay.forbidden.nbytes)
        self._fail(began.wrong, f"its reset after environment step {self.steps}")

    def _check_room(self, needed: float) -> None:
        members = len(self.agents)
        check_room(needed, f"{members} member{'s' * (members > 1)}", self._memory)

    @property
    def _random(self) -> bool:
        """Whether all actions are random and legal, so that neither networks nor observations are needed to act."""
        return self._always_random and self.replay.forbidden is None

    @property
    def _due(self) -> bool:
        """Whether a gradient step is due."""
        since = self.steps - self.settings.warmup
        return since > 0 and since % self.settings.update_period == 0

    def _alive(self) -> np.ndarray:
        """Whether each environment belongs to a member that has not failed."""
        return self.log.well.repeat(self.settings.environments)

    def _step(self) -> None:
        """Store the results of the last actions, and request the next step."""
        each, clip = self.settings.environments, self._clip
        ahead = self._random
        if ahead:  # while the environments are still running
            self._choose()
        actions, told = self.episodes.recv(self._chosen if ahead else None)
        self.steps += each
        ended, began = self.episodes.count(actions, told)
        for i, total, length in ended:
            self._ended[i // each].append((total, length))
        self._fail(told.wrong, f"environment step {self.steps}", actions)
        if not self.log.paid.all():
            self.log.paid |= (told.real & (told.reward != 0)).reshape(-1, each).any(1)
        self.replay.add(actions, told.reward if clip is None else told.reward.clip(-clip, clip), told)
        if began is not None:
            self._begin(began)
        if self._due:
            self._act_by(self.learner.online)
        if not self.episodes.asked:  # before the gradient step, for which the choice would have to wait
            self._undecided = not (ahead and self._random)  # a first mask of legal actions voids the random choice
            if not self.finished:
                self._decide()
                self.episodes.send(self._chosen, self._alive())

    def _decide(self) -> None:
        """Choose the actions of the next step, unless they are chosen already."""
        if self._undecided:
            self._choose()
            self._undecided = False

    def _choose(self) -> None:
        """Compute the actions of the next step, without waiting for the device."""
        members, each = len(self.seeds), self.settings.environments
        if self._random:
            drawn = [draw.integers(self._actions, size=each, dtype=np.int32) for draw in self._draws]
            self._chosen = np.concatenate(drawn)
            return
        obs, legal = self.replay.latest(), self.replay.latest_legal()
        obs = obs.reshape(members, each, *obs.shape[1:])
        legal = None if legal is None else legal.reshape(members, each, -1)
        noise, epsilon = self._chances_now()
        if self._policies is not None:
            self._chosen = numpy_acting.act(self._policies, self._layers, noise, epsilon, obs, legal)
        else:
            self._chosen = vmapped.act(self.env, self.batch, self._acting, noise, epsilon, obs, legal)

    def _act_by(self, networks: Networks) -> None:
        """Choose actions by these networks from now on."""
        self._acting = networks
        self._layers = [] if self._policies is None else numpy_acting.layers_of(networks)

    def _chances_now(self) -> tuple[Noise, np.ndarray]:
        """The random numbers of the next step, which depend on the step alone, and ε of every member."""
        each = self.settings.environments
        row = (self.steps - self._chances[0]) // each
        if not 0 <= row < len(self._chances[1]):
            moments = np.arange(_AHEAD, dtype=np.uint32) * np.uint32(each) + np.uint32(self.steps)
            drawn = vmapped.noise(self.learner.key, moments, each, self._actions)
            # While the replay is filled, ε is the ε of the first gradient step, as in a compiled population.
            epsilon = vmapped.epsilons(self.batch, np.maximum(moments, np.uint32(self.settings.warmup)))
            pairs = zip(*map(np.asarray, (*drawn, epsilon)), strict=True)
            self._chances, row = (self.steps, [(Noise(*parts), e) for *parts, e in pairs]), 0
        return self._chances[1][row]

    def _learn(self) -> None:
        """Start a gradient step of all members, which runs concurrently with the environments."""
        settings = self.settings
        draws = [self._draws] * (1 + self.agents[0].has_actor)  # the second minibatch is for the actor
        batches = learner.minibatches(settings, self.replay, draws, self._discount)
        self.learner, parts = vmapped.learn(settings, self.env, self.batch, self.learner, batches[0], batches[-1])
        self._averages["parts"].add(parts)

    def _start_probes(self) -> None:
        """Choose the fixed set of transitions for the diagnostics."""
        each, count = self.settings.environments, self.settings.warmup
        steps = [self.replay.first_steps(slice(n * each, (n + 1) * each), count) for n in range(len(self.seeds))]
        most = max(len(step.action) for step in steps)  # a member that failed early has fewer, which are repeated
        together = jax.tree.map(lambda *leaves: np.stack([np.resize(x, (most, *x.shape[1:])) for x in leaves]), *steps)
        self.learner = vmapped.probed(self.learner, together)

    def _write_down(self) -> None:
        """Add a line of metrics for every member that has not failed."""
        trouble = np.asarray(self.learner.trouble)
        for number in np.flatnonzero(self.log.well).tolist():
            self._line(number, look=True)
            self.log.fail(number, learner.reason(self.settings, trouble[number]))
            if self.steps >= self.total and not learner.finite(self.networks(number)[1]):
                self.log.fail(number, f"diverged: a parameter was not finite at environment step {self.steps}")
        self._averages, self._ended = {name: Averages() for name in self._averages}, [[] for _ in self.seeds]

    def _line(self, number: int, look: bool = False) -> None:
        """Add a line of metrics: the episodes and gradient steps since the last line; `look` allows an evaluation."""
        ended = np.array(self._ended[number]).reshape(-1, 2)
        means = [average.means() for average in self._averages.values()]
        row = {name: float(np.float32(value[number])) for found in means for name, value in sorted(found.items())}
        if look:
            row |= self.evaluations.look(number, self.steps, *self.networks(number))
        self.log.add(number, self.steps, ended[:, 0], ended[:, 1], row)

    def _fail(self, wrong: list[str], when: str, actions: np.ndarray | None = None) -> None:
        """Stop members whose environments failed, with a last line of metrics."""
        for i in (i for i, text in enumerate(wrong) if text) if any(wrong) else ():
            number = i // self.settings.environments
            if self.log.well[number]:
                self._line(number)
            action = "" if actions is None else f", action {actions[i]}"
            self.log.fail(number, f"env_error: {wrong[i]} (at {when}{action})")

    def save(self, folder: Path | None = None, serial: int = 0) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The state that `restore` needs: arrays, and a note of plain values.

        The new transitions of the replay are written to a separate file in the folder, so that each checkpoint does not
        write a large replay again.
        """
        arrays, note = self.log.save()
        note = {"ledger": note, "steps": self.steps, "finished": self.finished, "segments": []}
        note |= {"scale": self.env.scale, "earlier": self.env.earlier}
        if self.learner is None:
            return arrays, note
        arrays |= checkpoint.flatten({"learner": self.learner, "acting": self._acting}, "")
        best, note["evaluations"] = self.evaluations.save()
        arrays |= best
        arrays |= self.episodes.save() | {"chosen": np.asarray(self._chosen)}
        if folder is not None and (not self.finished or self._keeps):
            note["segments"] = self._segments.write(folder, serial, self.replay)
        note |= {"kept": bool(note["segments"]), "undecided": self._undecided}
        note["draws"] = [draw.bit_generator.state for draw in self._draws]
        probe = self.learner.probe
        note["probes"] = 0 if probe is None else probe.action.shape[1]
        note["masked_probes"] = probe is not None and probe.legal is not None
        for name, average in self._averages.items():
            arrays |= {f"{name}.{key}": value for key, value in average.save().items()}
        for number, ended in enumerate(self._ended):
            arrays[f"{number}.ended"] = np.array(ended, np.float64).reshape(-1, 2)
        return arrays, note

    def restore(self, arrays: dict[str, np.ndarray], note: dict[str, Any], folder: Path | None = None) -> None:
        """Restore the state of `save`; the running episodes are repeated when the environments are opened.

        Raises:
            ValueError: if the arrays do not fit this population.
        """
        self.log.restore(arrays, note["ledger"])
        self.steps = int(note["steps"])
        self._left = bool(note["finished"]) and not note.get("kept", False)
        if "draws" not in note:
            return
        self._start()
        template = self.learner
        if not 0 <= note["probes"] <= self.settings.warmup:
            raise ValueError(f"probes: expected 0 to {self.settings.warmup}, got {note['probes']}")
        if note["probes"]:
            actions = self._actions if note.get("masked_probes") else 0
            steps = no_steps(self.env.observation, (len(self.seeds), note["probes"]), actions)
            template = vmapped.probed(template, steps)
        found = checkpoint.unflatten({"learner": template, "acting": template.online}, arrays, "")
        self.learner = found["learner"]
        if "evaluations" in note:
            one = jax.tree.map(lambda leaf: leaf[0], self.learner.online)
            self.evaluations.restore(one, arrays, note["evaluations"])
        self._act_by(found["acting"])
        self._chosen, self._undecided = arrays["chosen"], bool(note.get("undecided", False))
        self.episodes.restore(arrays)
        if (most := self.episodes.counts.max()) > _LONG:
            self.log.remarks.append(f"repeating up to {most} steps of every environment, to restore running episodes")
        for draw, state in zip(self._draws, note["draws"], strict=True):
            draw.bit_generator.state = state
        for name, average in self._averages.items():
            start = f"{name}."
            average.restore({key.removeprefix(start): arrays[key] for key in arrays if key.startswith(start)})
        if folder is not None:
            self._segments.read(folder, note["segments"], self.replay)
        self._ended = [list(map(tuple, arrays[f"{n}.ended"].tolist())) for n in range(len(self.seeds))]


def _check_disk(folder: Path, needed: int) -> None:
    """Check that the frames fit on the disk; writing to a mapped file on a full disk would kill the process."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    room = shutil.disk_usage(there).free
    if needed > room:
        raise ValueError(
            f"replay_on_disk: {needed / 1e9:.3g} GB of frames do not fit into the {room / 1e9:.3g} GB that are free in "
            f"{there}; lower replay or free space"
        )
