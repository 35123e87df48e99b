"""The paper's findings beside what the runs of a study show: yes, no or not decided, by rules that are stated.

Every rule forms one number for each seed, over all cells that it speaks of, and takes the mean of these numbers over
seeds with its 95 % interval by Student's t. Seeds are those of the baseline, and seeds pair the two sides of a
difference. Cells with unfinished runs are left out; a run that failed or diverged counts as not above the baseline, and
its cell has no score.

A best cell is chosen by the other seeds and scored by the seed that is left out, so the choice does not flatter it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdvi.report.cells import Cell
from mdvi.report.curves import Curve
from mdvi.report.findings import mean_of
from mdvi.report.stats import LEAST, averaged, better, holm, in_words, short

MIRROR, AVERAGING, LIMITS = ("md-direct", "md-indirect"), ("da",), ("modqn",)
MARGIN = 0.1  # of the range of all cells' means: scores that differ by less are alike, or comparable
MEDIUM = 0.5  # the β from which on it is medium to large
UNKNOWN = "not decided"


class Verdict(NamedTuple):
    """A finding of the paper, and what the runs show of it.

    Attributes:
        env: where; "Garnets" for Figure 1.
        finding: what the paper says.
        answer: "yes", "no" or "not decided".
        estimate: the number that the rule looks at; NaN where it cannot be formed.
        reach: the half-width of its 95 % interval over seeds; NaN below three seeds.
        seeds: how many seeds it is from; models for Figure 1, 0 where that is unknown.
        numbers: the numbers in words.
        rule: when the answer is yes and when it is no.
        sentence: what the runs show.
    """

    env: str
    finding: str
    answer: str
    estimate: float
    reach: float
    seeds: int
    numbers: str
    rule: str
    sentence: str


COLUMNS = Verdict._fields


class Scores(NamedTuple):
    """The cells of the paper's agents in one environment, with a score for each seed of the baseline.

    Attributes:
        cells: those without unfinished runs.
        table: shape (cells, seeds); NaN where a run failed or diverged.
        baseline: shape (seeds,).
        margin: below which scores are alike.
        left_out: how many cells have unfinished runs.
    """

    cells: list[Cell]
    table: np.ndarray
    baseline: np.ndarray
    margin: float
    left_out: int

    def where(self, chosen: Callable[[Cell], bool]) -> list[int]:
        """The numbers of the cells that are chosen."""
        return [i for i, cell in enumerate(self.cells) if chosen(cell)]


def scores_of(cells: Sequence[Cell], baseline: Cell) -> Scores:
    """The scores of the paper's agents by the seeds of the baseline."""
    mine = [cell for cell in cells if cell.agent in MIRROR + AVERAGING + LIMITS]
    rows, kept = [], []
    for cell in mine:
        by_seed = dict(zip(cell.seeds, cell.scores, strict=True))
        if len(cell.seeds) + cell.failed + cell.diverged >= cell.wanted:
            kept.append(cell)
            rows.append([by_seed.get(seed, np.nan) for seed in baseline.seeds])
    means = [mean for mean, _ in map(mean_of, [*kept, baseline]) if np.isfinite(mean)]
    margin = MARGIN * (max(means) - min(means)) if means else 0.0
    table = np.array(rows, float).reshape(len(rows), len(baseline.seeds))
    return Scores(kept, table, np.asarray(baseline.scores, float), margin, len(mine) - len(kept))


def verdicts(env: str, cells: Sequence[Cell], baseline: Cell | None) -> list[Verdict]:
    """What the runs in one environment show of each finding.

    Args:
        env: its name.
        cells: all of its cells.
        baseline: the one that others are held against; without it, or without its runs, nothing is decided.
    """
    if not any(cell.agent in MIRROR + AVERAGING + LIMITS for cell in cells):
        return []
    if baseline is None or not len(baseline.seeds):
        return [_unknown(env, finding, rule, "No run of the baseline is done.") for finding, rule in _RULES]
    scores = scores_of(cells, baseline)
    found = (_wide, _medium, _wider, _harmless, _alike, _sensitive, _together, _kl_alone)
    return [
        judge(scores, env, finding.replace("DQN", baseline.agent.upper()), rule)
        for judge, (finding, rule) in zip(found, _RULES, strict=True)
    ]


