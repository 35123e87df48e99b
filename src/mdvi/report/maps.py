"""Values and policies of a model as pictures: on a map, or over its states by their names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.report.palette import BLANK, INK, LINE, SERIES, SOFT, inks
from mdvi.report.plots import canvas, verbatim
from mdvi.report.sizes import Width, inches
from mdvi.report.stats import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARROWS = 30  # in a row
_WRITTEN = 10  # cells in a row, up to which each has its value written into it
_LIKELY = 0.05  # the probability from which on an action has an arrow
_NAMED = 40  # states that are named one by one
_PRINTED = 12  # actions whose names or probabilities are written out


def grid_plot(
    value: np.ndarray,
    policy: np.ndarray,
    blank: np.ndarray,
    cells: tuple[int, int],
    moves: Sequence[tuple[int, int]],
    title: str,
    marks: str = "",
    walls: np.ndarray | None = None,
    label: str = "value",
    width: Width = None,
) -> "Figure":
    """Values of a grid world as colours, its policy as arrows, longer for actions that are more probable.

    Args:
        value: shape (states,); the first rows · columns states are the cells.
        policy: probabilities, shape (states, actions).
        blank: the cells in which nothing is chosen, shape (states,).
        cells: rows and columns.
        moves: the step (down, right) of each action.
        title: above the picture.
        marks: a letter for each cell, drawn where there is one.
        walls: lines that cannot be crossed, shape (walls, 2, 2): both ends as (row, column), cells having half-integer
            sides.
        label: what the values are.
        width: "column", "text" or a number of inches.
    """
    rows, columns = cells
    count = rows * columns
    wide = inches(width, 1.5 + 4.6 * columns / max(cells))
    with canvas((wide, 1.0 + max(wide - 1.5, 1.0) * rows / columns)) as figure:
        axes = figure.subplots()
        shown = np.where(blank[:count], np.nan, value[:count]).reshape(cells)
        image = axes.imshow(shown, cmap="viridis")
        axes.set_facecolor(BLANK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        figure.colorbar(image, label=label)
        ink = inks(shown, image.norm)
        _arrows(axes, policy[:count].reshape(*cells, -1), ~blank[:count].reshape(cells), moves, ink)
        if max(cells) <= _WRITTEN:
            for row, column in np.argwhere(np.isfinite(shown)):
                axes.text(
                    column + 0.46, row - 0.44, short(shown[row, column]), ha="right", va="top", fontsize=7,
                    color=ink[row, column],
                )  # fmt: skip
        for place, mark in enumerate(marks[:count].ljust(count)):
            if mark.strip():
                row, column = divmod(place, columns)
                if blank[place]:
                    axes.text(column, row, verbatim(mark), ha="center", va="center", fontsize=11, color=INK)
                else:
                    corner = column - 0.44, row - 0.42
                    axes.text(*corner, verbatim(mark), ha="left", va="top", fontsize=7, color=ink[row, column])
        if walls is not None and len(walls):
            from matplotlib.collections import LineCollection

            lines: Any = walls[..., ::-1]
            stroke = min(2.0, 60 / max(cells))
            axes.add_collection(LineCollection(lines, colors="white", linewidths=2.2 * stroke, capstyle="projecting"))
            axes.add_collection(LineCollection(lines, colors="black", linewidths=stroke, capstyle="projecting"))
        axes.set_title(verbatim(title))
        return figure


def states_plot(
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    policy: np.ndarray,
    states: Sequence[str],
    actions: Sequence[str],
    title: str,
    label: str = "value",
    width: Width = None,
) -> "Figure":
    """Left the value of each state with its interval, right its policy, a row for each state.

    Of more than 40 states, the value and, below it, the actions are drawn against the states in their order.

    Args:
        value: shape (states,).
        lower: the proved lower bound.
        upper: the proved upper bound.
        policy: probabilities, shape (states, actions); NaN where nothing can be chosen, which stays blank.
        states: what to call the states.
        actions: what to call the actions.
        title: above the picture.
        label: what the values are.
        width: "column", "text" or a number of inches.
    """
    count, choices = policy.shape
    if count > _NAMED:
        return _ordered_plot(value, lower, upper, policy, states, actions, title, label, inches(width, 6.75))
    with canvas((inches(width, 4.2 + min(0.5 * choices, 6.0)), 1.4 + 0.24 * count)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, max(min(0.2 * choices, 2.5), 0.6)])
        place = np.arange(count)
        left.hlines(place, lower, upper, color=SOFT, lw=2.5)
        left.plot(value, place, "o", color=SERIES[0], ms=5)
        left.set_xlabel(f"{label}, with its interval")
        left.grid(axis="x", color=LINE)
        left.set_axisbelow(True)
        image = right.imshow(policy, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        right.set_facecolor(BLANK)
        figure.colorbar(image, label="probability")
        left.set_yticks(place, [verbatim(name) for name in states])
        left.set_ylabel("state")
        right.set_xlabel("action (grey: not possible)")
        if choices <= _NAMED:
            long = max(map(len, actions), default=0) > 3
            right.set_xticks(range(choices), [verbatim(name) for name in actions], rotation=90 if long else 0)
        if choices <= _PRINTED:
            ink = inks(policy, image.norm)
            for row, column in np.argwhere(np.nan_to_num(policy) >= 0.005):
                text = f"{policy[row, column]:.2g}"
                right.text(column, row, text, ha="center", va="center", fontsize=7, color=ink[row, column])
        figure.suptitle(verbatim(title))
        return figure


def _ordered_plot(
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    policy: np.ndarray,
    states: Sequence[str],
    actions: Sequence[str],
    title: str,
    label: str,
    wide: float,
) -> "Figure":
    """Above the value, below the actions of many states in their order: what to order against the stock, say."""
    count, choices = policy.shape
    with canvas((wide, 4.6)) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        above.fill_between(np.arange(count), lower, upper, color=SERIES[0], alpha=0.25, lw=0)
        above.plot(value, ".", color=SERIES[0], ms=3)
        above.set_ylabel(f"{label}, with its interval")
        above.grid(axis="y", color=LINE)
        closed = np.ma.masked_where(~np.isnan(policy.T), np.ones((choices, count)))
        below.pcolormesh(np.arange(count + 1) - 0.5, np.arange(choices + 1) - 0.5, closed, cmap=_one_color(BLANK))
        at, action = np.nonzero(np.nan_to_num(policy) >= _LIKELY)
        below.scatter(at, action, s=12 * policy[at, action], color=SERIES[0], lw=0)
        below.set_ylabel("action (grey: not possible)")
        below.set_xlabel("state")
        if choices <= _PRINTED:
            below.set_yticks(range(choices), [verbatim(name) for name in actions])
        else:
            below.yaxis.set_major_formatter(lambda at, _: verbatim(actions[int(at)]) if at in range(choices) else "")
        below.xaxis.set_major_formatter(lambda at, _: verbatim(states[int(at)]) if at in range(count) else "")
        figure.suptitle(verbatim(title))
        return figure


def _one_color(color: str) -> Any:
    """A scale of a single colour."""
    from matplotlib.colors import ListedColormap

    return ListedColormap([color])


def _arrows(
    axes: "Axes", policy: np.ndarray, alive: np.ndarray, moves: Sequence[tuple[int, int]], ink: np.ndarray
) -> None:
    """An arrow for each action that is likely; on a large map, in some cells only as many as one can tell apart."""
    step = max(1, max(alive.shape) // _ARROWS)
    chosen = np.zeros(alive.shape, bool)
    chosen[step // 2 :: step, step // 2 :: step] = True
    likely = (policy >= _LIKELY) & (alive & chosen)[..., None]
    row, column, action = np.nonzero(likely)
    if not len(row):
        return
    chance = policy[row, column, action]
    down, right = np.array(moves, float)[action].T * np.sqrt(chance) * step * 0.42
    axes.quiver(
        column, row, right, down, color=ink[row, column], angles="xy", scale_units="xy", scale=1, units="xy",
        width=0.055 * step, headwidth=4, headlength=4, headaxislength=3.6, minlength=0,
        pivot="mid" if (chance == 1).all() else "tail",
    )  # fmt: skip
