"""Values and policies of a model as pictures: on a map, or over its states by their names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained
from mdvi.report.plots import canvas, verbatim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARROWS = 30  # in a row
_WRITTEN = 10  # cells in a row, up to which each has its value written into it
_LIKELY = 0.05  # the probability from which on an action has an arrow
_BLANK = "0.85"  # the colour of cells without a value
_NAMED = 40  # states that are named one by one


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
    """
    rows, columns = cells
    count = rows * columns
    with canvas((1.5 + 4.6 * columns / max(cells), 1.0 + 4.6 * rows / max(cells))) as figure:
        axes = figure.subplots()
        shown = np.where(blank[:count], np.nan, value[:count]).reshape(cells)
        image = axes.imshow(shown, cmap="viridis")
        axes.set_facecolor(_BLANK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        figure.colorbar(image, label=label)
        ink = inks(shown, image.norm)
        _arrows(axes, policy[:count].reshape(*cells, -1), ~blank[:count].reshape(cells), moves, ink)
        if max(cells) <= _WRITTEN:
            for row, column in np.argwhere(np.isfinite(shown)):
                axes.text(
                    column + 0.46, row - 0.44, f"{shown[row, column]:.3g}", ha="right", va="top", fontsize=6,
                    color=ink[row, column],
                )  # fmt: skip
        for place, mark in enumerate(marks[:count].ljust(count)):
            if mark.strip():
                row, column = divmod(place, columns)
                if blank[place]:
                    axes.text(column, row, verbatim(mark), ha="center", va="center", fontsize=11, color="0.15")
                else:
                    corner = column - 0.44, row - 0.42
                    axes.text(*corner, verbatim(mark), ha="left", va="top", fontsize=7, color=ink[row, column])
        if walls is not None and len(walls):
            from matplotlib.collections import LineCollection

            lines: Any = walls[..., ::-1]
            width = min(2.0, 60 / max(cells))
            axes.add_collection(LineCollection(lines, colors="white", linewidths=2.2 * width, capstyle="projecting"))
            axes.add_collection(LineCollection(lines, colors="black", linewidths=width, capstyle="projecting"))
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
) -> "Figure":
    """Left the value of each state with its interval, right its policy, a row for each state.

    Args:
        value: shape (states,).
        lower: the proved lower bound.
        upper: the proved upper bound.
        policy: probabilities, shape (states, actions); NaN where nothing can be chosen, which stays blank.
        states: what to call the states.
        actions: what to call the actions.
        title: above the picture.
        label: what the values are.
    """
    count, choices = policy.shape
    named = count <= _NAMED
    height = 1.4 + (0.24 * count if named else 5.0)
    with canvas((4.2 + min(0.5 * choices, 6.0), height)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, max(min(0.2 * choices, 2.5), 0.6)])
        place = np.arange(count)
        left.hlines(place, lower, upper, color="0.45", lw=3)
        left.plot(value, place, "o" if named else ".", color="#1f5fa8", ms=5 if named else 2)
        left.set_xlabel(f"{label}, with its interval")
        left.grid(axis="x", color="0.85")
        left.set_axisbelow(True)
        image = right.imshow(policy, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        right.set_facecolor(_BLANK)
        figure.colorbar(image, label="probability")
        if named:
            left.set_yticks(place, [verbatim(name) for name in states])
        else:
            left.yaxis.set_major_formatter(lambda at, _: verbatim(states[int(at)]) if at in place else "")
        left.set_ylabel("state")
        right.set_xlabel("action (grey: not possible)")
        if choices <= _NAMED:
            long = max(map(len, actions), default=0) > 3
            right.set_xticks(range(choices), [verbatim(name) for name in actions], rotation=90 if long else 0)
        if named and choices <= 12:
            ink = inks(policy, image.norm)
            for row, column in np.argwhere(np.nan_to_num(policy) >= 0.005):
                text = f"{policy[row, column]:.2g}"
                right.text(column, row, text, ha="center", va="center", fontsize=7, color=ink[row, column])
        figure.suptitle(verbatim(title))
        return figure


def inks(values: np.ndarray, norm: Any) -> np.ndarray:
    """Black or white, whichever differs more from the colour of each value: by 4.5 : 1 or more, as WCAG asks for."""
    with explained():
        import matplotlib as mpl
    bright = luminance(mpl.colormaps["viridis"](norm(np.nan_to_num(values)))[..., :3])
    return np.where((1.05 / (bright + 0.05)) >= (bright + 0.05) / 0.05, "white", "black")


def luminance(rgb: np.ndarray) -> np.ndarray:
    """The relative luminance of colours, shape (..., 3), from 0 for black to 1 for white. Source: WCAG 2.1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


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
