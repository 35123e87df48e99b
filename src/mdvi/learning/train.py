"""Train, load and use deep agents by name: `mdvi.train` and `mdvi.load`."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Unpack

from mdvi.checks import within
from mdvi.envs import given, names
from mdvi.learning.agents import catalogue
from mdvi.learning.agents.catalogue import Entry
from mdvi.learning.arrange import population_of
from mdvi.learning.request import Arguments, Request, explored
from mdvi.learning.results import Run
from mdvi.learning.runs import checkpoint, kept, record, run
from mdvi.learning.runs.identity import fingerprint, identity_of, is_object, same
from mdvi.learning.runs.run import Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.start import Start, folder_and_member, start_of
from mdvi.progress import bars
from mdvi.words import plain

__all__ = ["Run", "load", "request_in", "train"]


def train(
    env: Any,
    agent: str | Entry = "munchausen",
    *,
    out: str | Path | None = None,
    fresh: bool = False,
    checkpoint_every: float = 60.0,
    workers: int | None = None,
    memory: float | None = None,
    report: Report | None = None,
    start: Run | str | Path | None = None,
    **request: Unpack[Arguments],
) -> Run:
    """Train an agent, for every seed and every point of the grid of numbers, as one compiled program.

    Args:
        env: a name (see `mdvi list envs`), `family:key=value,…` for a finite model, or an environment; also a class or
            a function that makes Gymnasium environments, and what `gymnasium.make` has made, which stands for its name.
        agent: a name, see `mdvi list agents`; or an `mdvi.agents.Entry` of your own.
        out: the folder to keep the run in, and to resume from; default keeps nothing.
        fresh: refuse a folder that is not empty.
        checkpoint_every: seconds.
        workers: calls at a time; default the number of cores.
        memory: bytes that may be used.
        report: what is called with progress, remarks and lines of metrics; `Report()` for silence. Default a progress
            bar with remarks above it, in a notebook and where standard error is a terminal.
        start: another run whose networks members start from, or its folder, or FOLDER:member. It has one member, from
            which all members start, or as many as this one. `run.best` has its best policies.
        request: what is trained:

            kl: λ, or several.
            entropy: τ, or several.
            beta: β = λ/(λ + τ) instead of λ, or several; of an agent at κ = 0, its β.
            learning_rate: one, or several.
            evaluate_kl: whether the evaluation subtracts λ KL; default as the agent has it.
            evaluate_entropy: whether it adds τ H.
            seeds: how many (0, 1, …), or which; default 1.
            steps: environment steps of each member, rounded up to whole lines of metrics; default the preset's, if
                one is named, and 100 000 elsewhere.
            preset: sizes and numbers to start from; "paper" is the one of the environment. Default "atari" for
                images, "minatar" for small ones and "small" elsewhere.
            width: members that share a call; default 1 on a processor, all on an accelerator.
            Every other one is a field of `Settings`, or `epsilon`, `epsilon_steps`, `lowest`, `double`, `sampled` or
            `every_action`. Where neither a preset nor one of the first two of these is named, ε falls from 1 over the
            first tenth of the steps.

    Raises:
        ValueError: if an argument is invalid; the message names it.
        Interrupted: after SIGINT (Ctrl-C, or the stop button of a notebook), SIGTERM or SIGHUP, with everything saved
            where there is a folder; its `run` is the `Run` as far as it came. A second Ctrl-C raises KeyboardInterrupt
            at once.

    Examples:
        >>> import mdvi
        >>> run = mdvi.train("probe-matched", "munchausen", seeds=2, steps=2000, hidden=(16,), batch=16, epsilon=0.5)
        >>> run.status, run.policy([[True, False, False], [False, True, False]]).tolist()
        ('ok', [0, 1])
    """
    env = given.accepted(env)
    if workers is not None:
        within("workers", workers, 1, 2**20)
    if not checkpoint_every >= 0 or (memory is not None and not memory > 0):
        raise ValueError(f"checkpoint_every, memory: expected seconds and bytes, got {checkpoint_every} and {memory}")
    say = _warn if report is None else report.remark
    name = env if isinstance(env, str) else _written(env, out, say)
    own = None if isinstance(agent, str) else catalogue.find(agent)
    asked = Request.of(name, agent if isinstance(agent, str) else _written(agent, out, say, "agent"), **request)
    if out is None or not _explores_as_before(Path(out), asked.content):
        made = _made_steps(out, asked.steps)
        if made != asked.steps and asked.explored() != asked.explored(made):
            say(f"exploration stays that of {made} steps; set epsilon_steps in a new run for another one")
        asked = asked.explored(made)
    first = None if start is None else _start(start, env, say)
    asked = asked.model_copy(update={"start": _known_start(out) if first is None else first.name})
    if isinstance(env, str):
        env = names.environment_of(env)
    if out is not None:
        env = kept.shown(env, Path(out))
    population, columns = population_of(asked, env, workers, memory, out, own, first)
    try:
        with _shown(report) as told:
            summary = run.train(
                population, columns, asked.content, None if out is None else Path(out), fresh=fresh,
                every=checkpoint_every, report=told,
            )  # fmt: skip
    except Interrupted as stop:
        stop.run = Run(population, asked.content, columns, {})
        stop.add_note("What was trained is kept: except mdvi.Interrupted as stop: run = stop.run")
        raise
    return Run(population, asked.content, columns, summary)


@contextlib.contextmanager
def _shown(report: Report | None) -> Iterator[Report]:
    """What the run tells: as it was asked for, or by default on a bar, with remarks above it, where there is one."""
    if report is not None:
        yield report
        return
    with bars() as track:
        if track is None:
            yield Report()
            return
        yield Report(lambda done, goal: track("training", goal)(done), lambda line: print(plain(line), file=sys.stderr))


def _explores_as_before(folder: Path, config: dict[str, Any]) -> bool:
    """Whether a folder holds a run of version 0.1.0, whose default exploration was not resolved when it was made.

    Args:
        folder: which.
        config: what such a run would have been made with, should its config.json be lost.
    """
    try:
        known = record.read_config(folder)
    except ValueError:
        record.check_names(folder)
        note = checkpoint.latest_note(folder / record.CHECKPOINT)
        return note is not None and note.get("config") == record.digest_of(config)
    return explored(known["settings"], known["preset"], known["steps"]) != known["settings"]


def _known(folder: str | Path | None) -> dict[str, Any]:
    """The configuration of the run in a folder; empty without a run, or without one that can be read.

    A configuration that cannot be read is reported when training opens the folder.
    """
    try:
        return {} if folder is None else record.read_config(Path(folder))
    except ValueError:
        return {}


def _made_steps(folder: str | Path | None, steps: int) -> int:
    """The steps that the run in a folder was first made for, where it can go on for so many; else just these."""
    known = _known(folder)
    made = record.made_steps(known) if known else steps
    return made if isinstance(made, int) and 0 < made < steps else steps


def _start(given: Run | str | Path, env: Any, say: Callable[[str], None]) -> Start:
    """The networks that a run starts from: those of another run, of its folder, or of FOLDER:member."""
    if isinstance(given, Run):
        return start_of(given)
    folder, member = folder_and_member(given)
    return start_of(load(folder, None if isinstance(env, str) else env, say), member)


def _known_start(folder: str | Path | None) -> str | None:
    """What the run in a folder started from, once it has a checkpoint and does not need it any more."""
    if folder is None or not checkpoint.serials(Path(folder) / record.CHECKPOINT):
        return None
    found = _known(folder).get("start")
    return found if isinstance(found, str) else None


def _written(
    value: Any, folder: str | Path | None, say: Callable[[str], None], what: Literal["env", "agent"] = "env"
) -> str:
    """The name for config.json of an environment, or an agent, that was given as an object.

    In a folder it is compared with what is there.

    Raises:
        ValueError: when the folder has a run of another one.
    """
    name = fingerprint(value)
    if folder is not None:
        _identified(value, _known(folder).get(what, name), Path(folder), say, what)
    return name


def _identified(
    value: Any, known: str, folder: Path, say: Callable[[str], None], what: Literal["env", "agent"] = "env"
) -> None:
    """Compare an object with the one that a run was made with, and say what cannot be compared.

    Raises:
        ValueError: when it is another one.
    """
    kind = "environment" if what == "env" else what
    found = identity_of(value, kind)
    line: str | None = f"the {kind} was named as {known}, and whether it is that one cannot be told of an object"
    if is_object(known):
        line = same(known, found.name, kind)
    if line is None:
        raise ValueError(f"{folder}: is a run of {known}, not of {found.name}")
    for text in (line, found.remark):
        if text:
            say(text)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=3)


def request_in(folder: str | Path) -> dict[str, Any]:
    """The arguments of `train` that a run was made with.

    Raises:
        ValueError: when there is none, or its environment is code that has to be named by whoever runs it.
    """
    config = record.read_config(Path(folder))
    kept.check_claims(Path(folder), config)
    for what in ("env", "agent"):
        if is_object(config[what]):
            raise ValueError(_object(folder, what))
    names.check_named_by_file(config["env"])
    return {name: config[name] for name in Request.model_fields if name not in ("settings", "start")} | config[
        "settings"
    ]


def _object(folder: str | Path, what: str) -> str:
    kind, call = ("environment", "env") if what == "env" else (what, "agent=agent")
    return (
        f"{folder}: this run was trained with an {kind} object, which is not stored; "
        f"pass it: mdvi.load({folder}, {call})"
    )


def load(
    folder: str | Path, env: Any = None, remark: Callable[[str], None] = _warn, *, agent: Entry | None = None
) -> Run:
    """A run out of its folder.

    Args:
        folder: where it was kept.
        env: the environment as it was given to `train`, where that was an object; its name, where that names code of
            your own.
        remark: called with a line for each checkpoint that is damaged, and about what of an object cannot be compared
            with the environment of the run; default a warning.
        agent: the agent, where it was given as an `Entry`.

    Raises:
        ValueError: when there is none, it cannot be read, or is of another environment.
    """
    folder = Path(folder)
    config = record.read_config(folder)
    if not kept.check_claims(folder, config):
        raise ValueError(f"{folder}: has no checkpoint yet; train longer")
    name = config["env"]
    if env is None and is_object(name):
        raise ValueError(_object(folder, "env"))
    if agent is None and is_object(config["agent"]):
        raise ValueError(_object(folder, "agent"))
    if agent is not None:
        _identified(agent, config["agent"], folder, remark, "agent")
    if env is not None:
        env = given.accepted(env)
        if not isinstance(env, str):
            _identified(env, name, folder, remark)
        elif env != name:
            raise ValueError(f"{folder}: is a run of {name}, not of {env}")
    try:
        if env is None:
            names.check_named_by_file(name)
        if env is None or isinstance(env, str):
            env = names.environment_of(name)
        population, columns = population_of(
            Request.read(config), kept.shown(env, folder), memory=float("inf"), agent=agent
        )
    except ValueError as error:
        raise ValueError(f"{folder / record.CONFIG}: {error}") from None
    kept.restore(population, folder, config, remark, whole=False)
    return Run(population, config, columns, record.read_summary(folder))
