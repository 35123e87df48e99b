"""The paper's heatmaps and the learning curves beside them, drawn from the cells of a study."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained
from mdvi.report.cells import Cell, Panel
from mdvi.report.findings import mean_of
from mdvi.report.plots import canvas, shades, verbatim
from mdvi.report.stats import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Curves = Callable[[Cell], tuple[np.ndarray, np.ndarray]]


def heatmaps(
    grids: Sequence[Panel], strips: Sequence[Panel], baseline: Cell | None, title: str, label: str
) -> "Figure":
    """Figures 2 to 8 of the paper: agents side by side, w/ above w/o, the strips at τ = 0 below; one scale of colours.

    Strips of agents that have no grid stand where there is room.

    The baseline's score is marked on the scale. Hatched cells have runs that failed or diverged.
    """
    with explained():
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

    agents = list(dict.fromkeys(panel.agent for panel in grids or strips))
    kinds = list(dict.fromkeys(panel.evaluation for panel in grids))
    columns: dict[str, list[Panel | None]] = {agent: [None] * len(kinds) for agent in agents}
    for panel in grids:
        columns[panel.agent][kinds.index(panel.evaluation)] = panel
    for panel in sorted(strips, key=lambda panel: panel.agent not in columns):
        shortest = min(agents, key=lambda agent: len(columns[agent]))
        columns[panel.agent if panel.agent in columns else shortest].append(panel)
    count = max(map(len, columns.values()))
    heights = [max((len(p.rows[1]) for p in grids if p.evaluation == kind), default=1) for kind in kinds]
    heights += [1] * (count - len(kinds))
    wide = [max(len(panel.columns[1]) for panel in columns[agent] if panel) for agent in agents]
    means = [mean_of(cell)[0] for panel in [*grids, *strips] for cell in panel.cells.values()]
    scale = Normalize(*_ends([*means, *([mean_of(baseline)[0]] if baseline else [])]))
    size = 2.4 + 0.62 * sum(wide) + 0.5 * len(agents), 1.2 + 0.42 * sum(heights) + 0.75 * count
    with canvas(size) as figure:
        axes = figure.subplots(
            count, len(agents), squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": wide}
        )
        for j, agent in enumerate(agents):
            for i in range(count):
                if i < len(columns[agent]) and (shown := columns[agent][i]) is not None:
                    _panel(axes[i, j], shown, scale)
                else:
                    axes[i, j].set_axis_off()
        bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, label=verbatim(label), aspect=40)
        if baseline is not None and np.isfinite(mean_of(baseline)[0]):
            level = mean_of(baseline)[0]
            bar.ax.axhline(level, color="crimson", lw=2)
            bar.ax.annotate(
                verbatim(baseline.agent), (0, level), (-3, 0), ("axes fraction", "data"), "offset points",
                color="crimson", ha="right", va="center", rotation=90,
            )  # fmt: skip
        figure.suptitle(verbatim(title))
        return figure


def curves_by_row(panel: Panel, curve_of: Curves, baseline: Cell | None) -> "Figure":
    """Figures 9 to 14: a picture for each row of a panel, in it a curve for each column, the baseline dotted."""
    names, values = panel.rows
    with canvas((max(3.6, 2.7 * len(values)), 2.8)) as figure:
        axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
        colors = shades(len(panel.columns[1]))
        for i, value in enumerate(values):
            for j, (color, column) in enumerate(zip(colors, panel.columns[1], strict=True)):
                if (i, j) in panel.cells:
                    _curve(axes[i], curve_of(panel.cells[i, j]), f"{panel.columns[0]} = {column:.3g}", color=color)
            if baseline is not None:
                _curve(axes[i], curve_of(baseline), baseline.agent, color="crimson", ls=":")
            axes[i].set_title(f"{names} = {value:.3g}" if names else verbatim(panel.label))
            axes[i].set_xlabel("environment steps")
        axes[0].set_ylabel("return, last 100 episodes")
        if axes[-1].get_legend_handles_labels()[0]:
            axes[-1].legend(loc="best")
        return figure


def _panel(axes: "Axes", panel: Panel, scale: "Normalize") -> None:
    from matplotlib.patches import Rectangle

    (down, rows), (right, columns) = panel.rows, panel.columns
    score = np.full((len(rows), len(columns)), np.nan)
    for place, cell in panel.cells.items():
        score[place] = mean_of(cell)[0]
    axes.imshow(score, cmap="viridis", norm=scale, aspect="auto")
    middle = ((scale.vmin or 0.0) + (scale.vmax or 0.0)) / 2
    for (i, j), cell in panel.cells.items():
        if cell.failed or cell.diverged:
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", ec="crimson", lw=0))
        if np.isfinite(score[i, j]):
            axes.text(j, i, f"{score[i, j]:.4g}", ha="center", va="center", fontsize=7,
                      color="w" if score[i, j] < middle else "k")  # fmt: skip
    axes.set_xticks(range(len(columns)), [f"{value:.3g}" for value in columns])
    axes.set_yticks(range(len(rows)) if down else [], [f"{value:.3g}" for value in rows] if down else [])
    axes.set_xlabel(right)
    axes.set_ylabel(down)
    axes.set_title(verbatim(panel.label))


def _curve(axes: "Axes", curve: tuple[np.ndarray, np.ndarray], label: str, **style: Any) -> None:
    steps, returns = curve
    if not returns.size:
        return
    mean, reach = interval(returns)
    axes.plot(steps, mean, lw=1.2, label=verbatim(label), **style)
    axes.fill_between(steps, mean - reach, mean + reach, color=style["color"], alpha=0.2, lw=0)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest of what is known."""
    known = np.array([value for value in values if np.isfinite(value)] or [0.0])
    return float(known.min()), float(max(known.max(), known.min() + 1e-9))
