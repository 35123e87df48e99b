"""Runs side by side: a table, a frame, a picture, and differences that are paired by seed."""

import doctest

import numpy as np
import pytest
from scipy import stats

import mdvi
from mdvi.learning import compare as comparing
from mdvi.report import comparison
from mdvi.report.comparison import Comparison, beside, names_of
from mdvi.report.learning import results_of

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 200, "steps": 600}


def results(last, seeds=None, kl=0.1, failed=()):
    """A cell whose members had these mean returns of the last hundred episodes."""
    facts = {"kl": kl, "entropy": 0.0, "beta": 1.0, "learning_rate": 1e-3, "env_steps": 100}
    seeds = range(len(last)) if seeds is None else seeds
    return results_of([
        facts | {"member": n, "seed": seed, "last_100": value, "mean_return": value and value / 2,
                 "status": "diverged" if seed in failed else "ok"}
        for n, (seed, value) in enumerate(zip(seeds, last, strict=True))
    ])[0]  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    one = mdvi.train("CartPole-v1", "dqn", seeds=3, **SMALL)
    two = mdvi.train("CartPole-v1", "munchausen", kl=(0.01, 0.1), seeds=[2, 1, 7, 0], **SMALL)
    return {"plain": one, "ours": two}


def test_differences_are_paired_by_seed():
    ours, others = results([5.0, 7.0, 6.5, 100.0], seeds=[3, 1, 2, 9]), results([4.0, 1.0, 3.0, 50.0])
    found = beside(ours, others)  # seeds 1, 2 and 3
    differences = np.array([7.0 - 1.0, 6.5 - 3.0, 5.0 - 50.0])
    assert found.seeds == 3
    assert found.difference == pytest.approx(differences.mean())
    reach = stats.sem(differences) * stats.t.ppf(0.975, 2)
    assert found.reach == pytest.approx(reach)
    pairs = [(a > b) + (a == b) / 2 for a in (5.0, 7.0, 6.5, 100.0) for b in (4.0, 1.0, 3.0, 50.0)]
    assert found.chance == pytest.approx(np.mean(pairs))


def test_failed_members_and_missing_returns_are_left_out():
    found = beside(results([5.0, 7.0, None, 9.0], failed=[3]), results([4.0, 1.0, 3.0, 2.0]))
    assert found.seeds == 2
    assert found.difference == pytest.approx((1.0 + 6.0) / 2)
    assert np.isnan(found.reach)
    nobody = beside(results([1.0, 2.0], seeds=[5, 6]), results([1.0, 2.0]))
    assert nobody.seeds == 0
    assert np.isnan(nobody.difference)
    assert nobody.chance == 0.5
    assert np.isnan(beside(results([1.0], failed=[0]), results([1.0])).chance)


def test_the_table_shows_itself(runs):
    found = mdvi.compare(runs)
    title, head, *rows = repr(found).splitlines()
    assert title.startswith("CartPole-v1: mean returns over seeds")
    assert "differences from plain are paired by seed" in title
    assert head.split() == ["seeds", "steps", "last", "100", "episodes", "all", "episodes", "difference", "seeds", "in",
                            "both", "P(higher)", "failed"]  # fmt: skip
    assert rows[0].split()[0] == "plain"
    assert list(found.names) == ["plain", "ours, λ = 0.01, β = 0.769", "ours, λ = 0.1, β = 0.971"]
    assert len({len(line) for line in (head, *rows)}) == 1
    assert f" {found.beside_first[1].difference:.4g} ± " in rows[1]
    html = found._repr_html_()
    assert html.count("<tr>") == 4
    assert "ours, λ = 0.1" in html


def test_the_frame_has_a_row_for_each_cell(runs):
    pytest.importorskip("pandas")
    frame = mdvi.compare(runs).frame()
    assert frame["seeds"].tolist() == [3, 4, 4]
    assert frame["paired_seeds"].tolist() == [3, 3, 3]
    assert frame["difference"][0] == 0
    lines = runs["ours"].frame()
    last = lines[(lines["kl"] == 0.1) & (lines["env_steps"] == lines["env_steps"].max())]
    assert frame["last_100"][2] == pytest.approx(last["last_100"].mean())
    plain = runs["plain"].results[0].last_100
    mine = dict(zip(runs["ours"].results[1].seeds, runs["ours"].results[1].last_100, strict=True))
    assert frame["difference"][2] == pytest.approx(np.mean([mine[seed] - plain[seed] for seed in range(3)]))


def test_the_picture_has_a_curve_for_each_cell(runs):
    axes = mdvi.compare(runs).plot().axes[0]
    assert len(axes.lines) == 3
    lines = runs["ours"].metrics
    chosen = (lines["kl"] == 0.1) & (lines["env_steps"] == 640)
    assert axes.lines[2].get_ydata()[-1] == pytest.approx(lines["last_100"][chosen].mean())
    assert axes.get_title() == "CartPole-v1"


def test_lists_are_named_by_their_agents(runs):
    dqn, ours = runs.values()
    assert mdvi.compare([dqn, ours]).names[0] == "dqn"
    assert mdvi.compare([dqn, dqn]).names == ("dqn (1)", "dqn (2)")


def test_what_cannot_be_compared_is_refused(runs):
    with pytest.raises(ValueError, match="runs: expected at least one run"):
        mdvi.compare([])
    with pytest.raises(ValueError, match=r"runs: expected runs of mdvi\.train or mdvi\.load, got str for 'dqn'"):
        mdvi.compare({"dqn": "runs/dqn"})
    other = mdvi.train("probe-matched", **SMALL)
    with pytest.raises(ValueError, match=r"runs in one environment, .*\['CartPole-v1', 'probe-matched'\]"):
        mdvi.compare([runs["plain"], other])


def test_names_tell_cells_apart():
    assert names_of({"a": [results([1.0])], "b": [results([1.0]), results([1.0], kl=0.2)]}) == [
        "a", "b, λ = 0.1", "b, λ = 0.2"
    ]  # fmt: skip
    empty = Comparison("x", ("a",), (results([1.0], failed=[0]),), ((np.zeros(0), np.zeros((0, 0))),))
    assert "–" in repr(empty)


@pytest.mark.parametrize("module", [comparing, comparison])
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(module).failed == 0
