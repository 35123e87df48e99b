"""One self-contained HTML page: figures, tables, downloads and provenance, from a template without scripts."""

import base64
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np

from mdvi.study.curves import PANELS, Curve

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
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((files("mdvi.study") / "figure1.html.j2").read_text(encoding="utf-8"))
    return template.render(
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
    """Three significant digits; ∞ spelled as such."""
    if not np.isfinite(number):
        return "∞"
    return f"{number:.3g}" if number == 0 or abs(number) >= 1e-4 else f"{number:.1e}"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