def figure1_verdict(curves: Sequence[Curve]) -> Verdict:
    """What the left panel of Figure 1 shows: whether errors average out for each λ > 0, while AVI stays."""
    left = [curve for curve in curves if curve.panel == "left"]
    plain = next((curve for curve in left if curve.kl == 0), None)
    others = [curve for curve in left if curve.kl > 0]
    if plain is None or not others:
        return _unknown("Garnets", *_FIGURE1, "The table has no curves of AVI and of λ > 0.")
    last = len(plain.loss_mean) - 1
    early = last // 10
    falls = [c.loss_high[last] < min(c.loss_low[early], plain.loss_low[last]) for c in others]
    rises = [c.loss_low[last] > min(c.loss_high[early], plain.loss_high[last]) for c in others]
    stays = plain.loss_high[last] >= plain.loss_low[early]
    answer = "yes" if all(falls) and stays else "no" if any(rises) or not stays else UNKNOWN
    reach = float(plain.loss_high[last] - plain.loss_mean[last])
    ends = ", ".join(
        f"{c.label}: {in_words(float(c.loss_mean[last]), float(c.loss_high[last] - c.loss_mean[last]))}" for c in left
    )
    sentence = (
        f"Between k = {early} and k = {last}, the loss of AVI {'stays' if stays else 'falls'}, and it falls "
        f"below AVI's for {sum(falls)} of {len(others)} λ > 0."
    )
    finding, rule = _FIGURE1
    return Verdict(
        "Garnets",
        finding,
        answer,
        float(plain.loss_mean[last]),
        reach,
        0,
        f"loss at k = {last}: {ends}",
        rule,
        sentence,
    )


def held_out(table: np.ndarray) -> np.ndarray:
    """For each seed the score of the cell that is best by the other seeds, shape (cells, seeds) → (seeds,).

    Cells with a missing score are not chosen. NaN where there is none without, and below two seeds.

    >>> held_out(np.array([[9.0, 1.0, 1.0], [2.0, 4.0, 3.0]])).tolist()
    [2.0, 1.0, 1.0]
    """
    whole = table[np.isfinite(table).all(-1)]
    seeds = table.shape[-1]
    if not len(whole) or seeds < 2:
        return np.full(seeds, np.nan)
    others = whole.sum(-1, keepdims=True) - whole
    return whole[others.argmax(0), np.arange(seeds)]


def above(estimate: float, reach: float, level: float = 0.0) -> str:
    """Yes where the interval lies above a level, no where it lies below, else not decided."""
    if estimate - reach > level:
        return "yes"
    return "no" if estimate + reach < level else UNKNOWN  # comparisons with NaN are false


