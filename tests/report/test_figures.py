"""Pictures and tables: one statistic with the seed as its unit, fonts that journals take, arrows where one acts."""

import html
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from rich.console import Console

from mdvi.cli import learning
from mdvi.mdp.names import source_of
from mdvi.planning import views
from mdvi.report import maps, plots
from mdvi.report.cells import Cell, panels_of
from mdvi.report.curves import PANELS, Curve
from mdvi.report.heatmaps import cell_curve, curves_by_row, heatmap, heatmaps, scale_of, scale_picture
from mdvi.report.learning import grid_of, lines_of, results_of
from mdvi.report.seeds import learning_plot
from mdvi.report.stats import in_words
from mdvi.words import plain

NUMBERS = ("kl", "entropy", "beta", "learning_rate")


def metrics_of(members):
    """Columns of metrics, two lines a member, from (λ, τ, rate, seed, episodes of each line, their mean returns)."""
    rows = [
        dict(zip(NUMBERS, (kl, entropy, kl / (kl + entropy), rate), strict=True))
        | {"seed": seed, "member": member, "env_steps": 100 * (line + 1), "episodes": count}
        | {"episode_return": value if count else np.nan, "last_100": value}
        for member, (kl, entropy, rate, seed, counts, values) in enumerate(members)
        for line, (count, value) in enumerate(zip(counts, values, strict=True))
    ]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def grid(rng, seeds, rates=(0.001,)):
    """Members on a grid of 2 × 3 cells whose seeds have very different numbers of episodes, and returns."""
    return [
        (kl, entropy, rate, seed, rng.integers(0 if seed else 1, 50, 2), rng.normal(0, 30, 2).round(3))
        for kl in (0.1, 1.0)
        for entropy in (0.01, 0.1, 1.0)
        for rate in rates
        for seed in range(seeds)
    ]


def table_of(monkeypatch, members):
    """The table that `mdvi train` ends with."""
    shown = []
    monkeypatch.setattr(learning, "show", shown.append)
    run = type("Run", (), {"config": {"env": "e", "agent": "a"}, "summary": {"members": members}})
    run.results = results_of(members)
    learning._show(run(), None)
    Console(width=200, file=(file := io.StringIO())).print(shown[0])
    lines = [line.split("│")[1:-1] for line in file.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line] for line in lines]


def summary_of(members):
    """What the summary says of the same members."""
    return [
        dict(zip(NUMBERS, (kl, entropy, kl / (kl + entropy), rate), strict=True))
        | {"status": "ok", "env_steps": 200, "last_100": values[-1], "member": member, "seed": seed}
        | {"mean_return": float(np.dot(counts, values) / sum(counts)) if sum(counts) else None}
        for member, (kl, entropy, rate, seed, counts, values) in enumerate(members)
    ]


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_the_cells_of_a_plot_are_those_of_the_table(rng, monkeypatch, seeds):
    members = grid(rng, seeds)
    score, (_, rows), (_, columns), reach = grid_of(metrics_of(members))
    lines = table_of(monkeypatch, summary_of(members))
    assert (len(rows), len(columns), len(lines)) == (2, 3, 6)
    shown = [in_words(*pair) for pair in zip(score.ravel(), reach.ravel(), strict=True)]
    assert shown == [line[5] for line in lines]
    assert [("±" in line[5], "±" in line[6]) for line in lines] == [(seeds >= 3,) * 2] * 6


def test_a_seed_counts_once_however_many_episodes_it_had():
    members = [
        (kl, entropy, 0.001, seed, (90, 0) if seed == 0 else (5, 5), (10.0, 0.0) if seed == 0 else (80.0, 100.0))
        for kl in (0.1, 1.0) for entropy in (0.01, 0.1) for seed in range(2)
    ]  # fmt: skip
    np.testing.assert_allclose(grid_of(metrics_of(members)).score, 50.0)


