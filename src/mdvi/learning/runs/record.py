"""The files in the folder of a run.

config.json     the request that the run was made for
metrics.csv     a line for each member every `log_period` environment steps
checkpoint/     the last two checkpoints of the whole state; a large replay is in checkpoint/replay/
summary.json    the results
"""

import array
import contextlib
import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdvi import input
from mdvi.learning.request import AXES, Request, identifying
from mdvi.learning.runs.folder import LOCK, check
from mdvi.learning.runs.member_log import MemberLog
from mdvi.learning.settings import Settings

CONFIG, METRICS, SUMMARY, CHECKPOINT = "config.json", "metrics.csv", "summary.json", "checkpoint"
REPLAY = "replay"  # in CHECKPOINT
_MADE = ("made_as", "made_steps")  # entries of config.json: the original environment and steps, if they have changed
_MOST_CONFIG, _MOST_SUMMARY, _LONGEST = 2**23, 2**25, 2**20  # bytes; the last is the limit of a line of metrics.csv
_MOST_COLUMNS = 1000


def metrics_csv(log: MemberLog, columns: list[dict[str, Any]]) -> str:
    """All lines of metrics, sorted by environment steps and member; unknown values are empty."""
    rows = [
        {"env_steps": int(row["env_steps"]), **columns[number], **row}
        for number, lines in log.rows.items()
        for row in lines
    ]
    rows.sort(key=lambda row: (row["env_steps"], row["member"]))
    text = io.StringIO()
    names = list(dict.fromkeys(["env_steps", *columns[0], *log.columns])) if rows else ["env_steps", "member"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _text(row.get(name, math.nan)) for name in names})
    return text.getvalue()


def columns_of(lines: Iterable[str]) -> dict[str, np.ndarray]:
    """The columns of the lines that `metrics_csv` writes; empty cells are NaN; without lines, there are no columns.

    Raises:
        ValueError: if a cell is not a number, if lines have different lengths, or if there are too many columns.
    """
    rows = csv.reader(lines)
    names = next(rows, [])
    if len(names) > _MOST_COLUMNS:
        raise ValueError(f"expected at most {_MOST_COLUMNS} columns, got {len(names)}")
    columns = [array.array("d") for _ in names]
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise ValueError(f"line {number} has {len(row)} columns, not {len(names)}")
        for column, cell in zip(columns, row, strict=True):
            column.append(float(cell or "nan"))
    return {name: np.array(column) for name, column in zip(names, columns, strict=True) if len(column)}


def check_names(folder: Path) -> None:
    """Check that the entries of a folder with the names that mdvi uses are regular files and folders.

    A folder may come from an untrusted source, so nothing in it is read or written through a link.

    Raises:
        ValueError: if an entry is a link, or of the wrong kind; the message names it.
    """
    check(folder, files=(CONFIG, METRICS, SUMMARY, LOCK), folders=(CHECKPOINT, f"{CHECKPOINT}/{REPLAY}"))


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The columns of metrics.csv, see `columns_of`.

    Raises:
        ValueError: if the file is missing, damaged, or has no line of metrics.
        OSError: if the machine cannot read it.
    """
    path = folder / METRICS
    with _opened(folder, METRICS) as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        try:
            columns = columns_of(iter(lambda: text.readline(_LONGEST), ""))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: damaged ({error}); `mdvi train --out {folder}` rewrites it") from None
    if not columns:
        raise ValueError(f"{path}: no line of metrics yet; train longer")
    for name in ("env_steps", "member", *AXES, "last_100"):
        if name not in columns:
            raise ValueError(f"{path}: has no column {name}; `mdvi train --out {folder}` rewrites it")
    return columns


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        ValueError: if config.json is missing or damaged.
        OSError: if the machine cannot read it.
    """
    config = _json_in(folder, CONFIG, _MOST_CONFIG)
    try:
        Request.read(config)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: damaged: {error}") from None
    return config


