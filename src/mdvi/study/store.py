"""The results of a study: one SQLite file, which anything that reads SQLite can read.

    runs      a row for each run: what it is, how it stands, what came out
    curves    a row for each line of metrics of each run that was trained
    figure1   the table of the paper's Figure 1, as CSV, by what was asked for

Every change is one transaction, on the disk before it is believed: a process that is killed leaves the file as it was
before the change or after it. Several processes may work on one file. Every row carries a checksum, and the row of a
run says how many lines its curve has: what is read is what was written, or it is refused.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdvi.study.database import REMEDY, TABLES, checksum, connect, seal, transaction
from mdvi.study.spec import Figure1, Run

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
)  # of the columns of `runs`, what is known when a run has ended


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

    def __init__(self, path: Path, reading: bool = False) -> None:
        """Open it, or make it; what cannot be written is opened to be read.

        Args:
            path: of the file.
            reading: whether it is only read.

        Raises:
            ValueError: when it is something else, damaged, of a later version, or cannot be made.
        """
        self.path = path
        with self._errors():
            self._base = connect(path, reading)

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    def add(self, runs: Iterable[Run]) -> None:
        """Runs that are wanted, where they are not known yet."""
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
        """How every run stands."""
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
        """What came of runs, all of them or, when the process is killed, none."""
        outcomes = list(outcomes)
        with self._change([outcome.run_id for outcome in outcomes]):
            for run, status, reason, facts, curve, trace in outcomes:
                columns = {"status": status, "reason": reason, "trace": trace, "lines": len(curve)} | facts
                names = ", ".join(f"{name} = :{name}" for name in columns)
                self._base.execute(f"UPDATE runs SET {names} WHERE run_id = :run_id", columns | {"run_id": run})
                self._draw(run, curve)

    def add_seconds(self, runs: Sequence[str], seconds: float) -> None:
        """Time that runs took together."""
        with self._change(runs):
            self._base.executemany(
                "UPDATE runs SET seconds = seconds + ? WHERE run_id = ?", [(seconds / len(runs), run) for run in runs]
            )

    def take(self, other: "Store") -> int:
        """What has ended elsewhere and not here; how many runs that were."""
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

    def keep_figure1(self, figure: Figure1, table: str) -> None:
        """The table of Figure 1."""
        with self._change():
            self._keep(figure.id, table)

    def figure1(self, figure: Figure1 | None) -> str | None:
        """Its table, where it was asked for and is there."""
        wanted = figure.id if figure else ""
        return next((table for _, table in self._rows("figure1", "WHERE figure_id = ?", wanted)), None)

    def runs(self, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of `runs`, in this order."""
        rows = {row[0]: row for row in self._rows("runs")}
        return [dict(zip(TABLES["runs"], rows[run], strict=True)) for run in wanted if run in rows]

    def curves(self, wanted: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows of `curves`, those of each run by environment steps, runs in this order."""
        return [row for run in wanted for row in self._curve(run)]

    def _curve(self, run: str) -> list[tuple[Any, ...]]:
        """All rows of a run's curve."""
        found = list(self._rows("curves", "WHERE run_id = ? ORDER BY env_steps", run))
        for row in self._rows("runs", "WHERE run_id = ?", run):
            if row[TABLES["runs"].index("lines")] != len(found):
                raise ValueError(f"{self.path}: lines of the curve of run {run} are missing; {REMEDY}")
        return found

    def _draw(self, run: str, curve: Sequence[tuple[Any, ...]]) -> None:
        """Put a curve in the place of the one before."""
        names = TABLES["curves"]
        command = f"INSERT INTO curves ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        self._base.execute("DELETE FROM curves WHERE run_id = ?", (run,))
        self._base.executemany(command, [(run, *row) for row in curve])
        seal(self._base, "curves", [run])

    def _keep(self, figure: str, table: str) -> None:
        """A table of Figure 1, where there is none yet."""
        if not list(self._rows("figure1", "WHERE figure_id = ?", figure)):
            self._base.execute("INSERT INTO figure1 (figure_id, content) VALUES (?, ?)", (figure, table))
            seal(self._base, "figure1", [figure])

    def _rows(self, table: str, where: str = "", key: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Rows of a table, each of which is as it was written."""
        command = f"SELECT {', '.join(TABLES[table])}, checksum FROM {table} {where}"
        with self._errors():
            for row in self._base.execute(command, () if key is None else (key,)):
                if checksum(*row[:-1]) != row[-1]:
                    what = f"the row of {str(row[0])[:40]} in {table} is damaged: its checksum does not fit"
                    raise ValueError(f"{self.path}: {what}; {REMEDY}")
                yield row[:-1]

    @contextlib.contextmanager
    def _change(self, runs: Sequence[str] = ()) -> Iterator[None]:
        """One transaction; the rows of these runs are sound before it, and sealed after it."""
        with self._errors(), transaction(self._base):
            for run in runs:
                list(self._rows("runs", "WHERE run_id = ?", run))
            yield
            seal(self._base, "runs", runs)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite complains about, as a line that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            damaged = type(error) is sqlite3.DatabaseError  # the others are about the machine, or about what is asked
            raise ValueError(f"{self.path}: {str(error)[:200]}{f'; {REMEDY}' if damaged else ''}") from None
