"""Every call on a file fails once, or for ever, or is the last one of its process: what then, and what afterwards?

A scenario is a command in a folder. The program of this file, started with `faults.c` before libc, repeats it with a
fault at the n-th read, write, fsync, rename, open, unlink and mkdir below that folder, and then without one:

    died, or told in one line     the command with the fault
    recovered                     the command given again ends as in a folder where nothing happened,
    different                     with the same results,
    leftovers                     and with the same files.

Deaths are those of processes of their own: forked where mdvi is imported and JAX is not started yet. Calls that fail
return to a process that has compiled everything and goes on to the next fault; that takes a tenth of the time.
"""

import contextlib
import ctypes
import errno
import gc
import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
KINDS = ("read", "write", "fsync", "rename", "open", "unlink", "mkdir")  # as in faults.c
ERRORS = ("ENOSPC", "EIO", "EACCES", "EMFILE")
DEATHS = {"dies": -1, "dies halfway": -2}
DEAD = 77  # the exit code
PATIENCE = 300.0  # seconds for one command
RESULTS = (  # columns of a store
    *("run_id", "status", "reason", "env", "agent", "evaluation", "kl", "entropy", "beta", "learning_rate", "seed"),
    *("score_mean_training", "score_last100", "env_steps", "episodes", "trace", "episode_return", "last_100"),
    *("figure_id", "content"),
)
SQLITE = ("disk I/O error", "disk is full", "unable to open database file", "readonly database")  # its reasons

SIZES = ("hidden=4", "batch=8", "warmup=40", "replay=200", "target_period=20", "log_period=40")
OPTIONS = [part for size in SIZES for part in ("--set", size)]
NATIVE = ["train", "CartPole-v1", "--agent", "md-direct", "--kl", ".1", "--entropy", ".1", "--seeds", "2"]
NATIVE += ["--steps", "160", *OPTIONS, "--out", "run", "--checkpoint-every", "0"]
HOST = ["train", "Acrobot-v1", "--agent", "dqn", "--steps", "160", *OPTIONS, "--set", "replay_on_disk=true"]
HOST += ["--out", "run", "--checkpoint-every", "0"]
STUDY = """
title = "Small"
env = "CartPole-v1"
steps = 120
settings = { hidden = [4], warmup = 40, batch = 8, target_period = 20, log_period = 40, replay = 200 }
[[grid]]
agent = "dqn"
seeds = 2
[[grid]]
env = "Acrobot-v1"
agent = "dqn"
seeds = 1
"""
RUN = ["study", "run", "study.toml", "--out", "out", "--checkpoint-every", "0"]
MODEL = "garnet:states=30,actions=3,branching=4,seed=0"
SOLVE = ["solve", MODEL, "--out", "res/s.npz", "--certificate", "res/c.npz", "--plot", "p.svg", "--json"]


@dataclass(frozen=True)
class Scenario:
    """A command, and what was done in its folder before.

    Attributes:
        command: arguments of `mdvi`.
        before: commands that ended well.
        died: the kind of call at whose middle one the command itself died then; "" for none.
        whole: whether its files change in one step, so that after a fault each is the old one or the new one.
    """

    command: list[str]
    before: tuple[list[str], ...] = ()
    died: str = ""
    whole: bool = False


