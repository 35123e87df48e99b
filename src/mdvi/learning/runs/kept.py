"""A run in its folder: check the folder, resume the run, and save it."""

import contextlib
import itertools
import json
import os
from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any

from mdvi import input, output
from mdvi.envs import Hosted
from mdvi.envs.base import Interface
from mdvi.learning.runs import checkpoint, record
from mdvi.learning.runs.driver import Driver
from mdvi.learning.runs.folder import LOCK, InUse, Lock, locked
from mdvi.learning.runs.identity import same

_SPARE = 2**28  # bytes of a checkpoint beyond the state of the members, such as lines of metrics


class Kept:
    """A run in its folder."""

    def __init__(
        self, population: Driver, columns: list[dict[str, Any]], config: dict[str, Any], lock: Lock,
        stack: contextlib.ExitStack, remark: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Args: as in `run.train`; the lock of the folder, the stack that releases it, and a callback for remarks."""
        self.population, self.columns, self.config, self.remark = population, columns, config, remark
        self.lock, self.stack = lock, stack
        self.serial, self.segments = 0, set[int]()

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.lock.folder

    def open(self) -> None:
        """Remove half-written files from the folder, and resume the run in it."""
        for place in (self.folder, self.folder / record.CHECKPOINT, self.folder / record.CHECKPOINT / record.REPLAY):
            with contextlib.suppress(FileNotFoundError):
                output.sweep(place)
        known = _config_in(self.folder, self.config, self.remark)
        note = restore(self.population, self.folder, known or self.config, self.remark)
        if known and known["steps"] < self.config["steps"]:
            known = self._longer(known)
        if note:
            self.serial, self.segments = int(note["serial"]), set(note.get("segments", ()))
            if not self.population.finished:
                done = f"{self.population.done} of {self.population.goal} {self.population.unit}"
                self.remark(f"resuming at {done}")
        elif (self.folder / record.METRICS).exists():
            self.remark(f"{self.folder}: its checkpoints are missing; training starts from the beginning")
            (self.folder / record.SUMMARY).unlink(missing_ok=True)
        if known and known["env"] != self.config["env"]:  # the same environment, with the name of another version
            known |= {"env": self.config["env"], "made_as": known.get("made_as", known["env"])}
            self._write(record.CONFIG, _text(known))
        if known:
            self.config = known
        else:
            self._write(record.CONFIG, _text(self.config))

    def _longer(self, known: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a run that continues for more steps than it was made for.

        Raises:
            ValueError: if the run has finished and did not keep the state to continue from.
        """
        if self.population.stuck:
            raise ValueError(
                f"{self.folder}: the run finished after {known['steps']} steps and cannot be continued: its state was "
                "too large to keep, or an earlier version of mdvi made the run; use another folder"
            )
        known = known | {"steps": self.config["steps"], "made_steps": record.made_steps(known)}
        self._write(record.CONFIG, _text(known))
        (self.folder / record.SUMMARY).unlink(missing_ok=True)
        return known

    def save(self) -> None:
        """Add a checkpoint, and remove files that neither this checkpoint nor the previous one needs."""
        self._find()
        self.serial += 1
        place = self.folder / record.CHECKPOINT
        arrays, note = self.population.save(place, self.serial)
        digest = record.digest_of(self.config)
        checkpoint.write(place, self.serial, arrays, note | {"serial": self.serial, "config": digest})
        before, self.segments = self.segments, set(note.get("segments", ()))
        checkpoint.keep(place / record.REPLAY, self.segments | before if self.segments else ())
        self._write(record.METRICS, record.metrics_csv(self.population.log, self.columns))

    def finish(self) -> dict[str, Any]:
        """Write summary.json, and return the summary."""
        self._find()
        place = self.folder / record.CHECKPOINT
        checkpoint.keep(place, checkpoint.serials(place)[: checkpoint.KEPT])
        if not self.segments:
            checkpoint.keep(place / record.REPLAY, ())
        summary = record.summary_of(self.population.log, self.population.settings, self.columns)
        self._write(record.METRICS, record.metrics_csv(self.population.log, self.columns))
        self._write(record.SUMMARY, _text(summary))
        return summary

    def _write(self, name: str, content: str) -> None:
        output.write(self.folder / name, content, links=False)

    def _find(self) -> None:
        """Continue in a new folder if the locked folder was moved or removed.

        The new folder has the old name if that is free; otherwise the old name with a number.
        """
        if self.lock.valid:
            return
        lost = self.folder
        others = (lost.with_name(f"{lost.name}-{number}") for number in itertools.count(1))
        for place in itertools.chain([lost], others):
            if not os.path.lexists(place) or (place == lost and self.lock.in_place):
                with contextlib.suppress(InUse):
                    self.lock = self.stack.enter_context(locked(place))
                    break
        self._write(record.CONFIG, _text(self.config))
        self.remark(f"{lost}: was moved or removed during training; the run continues in {self.folder}")


def restore(
    population: Driver, folder: Path, config: dict[str, Any], remark: Callable[[str], None], whole: bool = True
) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint of a folder, if there is one, and return its note.

    Args:
        population: the driver that receives the state.
        folder: the folder of the run.
        config: the configuration of the run.
        remark: called with a line for each damaged checkpoint.
        whole: also load the state that only further training needs.

    Raises:
        ValueError: if all checkpoints are damaged, or belong to another population or configuration.
        OSError: if the machine cannot read one.
    """
    record.check_names(folder)
    most = _SPARE + 4 * int(population.bytes_kept)
    found = checkpoint.latest(folder / record.CHECKPOINT, most)
    if found is None:
        return None
    arrays, note, remarks = found
    _check_digest(folder, config, note)
    for line in remarks:
        remark(f"{line}; using the previous checkpoint")
    try:
        population.restore(arrays, note, folder / record.CHECKPOINT if whole else None)
        return note | {"serial": int(note["serial"])}
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{folder / record.CHECKPOINT}: does not fit {record.CONFIG} or this version of mdvi ({error})"
        ) from None


@singledispatch
def shown(env: Interface, folder: Path) -> Any:
    """The environment with the presentation of observations that the checkpoints of a folder were trained with."""
    return env


@shown.register
def _(env: Hosted, folder: Path) -> Hosted:
    record.check_names(folder)
    note = checkpoint.latest_note(folder / record.CHECKPOINT)
    return env if note is None else env.as_kept(note)


def check_claims(folder: Path, config: dict[str, Any]) -> bool:
    """Whether a folder has checkpoints; if it has, check that they match its configuration.

    A folder from an untrusted source may contain any configuration, so this check comes before arrays are allocated.

    Raises:
        ValueError: if the checkpoints do not match the configuration, or are damaged.
        OSError: if the machine cannot read them.
    """
    record.check_names(folder)
    note = checkpoint.latest_note(folder / record.CHECKPOINT)
    if note is None:
        return False
    _check_digest(folder, config, note)
    claimed, log = record.members_of(config), note.get("ledger")
    known = log.get("status") if isinstance(log, dict) else None
    if not isinstance(known, list) or claimed != len(known):
        raise ValueError(
            f"{folder / record.CONFIG}: declares {claimed} members, but the checkpoints have another number of members"
        )
    return True


def _check_digest(folder: Path, config: dict[str, Any], note: dict[str, Any]) -> None:
    if note.get("config") != record.digest_of(config):
        raise ValueError(
            f"{folder / record.CONFIG}: does not match the checkpoints (it was edited after training began); "
            "restore it or use another folder"
        )


def check_free(folder: Path, fresh: bool) -> None:
    """Check that a folder is new, is empty, or has a run.

    Raises:
        ValueError: if it holds other files, or if a name that mdvi uses is taken by an entry of the wrong kind.
        OSError: if the machine cannot read the folder.
    """
    found = input.kind(folder)
    if found is None:
        return
    if found != "a folder":
        raise ValueError(f"{folder}: is {found}; --out needs a folder")
    record.check_names(folder)
    names = {name for name in os.listdir(folder) if name != LOCK and not name.startswith(output.HALF)}
    if fresh and names:
        raise ValueError(f"{folder}: is not empty, but --fresh needs an empty folder; remove it or use another folder")
    if names and record.CONFIG not in names and not checkpoint.serials(folder / record.CHECKPOINT):
        raise ValueError(f"{folder}: is not empty and holds no run; use another folder")


def _config_in(folder: Path, config: dict[str, Any], remark: Callable[[str], None]) -> dict[str, Any] | None:
    """The stored configuration of a folder, checked against `config`; None if the folder is new or the file is lost.

    Raises:
        ValueError: if the configurations differ, or if config.json cannot be read and the checkpoints do not match.
        OSError: if the machine cannot read the file.
    """
    if input.kind(folder / record.CONFIG, links=False) is None and not checkpoint.serials(folder / record.CHECKPOINT):
        return None
    try:
        known = record.read_config(folder)
    except ValueError as error:
        note = checkpoint.latest_note(folder / record.CHECKPOINT)
        if note is None or note.get("config") != record.digest_of(config):
            raise ValueError(f"{error}; repeat the command that made the run, or use another folder") from None
        remark(f"{error}; rewriting it: the checkpoints match this command")
        return None
    for name in config:
        if name in ("env", "agent") and same(known[name], config[name]) is not None:
            continue
        if name == "steps" and record.is_longer(known, config):
            continue
        if known.get(name) != config[name] and name != "version":
            raise ValueError(
                f"{folder}: was made with {name} = {json.dumps(known.get(name))}, not {json.dumps(config[name])}; "
                "repeat the command that made it, or use another folder"
            )
    return known


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
