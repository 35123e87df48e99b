"""Table → figure: one function per figure, drawing from curves alone."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained
from mdvi.report.curves import PANELS, Curve
from mdvi.report.ends import label_ends
from mdvi.report.palette import INK, LINE, SERIES, SOFT, inks, series
from mdvi.report.sizes import Width, inches
from mdvi.report.stats import mean_in_words, short
from mdvi.report.svg import following
from mdvi.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for those who say in their signatures what they return

_TITLES = {
    "left": "KL only (τ = 0), sampled",
    "middle": "No errors, from the worst corner (τ = 10⁻³)",
    "right": "KL and entropy (τ = 10⁻³), sampled",
}
_BESIDE = 5.0  # inches from which on panels stand beside each other
_ALL_BESIDE = 9.0  # likewise for the panels of all regularisers
_MANY = 5000  # points that are drawn as pixels in a picture of lines
_LONGEST_TEXT = 90  # characters that a title or a label has room for
_STYLE: dict[Any, Any] = {
    "font.size": 8,  # no text is smaller than 7 pt
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "figure.titlesize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType: journals and conferences refuse Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "mdvi",  # the same picture is the same file
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Everything that is drawn in here has the style of mdvi."""
    with explained():
        import matplotlib as mpl  # takes a while, and only pictures need it
    with mpl.rc_context(_STYLE):
        yield


@contextlib.contextmanager
def canvas(size: tuple[float, float]) -> Iterator["Figure"]:
    """An empty figure of this size in inches, to be drawn on in the style of mdvi."""
    with styled():
        yield _drawn()(figsize=size, layout="constrained")


@cache
def _drawn() -> "type[Figure]":
    """A figure that a notebook shows, whether or not pyplot has been imported there."""
    from matplotlib.figure import Figure

    class Drawn(Figure):
        def _repr_png_(self) -> bytes:
            return as_bytes(self, "png", 110)

    return Drawn


def figure1(curves: list[Curve], width: Width = None) -> "Figure":
    """The paper's Figure 1: the mean normalised loss with its interval, and, below, the loss beside the bound.

    Args:
        curves: of all panels.
        width: "column", "text" or a number of inches; below five inches the panels stand below each other.
    """
    wide = inches(width, 10.5)
    if wide < _BESIDE:
        with canvas((wide, 1.75 * 2 * len(PANELS))) as figure:
            axes = figure.subplots(2 * len(PANELS), 1).reshape(len(PANELS), 2).T
            _fill(axes, _panels(curves), 1.2)
            return figure
    with canvas((wide, max(0.56 * wide, 4.2))) as figure:
        axes = figure.subplots(2, 3, sharex=True, sharey="row")
        _fill(axes, _panels(curves), max(0.56 * wide, 4.2) / 2 - 0.6)
        return figure


def figure1_panel(curves: list[Curve], panel: str) -> "Figure":
    """One of the three panels of Figure 1, for pages that put them where there is room."""
    return panel_picture(_TITLES[panel], _panels(curves)[_TITLES[panel]])


def panel_picture(title: str, curves: Sequence[Curve]) -> "Figure":
    """One panel: losses with their intervals, and below them beside their bounds."""
    with canvas((3.5, 4.6)) as figure:
        _fill(figure.subplots(2, 1, sharex=True, squeeze=False), {title: curves}, 1.7)
        return figure


def regularizers(panels: Mapping[str, Sequence[Curve]], width: Width = None) -> "Figure":
    """The left panel of Figure 1 for each regulariser, in the order of `by_regularizer`.

    Args:
        panels: the curves of each, by its name.
        width: "column", "text" or a number of inches; below nine inches the panels stand below each other.
    """
    wide, count = inches(width, 13.0), len(panels)
    with canvas((wide, 5.0 if wide >= _ALL_BESIDE else 1.75 * 2 * count)) as figure:
        if wide >= _ALL_BESIDE:
            axes = figure.subplots(2, count, sharex=True, sharey="row", squeeze=False)
        else:
            axes = figure.subplots(2 * count, 1, squeeze=False).reshape(count, 2).T
        _fill(axes, panels, 1.9 if wide >= _ALL_BESIDE else 1.2)
        return figure


