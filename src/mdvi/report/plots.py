"""Table → figure: one function per figure, drawing from curves alone."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained
from mdvi.report.curves import PANELS, Curve
from mdvi.report.stats import interval
from mdvi.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for those who say in their signatures what they return

_TITLES = {
    "left": "KL only (τ = 0), sampled",
    "middle": "No errors, from the worst corner (τ = 10⁻³)",
    "right": "KL and entropy (τ = 10⁻³), sampled",
}
_LONGEST_TEXT = 90  # characters that a title or a label has room for
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
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


def shades(count: int) -> np.ndarray:
    """So many colours from dark to light."""
    import matplotlib as mpl

    return np.asarray(mpl.colormaps["viridis"](np.linspace(0.0, 0.85, count)))


def figure1(curves: list[Curve]) -> "Figure":
    """The paper's Figure 1: above, the mean normalised loss with its interval; below, loss beside the bound."""
    with canvas((11, 6.4)) as figure:
        axes = figure.subplots(2, 3, sharex=True, sharey="row")
        for column, panel in enumerate(PANELS):
            chosen = [curve for curve in curves if curve.panel == panel]
            _losses(axes[0, column], chosen)
            _bounds(axes[1, column], chosen)
            axes[0, column].set_title(_TITLES[panel])
            axes[1, column].set_xlabel("iteration k")
        axes[0, 0].set_ylabel("loss  ‖q⁎ − q$_{π_k}$‖₁ / ‖q⁎‖₁")
        axes[1, 0].set_ylabel("loss and its bound")
        return figure


def trace_plot(loss: np.ndarray, bound: np.ndarray, title: str) -> "Figure":
    """One run, or the mean of several: loss of π_k and the bound on it, both axes logarithmic."""
    return traces_plot([("", loss, bound)], title)


def traces_plot(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str) -> "Figure":
    """Loss of π_k and, dashed in the same colour, the bound on it, for several runs with their labels.

    Args:
        curves: a label, ‖q⁎ − q_π‖ and its bound for k = 0, 1, …; bounds that are infinite are not drawn.
        title: above the picture.
    """
    with canvas((5.5, 3.8)) as figure:
        axes = figure.subplots()
        colors = shades(len(curves)) if len(curves) > 1 else ["C0"]
        for (label, loss, bound), color in zip(curves, colors, strict=True):
            k = np.arange(len(loss))
            axes.loglog(k[1:], _positive(loss)[1:], color=color, label=verbatim(label) if label else "loss")
            if np.isfinite(bound[1:]).any():
                dashed = None if label else "bound"
                axes.loglog(k[1:], _positive(bound)[1:], "--", color=color, alpha=0.7, label=dashed)
        axes.set_xlabel("iteration k")
        axes.set_ylabel("loss ‖q⁎ − q$_{π_k}$‖$_∞$" + (", dashed: its bound" if curves[0][0] else ""))
        axes.set_title(verbatim(title))
        axes.legend()
        return figure


def solution_plot(value: np.ndarray, trace: np.ndarray, tolerance: float, title: str) -> "Figure":
    """How the values are distributed, and how the proved interval narrowed, backup by backup."""
    with canvas((9, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        left.hist(value, bins=60, color="0.4")
        left.set_xlabel("value")
        left.set_ylabel("states")
        right.semilogy(np.arange(1, len(trace) + 1), _positive(trace), ".-")
        right.axhline(tolerance, color="0.6", ls="--", label="tolerance")
        right.set_xlabel("backup")
        right.set_ylabel("width of the interval")
        right.legend()
        figure.suptitle(verbatim(title))
        return figure


def learning_plot(curves: list[tuple[str, np.ndarray, np.ndarray]], title: str) -> "Figure":
    """Return against environment steps: for each cell its label, its steps and its seeds' returns (steps, seeds).

    The line is the mean over seeds, the band its 95 % interval by Student's t where there are three seeds or more.
    """
    with canvas((7, 4.2)) as figure:
        axes = figure.subplots()
        for (label, steps, returns), color in zip(curves, shades(len(curves)), strict=True):
            mean, reach = interval(returns)
            axes.plot(steps, mean, color=color, lw=1.2, label=verbatim(label))
            axes.fill_between(steps, mean - reach, mean + reach, color=color, alpha=0.25, lw=0)
        axes.set_xlabel("environment steps")
        axes.set_ylabel("return, mean of the last 100 episodes")
        axes.set_title(verbatim(title))
        axes.legend(loc="best")
        return figure


def cells_plot(
    score: np.ndarray, rows: tuple[str, list[float]], columns: tuple[str, list[float]], title: str
) -> "Figure":
    """A score for each cell of two numbers, as colour and as text: the paper's Figures 2 and 3."""
    with canvas((1.6 + 0.8 * len(columns[1]), 1.4 + 0.6 * len(rows[1]))) as figure:
        axes = figure.subplots()
        image = axes.imshow(score, cmap="viridis")
        dark = score < (np.nanmin(score) + np.nanmax(score)) / 2
        for (row, column), value in np.ndenumerate(score):
            axes.text(column, row, f"{value:.4g}", ha="center", va="center", color="w" if dark[row, column] else "k")
        for axis, (name, values) in ((axes.yaxis, rows), (axes.xaxis, columns)):
            axis.set_ticks(range(len(values)), [f"{value:.3g}" for value in values])
            axis.set_label_text(verbatim(name))
        figure.colorbar(image, label="mean return over training")
        axes.set_title(verbatim(title))
        return figure


def verbatim(text: str) -> str:
    """Text for a figure that is drawn as it is: no mathematics, nothing left out of a legend, not too long."""
    text = plain(text)
    if len(text) > _LONGEST_TEXT:
        text = f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # Matplotlib leaves such labels out


def as_bytes(figure: "Figure", form: str, dpi: int = 200) -> bytes:
    """The figure as a "png", "svg" or "pdf" file, without a date in it."""
    buffer = io.BytesIO()
    with styled():
        date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        figure.savefig(buffer, format=form, dpi=dpi, metadata=date)
    return buffer.getvalue()


def _colors(curves: list[Curve]) -> list[Any]:
    """Grey for the curve without KL, then dark to light."""
    return ["0.55", *shades(max(len(curves) - 1, 1))]


def _losses(axes: "Axes", curves: list[Curve]) -> None:
    for curve, color in zip(curves, _colors(curves), strict=False):
        k = np.arange(len(curve.loss_mean))
        axes.plot(k, curve.loss_mean, color=color, lw=1.2, label=verbatim(curve.label))
        axes.fill_between(k, curve.loss_low, curve.loss_high, color=color, alpha=0.25, lw=0)
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2, loc="upper right")


def _bounds(axes: "Axes", curves: list[Curve]) -> None:
    for curve, color in zip(curves, _colors(curves), strict=False):
        k = np.arange(len(curve.loss_mean))
        axes.plot(k, _positive(curve.loss_mean), color=color, lw=1.2)
        axes.plot(k, _positive(curve.bound), color=color, lw=1.2, ls="--")
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 1e4)
    axes.plot([], [], color="0.3", lw=1.2, label="loss")
    axes.plot([], [], color="0.3", lw=1.2, ls="--", label="bound")
    axes.legend(ncols=2, loc="upper right")


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show."""
    return np.where((values > 0) & np.isfinite(values), values, np.nan)
