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
            a function that makes Gymnasium environments. The result of `gymnasium.make` is replaced by its name.
        agent: a name (see `mdvi list agents`), or an `mdvi.agents.Entry` of your own.
        out: the folder to keep the run in, and to resume it from; by default the run is not stored.
        fresh: refuse a folder that is not empty.
        checkpoint_every: seconds between checkpoints.
        workers: the number of compiled calls that run at a time; default: the number of cores.
        memory: bytes that may be used.
        report: callbacks for progress, remarks and lines of metrics; `Report()` for silence. Default: a progress bar
            with remarks above it, in a notebook or if standard error is a terminal.
        start: another run to take the initial networks from, or its folder, or FOLDER:member. It has one member, from
            which all members start, or as many members as this run. Pass `run.best` to start from the best policies.
        request: the agent's numbers and the settings:

            kl: λ, one value or a list.
            entropy: τ, one value or a list.
            beta: β = λ/(λ + τ) instead of λ, one value or a list; for an agent with κ = 0, its β.
            learning_rate: one value or a list.
            evaluate_kl: whether the evaluation subtracts λ KL; default: as defined by the agent.
            evaluate_entropy: whether the evaluation adds τ H; default: as defined by the agent.
            seeds: the number of seeds (0, 1, …), or a list of seeds; default 1.
            steps: environment steps of each member, rounded up to whole lines of metrics; default: the steps of
                `preset` if one is given, otherwise 100 000.
            preset: sizes and numbers to start from; "paper" selects the preset of the paper for the environment.
                Default: "atari" for images, "minatar" for small images, otherwise "small".
            width: members that share a compiled call; default: 1 on a processor, all members on an accelerator.
            Every other keyword is a field of `Settings`, or `epsilon`, `epsilon_steps`, `lowest`, `double`, `sampled`
            or `every_action`. Without `preset`, `epsilon` and `epsilon_steps`, ε falls from 1 over the first tenth of
            the steps.

    Raises:
        ValueError: if an argument is invalid; the message names it.
        Interrupted: after SIGINT (Ctrl-C, or the stop button of a notebook), SIGTERM or SIGHUP. If there is a folder,
            everything is saved; the attribute `run` has the `Run` up to the interruption. A second Ctrl-C raises
            KeyboardInterrupt at once.

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
        raise ValueError(
            "checkpoint_every, memory: expected seconds of at least 0 and a positive number of bytes, got "
            f"{checkpoint_every} and {memory}"
        )
    say = _warn if report is None else report.remark
    name = env if isinstance(env, str) else _written(env, out, say)
    own = None if isinstance(agent, str) else catalogue.find(agent)
    asked = Request.of(name, agent if isinstance(agent, str) else _written(agent, out, say, "agent"), **request)
    if out is None or not _explores_as_before(Path(out), asked.content):
        made = _made_steps(out, asked.steps)
        if made != asked.steps and asked.explored() != asked.explored(made):
            say(f"exploration keeps the schedule of {made} steps; to change it, set epsilon_steps in a new run")
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
        stop.add_note("To use the run as far as it was trained: except mdvi.Interrupted as stop: run = stop.run")
        raise
    return Run(population, asked.content, columns, summary)


@contextlib.contextmanager
def _shown(report: Report | None) -> Iterator[Report]:
    """The report that was passed; by default a progress bar with remarks above it, if there is a place for a bar."""
    if report is not None:
        yield report
        return
    with bars() as track:
        if track is None:
            yield Report()
            return
        yield Report(lambda done, goal: track("training", goal)(done), lambda line: print(plain(line), file=sys.stderr))


def _explores_as_before(folder: Path, config: dict[str, Any]) -> bool:
    """Whether a folder holds a run of version 0.1.0, which did not store the default exploration in its settings.

    Args:
        folder: the folder of the run.
        config: the configuration of such a run, which is compared with the checkpoints if config.json is missing.
    """
    try:
        known = record.read_config(folder)
    except ValueError:
        record.check_names(folder)
        note = checkpoint.latest_note(folder / record.CHECKPOINT)
        return note is not None and note.get("config") == record.digest_of(config)
    return explored(known["settings"], known["preset"], known["steps"]) != known["settings"]


def _known(folder: str | Path | None) -> dict[str, Any]:
    """The configuration of the run in a folder; empty if there is no run or its configuration cannot be read.

    A configuration that cannot be read is reported when training opens the folder.
    """
    try:
        return {} if folder is None else record.read_config(Path(folder))
    except ValueError:
        return {}


def _made_steps(folder: str | Path | None, steps: int) -> int:
    """The steps that the run in a folder was first made for, if these steps extend it; otherwise these steps."""
    known = _known(folder)
    made = record.made_steps(known) if known else steps
    return made if isinstance(made, int) and 0 < made < steps else steps


def _start(given: Run | str | Path, env: Any, say: Callable[[str], None]) -> Start:
    """The networks that a run starts from, taken from another run, from its folder, or from FOLDER:member."""
    if isinstance(given, Run):
        return start_of(given)
    folder, member = folder_and_member(given)
    return start_of(load(folder, None if isinstance(env, str) else env, say), member)


def _known_start(folder: str | Path | None) -> str | None:
    """The digest of the networks that the run in a folder started from; None before its first checkpoint."""
    if folder is None or not checkpoint.serials(Path(folder) / record.CHECKPOINT):
        return None
    found = _known(folder).get("start")
    return found if isinstance(found, str) else None


def _written(
    value: Any, folder: str | Path | None, say: Callable[[str], None], what: Literal["env", "agent"] = "env"
) -> str:
    """The name in config.json of an environment, or an agent, that was given as an object.

    If there is a folder, the object is compared with the environment or agent of the run in it.

    Raises:
        ValueError: if the run in the folder has another environment or agent.
    """
    name = fingerprint(value)
    if folder is not None:
        _identified(value, _known(folder).get(what, name), Path(folder), say, what)
    return name


def _identified(
    value: Any, known: str, folder: Path, say: Callable[[str], None], what: Literal["env", "agent"] = "env"
) -> None:
    """Compare an object with the object that a run was made with, and remark on parts that cannot be compared.

    Raises:
        ValueError: if it differs.
    """
    kind = "environment" if what == "env" else what
    found = identity_of(value, kind)
    line: str | None = f"the {kind} of the run is {known}; an object cannot be compared with a name"
    if is_object(known):
        line = same(known, found.name, kind)
    if line is None:
        raise ValueError(
            f"{folder}: this run was trained with the {kind} {known}, not {found.name}; pass that {kind}, or use "
            "another folder"
        )
    for text in (line, found.remark):
        if text:
            say(text)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=3)


def request_in(folder: str | Path) -> dict[str, Any]:
    """The arguments of `train` that a run was made with.

    Raises:
        ValueError: if there is no run, or if its environment would execute code of its own, which the user must name.
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
    """Load a run from its folder.

    Args:
        folder: the folder of the run.
        env: the environment, if it was an object in `train`; its name, if it is code of your own.
        remark: called with a line for each damaged checkpoint, and for each part of an object that cannot be compared
            with the environment of the run; default: a warning.
        agent: the agent, if it was an `Entry` in `train`.

    Raises:
        ValueError: if there is no run, if it cannot be read, or if it has another environment or agent.
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
            raise ValueError(f"{folder}: this run was trained in the environment {name}, not {env}; pass env={name}")
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