def trace_plot(loss: np.ndarray, bound: np.ndarray, title: str, width: Width = None) -> "Figure":
    """One run, or the mean of several: loss of π_k and the bound on it, both axes logarithmic."""
    return traces_plot([("", loss, bound)], title, width)


def traces_plot(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, width: Width = None) -> "Figure":
    """Loss of π_k and, thin in the same colour, the bound on it, for several runs with their labels.

    Args:
        curves: a label, ‖q⁎ − q_π‖ and its bound for k = 0, 1, …; bounds that are infinite are not drawn.
        title: above the picture.
        width: "column", "text" or a number of inches.
    """
    wide = inches(width, 5.5)
    with canvas((wide, 0.7 * wide)) as figure:
        axes = figure.subplots()
        ends = []
        for (label, loss, bound), (color, dash) in zip(curves, series(len(curves)), strict=True):
            k = np.arange(len(loss))
            axes.loglog(k[1:], _positive(loss)[1:], color=color, ls=dash, lw=1.6, label=verbatim(label or "loss"))
            if np.isfinite(bound[1:]).any():
                axes.loglog(k[1:], _positive(bound)[1:], color=color, ls=dash, lw=0.7, label=None if label else "bound")
                if not label:
                    ends.append((_last(bound), "bound", color))
            ends.append((_last(loss), verbatim(label) if label else "loss", color))
        axes.margins(x=0)
        axes.set_xlabel("iteration k")
        axes.set_ylabel("loss ‖q⁎ − q$_{π_k}$‖$_∞$" + (", thin: its bound" if curves[0][0] else ""))
        axes.set_title(verbatim(title))
        label_ends(axes, ends, 0.7 * wide - 0.7)
        return figure


def solution_plot(value: np.ndarray, trace: np.ndarray, tolerance: float, title: str, width: Width = None) -> "Figure":
    """The value of every state in the order of their numbers, and how the proved interval narrowed, backup by backup.

    Args:
        value: shape (states,).
        trace: the width of the interval after each backup.
        tolerance: what was asked for.
        title: above the picture.
        width: "column", "text" or a number of inches.
    """
    wide = inches(width, 9.0)
    beside = wide >= _BESIDE
    with canvas((wide, 3.4 if beside else 5.2)) as figure:
        left, right = figure.subplots(*((1, 2) if beside else (2, 1)))
        left.plot(value, ".", color=SERIES[0], ms=2, rasterized=len(value) > _MANY)
        left.set_xlabel("number of the state")
        left.set_ylabel("value")
        right.semilogy(np.arange(1, len(trace) + 1), _positive(trace), ".-", color=SERIES[0])
        right.axhline(tolerance, color=SOFT, ls="--", label="tolerance")
        right.set_xlabel("backup")
        right.set_ylabel("width of the interval")
        right.legend()
        figure.suptitle(verbatim(title))
        return figure


def cells_plot(
    score: np.ndarray,
    rows: tuple[str, list[float]],
    columns: tuple[str, list[float]],
    title: str,
    reach: np.ndarray | None = None,
    width: Width = None,
) -> "Figure":
    """A score for each cell of two numbers, as colour and as text: the paper's Figures 2 and 3.

    Args:
        score: shape (rows, columns).
        rows: their name and their values.
        columns: likewise.
        title: above the picture.
        reach: half-widths of the scores' intervals, which say to which digit a score is written.
        width: "column", "text" or a number of inches.
    """
    with canvas((inches(width, 1.6 + 0.8 * len(columns[1])), 1.4 + 0.45 * len(rows[1]))) as figure:
        axes = figure.subplots()
        image = axes.imshow(score, cmap="viridis", aspect="auto")
        ink, reach = inks(score, image.norm), np.full_like(score, np.nan) if reach is None else reach
        for (row, column), value in np.ndenumerate(score):
            text = mean_in_words(float(value), float(reach[row, column]))
            color = ink[row, column] if np.isfinite(value) else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
        for axis, (name, values) in ((axes.yaxis, rows), (axes.xaxis, columns)):
            axis.set_ticks(range(len(values)), [short(value) for value in values])
            axis.set_label_text(verbatim(name))
        figure.colorbar(image, label="mean return over training")
        axes.set_title(verbatim(title))
        return figure


