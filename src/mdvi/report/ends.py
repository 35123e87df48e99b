"""Names at the ends of lines, which a reader finds faster than those in a legend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdvi.report.palette import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 9.5 / 72  # inches that one line of text takes


def label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]], height: float) -> None:
    """Write the name of each line beside its last value; names that would overlap are moved apart.

    Args:
        axes: whose limits are final.
        ends: the last value of each line, its name and its colour, which joins the two; a value that is NaN
            or outside counts as the edge.
        height: of the axes in inches, roughly.
    """
    if not ends:
        return
    low, high = axes.get_ylim()
    values = np.clip(np.nan_to_num([value for value, _, _ in ends], nan=low), low, high)
    points = axes.transData.transform([(1.0, value) for value in values])
    at = axes.transAxes.inverted().transform(points)[:, 1]
    places = apart(at, _LINE / height)
    for (_, name, color), end, place in zip(ends, at, places, strict=True):
        axes.annotate(
            name, (1.0, end), (1.06, place), "axes fraction", "axes fraction", va="center", ha="left", fontsize=7,
            color=INK, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def apart(places: np.ndarray, least: float) -> np.ndarray:
    """Places in the same order that are at least so far apart, moved as little as a single sweep finds.

    >>> apart(np.array([0.0, 0.0, 1.0]), 0.25).tolist()
    [0.0, 0.25, 1.0]
    """
    order = np.argsort(places, kind="stable")
    out = places[order].astype(float)
    for i in range(1, len(out)):
        out[i] = max(out[i], out[i - 1] + least)
    if len(out) and out[-1] > 1.0:  # too high: the uppermost goes down, and pushes the others
        out[-1] = max(1.0, out[0])
        for i in range(len(out) - 2, -1, -1):
            out[i] = min(out[i], out[i + 1] - least)
    back = np.empty_like(out)
    back[order] = out
    return back
