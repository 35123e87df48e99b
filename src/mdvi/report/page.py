"""One self-contained HTML page: verdict, figures, tables, downloads and provenance.

The only script sorts tables; a policy in the page allows this script by its hash, and nothing else and nothing remote.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdvi.extras import explained
from mdvi.report.alt import curve_alt, heatmap_alt, panel_alt, place_of
from mdvi.report.cells import SCORES, Cell, Panel, cells_of, panels_of
from mdvi.report.curves import PANELS, REGULARIZERS, Curve, by_regularizer, from_csv
from mdvi.report.export import curves_csv, runs_csv, verdict_csv
from mdvi.report.findings import across, beside, curve_of, drawn, mean_of
from mdvi.report.heatmaps import cell_curve, curves_by_row, heatmap, heatmaps, scale_of, scale_picture, span_of
from mdvi.report.plots import as_bytes, figure1, figure1_panel, panel_picture, regularizers
from mdvi.report.sizes import Width
from mdvi.report.stats import in_words, interval_in_words, iqm, mean_in_words, short
from mdvi.report.verdict import Verdict, figure1_verdict, verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEST = 10  # cells of the table over all environments
_PICTURES = 200  # curves of cells that a page has room for
_WIDE = 7  # columns from which on a heatmap takes twice the room
_GLOSSARY = (
    ("score", "the number that cells are compared by: the mean return over training, unless the page says otherwise"),
    ("λ, kl", "the weight of the KL divergence between a policy and the one before it"),
    ("τ, entropy", "the weight of the policy's entropy"),
    ("β", "λ/(λ + τ): how long errors are averaged, about 1/(1 − β) iterations; 0 is entropy alone"),
    ("w/", "KL and entropy stand in the evaluation of a policy as well as in its greedy step"),
    ("w/o", "they stand in the greedy step only"),
    ("md-direct", "mirror descent; the policy is a network that is trained on the objective of the greedy step"),
    ("md-indirect", "mirror descent; the policy is a network that is trained on the solution of the greedy step"),
    ("da", "dual averaging; a network h is trained on an average of q, and the policy is a softmax of h"),
    ("modqn", "momentum DQN, the limit of dual averaging as λ and τ go to 0: greedy in the average of q"),
    ("dqn", "deep Q-learning, without KL and entropy: what the others are compared with"),
    ("cell", "runs that differ in their seeds only"),
)
_HEADINGS = {
    "left": "KL regularisation alone (τ = 0), one sampled next state per state, action and iteration",
    "middle": "No errors, started at a corner of the ball ‖q₀‖ ≤ v_max (τ = 10⁻³)",
    "right": "KL and entropy (τ = 10⁻³), one sampled next state per state, action and iteration",
}


def figure1_page(curves: list[Curve], png: bytes, svg: bytes, table: str, facts: dict[str, str], garnets: int) -> str:
    """The report of Figure 1."""
    panels = {_HEADINGS[panel]: [curve for curve in curves if curve.panel == panel] for panel in PANELS}
    return _page(
        "figure1.html.j2",
        verdict=figure1_verdict(curves),
        pictures=_figure1_panels(curves),
        garnets=garnets,
        facts=facts,
        **_curves_page(panels, png, svg, table),
    )


def regularizers_page(
    curves: list[Curve], png: bytes, svg: bytes, table: str, facts: dict[str, str], garnets: int
) -> str:
    """The report of Figure 1's left panel, regulariser by regulariser."""
    panels = by_regularizer(curves)
    return _page(
        "regularizers.html.j2",
        pictures=_panels(panels),
        garnets=garnets,
        facts=facts,
        **_curves_page(panels, png, svg, table),
    )


