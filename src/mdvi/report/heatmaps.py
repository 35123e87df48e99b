"""The paper's heatmaps and the learning curves beside them, drawn from the cells of a study."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained
from mdvi.report.cells import Cell, Panel
from mdvi.report.findings import mean_of
from mdvi.report.palette import ALARM, BLANK, INK, SERIES, SOFT, inks
from mdvi.report.plots import canvas, steps_axis, verbatim
from mdvi.report.seeds import baseline_mean, seeds_and_mean
from mdvi.report.sizes import Width, inches
from mdvi.report.stats import interval, mean_in_words, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Curves = Callable[[Cell], tuple[np.ndarray, np.ndarray]]
_ROW = 0.3  # inches that a row of a heatmap takes
_FRAME = 0.75  # inches above and below it
_ENTRY = 0.42  # inches that a column takes
_NARROW = 0.31  # inches that it takes where room is scarce


def heatmaps(
    grids: Sequence[Panel],
    strips: Sequence[Panel],
    baseline: Cell | None,
    title: str,
    label: str,
    width: Width = None,
) -> "Figure":
    """Figures 2 to 8 of the paper: agents side by side, w/ above w/o, the strips at τ = 0 below; one scale of colours.

    Strips of agents that have no grid stand where there is room. The baseline's score is marked on the scale. Hatched
    cells have runs that failed or diverged. Where the width is too small for the agents, the panels fill rows in the
    same order, as many as have room, and the scale lies below them.

    Args:
        grids: of `panels_of`.
        strips: likewise.
        baseline: the cell that others are held against.
        title: above the picture.
        label: what the scores are.
        width: "column", "text" or a number of inches; by default as wide as the cells need.
    """
    columns = _columns(grids, strips)
    wide = [max(len(panel.columns[1]) for panel in column if panel) for column in columns]
    needed = 1.2 + 0.5 * sum(wide) + 0.45 * len(columns)
    across = inches(width, needed)
    narrow = across < 0.8 * needed
    if narrow:
        panels = [panel for column in columns for panel in column if panel]
        beside = min(max(int(across / (_NARROW * max(wide) + 0.35)), 1), len(panels))
        columns = [list(panels[j::beside]) for j in range(beside)]
        wide = [max(wide)] * beside
    count = max(map(len, columns))
    heights = [max(_height(column[i]) for column in columns if i < len(column)) for i in range(count)]
    scale = scale_of([*grids, *strips], baseline)
    with canvas((across, 0.6 + 0.6 * narrow + _ROW * sum(heights) + _FRAME * count)) as figure:
        axes: Any = figure.subplots(
            count, len(columns), squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": wide}
        )
        for i, j in np.ndindex(axes.shape):
            shown = columns[j][i] if i < len(columns[j]) else None
            if shown is None:
                axes[i, j].set_axis_off()
            else:
                _panel(axes[i, j], shown, scale)
                axes[i, j].title.set_fontsize(7 if narrow else 8.5)
        where = {"orientation": "horizontal"} if narrow else {}
        _scale(figure, scale, baseline, label, ax=axes, aspect=40, **where)
        figure.suptitle(verbatim(title))
        return figure


def scale_of(panels: Sequence[Panel], baseline: Cell | None) -> "Normalize":
    """The scale of colours that the scores of panels and the baseline share."""
    with explained():
        from matplotlib.colors import Normalize
    means = [mean_of(cell)[0] for panel in panels for cell in panel.cells.values()]
    return Normalize(*_ends([*means, *([mean_of(baseline)[0]] if baseline else [])]))


def heatmap(panel: Panel, scale: "Normalize") -> "Figure":
    """One panel alone, without its scale, for pages that put panels where there is room."""
    size = 0.7 + _ENTRY * max(len(panel.columns[1]), 5), _FRAME + _ROW * len(panel.rows[1])
    with canvas(size) as figure:
        _panel(figure.subplots(), panel, scale)
        return figure


def scale_picture(scale: "Normalize", baseline: Cell | None, label: str) -> "Figure":
    """The scale of colours alone, lying, with the baseline's mark."""
    with canvas((3.4, 0.75)) as figure:
        _scale(figure, scale, baseline, label, cax=figure.subplots(), orientation="horizontal")
        return figure


def curves_by_row(panel: Panel, curve_of: Curves, baseline: Cell | None, width: Width = None) -> "Figure":
    """Figures 9 to 14: small axes for each cell, in the order of the heatmap, the mean of the baseline dotted.

    Args:
        panel: whose cells.
        curve_of: steps and returns of a cell.
        baseline: the cell that others are held against.
        width: "column", "text" or a number of inches; by default 1.35 inches a column.
    """
    (down, rows), (right, columns) = panel.rows, panel.columns
    size = inches(width, max(3.25, 0.5 + 1.35 * len(columns))), 0.6 + 1.05 * len(rows)
    with canvas(size) as figure:
        grid: Any = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
        against = None if baseline is None else curve_of(baseline)
        for i, j in np.ndindex(grid.shape):
            cell = panel.cells.get((i, j))
            if cell is None:
                grid[i, j].set_axis_off()
                continue
            seeds_and_mean(grid[i, j], curve_of(cell), SERIES[0])
            if against is not None:
                baseline_mean(grid[i, j], against)
            steps_axis(grid[i, j], named=False)
            grid[i, j].locator_params(axis="both", nbins=3)
            where = f"{down} = {short(rows[i])}, " if down else ""
            grid[i, j].set_title(f"{where}{right} = {short(columns[j])}", fontsize=7)
        figure.supxlabel("environment steps", fontsize=8, color=SOFT)
        figure.supylabel("return, last 100 episodes", fontsize=8, color=SOFT)
        dotted = f"; dotted: {verbatim(baseline.agent)}" if baseline is not None else ""
        figure.suptitle(f"{verbatim(panel.label)}{dotted}")
        return figure


