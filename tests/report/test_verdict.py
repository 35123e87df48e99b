"""The verdict says yes, no and not decided where it should, on runs that were made up in both directions."""

import csv
import io

import numpy as np
import pytest

from mdvi.report.cells import Cell
from mdvi.report.curves import Curve
from mdvi.report.export import verdict_csv
from mdvi.report.verdict import UNKNOWN, figure1_verdict, held_out, scores_of, verdicts

SEEDS = 5
NOISE = np.random.default_rng(7).normal(0, 1.0, (500, SEEDS))
FINDINGS = {
    "wide": "Regularisation beats DQN over a wide range",
    "medium": "Medium to large β is best",
    "wider": "w/ has the wider good region",
    "harmless": "w/ is never harmful",
    "alike": "At τ = 0, w/ and w/o are alike",
    "sensitive": "DA is more sensitive than MD",
    "together": "Entropy works better with KL than alone",
    "kl alone": "KL alone reaches comparable scores",
}


def grid(score):
    """A study whose cells have the scores of a function of (agent, evaluation, β, τ), with noise of 1 by seed."""
    places = [
        (agent, kept, beta, entropy)
        for agent in ("md-direct", "md-indirect", "da")
        for kept in ("w/", "w/o")
        for beta in (0.0, 0.5, 0.9)
        for entropy in (0.1, 1.0)
    ]
    places += [(agent, kept, 1.0, 0.0) for agent in ("md-direct", "md-indirect") for kept in ("w/", "w/o")]
    cells = []
    for number, (agent, kept, beta, entropy) in enumerate(places):
        kl = beta * entropy / (1 - beta) if beta < 1 else 1.0
        scores = score(agent, kept, beta, entropy) + NOISE[number]
        runs = tuple(f"{number}-{seed}" for seed in range(SEEDS))
        cells.append(Cell("e", agent, kept, kl, entropy, beta, 0.1, tuple(range(SEEDS)), scores, runs, SEEDS, 0, 0))
    return cells


def dqn(level, noise=NOISE[-1]):
    return Cell("e", "dqn", "", 0.0, 0.0, 0.0, 0.1, tuple(range(SEEDS)), level + noise, (), SEEDS, 0, 0)


def answers(score, level=0.0):
    """The answer to each finding."""
    baseline = dqn(level)
    found = {verdict.finding: verdict for verdict in verdicts("e", [*grid(score), baseline], baseline)}
    return {name: found[finding].answer for name, finding in FINDINGS.items()}


BOTH_WAYS = {
    "wide": (lambda a, k, b, t: 50, lambda a, k, b, t: -50, lambda a, k, b, t: 0),
    "medium": (lambda a, k, b, t: 50 * (b == 0.5), lambda a, k, b, t: 50 * (b == 0), lambda a, k, b, t: 0),
    "wider": (
        lambda a, k, b, t: 50 * (k == "w/") - 25,
        lambda a, k, b, t: 50 * (k == "w/o") - 25,
        lambda a, k, b, t: 50 * b - 10,
    ),
    "harmless": (
        lambda a, k, b, t: 50 + 50 * b + 9 * (k == "w/"),
        lambda a, k, b, t: 60 * (b == 0.9) + 30 * (k == "w/o") * (t == 1.0) * (b == 0.5),
        lambda a, k, b, t: 50,
    ),
    "alike": (
        lambda a, k, b, t: 100 * b + 40 * (t > 0) * (k == "w/"),
        lambda a, k, b, t: 100 * b - 40 * (t == 0) * (k == "w/"),
        lambda a, k, b, t: 1,
    ),
    "sensitive": (
        lambda a, k, b, t: 50 + 40 * b * (a == "da"),
        lambda a, k, b, t: 50 + 40 * b * (a != "da"),
        lambda a, k, b, t: 50 + 40 * b,
    ),
    "together": (lambda a, k, b, t: 50 * (b > 0), lambda a, k, b, t: 50 * (b == 0), lambda a, k, b, t: 0),
    "kl alone": (
        lambda a, k, b, t: 100 * (b == 0.5) + 97 * (t == 0),
        lambda a, k, b, t: 50 - 30 * (t == 0),
        lambda a, k, b, t: 1,
    ),
}  # runs that show yes, no, and nothing


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_each_rule_says_yes_no_and_nothing(name):
    yes, no, nothing = BOTH_WAYS[name]
    assert answers(yes)[name] == "yes"
    assert answers(no)[name] == "no"
    assert answers(nothing)[name] in ({UNKNOWN, "yes"} if name in ("alike", "harmless", "kl alone") else {UNKNOWN})