def read_summary(folder: Path) -> dict[str, Any]:
    """The results of a run; empty for a run that is not finished.

    Raises:
        ValueError: if summary.json is damaged.
        OSError: if the machine cannot read it.
    """
    if input.kind(folder / SUMMARY, links=False) is None:
        return {}
    try:
        return _json_in(folder, SUMMARY, _MOST_SUMMARY)
    except ValueError as error:
        raise ValueError(f"{error}; `mdvi train --out {folder}` rewrites it") from None


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a file of a run."""
    check_names(folder)
    try:
        with input.opened(folder / name, links=False) as file:
            yield file
    except (FileNotFoundError, NotADirectoryError):
        found = f"has no {name}" if input.kind(folder) else "there is nothing here"
        raise ValueError(f"{folder}: {found}; is it the folder of a training run?") from None


def _json_in(folder: Path, name: str, most: int) -> dict[str, Any]:
    """The JSON object in a file of at most `most` bytes."""
    with _opened(folder, name) as file:
        text = file.read(most + 1)
    try:
        found = input.parsed(text) if len(text) <= most else None
    except ValueError as error:
        raise ValueError(f"{folder / name}: damaged ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{folder / name}: damaged (expected an object of at most {most} bytes)")
    return found


def members_of(config: dict[str, Any]) -> int:
    """The number of members in a configuration; the configuration of a study lists its runs one by one."""
    if "runs" in config:
        return len(config["runs"])
    return math.prod(len(config[name] or [None]) for name in (*AXES, "seeds"))


def digest_of(config: dict[str, Any]) -> str:
    """The digest that identifies a configuration, whatever version wrote it.

    If a later version has renamed the environment, the digest uses the original name `made_as`; if the run has been
    extended, the digest uses the original number of steps `made_steps`.
    """
    plain = {name: value for name, value in identifying(config).items() if name not in ("version", *_MADE)}
    plain["env"] = config.get("made_as", config["env"])
    plain["steps"] = made_steps(config)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def made_steps(config: dict[str, Any]) -> Any:
    """The environment steps that a run was first made for."""
    return config.get("made_steps", config["steps"])


def is_longer(known: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether a configuration requests at least the steps that the run was made for."""
    return isinstance(known.get("steps"), int) and config["steps"] >= known["steps"]


def summary_of(log: MemberLog, settings: Settings, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary of a run: for each member its status and the mean return of all and of the last hundred episodes."""
    members = []
    for number, rows in log.rows.items():
        episodes = np.array([row["episodes"] for row in rows])
        total = np.nansum([row["episodes"] * row["episode_return"] for row in rows if row["episodes"]])
        members.append(
            columns[number]
            | {
                "status": (log.status[number] or "ok"),
                "env_steps": int(rows[-1]["env_steps"]) if rows else settings.warmup,
                "episodes": int(episodes.sum()),
                "mean_return": float(total / episodes.sum()) if episodes.sum() else None,
                "last_100": _finite(rows[-1]["last_100"]) if rows else None,
            }
            | _best(rows, int(columns[number]["seed"]))
        )
    good = [member["last_100"] for member in members if member["status"] == "ok" and member["last_100"] is not None]
    failed = sum(member["status"] != "ok" for member in members)
    return {
        "status": "ok" if not failed else f"{failed} of {len(members)} members failed",
        "last_100": float(np.mean(good)) if good else None,
        "members": members,
    }


def evaluation_seed(seed: int, step: int) -> int:
    """The seed of the evaluation of a member after this many environment steps, from the seed of the member."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def _best(rows: list[dict[str, float]], seed: int) -> dict[str, Any]:
    """The best evaluation of a member during training, its environment step and its seed; empty without evaluations."""
    found = [(row["evaluation_return"], int(row["env_steps"])) for row in rows if "evaluation_return" in row]
    found = [pair for pair in found if not math.isnan(pair[0])]
    if not found:
        return {}
    value, step = max(found, key=lambda pair: (pair[0], -pair[1]))
    return {"best_return": value, "best_step": step, "best_seed": evaluation_seed(seed, step)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return str(value)
