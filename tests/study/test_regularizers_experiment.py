"""Figure 1 with other regularisers at a small size, its files, its place in studies, and (slow) its numbers in full."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from commands import run
from mdvi import Scheme, cli
from mdvi.report.curves import FIGURE1, REGULARIZERS, by_regularizer, from_csv, to_csv
from mdvi.study import regularizers
from mdvi.study.spec import Figure1, Regularizers
from studies import study_in

SMALL = (("shannon", "lazy"), ("tsallis:2", "lazy"), ("tsallis:2", "agile"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("regularizers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regularizers, "FORMS", SMALL)
        cli.regularizers(out=out, garnets=3, iterations=60, seed=3)
    return out


def test_the_table_has_every_curve_and_bounds_that_hold(folder):
    with (folder / "regularizers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "regularizer,form,kl,iteration,loss_mean,loss_low,loss_high,bound"
    curves = list(dict.fromkeys((row["regularizer"], row["form"], row["kl"]) for row in rows))
    assert curves == [("none", "lazy", "0"), *((*form, kl) for form in SMALL for kl in ("0.1", "1"))]
    assert len(rows) == 7 * 61
    for row in rows:
        low, mean, high, bound = (float(row[name]) for name in ("loss_low", "loss_mean", "loss_high", "bound"))
        assert low <= mean <= high
        assert mean <= bound
        assert np.isinf(bound) == (row["iteration"] == "0" or row["form"] == "agile")


def test_errors_average_out_in_the_lazy_form_only(folder):
    panels = by_regularizer(from_csv((folder / "regularizers.csv").read_text(), REGULARIZERS))
    assert list(panels) == ["shannon", "tsallis:2"]
    last = {curve.label: curve.loss_mean[-1] for curve in panels["tsallis:2"]}
    assert list(last) == ["AVI", "λ = 0.1", "λ = 1", "λ = 0.1, agile", "λ = 1, agile"]
    assert last["λ = 0.1"] < 0.2 * last["AVI"]
    assert last["λ = 0.1, agile"] > 0.6 * last["AVI"]
    assert last["λ = 1, agile"] > 2 * last["λ = 1"]


def test_the_files_are_complete_and_the_report_stands_alone(folder):
    names = ["regularizers.csv", "regularizers.png", "regularizers.svg", "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == names
    page = (folder / "report.html").read_text()
    assert not re.search(r"<script |<link|(?:src|href)=\"(?!data:)", page)
    assert "mdvi reproduce regularizers --garnets 3 --iterations 60 --seed 3" in page
    assert page.count('<table class="sortable">') == page.count("Mean normalised loss against iteration") == 2


def test_every_regulariser_of_the_experiment_is_one_and_no_form_is_listed_twice():
    assert len(set(regularizers.FORMS)) == len(regularizers.FORMS)
    for name, form in regularizers.FORMS:
        assert form in ("lazy", "agile")
        assert Scheme.of(0.1, regularizer=name, floor="own" if form == "agile" else None).regularizer.name == name


def test_a_table_is_read_as_it_was_written(folder):
    text = (folder / "regularizers.csv").read_text()
    curves = from_csv(text, REGULARIZERS)
    assert to_csv(curves, REGULARIZERS) == text
    named = [dataclasses.replace(curves[0], label="=a")]
    assert from_csv(to_csv(named, REGULARIZERS), REGULARIZERS)[0].label == "=a"
    with pytest.raises(ValueError, match="not a table of curves"):
        from_csv(text, FIGURE1)


def test_a_study_may_have_it_beside_figure_1(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regularizers, "FORMS", SMALL[:1])
    study = study_in(tmp_path, 'title = "Both"\n[regularizers]\ngarnets = 2\niterations = 8\n[figure1]\ngarnets = 2')
    assert [type(asked) for asked in study.experiments] == [Figure1, Regularizers]
    assert Figure1(garnets=2).id != Regularizers(garnets=2).id
    study_in(tmp_path, 'title = "One"\n[regularizers]\ngarnets = 2\niterations = 8')

    def answer(*arguments):
        code, out, err = run(capsys, monkeypatch, "study", *arguments)
        assert code == 0, err
        return out

    assert "Regularisers: 2 Garnets, 8 iterations" in answer("plan", "small.toml")
    assert "One: Regularisers done" in answer("run", "small.toml")
    assert json.loads(answer("status", "small.toml", "--json")) == {"regularizers": "done", "wrong": []}
    answer("export", "small.toml")
    answer("report", "small.toml")
    place = tmp_path / "runs/small"
    assert (place / "regularizers.csv").read_text().startswith("regularizer,form,kl,iteration,")
    assert (place / "regularizers.svg").exists()
    page = (place / "report.html").read_text()
    assert 'id="regularizers"' in page
    assert 'id="figure1"' not in page


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_full_size_shows_that_only_the_lazy_form_averages():
    curves = {(c.panel, c.label, c.kl): c for c in regularizers.run()}
    last = {key: float(c.loss_mean[800]) for key, c in curves.items()}
    print("\nmean normalised loss at k = 800: " + ", ".join(f"{key}: {x:.4f}" for key, x in last.items()))
    assert last["none", "lazy", 0.0] > 0.35
    for (_, form, kl), loss in last.items():
        if form == "agile":
            assert loss > 0.1
        elif kl > 0:
            assert loss < 0.007
    for curve in curves.values():
        assert np.all(curve.loss_mean <= curve.bound + 1e-12)