def test_noise_alone_decides_nothing():
    """Nor does it prove that anything is alike, when the margin is a tenth of noise."""
    found = answers(lambda a, k, b, t: 0)
    assert [found[name] for name in ("wide", "medium", "wider", "sensitive", "together")] == [UNKNOWN] * 5
    assert "no" not in found.values()


def test_two_seeds_and_missing_cells_decide_nothing():
    def cut(cell):
        return cell._replace(seeds=cell.seeds[:2], scores=cell.scores[:2], wanted=2)

    cells = [cut(cell) for cell in grid(lambda a, k, b, t: 50)]
    assert {verdict.answer for verdict in verdicts("e", cells, cut(dqn(0)))} == {UNKNOWN}
    one = [cell for cell in grid(lambda a, k, b, t: 50) if (cell.agent, cell.evaluation) == ("md-direct", "w/")]
    found = {verdict.finding: verdict for verdict in verdicts("e", one, dqn(0))}
    for name in ("wider", "harmless", "alike", "sensitive"):
        assert found[FINDINGS[name]].answer == UNKNOWN
        assert found[FINDINGS[name]].sentence.startswith("The study has no cells")
    assert {verdict.answer for verdict in verdicts("e", one, None)} == {UNKNOWN}
    assert verdicts("e", [dqn(0)], dqn(0)) == []  # runs that speak to none of the findings


def test_the_verdict_says_where_the_best_cells_lie():
    baseline = dqn(0)
    found = verdicts("e", grid(lambda a, k, b, t: 50 * (b == 0)), baseline)
    sentence = next(verdict.sentence for verdict in found if verdict.finding == FINDINGS["medium"])
    assert "The best cell lies below β = 0.5 in 6 of 6 panels (β = 0 in 6)" in sentence


def test_a_best_cell_is_scored_by_seeds_that_did_not_choose_it():
    """The best of a hundred equal cells is no better than one of them."""
    table = np.random.default_rng(1).normal(size=(300, 100, 5))
    found = np.array([held_out(study) for study in table])
    assert abs(found.mean()) < 0.1
    assert table.mean(2).max(1).mean() > 1.0  # what choosing and scoring by the same seeds would say
    assert np.isnan(held_out(np.array([[np.nan, 1.0]]))).all()


def test_runs_that_failed_count_against_and_unfinished_cells_not_at_all():
    cells = grid(lambda a, k, b, t: 50)
    failed = cells[0]._replace(seeds=(0, 1), scores=cells[0].scores[:2], failed=3)
    unfinished = cells[1]._replace(seeds=(0, 1), scores=cells[1].scores[:2])
    scores = scores_of([failed, unfinished, *cells[2:]], dqn(0))
    assert (len(scores.cells), scores.left_out) == (len(cells) - 1, 1)
    assert np.isfinite(scores.table[0]).tolist() == [True, True, False, False, False]
    wide = verdicts("e", [failed], dqn(0))[0]
    assert wide.estimate == pytest.approx(0.4)


def curve(label, kl, loss, reach=0.001, steps=101):
    loss = np.broadcast_to(loss, steps).astype(float)
    return Curve("left", label, kl, 0.0, loss, loss - reach, loss + reach, loss)


FALLS = 1 / np.arange(1, 102)


@pytest.mark.parametrize(
    ("plain", "other", "answer"),
    [(0.4, FALLS, "yes"), (0.4, 0.4, UNKNOWN), (0.4, 0.9, "no"), (FALLS + 0.4, FALLS, "no"), (0.4, 1 - FALLS, "no")],
    ids=["falls", "stays", "above", "AVI falls", "rises"],
)
def test_figure_1_is_judged_by_its_ends(plain, other, answer):
    found = figure1_verdict([curve("AVI", 0.0, plain), curve("λ = 1", 1.0, FALLS), curve("λ = 10", 10.0, other)])
    assert found.answer == answer
    assert "λ = 10: " in found.numbers


def test_the_table_of_verdicts_has_a_row_each_and_no_number_where_there_is_none():
    found = verdicts("e", grid(lambda a, k, b, t: 50)[:3], dqn(0))
    rows = list(csv.DictReader(io.StringIO(verdict_csv(found))))
    assert [row["finding"] for row in rows] == list(FINDINGS.values())
    assert rows[0]["answer"] == "yes"
    assert float(rows[0]["estimate"]) == 1.0
    assert rows[2]["estimate"] == rows[2]["reach"] == ""
    assert all(row["rule"] and row["sentence"] for row in rows)
