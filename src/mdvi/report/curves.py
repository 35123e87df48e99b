"""The tables behind figures of curves: what experiments produce, and plots and reports read."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from mdvi.words import from_cell, to_cell

PANELS = ("left", "middle", "right")

# What the columns of a table hold that tell one curve from another, by the names of the columns.
FIGURE1 = {"panel": "panel", "curve": "label", "kl": "kl", "entropy": "entropy"}
REGULARIZERS = {"regularizer": "panel", "form": "label", "kl": "kl"}
_SERIES = ("loss_mean", "loss_low", "loss_high", "bound")


@dataclasses.dataclass(frozen=True)
class Curve:
    """One curve of a panel, entries k = 0 … K.

    Attributes:
        panel: "left", "middle" or "right"; or the regulariser, "none" for AVI.
        label: what the legend says; or the form, "lazy" or "agile".
        kl: λ.
        entropy: τ.
        loss_mean: the mean normalised loss over Garnets.
        loss_low: lower end of its 95 % confidence interval (Student's t over Garnets).
        loss_high: upper end.
        bound: the mean over Garnets of the theorem's bound on the normalised loss; +∞ where it is silent.
    """

    panel: str
    label: str
    kl: float
    entropy: float
    loss_mean: np.ndarray
    loss_low: np.ndarray
    loss_high: np.ndarray
    bound: np.ndarray


def by_regularizer(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each regulariser by its name, with AVI first in each, and labels that tell them apart."""
    first = [dataclasses.replace(curve, label="AVI") for curve in curves if curve.panel == "none"]
    return {
        name: first
        + [
            dataclasses.replace(curve, label=f"λ = {curve.kl:g}" + (", agile" if curve.label == "agile" else ""))
            for curve in curves
            if curve.panel == name
        ]
        for name in dict.fromkeys(curve.panel for curve in curves)
        if name != "none"
    }


def to_csv(curves: list[Curve], columns: Mapping[str, str] = FIGURE1) -> str:
    """The curves of all panels as one table, one row per curve and iteration.

    Args:
        curves: all of them.
        columns: `FIGURE1` or `REGULARIZERS`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "iteration", *_SERIES])
    for curve in curves:
        values = [getattr(curve, field) for field in columns.values()]
        name = [to_cell(value) if isinstance(value, str) else f"{value:.6g}" for value in values]
        for k, numbers in enumerate(zip(*(getattr(curve, series) for series in _SERIES), strict=True)):
            writer.writerow([*name, k, *(f"{x:.8g}" for x in numbers)])
    return text.getvalue()


def from_csv(text: str, columns: Mapping[str, str] = FIGURE1) -> list[Curve]:
    """The curves that `to_csv` wrote with these columns.

    Raises:
        ValueError: when it did not.
    """
    groups: dict[tuple[str, ...], list[list[float]]] = {}
    try:
        for row in csv.DictReader(io.StringIO(text)):
            groups.setdefault(tuple(row[name] for name in columns), []).append([float(row[name]) for name in _SERIES])
        found = []
        for key, rows in groups.items():
            given = dict(zip(columns.values(), key, strict=True))
            names = from_cell(given["panel"]), from_cell(given["label"])
            found.append(Curve(*names, float(given["kl"]), float(given.get("entropy", 0)), *np.array(rows).T))
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a table of curves: {error}") from None