def _wide(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    if not scores.cells:
        return _unknown(env, finding, rule, "No cell has all its runs.")
    share = (scores.table > scores.baseline).mean(0)
    estimate, reach = averaged(share)
    return Verdict(
        env, finding, above(estimate, reach, 0.5), estimate, reach, len(share), f"{_percent(estimate, reach)} of cells",
        rule, f"Of {len(scores.cells)} cells, {_percent(estimate, reach)} score above the baseline with the same seed.",
    )  # fmt: skip


def _medium(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    panels = _panels(scores, lambda cell: cell.entropy > 0)
    both = {
        name: [[i for i in panel if (scores.cells[i].beta >= MEDIUM) == high] for high in (True, False)]
        for name, panel in panels.items()
    }
    both = {name: sides for name, sides in both.items() if all(sides)}
    best = [scores.cells[max([*high, *low], key=lambda i: _mean(scores.table[i]))].beta for high, low in both.values()]
    low = sum(beta < MEDIUM for beta in best)
    places = ", ".join(f"{short(beta)} in {best.count(beta)}" for beta in sorted(set(best)))
    where = f" The best cell lies below β = {MEDIUM:g} in {low} of {len(best)} panels (β = {places})."
    return _difference(scores, env, finding, rule, list(both.values()), f"β ≥ {MEDIUM:g}", "smaller β", where)


def _wider(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    pairs = _pairs(scores, lambda cell: True)
    if not pairs:
        return _unknown(env, finding, rule, "The study has no cells with w/ and w/o at one place.")
    wins = scores.table > scores.baseline
    share = [wins[list(side)].mean(0) for side in zip(*pairs, strict=True)]
    estimate, reach = averaged(share[0] - share[1])
    return Verdict(
        env, finding, above(estimate, reach), estimate, reach, len(share[0]), f"{_percent(estimate, reach)} more cells",
        rule, f"Above the baseline are {_percent(*averaged(share[0]))} of the cells with w/ and "
        f"{_percent(*averaged(share[1]))} with w/o, at the same {len(pairs)} places.",
    )  # fmt: skip


def _harmless(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    pairs = _pairs(scores, lambda cell: True)
    if not pairs:
        return _unknown(env, finding, rule, "The study has no cells with w/ and w/o at one place.")
    gaps = np.array([scores.table[one] - scores.table[other] for one, other in pairs])
    worse = _surely(-gaps)
    agents = dict.fromkeys(scores.cells[i].agent for i, _ in pairs)
    sides = [
        [[i for i in side if scores.cells[i].agent == agent] for side in zip(*pairs, strict=True)] for agent in agents
    ]
    found = _difference(scores, env, finding, rule, sides, "w/", "w/o")
    ends = [averaged(gap) for gap in gaps]
    never = all(mean - reach > -scores.margin for mean, reach in ends)
    answer = "no" if worse or above(found.estimate, found.reach) == "no" else "yes" if never else UNKNOWN
    lowest, width = min(ends, key=lambda end: end[0] if np.isfinite(end[0]) else np.inf)
    return found._replace(
        answer=answer,
        sentence=f"{found.sentence} Of {len(pairs)} places, w/ is surely worse at {worse}; the largest loss at one "
        f"place is {in_words(-lowest, width)}.",
    )


def _alike(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    pairs = _pairs(scores, lambda cell: cell.entropy == 0)
    if not pairs:
        return _unknown(env, finding, rule, "The study has no cells with w/ and w/o at τ = 0.")
    gaps = np.array([scores.table[one] - scores.table[other] for one, other in pairs])
    mean = _over_cells(gaps)
    estimate, reach = averaged(mean)
    apart = _surely(gaps, 0.025) + _surely(-gaps, 0.025)  # both sides
    far = abs(estimate) - reach > scores.margin
    answer = "no" if apart or far else "yes" if abs(estimate) + reach < scores.margin else UNKNOWN
    return Verdict(
        env, finding, answer, estimate, reach, len(mean),
        f"{_gap(estimate, reach)}, surely apart at {apart} of {len(pairs)} places", rule,
        f"Over {len(pairs)} places at τ = 0, w/ minus w/o is {in_words(estimate, reach)} on average; the margin is "
        f"{scores.margin:.2g}; at {apart} of them the two surely differ.",
    )  # fmt: skip


def _sensitive(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    places: dict[tuple[object, ...], dict[str, int]] = {}
    for i, cell in enumerate(scores.cells):
        if np.isfinite(scores.table[i]).all():
            places.setdefault((cell.evaluation, *_numbers(cell)), {})[cell.agent] = i
    names = [name for name in MIRROR if any(name in place for place in places.values())]
    shared = [place for place in places.values() if "da" in place and all(name in place for name in names)]
    if not names or len(shared) < 2:
        return _unknown(env, finding, rule, "The study has no cells of DA and MD at the same places.")
    spread = {name: scores.table[[place[name] for place in shared]].std(0) for name in ("da", *names)}
    gap = spread["da"] - np.mean([spread[name] for name in names], 0)
    estimate, reach = averaged(gap)
    shown = ", ".join(f"{name} {in_words(*averaged(values))}" for name, values in spread.items())
    return Verdict(
        env, finding, above(estimate, reach), estimate, reach, len(gap), _gap(estimate, reach), rule,
        f"Over {len(shared)} shared places, the scores of a seed have these standard deviations: {shown}.",
    )  # fmt: skip


def _together(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    panels = _panels(scores, lambda cell: cell.entropy > 0)
    sides = [
        [[i for i in panel if (scores.cells[i].beta > 0) == kl] for kl in (True, False)] for panel in panels.values()
    ]
    return _difference(scores, env, finding, rule, sides, "KL and entropy", "entropy alone (β = 0)")


def _kl_alone(scores: Scores, env: str, finding: str, rule: str) -> Verdict:
    inner = _panels(scores, lambda cell: cell.entropy > 0 and cell.beta > 0)
    edge = _panels(scores, lambda cell: cell.entropy == 0)
    sides = [[edge[name], inner[name]] for name in inner if name in edge]
    found = _difference(scores, env, finding, rule, sides, "KL alone (τ = 0)", "KL and entropy")
    answer = above(found.estimate, found.reach, -scores.margin)
    margin = f" The margin is {scores.margin:.2g}." if found.seeds else ""
    return found._replace(answer=answer, sentence=found.sentence + margin)


def _difference(
    scores: Scores, env: str, finding: str, rule: str, sides: Sequence[Sequence[list[int]]], one: str, other: str,
    more: str = "",
) -> Verdict:  # fmt: skip
    """The best cell of one side minus that of the other, averaged over panels that have both, by seed."""
    bests = [[held_out(scores.table[side]) for side in pair] for pair in sides if all(pair)]
    bests = [pair for pair in bests if np.isfinite(pair).all()]
    if not bests:
        return _unknown(env, finding, rule, f"The study cannot compare {one} with {other}.")
    first, second = np.mean(bests, 0)
    estimate, reach = averaged(first - second)
    return Verdict(
        env, finding, above(estimate, reach), estimate, reach, len(first), _gap(estimate, reach), rule,
        f"On average over {len(bests)} panels, the scores are {in_words(*averaged(first))} for {one} and "
        f"{in_words(*averaged(second))} for {other}.{more}",
    )  # fmt: skip


def _panels(scores: Scores, chosen: Callable[[Cell], bool]) -> dict[tuple[str, str], list[int]]:
    """The chosen cells of each agent of mirror descent or dual averaging, and each evaluation."""
    panels: dict[tuple[str, str], list[int]] = {}
    for i in scores.where(lambda cell: cell.agent not in LIMITS and chosen(cell)):
        panels.setdefault((scores.cells[i].agent, scores.cells[i].evaluation), []).append(i)
    return panels


def _pairs(scores: Scores, chosen: Callable[[Cell], bool]) -> list[tuple[int, int]]:
    """The cells with w/ and w/o that have the same agent and the same numbers."""
    places: dict[tuple[object, ...], dict[str, int]] = {}
    for i in scores.where(chosen):
        cell = scores.cells[i]
        places.setdefault((cell.agent, *_numbers(cell)), {})[cell.evaluation] = i
    return [(place["w/"], place["w/o"]) for place in places.values() if {"w/", "w/o"} <= place.keys()]


def _numbers(cell: Cell) -> tuple[float, float, float]:
    return round(cell.kl, 12), round(cell.entropy, 12), round(cell.beta, 9)


def _surely(gaps: np.ndarray, level: float = 0.05) -> int:
    """How many rows of differences by seed lie surely above 0: one-sided t-tests at this level, corrected by Holm."""
    whole = gaps[np.isfinite(gaps).all(-1)]
    if not len(whole) or whole.shape[-1] < LEAST:
        return 0
    return int((holm(better(whole, np.zeros_like(whole))) < level).sum())


def _over_cells(gaps: np.ndarray) -> np.ndarray:
    """Means over the cells that have all seeds, by seed; NaN where there is none."""
    whole = gaps[np.isfinite(gaps).all(-1)]
    return whole.mean(0) if len(whole) else np.full(gaps.shape[-1], np.nan)


def _mean(row: np.ndarray) -> float:
    """The mean of a row without missing scores, else −∞."""
    return float(row.mean()) if np.isfinite(row).all() else -np.inf


def _percent(estimate: float, reach: float) -> str:
    return f"{in_words(100 * estimate, 100 * reach)} %"


def _gap(estimate: float, reach: float) -> str:
    return f"difference {in_words(estimate, reach)}"


def _unknown(env: str, finding: str, rule: str, sentence: str) -> Verdict:
    return Verdict(env, finding, UNKNOWN, np.nan, np.nan, 0, "–", rule, sentence)


_INTERVAL = "yes if the 95 % interval over seeds lies above 0, no if it lies below"
_RULES = (
    (
        "Regularisation beats DQN over a wide range",
        "The share of all cells that score above the baseline with the same seed: yes if its interval lies above one "
        "half, no if below.",
    ),
    (
        "Medium to large β is best",
        f"The best cell with β ≥ {MEDIUM:g} minus the best with smaller β, τ > 0, averaged over panels: {_INTERVAL}.",
    ),
    (
        "w/ has the wider good region",
        f"The share of cells above the baseline with w/, minus that with w/o at the same places: {_INTERVAL}.",
    ),
    (
        "w/ is never harmful",
        "No if w/o is surely better at some place (t-test paired by seed, 5 %, Holm), or if the interval of the best "
        "cell with w/ minus the best with w/o, averaged over agents, lies below 0; yes if at each place the interval "
        "of w/ minus w/o lies above minus the margin.",
    ),
    (
        "At τ = 0, w/ and w/o are alike",
        "w/ minus w/o, averaged over the places at τ = 0: yes if its interval lies within the margin; no if it lies "
        "outside, or if the two surely differ at some place (t-test paired by seed, 5 %, Holm).",
    ),
    (
        "DA is more sensitive than MD",
        "The standard deviation over cells of the scores of a seed, DA minus the mean of the MD agents at the same "
        f"places: {_INTERVAL}.",
    ),
    (
        "Entropy works better with KL than alone",
        f"The best cell with β > 0 minus the best with β = 0, at τ > 0, averaged over panels: {_INTERVAL}.",
    ),
    (
        "KL alone reaches comparable scores",
        "The best cell at τ = 0 minus the best with KL and entropy, averaged over panels: yes if its interval lies "
        "above minus the margin, no if it lies below.",
    ),
)
_FIGURE1 = (
    "Figure 1: for each λ > 0 errors average out, while AVI stays",
    "Yes if, for each λ > 0, the interval of the last loss lies below its interval at a tenth of the iterations and "
    "below AVI's, and AVI's last interval is not below its own at a tenth; no if AVI falls, or some λ > 0 ends above "
    "either.",
)
