"""The results of a study: one SQLite file, which anything that reads SQLite can read.

    runs      a row for each run: what it is, how it stands, what came out
    curves    a row for each line of metrics of each run that was trained
    figure1   the table of the paper's Figure 1, as CSV, by what was asked for

Every change is one transaction, on the disk before it is believed: a process that is killed leaves the file as it was
before the change or after it. Several processes may work on one file.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdvi.study.export import COLUMNS, CURVE
from mdvi.study.spec import Figure1, Run

NAME = "study.sqlite"
ENDED = ("done", "diverged", "failed")
_NAMES = (*COLUMNS, "cell_id", "version", "git_commit", "device", "trace")  # the columns of `runs`
_RESULTS = (
    "score_mean_training",
    "score_last100",
    "env_steps",
    "episodes",
    "version",
    "git_commit",
    "device",
)  # of them, what is known when a run has ended
_APPLICATION = 0x6D647669  # "mdvi" as a number
_TABLES = """CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, cell_id TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, env TEXT NOT NULL,
    agent TEXT NOT NULL, evaluation TEXT NOT NULL, kl REAL, entropy REAL, beta REAL, learning_rate REAL,
    seed INTEGER NOT NULL, score_mean_training REAL, score_last100 REAL, env_steps INTEGER, episodes INTEGER,
    seconds REAL NOT NULL, version TEXT, device TEXT, trace TEXT NOT NULL
) STRICT;
CREATE TABLE curves (
    run_id TEXT NOT NULL REFERENCES runs, env_steps INTEGER NOT NULL, episodes INTEGER NOT NULL, episode_return REAL,
    last_100 REAL, PRIMARY KEY (run_id, env_steps)
) STRICT, WITHOUT ROWID"""
_STEPS = (  # from each version of the tables to the next
    _TABLES,
    "ALTER TABLE runs ADD COLUMN git_commit TEXT",
    "CREATE TABLE figure1 (figure_id TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT",
)


class Outcome(NamedTuple):
    """What came of a run.

    Attributes:
        run_id: whose.
        status: "done", "diverged" or "failed".
        reason: what went wrong, in a line; "" for nothing.
        facts: columns of `runs` that are known now.
        curve: rows of `curves`, without the run.
        trace: where an exception came from.
    """

    run_id: str
    status: str
    reason: str
    facts: dict[str, Any]
    curve: Sequence[tuple[Any, ...]] = ()
    trace: str = ""


class Store:
    """The file of a study."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it; what cannot be written is opened to be read.

        Raises:
            ValueError: when it is something else, damaged, of a later version, or cannot be made.
        """
        self.path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
                self._base = sqlite3.connect(_to_read(path), uri=True, timeout=60.0, isolation_level=None)
                if self._version() < len(_STEPS):
                    raise ValueError(
                        f"{path}: is of an earlier version and may not be written: copy it to be brought up"
                    )
                return
            self._base = sqlite3.connect(path, timeout=60.0, isolation_level=None)
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("PRAGMA foreign_keys = ON")
            with self._change():
                for number, commands in enumerate(_STEPS[self._version() :], self._version() + 1):
                    for command in commands.split(";"):
                        self._base.execute(command)
                    self._base.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._base.execute(f"PRAGMA user_version = {number}")
            self._base.execute("PRAGMA journal_mode = WAL")

    def _version(self) -> int:
        """Of its tables; 0 where there are none yet."""
        kind, version, tables = (
            self._base.execute(f"SELECT * FROM {what}").fetchone()[0]
            for what in ("pragma_application_id", "pragma_user_version", "(SELECT count(*) FROM sqlite_master)")
        )
        if kind != _APPLICATION and (kind or tables):
            raise ValueError(f"{self.path}: is a database of something else")
        if version > len(_STEPS):
            raise ValueError(f"{self.path}: was written by a later version of mdvi; update it")
        return int(version)

    def close(self) -> None:
        """Let it go."""
        self._base.close()

    def add(self, runs: Iterable[Run]) -> None:
        """Runs that are wanted, where they are not known yet."""
        rows = [
            (run.id, run.cell_id, run.env, run.agent, run.evaluation, *run.numbers, run.learning_rate, run.seed)
            for run in runs
        ]
        command = (
            "INSERT OR IGNORE INTO runs (run_id, cell_id, status, reason, env, agent, evaluation, kl, entropy, beta, "
            "learning_rate, seed, seconds, trace) VALUES (?, ?, 'queued', '', ?, ?, ?, ?, ?, ?, ?, ?, 0.0, '')"
        )
        with self._errors(), self._change():
            self._base.executemany(command, rows)

    def statuses(self) -> dict[str, str]:
        """How every run stands."""
        with self._errors():
            return dict(self._base.execute("SELECT run_id, status FROM runs"))

    def mark(self, runs: Iterable[str], status: str) -> None:
        """Note that runs are being trained, or wait again after that; what has ended stays as it is."""
        with self._errors(), self._change():
            self._base.executemany(
                f"UPDATE runs SET status = ? WHERE run_id = ? AND status NOT IN {ENDED}",
                [(status, run) for run in runs],
            )

    def again(self, runs: Sequence[str]) -> None:
        """Let runs wait again that have ended, and forget what came of them."""
        unknown = ", ".join(f"{name} = NULL" for name in _RESULTS)
        command = f"UPDATE runs SET status = 'queued', reason = '', trace = '', {unknown} WHERE run_id = ?"
        with self._errors(), self._change():
            self._base.executemany(command, [(run,) for run in runs])
            self._base.executemany("DELETE FROM curves WHERE run_id = ?", [(run,) for run in runs])

    def finish(self, outcomes: Iterable[Outcome]) -> None:
        """What came of runs, all of them or, when the process is killed, none."""
        with self._errors(), self._change():
            for run, status, reason, facts, curve, trace in outcomes:
                columns = {"status": status, "reason": reason, "trace": trace} | facts
                names = ", ".join(f"{name} = :{name}" for name in columns)
                self._base.execute(f"UPDATE runs SET {names} WHERE run_id = :run_id", columns | {"run_id": run})
                self._base.execute("DELETE FROM curves WHERE run_id = ?", (run,))
                self._base.executemany("INSERT INTO curves VALUES (?, ?, ?, ?, ?)", [(run, *row) for row in curve])

    def add_seconds(self, runs: Sequence[str], seconds: float) -> None:
        """Time that runs took together."""
        with self._errors(), self._change():
            self._base.executemany(
                "UPDATE runs SET seconds = seconds + ? WHERE run_id = ?", [(seconds / len(runs), run) for run in runs]
            )

    def take(self, other: "Store") -> int:
        """What has ended elsewhere and not here; how many runs that were."""
        here, there = self.statuses(), other.statuses()
        wanted = [run for run, status in there.items() if status in ENDED and here.get(run) not in ENDED]
        names, marks = ", ".join(_NAMES), ", ".join("?" * len(_NAMES))
        with self._errors(), self._change():
            for run in wanted:
                row = other._base.execute(f"SELECT {names} FROM runs WHERE run_id = ?", (run,)).fetchone()
                self._base.execute("DELETE FROM curves WHERE run_id = ?", (run,))
                self._base.execute(f"INSERT OR REPLACE INTO runs ({names}) VALUES ({marks})", row)
                curve = other._base.execute("SELECT * FROM curves WHERE run_id = ?", (run,)).fetchall()
                self._base.executemany("INSERT INTO curves VALUES (?, ?, ?, ?, ?)", curve)
            figures = other._base.execute("SELECT * FROM figure1").fetchall()
            self._base.executemany("INSERT OR IGNORE INTO figure1 VALUES (?, ?)", figures)
        return len(wanted)

    def keep_figure1(self, figure: Figure1, table: str) -> None:
        """The table of Figure 1."""
        with self._errors(), self._change():
            self._base.execute("INSERT OR IGNORE INTO figure1 VALUES (?, ?)", (figure.id, table))

    def figure1(self, figure: Figure1 | None) -> str | None:
        """Its table, where it was asked for and is there."""
        command, wanted = "SELECT content FROM figure1 WHERE figure_id = ?", (figure.id if figure else "",)
        with self._errors():
            row = self._base.execute(command, wanted).fetchone()
        return row[0] if row else None

    def runs(self, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of `runs`, in this order."""
        with self._errors():
            rows = {row[0]: row for row in self._base.execute(f"SELECT {', '.join(_NAMES)} FROM runs")}
        return [dict(zip(_NAMES, rows[run], strict=True)) for run in wanted if run in rows]

    def curves(self, wanted: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows of `curves`, those of each run by environment steps, runs in this order."""
        command = f"SELECT {', '.join(CURVE)} FROM curves WHERE run_id = ? ORDER BY env_steps"
        with self._errors():
            return [row for run in wanted for row in self._base.execute(command, (run,))]

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite complains about, as a line that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: {error}") from None


def _to_read(path: Path) -> str:
    """Where SQLite finds a file that it may only read; beside a log, others are writing it."""
    quiet = not path.with_name(f"{path.name}-wal").exists()
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if quiet else ''}"
