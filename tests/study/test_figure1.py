"""Figure 1 at a small size, its files, and (slow) its numbers at the paper's size."""

import csv
import math
import re

import numpy as np
import pytest

from mdvi import cli
from mdvi.report.curves import PANELS
from mdvi.study import figure1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("figure1")
    cli.figure1(out=out, garnets=4, iterations=60, seed=3)
    return out


def rows_of(folder):
    with (folder / "figure1.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_curve_and_bounds_that_hold(folder):
    rows = rows_of(folder)
    columns = "panel,curve,kl,entropy,iteration,loss_mean,loss_low,loss_high,bound"
    assert ",".join(rows[0]) == columns
    assert len(rows) == (len(figure1.KLS) + 2 * len(figure1.BETAS)) * 61
    assert {row["panel"] for row in rows} == set(PANELS)
    for row in rows:
        low, mean, high = (float(row[name]) for name in ("loss_low", "loss_mean", "loss_high"))
        assert low <= mean <= high
        assert mean <= float(row["bound"]) * (1 + 1e-9) + 1e-12
        assert math.isinf(float(row["bound"])) == (row["iteration"] == "0")


def test_the_files_are_complete(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["figure1.csv", "figure1.png", "figure1.svg", "report.html"]
    assert (folder / "figure1.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "figure1.svg").read_text()


def test_the_report_stands_alone_and_tells_where_it_comes_from(folder):
    page = (folder / "report.html").read_text()
    assert not re.search(r"<script |<link|(?:src|href)=\"(?!data:)", page)
    assert len(page) < 5_000_000
    for fact in ("mdvi reproduce figure1 --garnets 4 --iterations 60 --seed 3", "commit", "cores", "UTC", "took"):
        assert fact in page
    assert page.count('<table class="sortable">') == 3


def test_the_same_seed_gives_the_same_table_and_picture(folder, tmp_path):
    cli.figure1(out=tmp_path, garnets=4, iterations=60, seed=3)
    for name in ("figure1.csv", "figure1.svg", "figure1.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_papers_size_gives_the_papers_picture():
    curves = {(c.panel, c.label): c for c in figure1.run()}
    last = {key: float(c.loss_mean[800]) for key, c in curves.items()}
    print("\nmean normalised loss at k = 800: " + ", ".join(f"{p} {label}: {x:.4f}" for (p, label), x in last.items()))
    assert last["left", "AVI"] == pytest.approx(0.42, abs=0.02)
    for kl in ("0.01", "0.1", "1"):
        assert last["left", f"λ = {kl}"] < 0.006
    assert last["right", "β = 0.9"] == pytest.approx(0.10, abs=0.01)
    assert last["right", "β = 0.99"] == pytest.approx(0.017, abs=0.004)
    for c in curves.values():
        assert np.all(c.loss_mean <= c.bound + 1e-12)