def steps_axis(axes: "Axes", named: bool = True) -> None:
    """Environment steps below the axes, as 250k rather than 250000, four of them at most."""
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda at, _: f"{at / 1e6:g}M" if at >= 1e6 else f"{at / 1e3:g}k" if at else "0")
    if named:
        axes.set_xlabel("environment steps")


def verbatim(text: str) -> str:
    """Text for a figure that is drawn as it is: no mathematics, nothing left out of a legend, not too long."""
    text = plain(text)
    if len(text) > _LONGEST_TEXT:
        text = f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # Matplotlib leaves such labels out


def as_bytes(figure: "Figure", form: str, dpi: int = 200) -> bytes:
    """The figure as a "png", "svg" or "pdf" file, without a date in it.

    An SVG has no background, and its ink follows the page that it stands on; the others are for white paper.
    """
    buffer = io.BytesIO()
    with styled():
        date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        ground = "none" if form == "svg" else "auto"
        figure.savefig(buffer, format=form, dpi=dpi, metadata=date, facecolor=ground)
    return following(buffer.getvalue().decode()).encode() if form == "svg" else buffer.getvalue()


def _styles(curves: Sequence[Curve]) -> list[tuple[str, Any]]:
    """The colour and the line style of each curve; the first one, without KL, has that of text."""
    return [(SOFT, "solid"), *series(max(len(curves) - 1, 0))]


def _panels(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each panel of Figure 1, by its title."""
    return {_TITLES[panel]: [curve for curve in curves if curve.panel == panel] for panel in PANELS}


def _fill(axes: Any, panels: Mapping[str, Sequence[Curve]], height: float) -> None:
    """Draw the curves of panels, by their titles, into axes of shape (2, panels), which are so many inches high."""
    for column, (title, chosen) in enumerate(panels.items()):
        _losses(axes[0, column], chosen, height)
        _bounds(axes[1, column], chosen, height)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("iteration k")
    axes[0, 0].set_ylabel("loss  ‖q⁎ − q$_{π_k}$‖₁ / ‖q⁎‖₁")
    axes[1, 0].set_ylabel("loss, and thin its bound")


def _losses(axes: "Axes", curves: Sequence[Curve], height: float) -> None:
    """Losses with their intervals, each with its name at its end."""
    ends = []
    for curve, (color, dash) in zip(curves, _styles(curves), strict=False):
        k = np.arange(len(curve.loss_mean))
        axes.plot(k, curve.loss_mean, color=color, lw=1.3, ls=dash)
        axes.fill_between(k, curve.loss_low, curve.loss_high, color=color, alpha=0.2, lw=0)
        ends.append((_last(curve.loss_mean), verbatim(curve.label), color))
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    label_ends(axes, ends, height)


def _bounds(axes: "Axes", curves: Sequence[Curve], height: float) -> None:
    """Losses, thick, and the bounds on them, thin, on a logarithmic axis."""
    ends = []
    for curve, (color, dash) in zip(curves, _styles(curves), strict=False):
        k = np.arange(len(curve.loss_mean))
        axes.plot(k, _positive(curve.loss_mean), color=color, lw=1.6, ls=dash)
        axes.plot(k, _positive(curve.bound), color=color, lw=0.7, ls=dash)
        ends.append((_last(curve.loss_mean), verbatim(curve.label), color))
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 1e4)
    axes.margins(x=0)
    label_ends(axes, ends, height)


def _last(values: np.ndarray) -> float:
    """The last value that is finite, NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else float("nan")


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show."""
    return np.where((values > 0) & np.isfinite(values), values, np.nan)
