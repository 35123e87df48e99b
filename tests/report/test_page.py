"""The report of a study: a verdict first, tables that sort, pictures that say what they show, nothing remote."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mdvi.report.curves import PANELS, Curve, to_csv
from mdvi.report.page import Results, figure1_page, study_page, study_pictures


def rows_of(agents, seeds=3):
    """Runs of agents on a grid of two times two cells, and of DQN; md scores 10 above DQN at β = 0.5."""
    places = [(agent, beta, entropy) for agent in agents for beta in (0.0, 0.5) for entropy in (0.1, 1.0)]
    rows = []
    for cell, (agent, beta, entropy) in enumerate([*places, ("dqn", 0.0, 0.0)]):
        for seed in range(seeds):
            score = 20.123 + 10 * beta + seed
            rows.append({
                "run_id": f"{cell}-{seed}", "cell_id": str(cell), "status": "done", "reason": "", "env": "Some-v1",
                "agent": agent, "evaluation": "" if agent == "dqn" else "w/", "kl": beta * entropy / (1 - beta),
                "entropy": entropy, "beta": beta, "learning_rate": 0.001, "seed": seed, "score_mean_training": score,
                "score_last100": 2 * score, "env_steps": 1000, "episodes": 10, "seconds": 1.0,
            })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def results():
    rows = rows_of(["md-direct"])
    curves = [(row["run_id"], step, 5, 1.0, step / 100 + row["seed"]) for row in rows for step in (500, 1000)]
    loss = np.linspace(0.5, 0.4, 21)
    figure = [
        Curve(panel, label, kl, 0.0, loss * scale, loss * scale - 0.01, loss * scale + 0.01, loss + 1)
        for panel in PANELS
        for label, kl, scale in (("AVI", 0.0, 1.0), ("λ = 1", 1.0, 0.5))
    ]
    return Results(
        "A <title>", "About.", rows, curves, "score_mean_training", "dqn", "mdvi study run", {"figure1": to_csv(figure)}
    )


class Page(HTMLParser):
    """What a page is made of: tags with their attributes, and the text of headings."""

    def __init__(self, text):
        super().__init__()
        self.found, self.headings, self.inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside in ("h1", "h2") and data.strip():
            self.headings.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def text(results):
    return study_page(results, {"took": "1 s"})


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_opens_with_the_verdict_and_has_contents_that_lead_somewhere(page, text):
    assert page.headings[:4] == ["A <title>", "Verdict", "Contents", "Names"]
    inside = [link["href"][1:] for link in page.all("a") if link["href"].startswith("#")]
    ids = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    assert len(inside) >= 5
    assert set(inside) <= ids
    assert text.index("Regularisation beats DQN") < text.index('id="contents"')
    for name in ("md-direct", "md-indirect", "da", "modqn", "dqn", "w/", "w/o", "score"):
        assert f"<dt>{name}</dt>" in text
    assert text.count("Rule. ") == 9


def test_its_only_script_is_its_own_and_nothing_is_remote(page, text):
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert page.all("script") == [{}]
    (policy,) = [tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
    proof = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{proof}'" in policy
    assert "default-src 'none'" in policy
    links = [tag.get("src", tag.get("href", "")) for _, tag in page.found]
    assert all(not link or link.startswith(("data:", "#")) for link in links)
    assert not page.all("link")


def test_tables_can_be_sorted_and_reached_by_the_keyboard(page, text):
    sortable = [tag for tag in page.all("table") if tag.get("class") == "sortable"]
    assert sortable
    assert all(tag.get("scope") in ("col", "row") for tag in page.all("th"))
    regions = [tag for tag in page.all("div") if tag.get("class") == "wide"]
    assert len(regions) >= 2
    assert all(tag["tabindex"] == "0" and tag["role"] == "region" and tag["aria-label"] for tag in regions)
    for piece in ('createElement("button")', "aria-sort", "append(...head.childNodes)"):
        assert piece in text
    assert not page.all("button")  # without the script there is nothing that does not work


def test_pictures_say_values_and_follow_the_page(page):
    pictures = page.all("img")
    assert len(pictures) == 3 + 1 + 1 + 4  # the panels of Figure 1, a heatmap, the scale, a curve for each cell
    alts = [picture["alt"] for picture in pictures]
    assert "Loss at k = 20: AVI: 0.400 ± 0.010, λ = 1: 0.200 ± 0.010." in alts[0]
    assert "Highest: 26.1 ± 2.5 at β = 0.5, τ = 0.1." in alts[3]
    assert "Lowest: 21.1 ± 2.5 at β = 0, τ = 0.1. dqn: 21.1 ± 2.5." in alts[3]
    assert alts[5] == (
        "Learning curve of md-direct w/ at β = 0, τ = 0.1: 11.0 ± 2.5 after 1000 steps; "
        "dqn, dotted: 11.0 ± 2.5 after 1000 steps."
    )
    for picture in pictures:
        kind, _, data = picture["src"].partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"prefers-color-scheme:dark" in base64.b64decode(data)


def test_numbers_have_no_more_digits_than_they_deserve(text):
    assert "26.1 ± 2.5" in text
    without_data = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.findall(r"\d+\.\d{3,} ± \d", re.sub(r"0\.\d+ ±", "", without_data))


def test_a_page_of_very_many_cells_shows_the_curves_of_the_best_rows(results, monkeypatch):
    monkeypatch.setattr("mdvi.report.page._PICTURES", 3)
    text = study_page(results, {})
    assert len(Page(text).all("img")) == 3 + 1 + 1 + 2
    assert "The study has too many cells for one page" in text
    assert 'alt="Learning curve of md-direct w/ at β = 0.5' in text


def test_pictures_beside_the_page_have_the_width_that_is_asked_for(results):
    for picture in study_pictures(results, "column").values():
        assert picture.get_figwidth() == 3.25


def test_figure_1_has_a_page_with_its_verdict(results):
    curves = [
        Curve(panel, label, kl, 0.0, *np.full((3, 21), 0.5), np.ones(21))
        for panel in PANELS
        for label, kl in (("AVI", 0.0), ("λ = 1", 1.0))
    ]
    text = figure1_page(curves, b"png", b"svg", "table", {}, 2)
    assert Page(text).headings[1] == "Verdict"
    assert "not decided" in text
