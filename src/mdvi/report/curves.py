"""The table behind a figure of curves: what experiments produce, and plots and reports read."""

import csv
import dataclasses
import io

import numpy as np

from mdvi.words import from_cell, to_cell

PANELS = ("left", "middle", "right")


@dataclasses.dataclass(frozen=True)
class Curve:
    """One curve of a panel, entries k = 0 … K.

    Attributes:
        panel: "left", "middle" or "right".
        label: what the legend says.
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


def to_csv(curves: list[Curve]) -> str:
    """The curves of all panels as one table, one row per curve and iteration."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("panel", "curve", "kl", "entropy", "iteration", "loss_mean", "loss_low", "loss_high", "bound")
    writer.writerow(columns)
    for c in curves:
        name = to_cell(c.panel), to_cell(c.label)
        for k, numbers in enumerate(zip(c.loss_mean, c.loss_low, c.loss_high, c.bound, strict=True)):
            writer.writerow([*name, f"{c.kl:.6g}", f"{c.entropy:g}", k, *(f"{x:.8g}" for x in numbers)])
    return text.getvalue()


def from_csv(text: str) -> list[Curve]:
    """The curves that `to_csv` wrote.

    Raises:
        ValueError: when it did not.
    """
    groups: dict[tuple[str, ...], list[list[float]]] = {}
    try:
        for row in csv.DictReader(io.StringIO(text)):
            key = row["panel"], row["curve"], row["kl"], row["entropy"]
            numbers = [float(row[name]) for name in ("loss_mean", "loss_low", "loss_high", "bound")]
            groups.setdefault(key, []).append(numbers)
        return [
            Curve(from_cell(k[0]), from_cell(k[1]), float(k[2]), float(k[3]), *np.array(rows).T)
            for k, rows in groups.items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a table of Figure 1: {error}") from None
