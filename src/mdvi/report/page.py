"""One self-contained HTML page: figures, tables, downloads and provenance, from a template without scripts."""

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdvi.extras import explained
from mdvi.report.cells import SCORES, Cell, Panel, cells_of, panels_of
from mdvi.report.curves import PANELS, Curve, from_csv
from mdvi.report.export import curves_csv, runs_csv
from mdvi.report.findings import across, beside, curve_of, drawn, mean_of
from mdvi.report.heatmaps import curves_by_row, heatmaps
from mdvi.report.plots import as_bytes, figure1
from mdvi.report.stats import in_words, iqm

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

_BEST = 10  # cells of the table over all environments
_HEADINGS = {
    "left": "KL regularisation alone (τ = 0), one sampled next state per state, action and iteration",
    "middle": "No errors, started at a corner of the ball ‖q₀‖ ≤ v_max (τ = 10⁻³)",
    "right": "KL and entropy (τ = 10⁻³), one sampled next state per state, action and iteration",
}


def figure1_page(curves: list[Curve], png: bytes, svg: bytes, table: str, facts: dict[str, str], garnets: int) -> str:
    """The report of Figure 1."""
    last = len(curves[0].loss_mean) - 1
    moments = sorted({k for k in (10, 100, 400, last) if k <= last})
    tail = max(last // 8, 1)
    return _template("figure1.html.j2").render(
        panels=[(_HEADINGS[panel], _rows(curves, panel, moments, tail)) for panel in PANELS],
        moments=moments,
        tail=tail,
        garnets=garnets,
        iterations=last,
        png=_data("image/png", png),
        svg=_data("image/svg+xml", svg),
        csv=_data("text/csv", table.encode()),
        facts=facts,
    )


class Results(NamedTuple):
    """A study and what it has so far.

    Attributes:
        title: of the study.
        about: a sentence or two.
        rows: of `runs`.
        curves: of `curves`.
        score: one of `SCORES`.
        baseline: the agent that others are held against.
        command: what repeats the study.
        figure1: the table of Figure 1, where it is asked for and there.
    """

    title: str
    about: str
    rows: list[dict[str, Any]]
    curves: list[tuple[Any, ...]]
    score: str
    baseline: str
    command: str
    figure1: str | None = None


def study_pictures(results: Results) -> "dict[str, Figure]":
    """All figures, by the names of their files: Figure 1, and of each environment the heatmaps and the curves."""
    pictures = {} if results.figure1 is None else {"figure1": figure1(from_csv(results.figure1))}
    for env, cells in _by_env(results).items():
        panels = [panel for some in panels_of(cells) for panel in some]
        if panels:
            pictures[_file("heatmaps", env)] = _heatmaps(env, cells, results)
        for panel in panels:
            pictures[_file("curves", env, panel.label)] = _curves(panel, _baseline(cells, results), results)
    return pictures


def study_page(results: Results, facts: dict[str, str]) -> str:
    """The report of a study."""
    table, by_env = results.figure1, _by_env(results)
    ends = [row["status"] for row in results.rows]
    counts = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
    return _template("study.html.j2").render(
        study=results,
        counts=f"{len(ends)} runs: {counts}",
        score=SCORES[results.score],
        parts=[_part(env, cells, results) for env, cells in by_env.items()],
        across=_across(by_env, results),
        wrong=[row for row in results.rows if row["status"] in ("failed", "diverged")],
        figure1=table and {
            "png": _data("image/png", as_bytes(figure1(from_csv(table)), "png")),
            "csv": _data("text/csv", table.encode()),
        },
        command=results.command,
        runs_csv=_data("text/csv", runs_csv(results.rows).encode()),
        curves_csv=_data("text/csv", curves_csv(results.curves).encode()),
        facts=facts,
    )  # fmt: skip


def _by_env(results: Results) -> dict[str, list[Cell]]:
    """The cells of each environment."""
    cells = cells_of(results.rows, results.score)
    return {env: [cell for cell in cells if cell.env == env] for env in dict.fromkeys(cell.env for cell in cells)}


def _baseline(cells: Sequence[Cell], results: Results) -> Cell | None:
    return next((cell for cell in cells if cell.agent == results.baseline), None)


def _file(*parts: str) -> str:
    """The name of a picture."""
    text = "-".join(parts).replace("τ = 0", "strip").replace("w/o", "without").replace("w/", "with")
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def _heatmaps(env: str, cells: list[Cell], results: Results) -> "Figure":
    grids, strips = panels_of(cells)
    return heatmaps(grids, strips, _baseline(cells, results), env, SCORES[results.score])


def _part(env: str, cells: list[Cell], results: Results) -> dict[str, Any]:
    """What the page shows of one environment."""
    grids, strips = panels_of(cells)
    baseline = _baseline(cells, results)
    last = {cell.runs: cell for cell in cells_of(results.rows, "score_last100")}
    rows = []
    on_grid = {id(cell) for panel in [*grids, *strips] for cell in panel.cells.values()}
    for panel in [*grids, *strips]:
        found = beside(panel, baseline)
        if found.best is not None:
            rows.append({
                "name": panel.label, "at": _at(found.best), "score": _with_reach(found.best),
                "iqm": _iqm(found.best), "last": _with_reach(last[found.best.runs]),
                "cells": len(panel.cells) if baseline else 0, "above": found.above, "apart": found.apart,
                "surely": found.surely, "compared": found.compared,
                "chance": "" if found.chance is None else f"{found.chance:.2f}",
            })  # fmt: skip
    rows += [
        {
            "name": cell.label,
            "at": "",
            "score": _with_reach(cell),
            "last": _with_reach(last[cell.runs]),
            "iqm": _iqm(cell),
            "cells": 0,
        }
        for cell in cells
        if id(cell) not in on_grid
    ]
    return {
        "env": env,
        "baseline": baseline.agent if baseline else "",
        "svg": _data("image/svg+xml", as_bytes(_heatmaps(env, cells, results), "svg")) if grids or strips else "",
        "rows": rows,
        "panels": [_table(panel, baseline, results) for panel in [*grids, *strips]],
    }


def _curves(panel: Panel, baseline: Cell | None, results: Results) -> "Figure":
    return curves_by_row(panel, lambda cell: curve_of([cell], results.curves), baseline)


def _across(by_env: dict[str, list[Cell]], results: Results) -> list[dict[str, str]]:
    """The best cells over all environments, and the baseline."""
    ranked = across(by_env) if len(by_env) > 1 else []
    return [
        {"name": found.cell.label, "at": _at(found.cell), "iqm": f"{found.mean:.3f}{_ends(found.ends)}"}
        for place, found in enumerate(ranked)
        if place < _BEST or found.cell.agent == results.baseline
    ]


def _table(panel: Panel, baseline: Cell | None, results: Results) -> dict[str, Any]:
    """Every cell of a panel as text, and its curves as a picture."""
    return {
        "name": panel.label,
        "corner": " \\ ".join(name for name in (panel.rows[0], panel.columns[0]) if name),
        "columns": [f"{value:.4g}" for value in panel.columns[1]],
        "rows": [
            (
                f"{value:.4g}" if panel.rows[0] else "",
                [_cell(panel.cells.get((i, j))) for j in range(len(panel.columns[1]))],
            )
            for i, value in enumerate(panel.rows[1])
        ],
        "curves": _data("image/png", as_bytes(_curves(panel, baseline, results), "png", dpi=120)),
    }


def _cell(cell: Cell | None) -> dict[str, Any]:
    """A cell in words: mean and interval, and what is missing."""
    if cell is None:
        return {"text": "", "small": "", "wrong": False}
    missing = [f"{len(cell.seeds)} of {cell.wanted} seeds"] if len(cell.seeds) < cell.wanted else []
    ends = [f"{count} {name}" for name, count in (("failed", cell.failed), ("diverged", cell.diverged)) if count]
    return {"text": _with_reach(cell), "small": ", ".join(missing + ends), "wrong": bool(ends)}


def _with_reach(cell: Cell) -> str:
    return in_words(*mean_of(cell))


def _iqm(cell: Cell) -> str:
    """The interquartile mean over seeds and its interval, where there are enough of them."""
    known = cell.scores[np.isfinite(cell.scores)][None]
    return "" if (ends := drawn(known)) is None else f"{iqm(known):.4g}{_ends(ends)}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{ends[0]:.4g}, {ends[1]:.4g}]"


def _at(cell: Cell) -> str:
    return f"β = {cell.beta:.3g}, λ = {cell.kl:.3g}, τ = {cell.entropy:.3g}"


def _template(name: str) -> "jinja2.Template":
    with explained():
        import jinja2
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mdvi.report", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def _rows(curves: list[Curve], panel: str, moments: list[int], tail: int) -> list[dict[str, Any]]:
    return [
        {
            "label": curve.label,
            "cells": [
                (
                    _short(curve.loss_mean[k]),
                    _short(curve.loss_high[k] - curve.loss_mean[k]),
                    _short(curve.bound[k]),
                )
                for k in moments
            ],
            "tail": _short(curve.loss_mean[-tail:].mean()),
        }
        for curve in curves
        if curve.panel == panel
    ]


def _short(number: float) -> str:
    """Three significant digits; ∞ spelled as such, and a dash for nothing."""
    if np.isnan(number):
        return "–"
    if not np.isfinite(number):
        return "∞"
    return f"{number:.3g}" if number == 0 or abs(number) >= 1e-4 else f"{number:.1e}"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