OTHER = "garnet:states=30,actions=3,branching=4,seed=1"
SCENARIOS = {
    "training": Scenario(NATIVE),
    "training, resumed": Scenario(NATIVE, died="write"),
    "training on the host": Scenario(HOST),
    "training on the host, resumed": Scenario(HOST, died="rename"),
    "curves": Scenario(["plot", "run", "--out", "p.svg"], (NATIVE,), whole=True),
    "policy": Scenario(["export", "run", "policy.npz"], (NATIVE,), whole=True),
    "study": Scenario(RUN),
    "study, resumed": Scenario(RUN, died="write"),
    "study, merged": Scenario(["study", "merge", "study.toml", "out", "--out", "all"], (RUN,)),
    "tables": Scenario(["study", "export", "study.toml", "--out", "out"], (RUN,), whole=True),
    "solve": Scenario(SOLVE, whole=True),
    "solve, again": Scenario(SOLVE, ([*SOLVE, "--entropy", "1"],), "write", True),
    "convert": Scenario(["convert", MODEL, "m.tra"], whole=True),
    "convert, again": Scenario(["convert", MODEL, "m.tra"], (["convert", OTHER, "m.tra"],), "rename", True),
    "solve a file": Scenario(
        ["solve", "m.tra", "--discount", ".9", "--out", "s.csv", "--json"], (["convert", MODEL, "m.tra"],), whole=True
    ),
}


class Point(NamedTuple):
    """A fault: at which call, what happens, and whether it happens at all later ones of its kind, too."""

    kind: str
    number: int
    what: str
    ever: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.number}{' and later' * self.ever}: {self.what}"


class Result(NamedTuple):
    """What came of a fault; texts say what was wrong, "" for nothing.

    Attributes:
        told: of the command with the fault.
        recovered: of the one after it.
        different: results.
        leftovers: files.
        line: how what the command with the fault said on stderr ends.
    """

    told: str = ""
    recovered: str = ""
    different: str = ""
    leftovers: str = ""
    line: str = ""


class End(NamedTuple):
    """How a command ended."""

    code: int
    out: str = ""
    err: str = ""
    struck: int = 0
    counts: tuple[int, ...] = ()


def points(counts: tuple[int, ...]) -> list[Point]:
    """All faults of a command that makes so many calls of each kind."""
    found = []
    for kind, count in zip(KINDS, counts, strict=True):
        for number in range(1, count + 1):
            found += [Point(kind, number, what, ever) for what in ERRORS for ever in (False, True)]
            found += [Point(kind, number, what, False) for what in DEATHS if what == "dies" or kind == "write"]
    return found