def cell_curve(
    curve: tuple[np.ndarray, np.ndarray], against: tuple[np.ndarray, np.ndarray] | None, top: tuple[float, float]
) -> "Figure":
    """The curve of one cell alone, small, for pages that put cells where there is room.

    Args:
        curve: its steps and returns.
        against: those of the baseline, whose mean is dotted.
        top: the lowest and the highest return of all cells that stand together.
    """
    with canvas((1.9, 1.25)) as figure:
        figure.set_layout_engine("none")  # a hundred of these are drawn, and all have the same frame
        axes = figure.add_axes((0.2, 0.2, 0.75, 0.74))
        seeds_and_mean(axes, curve, SERIES[0])
        if against is not None:
            baseline_mean(axes, against)
        axes.set_ylim(*top)
        steps_axis(axes, named=False)
        axes.locator_params(axis="both", nbins=3)
        return figure


def span_of(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The lowest and the highest return in some curves, their intervals included, with room around them."""
    seen = [returns[np.isfinite(returns)] for _, returns in curves]
    tops = [mean + sign * reach for _, returns in curves if returns.size
            for mean, reach in [interval(returns)] for sign in (-1, 1)]  # fmt: skip
    low, high = _ends(np.concatenate([np.zeros(0), *seen, *(top[np.isfinite(top)] for top in tops)]).tolist())
    room = 0.04 * (high - low)
    return low - room, high + room


def _columns(grids: Sequence[Panel], strips: Sequence[Panel]) -> list[list[Panel | None]]:
    """The panels of each agent from top to bottom: each evaluation's grid, None where it has none, and strips."""
    agents = list(dict.fromkeys(panel.agent for panel in grids or strips))
    kinds = list(dict.fromkeys(panel.evaluation for panel in grids))
    columns: dict[str, list[Panel | None]] = {agent: [None] * len(kinds) for agent in agents}
    for panel in grids:
        columns[panel.agent][kinds.index(panel.evaluation)] = panel
    for panel in sorted(strips, key=lambda panel: panel.agent not in columns):
        shortest = min(agents, key=lambda agent: len(columns[agent]))
        columns[panel.agent if panel.agent in columns else shortest].append(panel)
    return list(columns.values())


def _height(panel: Panel | None) -> int:
    """How many rows a panel has."""
    return 1 if panel is None else len(panel.rows[1])


def _scale(figure: "Figure", scale: "Normalize", baseline: Cell | None, label: str, **where: Any) -> None:
    """The scale of colours, with the baseline's score on it."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(scale, "viridis"), label=verbatim(label), **where)
    level = np.nan if baseline is None else mean_of(baseline)[0]
    if baseline is None or not np.isfinite(level):
        return
    lying = where.get("orientation") == "horizontal"
    line, place, frame, shift = (
        (bar.ax.axvline, (level, 1), ("data", "axes fraction"), (0, 2)) if lying
        else (bar.ax.axhline, (0, level), ("axes fraction", "data"), (-2, 0))
    )  # fmt: skip
    line(level, color="white", lw=3)
    line(level, color=ALARM, lw=1.5)
    bar.ax.annotate(
        verbatim(baseline.agent), place, shift, frame, "offset points", fontsize=7, color=INK,
        ha="center" if lying else "right", va="bottom" if lying else "center", rotation=0 if lying else 90,
    )  # fmt: skip


def _panel(axes: "Axes", panel: Panel, scale: "Normalize") -> None:
    """A panel with the mean of each cell in its colour and, to the digit that its interval supports, in words."""
    from matplotlib.patches import Rectangle

    (down, rows), (right, columns) = panel.rows, panel.columns
    score = np.full((len(rows), len(columns)), np.nan)
    for place, cell in panel.cells.items():
        score[place] = mean_of(cell)[0]
    axes.imshow(score, cmap="viridis", norm=scale, aspect="auto", interpolation="nearest")
    axes.set_facecolor(BLANK)
    ink = inks(score, scale)
    for (i, j), cell in panel.cells.items():
        if cell.failed or cell.diverged:
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", ec=ALARM, lw=0))
        if np.isfinite(score[i, j]):
            text = mean_in_words(*mean_of(cell))
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink[i, j])
    axes.set_xticks(range(len(columns)), [short(value) for value in columns])
    axes.set_yticks(range(len(rows)) if down else [], [short(value) for value in rows] if down else [])
    axes.set_xlabel(right)
    axes.set_ylabel(down)
    axes.set_title(verbatim(panel.label))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest of what is known."""
    known = np.array([value for value in values if np.isfinite(value)] or [0.0])
    return float(known.min()), float(max(known.max(), known.min() + 1e-9))
