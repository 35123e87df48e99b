"""What pictures show, in words and numbers, for people who cannot see them."""

from collections.abc import Sequence

import numpy as np

from mdvi.report.cells import Cell, Panel
from mdvi.report.curves import Curve
from mdvi.report.findings import mean_of
from mdvi.report.stats import averaged, in_words, short


def heatmap_alt(panel: Panel, baseline: Cell | None, score: str) -> str:
    """The best and the worst cell of a heatmap, and the baseline beside them."""
    known = [(place, cell) for place, cell in panel.cells.items() if np.isfinite(mean_of(cell)[0])]
    kinds = dict(zip(("rows", "columns"), _names(panel), strict=True))
    axes = " and ".join(f"{name} ({kind})" for kind, name in kinds.items() if name)
    text = f"Heatmap of {panel.label}: {score} by {axes}."
    if known:
        ends = [pick(known, key=lambda one: mean_of(one[1])[0]) for pick in (max, min)]
        high, low = (f"{in_words(*mean_of(cell))} at {place_of(panel, *place)}" for place, cell in ends)
        text += f" Highest: {high}. Lowest: {low}."
    return text + (f" {baseline.agent}: {in_words(*mean_of(baseline))}." if baseline is not None else "")


def curve_alt(
    label: str, curve: tuple[np.ndarray, np.ndarray], baseline: str, other: tuple[np.ndarray, np.ndarray]
) -> str:
    """Where a learning curve ends, and where that of the baseline does; no baseline is ""."""
    text = f"Learning curve of {label}: {_end(curve)}"
    return f"{text}; {baseline}, dotted: {_end(other)}." if baseline else f"{text}."


def panel_alt(curves: Sequence[Curve]) -> str:
    """The last losses of a panel."""
    last = len(curves[0].loss_mean) - 1
    shown = ", ".join(
        f"{c.label}: {in_words(float(c.loss_mean[last]), float(c.loss_high[last] - c.loss_mean[last]))}" for c in curves
    )
    return (
        f"Mean normalised loss against iteration, and below it the same beside its bound. Loss at k = {last}: {shown}."
    )


def place_of(panel: Panel, row: int, column: int) -> str:
    """Where a cell lies in its panel, such as "β = 0.5, τ = 1"."""
    values = panel.rows[1][row], panel.columns[1][column]
    return ", ".join(f"{name} = {short(value)}" for name, value in zip(_names(panel), values, strict=True) if name)


def _names(panel: Panel) -> tuple[str, str]:
    return panel.rows[0], panel.columns[0]


def _end(curve: tuple[np.ndarray, np.ndarray]) -> str:
    steps, returns = curve
    known = np.flatnonzero(np.isfinite(returns).any(-1)) if returns.size else np.zeros(0, int)
    if not len(known):
        return "no episode has ended"
    return f"{in_words(*averaged(returns[known[-1]]))} after {steps[known[-1]]:.0f} steps"