def shim(folder: Path) -> Path:
    """`faults.c`, compiled."""
    library = folder / "faults.so"
    source = str(HERE / "faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True)
    return library


def rows(folder: Path, library: Path, names: list[str], sample: int | None, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The results of the faults of scenarios, or of a sample of them, from a process of its own."""
    command = [sys.executable, str(HERE / "faults.py"), str(library), str(folder), str(sample or 0), str(seed), *names]
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
    }
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}")


class Injector:
    """The library before libc, as this process sees it."""

    def __init__(self, library: Path) -> None:
        self._calls = ctypes.CDLL(str(library))

    @contextlib.contextmanager
    def at(self, point: Point | None, place: Path) -> Iterator[list[int]]:
        """A fault below a folder; afterwards how often it struck, and how many calls of each kind there were."""
        told: list[int] = []
        what = 0 if point is None else DEATHS.get(point.what) or getattr(errno, point.what)
        kind = -1 if point is None else KINDS.index(point.kind)
        counts = (ctypes.c_long * len(KINDS))()
        self._calls.faults_arm(
            str(place).encode(),
            kind,
            ctypes.c_long(point.number if point else 0),
            point is not None and point.ever,
            what,
        )
        try:
            yield told
        finally:
            told += [self._calls.faults_disarm(counts), *counts]


def perform(command: list[str], place: Path, injector: Injector, point: Point | None) -> End:
    """A command in this process, with what it prints."""
    from mdvi.cli import main

    out, err = io.StringIO(), io.StringIO()
    os.chdir(place)
    sys.argv = ["mdvi", *command]
    code = 1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), injector.at(point, place) as told:
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        gc.collect()  # what finalisers do and say belongs to the command
    return End(code, out.getvalue(), err.getvalue(), told[0], tuple(told[1:]))


class Bench:
    """Where scenarios are repeated: a process that has compiled everything, and one that is forked from to die."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder, self.place = folder, folder / "place"
        self._injector = Injector(library)
        self._forks = multiprocessing.get_context("fork")
        self._start()

    def _start(self) -> None:
        self._line, theirs = self._forks.Pipe()
        self._warm = self._forks.Process(target=self._serve, args=(theirs,), daemon=True)
        self._warm.start()
        theirs.close()

    def _serve(self, line: Any) -> None:
        while True:
            command, point = line.recv()
            line.send(perform(command, self.place, self._injector, point))
            gc.freeze()

    def do(self, command: list[str], point: Point | None = None) -> End:
        """A command, with a fault or without."""
        if point is not None and point.what in DEATHS:
            return self._die(command, point)
        self._line.send((command, point))
        if self._line.poll(PATIENCE):
            with contextlib.suppress(EOFError):
                return self._line.recv()
        self._warm.kill()
        self._warm.join()
        self._start()
        return End(-1, "", "ended the process, or hung")

    def _die(self, command: list[str], point: Point) -> End:
        def child() -> None:
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            perform(command, self.place, self._injector, point)

        process = self._forks.Process(target=child)
        process.start()
        process.join(PATIENCE)
        process.kill()
        process.join()
        return End(process.exitcode or 0, struck=1)

    def prepare(self, scenario: Scenario) -> tuple[Path, dict[str, str], End]:
        """The folder that a scenario begins in; what its command makes, and says, where nothing has died before."""
        self._empty()
        (self.place / "study.toml").write_text(STUDY)
        for command in scenario.before:
            self._well(command)
        begun = self._kept("begun")
        end = self._well(scenario.command)
        new = contents(self.place)
        self._put(begun)
        if scenario.died:
            point = Point(scenario.died, 1 + end.counts[KINDS.index(scenario.died)] // 2, "dies", False)
            assert self.do(scenario.command, point).code == DEAD
        return self._kept("start"), new, end

    def _well(self, command: list[str]) -> End:
        """A command that has to end well."""
        end = self.do(command)
        if end.code:
            raise RuntimeError(f"{command}: {end}")
        return end

    def _empty(self) -> None:
        if self.place.exists():
            shutil.rmtree(self.place)
        self.place.mkdir()

    def _kept(self, name: str) -> Path:
        """A copy of the place as it is."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return Path(shutil.copytree(self.place, self.folder / name))

    def _put(self, kept: Path) -> None:
        self._empty()
        shutil.copytree(kept, self.place, dirs_exist_ok=True)

    def study(self, name: str, scenario: Scenario, sample: int | None, chance: random.Random) -> Iterator[Any]:
        """The results of the faults of a scenario, or of some."""
        start, new, straight = self.prepare(scenario)
        old = contents(self.place)
        again = self.do(scenario.command)
        chosen = points(again.counts)
        if sample is not None:
            chosen = chance.sample(chosen, min(sample, len(chosen)))
        yield name, dict(zip(KINDS, again.counts, strict=True)), len(chosen)
        yield name, Point("none", 0, "nothing", False), self._compared(again, new, straight)
        for point in chosen:
            self._put(start)
            faulty = self.do(scenario.command, point)
            now = contents(self.place)
            told = judged(faulty, point, self.place)
            if not told and not faulty.code and changed(now, new):
                told = f"exit code 0, but {changed(now, new)}"
            if not told and scenario.whole:
                told = ", ".join(
                    f"{path}: neither the old nor the new"
                    for path in now
                    if path in new and now[path] not in (old.get(path), new[path])
                )
            result = self._compared(self.do(scenario.command), new, straight)
            yield name, point, result._replace(told=told, line=faulty.err[-300:])

    def _compared(self, end: End, new: dict[str, str], straight: End) -> Result:
        """What came of a command that met no fault, next to what should have come of it."""
        now = contents(self.place)
        if end.code:
            return Result(recovered=f"exit code {end.code}: {end.err}")
        different = changed(now, new) or printed(end.out, straight.out)
        return Result(different=different, leftovers=", ".join(sorted(now.keys() - new.keys())))


def judged(end: End, point: Point, place: Path) -> str:
    """What is wrong with the end of a command with a fault."""
    if point.what in DEATHS:
        return "" if end.code == DEAD else f"exit code {end.code} instead of a death"
    if not end.struck:
        return "did not meet the fault"
    if "Traceback" in end.err or "Exception ignored" in end.err:
        return end.err
    if end.code == 0:
        return ""
    line = end.err.strip().splitlines()[-1] if end.err.strip() else ""
    if end.code != 2 or not line.startswith("mdvi: ") or "damaged" in end.err:
        return f"exit code {end.code}: {end.err}"
    if not any(reason in line for reason in (os.strerror(getattr(errno, point.what)), *SQLITE)):
        return f"no reason: {line}"
    name = line.removeprefix("mdvi: ").partition(": ")[0].split()[-1]
    return "" if name != "file" and (place / name).is_relative_to(place) else f"no file: {line}"


def printed(one: str, other: str) -> str:
    """Whether two outputs in JSON differ in more than seconds."""
    facts = []
    for text in (one, other):
        if not text.startswith("{"):
            return ""
        facts.append({key: value for key, value in json.loads(text).items() if key != "seconds"})
    return "" if facts[0] == facts[1] else f"printed {facts[0]}"


def changed(now: dict[str, str], new: dict[str, str]) -> str:
    """The files that are missing or have another content."""
    return ", ".join(
        f"{path}: {'other content' if path in now else 'missing'}" for path in sorted(new) if now.get(path) != new[path]
    )


def contents(place: Path) -> dict[str, str]:
    """Digests of the results in a folder: of files as they are, of checkpoints and stores without what time is in."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.suffix == ".safetensors" and path.parent.name == "checkpoint":
            rank = sum(other.name > path.name for other in path.parent.glob("*.safetensors"))
            found[f"{path.parent.relative_to(place)}/{-1 - rank}"] = _checkpoint(path) if not rank else "earlier"
        elif path.name == "study.sqlite":
            found[name] = _store(path)
        elif path.is_dir():
            found[name] = "folder"
        elif path.name == ".lock":
            found[name] = "lock"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _checkpoint(path: Path) -> str:
    """A digest of the arrays of a checkpoint."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError:
        return "damaged"
    header.pop("__metadata__", None)
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + data[8 + size :]).hexdigest()


def _store(path: Path) -> str:
    """A digest of the rows of a store, without the seconds."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        try:
            base.row_factory = sqlite3.Row
            names = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            told = [
                {key: row[key] for key in row if key in RESULTS}
                for name in sorted(names)
                for row in map(dict, base.execute(f"SELECT * FROM {name} ORDER BY 1, 2"))
            ]
        except sqlite3.Error as error:
            return f"unreadable: {error}"
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _patched() -> None:
    """Checkpoints after every line of metrics, whatever the time."""
    from mdvi.learning.runs import run
    from mdvi.learning.training.host import HostPopulation

    run._ROUND = 0.0
    inner = HostPopulation.advance

    def advance(self: HostPopulation, seconds: float, *stopping: Any) -> None:
        inner(self, 0.0, *stopping)
        while self.steps % 40 and not self.finished:
            inner(self, 0.0, *stopping)

    HostPopulation.advance = advance  # type: ignore[method-assign]


def main(library: str, folder: str, sample: str, seed: str, *names: str) -> None:
    """Lines of JSON: for each scenario how many calls there are, for each fault what came of it."""
    import gymnasium  # noqa: F401

    _patched()
    gc.freeze()
    bench = Bench(Path(library), Path(folder).resolve())
    chance = random.Random(int(seed))
    for name in names or SCENARIOS:
        each = -(-int(sample) // len(names or SCENARIOS)) or None
        for _, what, came in bench.study(name, SCENARIOS[name], each, chance):
            row = {"scenario": name} | (
                {"calls": what, "points": came} if isinstance(came, int) else what._asdict() | came._asdict()
            )
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