def test_members_that_differ_in_their_learning_rates_are_not_pooled(rng):
    assert grid_of(metrics_of(grid(rng, 3, rates=(0.001, 0.01)))) is None


def test_failed_members_and_missing_scores_leave_two_seeds_without_an_interval(monkeypatch):
    members = summary_of([(0.1, 0.1, 0.001, seed, (1, 1), (1.0, seed)) for seed in range(4)])
    assert "±" in table_of(monkeypatch, members)[0][5]
    members[0]["status"], members[1]["mean_return"] = "diverged: …", None
    assert table_of(monkeypatch, members)[0][4:] == ["4", "1.75", "2.0 ± 2.5", "1"]


def test_failed_members_are_left_out_of_plots_as_they_are_of_the_table(rng):
    members = grid(rng, 4)
    summary = {"members": summary_of(members)}
    for number in (0, 5, 6):
        summary["members"][number]["status"] = "diverged: …"
    kept = [member for number, member in enumerate(members) if number not in (0, 5, 6)]
    score = grid_of(lines_of(metrics_of(members), learning._sound(summary))).score
    np.testing.assert_allclose(score, grid_of(metrics_of(kept)).score)
    assert learning._sound({}) == []  # of a run that is not finished: all lines are drawn


def bands(figure):
    """The greatest height of a shaded band."""
    heights = [
        np.ptp(path.vertices[:, 1]) for axes in figure.axes for band in axes.collections for path in band.get_paths()
    ]
    return max((height for height in heights if np.isfinite(height)), default=0.0)


@pytest.mark.parametrize(("seeds", "shown"), [(1, False), (2, False), (3, True), (10, True)])
def test_bands_are_drawn_from_three_seeds_on(rng, seeds, shown):
    steps, returns = np.arange(5.0), rng.normal(size=(5, seeds))
    assert (bands(learning_plot([("some", steps, returns)], "title")) > 0) == shown
    cells = [
        Cell("e", "da", "", 0.1, entropy, 0.5, 0.1, tuple(range(seeds)), returns[0], (), seeds, 0, 0)
        for entropy in (0.1, 1.0)
    ]
    panel = panels_of(cells)[0][0]
    assert (bands(curves_by_row(panel, lambda cell: (steps, returns), None)) > 0) == shown


def test_two_missing_of_four_seeds_are_two_seeds(rng):
    returns = rng.normal(size=(5, 4))
    returns[:, 2:] = np.nan
    assert bands(learning_plot([("some", np.arange(5.0), returns)], "title")) == 0


def figures(rng):
    """Every kind of figure that is written."""
    steps, table = np.arange(5.0), rng.random((5, 4))
    cells = [
        Cell("e", "da", "", 0.1, entropy, 0.5, 0.1, (0, 1, 2), table[0, :3], (), 3, 0, 0) for entropy in (0.1, 1.0)
    ]
    grids, strips = panels_of(cells)
    curves = [Curve(panel, "λ = 0.1", 0.1, 0.0, *rng.random((4, 6))) for panel in PANELS]
    return {
        "learning": learning_plot([("λ = 0.1", steps, table)], "τ"),
        "cells": plots.cells_plot(table[:2], ("β", [0.1, 0.2]), ("τ", [0.1, 0.2, 0.3, 0.4]), "title"),
        "figure1": plots.figure1(curves),
        "trace": plots.trace_plot(table[:, 0], table[:, 1], "title"),
        "solution": plots.solution_plot(table.ravel(), table.ravel(), 0.1, "title"),
        "grid": maps.grid_plot(
            steps[:4], np.ones((4, 1)), np.array([False, False, False, True]), (2, 2), ((0, 1),), "title", "S  G"
        ),
        "states": maps.states_plot(*table[:, :3].T, table, "abcde", "wxyz", "title"),
        "traces": plots.traces_plot([("λ = 1", *table[:, :2].T), ("λ = 2", *table[:, 2:].T)], "title"),
        "heatmaps": heatmaps(grids, strips, None, "e", "score"),
        "panel": heatmap(grids[0], scale_of(grids, None)),
        "scale": scale_picture(scale_of(grids, cells[0]), cells[0], "score"),
        "cell": cell_curve((steps, table), (steps, table), (0.0, 1.0)),
        "curves": curves_by_row(grids[0], lambda cell: (steps, table), None),
    }