def _curves_page(panels: Mapping[str, Sequence[Curve]], png: bytes, svg: bytes, table: str) -> dict[str, Any]:
    """What the reports of both experiments show of their curves: tables by panel, and downloads."""
    last = len(next(iter(panels.values()))[0].loss_mean) - 1
    moments = sorted({k for k in (10, 100, 400, last) if k <= last})
    tail = max(last // 8, 1)
    return {
        "panels": [(name, _rows(curves, moments, tail)) for name, curves in panels.items()],
        "moments": moments,
        "tail": tail,
        "iterations": last,
        "png": _data("image/png", png),
        "svg": _data("image/svg+xml", svg),
        "csv": _data("text/csv", table.encode()),
    }


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
        tables: of the experiments of the laboratory that are asked for and there, by their names.
    """

    title: str
    about: str
    rows: list[dict[str, Any]]
    curves: list[tuple[Any, ...]]
    score: str
    baseline: str
    command: str
    tables: Mapping[str, str] = {}


def study_pictures(results: Results, width: Width = None) -> "dict[str, Figure]":
    """All figures, by the names of their files: Figure 1, and of each environment the heatmaps and the curves.

    Args:
        results: of the study.
        width: "column", "text" or a number of inches; by default each figure has the width that suits it.
    """
    drawn_as = {
        "figure1": lambda table: figure1(from_csv(table), width),
        "regularizers": lambda table: regularizers(by_regularizer(from_csv(table, REGULARIZERS)), width),
    }
    pictures = {name: drawn_as[name](table) for name, table in results.tables.items()}
    for env, cells in _by_env(results).items():
        panels = [panel for some in panels_of(cells) for panel in some]
        if panels:
            pictures[_file("heatmaps", env)] = _heatmaps(env, cells, results, width)
        for panel in panels:
            pictures[_file("curves", env, panel.label)] = curves_by_row(
                panel, lambda cell: curve_of([cell], results.curves), _baseline(cells, results), width
            )
    return pictures


def study_verdicts(results: Results) -> list[Verdict]:
    """What the study shows of the paper's findings: of Figure 1 where the study has it, and in each environment."""
    found = [figure1_verdict(from_csv(results.tables["figure1"]))] if "figure1" in results.tables else []
    for env, cells in _by_env(results).items():
        found += verdicts(env, cells, _baseline(cells, results))
    return found


def study_page(results: Results, facts: dict[str, str]) -> str:
    """The report of a study."""
    by_env, found = _by_env(results), study_verdicts(results)
    ends = [row["status"] for row in results.rows]
    counts = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
    return _page(
        "study.html.j2",
        study=results,
        verdicts=found,
        glossary=_GLOSSARY,
        counts=f"{len(ends)} runs: {counts}",
        score=SCORES[results.score],
        parts=[_part(env, cells, results) for env, cells in by_env.items()],
        across=_across(by_env, results),
        wrong=[row for row in results.rows if row["status"] in ("failed", "diverged")],
        experiments=_experiments(results.tables),
        command=results.command,
        runs_csv=_data("text/csv", runs_csv(results.rows).encode()),
        curves_csv=_data("text/csv", curves_csv(results.curves).encode()),
        verdict_csv=_data("text/csv", verdict_csv(found).encode()),
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


def _heatmaps(env: str, cells: list[Cell], results: Results, width: Width = None) -> "Figure":
    grids, strips = panels_of(cells)
    return heatmaps(grids, strips, _baseline(cells, results), env, SCORES[results.score], width)


def _part(env: str, cells: list[Cell], results: Results) -> dict[str, Any]:
    """What the page shows of one environment."""
    panels = [panel for some in panels_of(cells) for panel in some]
    baseline = _baseline(cells, results)
    last = {cell.runs: cell for cell in cells_of(results.rows, "score_last100")}
    on_grid = {id(cell) for panel in panels for cell in panel.cells.values()}
    found = [(panel, beside(panel, baseline)) for panel in panels]
    rows = [
        _row(panel.label, _at(one.best), one.best, last) | {
            "cells": len(panel.cells) if baseline else 0, "above": one.above, "apart": one.apart,
            "surely": one.surely, "compared": one.compared,
            "chance": "" if one.chance is None else f"{one.chance:.2f}",
        }
        for panel, one in found
        if one.best is not None
    ]  # fmt: skip
    rows += [_row(cell.label, "", cell, last) for cell in cells if id(cell) not in on_grid]
    cut = len(on_grid) > _PICTURES
    part = {"env": env, "baseline": baseline.agent if baseline else "", "rows": rows, "maps": []}
    if panels:
        score, scale = SCORES[results.score], scale_of(panels, baseline)
        part |= {
            "svg": _svg(_heatmaps(env, cells, results)),
            "scale": _svg(scale_picture(scale, baseline, score)),
            "scale_alt": f"Scale of colours: {score} from {short(scale.vmin or 0.0)} to {short(scale.vmax or 0.0)}.",
            "maps": [
                {
                    "svg": _svg(heatmap(panel, scale)),
                    "alt": heatmap_alt(panel, baseline, score),
                    "large": len(panel.columns[1]) > _WIDE,
                }
                for panel in panels
            ],
        }
    return part | {"panels": [_table(panel, baseline, results, one.best if cut else None) for panel, one in found]}


def _row(name: str, at: str, cell: Cell, last: dict[tuple[str, ...], Cell]) -> dict[str, Any]:
    """A row of the table of best cells, without its comparison with the baseline."""
    return {
        "name": name, "at": at, "score": _with_reach(cell), "iqm": _iqm(cell), "last": _with_reach(last[cell.runs]),
        "cells": 0,
    }  # fmt: skip


def _across(by_env: dict[str, list[Cell]], results: Results) -> list[dict[str, str]]:
    """The best cells over all environments, and the baseline."""
    ranked = across(by_env) if len(by_env) > 1 else []
    return [
        {"name": found.cell.label, "at": _at(found.cell), "iqm": _with_ends(found.mean, found.ends)}
        for place, found in enumerate(ranked)
        if place < _BEST or found.cell.agent == results.baseline
    ]


def _table(panel: Panel, baseline: Cell | None, results: Results, only: Cell | None) -> dict[str, Any]:
    """Every cell of a panel as text, and its curve as a picture; of the row of one cell only where one is named."""
    return {
        "name": panel.label,
        "corner": " \\ ".join(name for name in (panel.rows[0], panel.columns[0]) if name),
        "columns": [short(value) for value in panel.columns[1]],
        "rows": [
            (
                short(value) if panel.rows[0] else "",
                [_cell(panel.cells.get((i, j))) for j in range(len(panel.columns[1]))],
            )
            for i, value in enumerate(panel.rows[1])
        ],
        "curves": _curves(panel, baseline, results, only),
        "cut": only is not None,
    }


def _curves(panel: Panel, baseline: Cell | None, results: Results, only: Cell | None) -> list[dict[str, str]]:
    """The curves of the cells of a panel in the order of its table, all with one scale."""
    row = next((i for (i, _), cell in panel.cells.items() if cell is only), None)
    shown = {place: panel.cells[place] for place in sorted(panel.cells) if row is None or place[0] == row}
    curves = {place: curve_of([cell], results.curves) for place, cell in shown.items()}
    against = curve_of([baseline], results.curves) if baseline else None
    top = span_of([*curves.values(), *([against] if against else [])])
    name = baseline.agent if baseline else ""
    return [
        {
            "svg": _svg(cell_curve(curve, against, top)),
            "alt": curve_alt(f"{panel.label} at {place_of(panel, *place)}", curve, name, against or curve),
            "at": place_of(panel, *place),
            "score": _with_reach(shown[place]),
        }
        for place, curve in curves.items()
    ]


def _experiments(tables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The pictures and the table of each experiment of the laboratory, by its name."""
    pictures = {
        "figure1": lambda table: _figure1_panels(from_csv(table)),
        "regularizers": lambda table: _panels(by_regularizer(from_csv(table, REGULARIZERS))),
    }
    return {
        name: {"pictures": pictures[name](table), "csv": _data("text/csv", table.encode())}
        for name, table in tables.items()
    }


def _figure1_panels(curves: list[Curve]) -> list[dict[str, str]]:
    """Each panel of Figure 1 as a picture of its own."""
    return [
        {
            "name": _HEADINGS[panel],
            "svg": _svg(figure1_panel(curves, panel)),
            "alt": panel_alt([curve for curve in curves if curve.panel == panel]),
        }
        for panel in PANELS
    ]


def _panels(panels: Mapping[str, Sequence[Curve]]) -> list[dict[str, str]]:
    """Each regulariser's curves as a picture of its own."""
    return [
        {"name": name, "svg": _svg(panel_picture(name, curves)), "alt": panel_alt(curves)}
        for name, curves in panels.items()
    ]


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
    return "" if (ends := drawn(known)) is None else _with_ends(float(iqm(known)), ends)


def _with_ends(mean: float, ends: tuple[float, float] | None) -> str:
    """A mean with the ends of its interval in brackets, where there is one."""
    if ends is None:
        return short(mean)
    return f"{mean_in_words(mean, (ends[1] - ends[0]) / 2)} {interval_in_words(*ends)}"


def _at(cell: Cell) -> str:
    return f"β = {cell.beta:.3g}, λ = {cell.kl:.3g}, τ = {cell.entropy:.3g}"


def _page(name: str, **content: Any) -> str:
    """A page from its template, with the script that sorts tables and the hash that allows it."""
    with explained():
        import jinja2
    loader = jinja2.PackageLoader("mdvi.report", "")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    script = loader.get_source(environment, "sort.js")[0]
    proof = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(name).render(script=script, script_hash=f"sha256-{proof}", **content)


def _rows(curves: Sequence[Curve], moments: list[int], tail: int) -> list[dict[str, Any]]:
    return [
        {
            "label": curve.label,
            "cells": [
                (
                    in_words(float(curve.loss_mean[k]), float(curve.loss_high[k] - curve.loss_mean[k])),
                    short(float(curve.bound[k])),
                )
                for k in moments
            ],
            "tail": short(float(curve.loss_mean[-tail:].mean())),
        }
        for curve in curves
    ]


def _svg(figure: "Figure") -> str:
    """A picture for the page, which follows its light or dark colours."""
    return _data("image/svg+xml", as_bytes(figure, "svg"))


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
