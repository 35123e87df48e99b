"""The results of a study as tables for other programs."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from mdvi.extras import explained
from mdvi.report.verdict import COLUMNS as VERDICT
from mdvi.report.verdict import Verdict
from mdvi.words import to_cell

COLUMNS = (
    "run_id", "status", "reason", "env", "agent", "evaluation", "kl", "entropy", "beta", "learning_rate", "seed",
    "score_mean_training", "score_last100", "env_steps", "episodes", "seconds",
)  # fmt: skip
_KINDS = dict.fromkeys(("run_id", "status", "reason", "env", "agent", "evaluation"), "string") | dict.fromkeys(
    ("seed", "env_steps", "episodes"), "int64"
)  # of columns; the others are numbers
CURVE = ("run_id", "env_steps", "episodes", "episode_return", "last_100")


def runs_csv(rows: Iterable[dict[str, Any]]) -> str:
    """A row for each run; what is unknown is empty. The seconds of runs that were trained together are shared out."""
    return _csv(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def curves_csv(rows: Iterable[Sequence[Any]]) -> str:
    """A row for each line of metrics."""
    return _csv(CURVE, rows)


def verdict_csv(verdicts: Iterable[Verdict]) -> str:
    """A row for each finding of the paper; numbers that cannot be formed are empty."""
    return _csv(VERDICT, ([None if value != value else value for value in verdict] for verdict in verdicts))


def runs_parquet(rows: Iterable[dict[str, Any]]) -> bytes:
    """The same table as Parquet; what is unknown is null."""
    return _parquet(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def curves_parquet(rows: Iterable[Sequence[Any]]) -> bytes:
    """The same table as Parquet."""
    return _parquet(CURVE, rows)


def _parquet(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    with explained():
        import pyarrow
        import pyarrow.parquet
    kinds = {kind: getattr(pyarrow, kind)() for kind in ("string", "int64", "float64")}
    schema = pyarrow.schema([(name, kinds[_KINDS.get(name, "float64")]) for name in names])
    table = pyarrow.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(value) for value in row] for row in rows)
    return text.getvalue()


def _text(value: Any) -> Any:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else to_cell(value)