KINDS = ["learning", "cells", "figure1", "trace", "traces", "solution", "grid", "states", "heatmaps", "curves"]
KINDS += ["panel", "scale", "cell"]


@pytest.mark.parametrize("name", KINDS)
def test_no_pdf_has_fonts_that_journals_refuse(rng, name):
    data = plots.as_bytes(figures(rng)[name], "pdf")
    assert b"/Type3" not in data
    assert b"/CIDFontType2" in data or b"/TrueType" in data


LAKES = [
    ("gym:FrozenLake-v1", "SFFFFHFHFFFHHFFG"),
    ("gym:FrozenLake-v1,is_slippery=False", "SFFFFHFHFFFHHFFG"),
    ("gym:FrozenLake-v1,map_name=8x8", None),
    ("lake:size=6,seed=1", None),
    ("gym:CliffWalking-v1", "F" * 36 + "S" + "H" * 10 + "G"),
    ("cliff", "F" * 36 + "S" + "F" * 10 + "G"),
]


@pytest.mark.parametrize(("name", "cells"), LAKES, ids=[name for name, _ in LAKES])
def test_no_arrow_stands_where_an_episode_has_ended(name, cells):
    given = source_of(name)
    states = given.model.states
    policy = np.eye(given.model.actions)[np.zeros(states, int)]
    figure = views.picture(given.model, np.arange(1.0 * states), *np.zeros((2, states)), policy, name)
    assert isinstance(figure, Figure)
    (arrows,) = [artist for artist in figure.axes[0].collections if isinstance(artist, Quiver)]
    rows, columns = given.model.layout[:2]
    at = {int(row) * columns + int(column) for column, row in arrows.XY}
    if cells is None and rows == 8:
        import gymnasium

        cells = b"".join(gymnasium.make("FrozenLake-v1", map_name="8x8").unwrapped.desc.ravel()).decode()
    ends = {i for i, kind in enumerate(cells) if kind in "HG"} if cells else set(np.flatnonzero(given.model.terminal))
    assert at == set(range(rows * columns)) - ends
    blank = np.isnan(np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)).ravel()
    assert set(np.flatnonzero(blank)) == ends


ODD_TEXTS = [
    r"a$\frac{$.csv",
    "$x$",
    r"\$5 and $",
    "$\\badcommand$ $$",
    "_hidden",
    "%s %d {0}",
    "two\nlines",
    "x" * 5000,
    "\x1b]0;owned\x07",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_text_in_figures_is_drawn_as_it_is(text):
    curves = [(text, np.arange(3), np.ones((3, 3)))]
    figures = [
        learning_plot(curves, text),
        plots.solution_plot(np.arange(4.0), np.ones(3), 1e-6, text),
        plots.trace_plot(np.ones(4), np.ones(4), text),
        plots.cells_plot(np.eye(2), (text, [1, 2]), (text, [1, 2]), text),
        maps.grid_plot(np.ones(4), np.ones((4, 1)), np.zeros(4, bool), (2, 2), ((0, 1),), text),
    ]
    for figure, form in zip(figures, ("png", "pdf", "svg", "png", "pdf"), strict=True):
        assert plots.as_bytes(figure, form, 40)
    shown = plain(text) if len(text) < 90 else "x … x"
    assert shown in figures[0].axes[0].texts[0].get_text().replace(r"\$", "$")
    assert shown in html.unescape(plots.as_bytes(figures[0], "svg").decode())
