"""The results of a study in one SQLite file, which any SQLite client can read.

    runs      a row for each run: its definition, its status, its results
    curves    a row for each line of metrics of each trained run
    figure1   the tables of Figure 1 and of the other experiments of the laboratory, as CSV, by their parameters

Every change is one durable transaction: if a process is killed, the file has the state before or after the change.
Several processes may work on one file. Every row has a checksum, and the row of a run has the number of lines of its
curve, so that damaged rows are refused.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdvi.study.database import REMEDY, TABLES, checksum, connect, seal, transaction
from mdvi.study.spec import Experiment, Run, Study

NAME = "study.sqlite"
ENDED = ("done", "diverged", "failed")
_RESULTS = (
    "score_mean_training",
    "score_last100",
    "env_steps",
    "episodes",
    "version",
    "git_commit",
    "device",
)  # the columns of `runs` that are known when a run has ended


class Outcome(NamedTuple):
    """The outcome of a run.

    Attributes:
        run_id: the id of the run.
        status: "done", "diverged" or "failed".
        reason: the reason of the failure, in one line; "" if the run did not fail.
        facts: the columns of `runs` that are known at the end.
        curve: rows of `curves`, without the id of the run.
        trace: the traceback of an exception.
    """

    run_id: str
    status: str
    reason: str
    facts: dict[str, Any]
    curve: Sequence[tuple[Any, ...]] = ()
    trace: str = ""


class Store:
    """The file of a study."""

    def __init__(self, path: Path, reading: bool = False) -> None:
        """Open the file, or create it; a file that cannot be written is opened for reading.

        Args:
            path: the path of the file.
            reading: whether the store is only read.

        Raises:
            ValueError: if the file is not a store, is damaged, was written by a later version, or cannot be created.
        """
        self.path = path
        with self._errors():
            self._base = connect(path, reading)

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    def add(self, runs: Iterable[Run]) -> None:
        """Queue the runs that are not in the store yet."""
        columns = ("run_id", "cell_id", "env", "agent", "evaluation", "kl", "entropy", "beta", "learning_rate", "seed")
        command = (
            f"INSERT INTO runs ({', '.join(columns)}, status, reason, seconds, trace) "
            f"VALUES ({', '.join('?' * len(columns))}, 'queued', '', 0.0, '')"
        )
        with self._change():
            known = self.statuses()
            new = [run for run in runs if run.id not in known]
            self._base.executemany(command, [
                (run.id, run.cell_id, run.env, run.agent, run.evaluation, *run.numbers, run.learning_rate, run.seed)
                for run in new
            ])  # fmt: skip
            seal(self._base, "runs", [run.id for run in new])

    def statuses(self) -> dict[str, str]:
        """The status of every run."""
        place = TABLES["runs"].index("status")
        return {row[0]: row[place] for row in self._rows("runs")}

    def mark(self, runs: Iterable[str], status: str) -> None:
        """Mark runs as being trained, or as queued again; runs that have ended stay as they are."""
        runs = list(runs)
        with self._change(runs):
            self._base.executemany(
                f"UPDATE runs SET status = ? WHERE run_id = ? AND status NOT IN {ENDED}",
                [(status, run) for run in runs],
            )

    def again(self, runs: Sequence[str]) -> None:
        """Queue runs again that have ended, and remove their results."""
        unknown = ", ".join(f"{name} = NULL" for name in _RESULTS)
        command = f"UPDATE runs SET status = 'queued', reason = '', trace = '', lines = 0, {unknown} WHERE run_id = ?"
        with self._change(runs):
            self._base.executemany(command, [(run,) for run in runs])
            self._base.executemany("DELETE FROM curves WHERE run_id = ?", [(run,) for run in runs])

    def finish(self, outcomes: Iterable[Outcome]) -> None:
        """Store the outcomes of runs in one transaction."""
        outcomes = list(outcomes)
        with self._change([outcome.run_id for outcome in outcomes]):
            for run, status, reason, facts, curve, trace in outcomes:
                columns = {"status": status, "reason": reason, "trace": trace, "lines": len(curve)} | facts
                names = ", ".join(f"{name} = :{name}" for name in columns)
                self._base.execute(f"UPDATE runs SET {names} WHERE run_id = :run_id", columns | {"run_id": run})
                self._draw(run, curve)

    def add_seconds(self, runs: Sequence[str], seconds: float) -> None:
        """Add a time that runs took together, in equal shares."""
        with self._change(runs):
            self._base.executemany(
                "UPDATE runs SET seconds = seconds + ? WHERE run_id = ?", [(seconds / len(runs), run) for run in runs]
            )

    def take(self, other: "Store") -> int:
        """Copy the runs that have ended in another store and not in this one; returns the number of runs."""
        here, place = self.statuses(), TABLES["runs"].index("status")
        ended = [row for row in other._rows("runs") if row[place] in ENDED and here.get(row[0]) not in ENDED]
        names = TABLES["runs"]
        command = f"INSERT OR REPLACE INTO runs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        with self._change():
            for row in ended:
                self._base.execute("DELETE FROM curves WHERE run_id = ?", row[:1])
                self._base.execute(command, row)
                self._draw(row[0], [line[1:] for line in other.curves(row[:1])])
            seal(self._base, "runs", [row[0] for row in ended])
            for figure, table in other._rows("figure1"):
                self._keep(figure, table)
        return len(ended)

    def keep_table(self, experiment: Experiment, table: str) -> None:
        """Store the table of an experiment of the laboratory."""
        with self._change():
            self._keep(experiment.id, table)

    def table(self, experiment: Experiment) -> str | None:
        """The table of an experiment; None if it is not in the store."""
        return next((table for _, table in self._rows("figure1", "WHERE figure_id = ?", experiment.id)), None)

    def tables(self, study: Study) -> dict[str, str]:
        """The tables of a study's experiments that are in the store, by their names."""
        found = ((experiment.name, self.table(experiment)) for experiment in study.experiments)
        return {name: table for name, table in found if table is not None}

    def runs(self, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of `runs` for these ids, in this order."""
        rows = {row[0]: row for row in self._rows("runs")}
        return [dict(zip(TABLES["runs"], rows[run], strict=True)) for run in wanted if run in rows]

    def curves(self, wanted: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of `curves` for these ids, in this order; the rows of each run by environment steps."""
        return [row for run in wanted for row in self._curve(run)]

    def _curve(self, run: str) -> list[tuple[Any, ...]]:
        """All rows of the curve of a run."""
        found = list(self._rows("curves", "WHERE run_id = ? ORDER BY env_steps", run))
        for row in self._rows("runs", "WHERE run_id = ?", run):
            if row[TABLES["runs"].index("lines")] != len(found):
                raise ValueError(f"{self.path}: lines of the curve of run {run} are missing; {REMEDY}")
        return found

    def _draw(self, run: str, curve: Sequence[tuple[Any, ...]]) -> None:
        """Replace the curve of a run."""
        names = TABLES["curves"]
        command = f"INSERT INTO curves ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        self._base.execute("DELETE FROM curves WHERE run_id = ?", (run,))
        self._base.executemany(command, [(run, *row) for row in curve])
        seal(self._base, "curves", [run])

    def _keep(self, figure: str, table: str) -> None:
        """Store the table of an experiment, unless there is one already."""
        if not list(self._rows("figure1", "WHERE figure_id = ?", figure)):
            self._base.execute("INSERT INTO figure1 (figure_id, content) VALUES (?, ?)", (figure, table))
            seal(self._base, "figure1", [figure])

    def _rows(self, table: str, where: str = "", key: str | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, with their checksums verified."""
        command = f"SELECT {', '.join(TABLES[table])}, checksum FROM {table} {where}"
        with self._errors():
            for row in self._base.execute(command, () if key is None else (key,)):
                if checksum(*row[:-1]) != row[-1]:
                    what = f"the row of {str(row[0])[:40]} in {table} is damaged (checksum mismatch)"
                    raise ValueError(f"{self.path}: {what}; {REMEDY}")
                yield row[:-1]

    @contextlib.contextmanager
    def _change(self, runs: Sequence[str] = ()) -> Iterator[None]:
        """One transaction; verifies the checksums of these runs before it, and updates them at its end."""
        with self._errors(), transaction(self._base):
            for run in runs:
                list(self._rows("runs", "WHERE run_id = ?", run))
            yield
            seal(self._base, "runs", runs)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert errors of SQLite into a ValueError that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            damaged = type(error) is sqlite3.DatabaseError  # subclasses concern the machine or the query
            raise ValueError(f"{self.path}: {str(error)[:200]}{f'; {REMEDY}' if damaged else ''}") from None
