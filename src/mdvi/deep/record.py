"""What the folder of a run holds, for people and programs.

config.json     what was asked for
metrics.csv     a line for each member every `log_period` environment steps
checkpoint/     the whole program, the last two times it was saved
summary.json    what came out
"""

import csv
import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mdvi.deep.ledger import Ledger
from mdvi.deep.settings import Settings

CONFIG, METRICS, SUMMARY, CHECKPOINT = "config.json", "metrics.csv", "summary.json", "checkpoint"
# What config.json holds besides the version.
_KINDS: dict[str, Any] = {
    "env": str,
    "agent": str,
    **dict.fromkeys(("kl", "entropy", "beta", "learning_rate"), list | None),
    **dict.fromkeys(("evaluate_kl", "evaluate_entropy"), bool | None),
    "seeds": list,
    "steps": int,
    "preset": str | None,
    "width": int | None,
    "settings": dict,
}


def metrics_csv(ledger: Ledger, columns: list[dict[str, Any]]) -> str:
    """All lines of metrics, by environment steps and member; what is unknown is empty."""
    rows = [
        {"env_steps": int(row["env_steps"]), **columns[number], **row}
        for number, lines in ledger.rows.items()
        for row in lines
    ]
    rows.sort(key=lambda row: (row["env_steps"], row["member"]))
    text = io.StringIO()
    names = list(dict.fromkeys(["env_steps", *columns[0], *ledger.columns])) if rows else ["env_steps", "member"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _text(row.get(name, math.nan)) for name in names})
    return text.getvalue()


def columns_of(text: str) -> dict[str, np.ndarray]:
    """The columns of what `metrics_csv` writes; what is empty is NaN, and without lines there are none."""
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else ())}


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The columns of metrics.csv, see `columns_of`.

    Raises:
        ValueError: when there are none.
    """
    path = folder / METRICS
    if not path.exists():
        raise ValueError(f"{folder}: has no {METRICS}; is it the folder of a training run?")
    try:
        columns = columns_of(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, csv.Error) as error:
        raise ValueError(f"{path}: damaged ({error}); `mdvi train --out {folder}` writes it again") from None
    if not columns:
        raise ValueError(f"{path}: no line of metrics yet; train longer")
    for name in ("env_steps", "member", "kl", "entropy", "beta", "learning_rate", "last_100"):
        if name not in columns:
            raise ValueError(f"{path}: has no column {name}; `mdvi train --out {folder}` writes it again")
    return columns


def read_config(folder: Path) -> dict[str, Any]:
    """What a run was made with.

    Raises:
        ValueError: when it is not there or cannot be read.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder}: has no {CONFIG}; is it the folder of a training run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    for name, kinds in _KINDS.items():
        if not isinstance(config, dict) or name not in config or not _is_of(config[name], kinds):
            raise ValueError(f"{path}: damaged: {name} is missing or of the wrong kind")
    return config


def digest_of(config: dict[str, Any]) -> str:
    """What tells a configuration from others, whatever version wrote it."""
    plain = {name: value for name, value in config.items() if name != "version"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _is_of(value: Any, kinds: Any) -> bool:
    """Whether a value is of a kind, and in a list all are numbers."""
    numbers = value if isinstance(value, list) else []
    return isinstance(value, kinds) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    )


def summary_of(ledger: Ledger, settings: Settings, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """For each member: status, mean return of all its episodes, and of the last hundred."""
    members = []
    for number, rows in ledger.rows.items():
        episodes = np.array([row["episodes"] for row in rows])
        total = np.nansum([row["episodes"] * row["episode_return"] for row in rows if row["episodes"]])
        members.append(
            columns[number]
            | {
                "status": (ledger.status[number] or "ok"),
                "env_steps": int(rows[-1]["env_steps"]) if rows else settings.warmup,
                "episodes": int(episodes.sum()),
                "mean_return": float(total / episodes.sum()) if episodes.sum() else None,
                "last_100": _finite(rows[-1]["last_100"]) if rows else None,
            }
        )
    good = [member["last_100"] for member in members if member["status"] == "ok" and member["last_100"] is not None]
    failed = sum(member["status"] != "ok" for member in members)
    return {
        "status": "ok" if not failed else f"{failed} of {len(members)} members failed",
        "last_100": float(np.mean(good)) if good else None,
        "members": members,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return str(value)
