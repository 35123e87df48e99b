"""Learning curves: a thin line for each seed, and one thick line for their mean with its interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdvi.report.ends import label_ends
from mdvi.report.palette import INK, SOFT, series
from mdvi.report.plots import canvas, steps_axis, verbatim
from mdvi.report.sizes import Width, inches
from mdvi.report.stats import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mdvi.report.plots import Figure

TOGETHER = 3  # curves that share axes; more of them get small axes of their own
_SMALL = 1.7  # inches that small axes take
Curve = tuple[np.ndarray, np.ndarray]


def learning_plot(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, width: Width = None) -> "Figure":
    """Return against environment steps: for each cell its label, its steps and its seeds' returns (steps, seeds).

    A thin line is a seed, the thick line the mean over seeds, the band its 95 % interval by Student's t where there are
    three seeds or more. Up to three curves share axes and have their names at their ends; more of them get axes of
    their own, with the same scale.

    Args:
        curves: as said.
        title: above the picture.
        width: "column", "text" or a number of inches.
    """
    wide = inches(width, 7.0)
    if len(curves) > TOGETHER:
        return _multiples(curves, title, wide)
    height = max(0.55 * wide, 2.2)
    with canvas((wide, height)) as figure:
        axes = figure.subplots()
        ends = []
        for (label, steps, returns), (color, _) in zip(curves, series(len(curves)), strict=True):
            last = seeds_and_mean(axes, (steps, returns), color, label)
            ends.append((last, verbatim(label), color))
        steps_axis(axes)
        axes.set_ylabel("return, mean of the last 100 episodes")
        axes.set_title(verbatim(title))
        axes.margins(x=0)
        label_ends(axes, ends, height - 0.7)
        return figure


def seeds_and_mean(axes: "Axes", curve: Curve, color: str, label: str = "") -> float:
    """Draw the seeds, their mean and its interval; the last mean, NaN where there is none."""
    steps, returns = curve
    if not returns.size:
        return float("nan")
    mean, reach = interval(returns)
    if returns.shape[1] > 1:
        axes.plot(steps, returns, color=color, lw=0.5, alpha=0.55)
    axes.fill_between(steps, mean - reach, mean + reach, color=color, alpha=0.18, lw=0)
    axes.plot(steps, mean, color=color, lw=1.8, label=verbatim(label))
    known = mean[np.isfinite(mean)]
    return float(known[-1]) if len(known) else float("nan")


def baseline_mean(axes: "Axes", curve: Curve, name: str = "") -> None:
    """Draw the mean of the baseline, dotted."""
    steps, returns = curve
    if returns.size:
        axes.plot(steps, interval(returns)[0], color=INK, lw=1.1, ls=(0, (1.2, 1.2)), label=verbatim(name))


def _multiples(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, wide: float) -> "Figure":
    """Axes for each curve, all with one scale."""
    across = min(len(curves), max(int(wide / _SMALL), 1))
    down = -(-len(curves) // across)
    with canvas((wide, 0.5 + 1.35 * down)) as figure:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes, (label, steps, returns), (color, _) in zip(grid.ravel(), curves, series(len(curves)), strict=False):
            seeds_and_mean(axes, (steps, returns), color, label)
            axes.set_title(verbatim(label), fontsize=7.5, color=INK)
            steps_axis(axes, named=False)
        for axes in grid.ravel()[max(len(curves) - across, 0) : len(curves)]:
            axes.tick_params(labelbottom=True)  # the lowest axes of each column
        for axes in grid.ravel()[len(curves) :]:
            axes.set_axis_off()
        figure.supxlabel("environment steps", fontsize=8, color=SOFT)
        figure.supylabel("return, last 100 episodes", fontsize=8, color=SOFT)
        figure.suptitle(verbatim(title), fontsize=9)
        return figure
