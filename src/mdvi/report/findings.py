"""What the cells of a study say: each of them beside the baseline, and the best of each panel."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mdvi.report.cells import Cell, Panel
from mdvi.report.stats import ENOUGH, LEAST, averaged, better, holm, improvement, iqm, iqm_interval


class Beside(NamedTuple):
    """A panel beside the baseline.

    Attributes:
        best: its cell with the highest mean; None where no run is done.
        above: cells whose mean is above the baseline's.
        apart: cells whose 95 % interval lies above the baseline's.
        surely: cells that are better by a test paired by seed at 5 %, corrected for the number of cells (Holm).
        compared: cells that could be compared: with the baseline's seeds, at least three.
        chance: the probability that a run of the best cell scores above one of the baseline.
    """

    best: Cell | None
    above: int
    apart: int
    surely: int
    compared: int
    chance: float | None


def mean_of(cell: Cell) -> tuple[float, float]:
    """The mean over seeds and the half-width of its 95 % interval, as `stats.averaged` has them."""
    return averaged(cell.scores)


def beside(panel: Panel, baseline: Cell | None) -> Beside:
    """A panel beside the baseline, or alone."""
    cells = [cell for cell in panel.cells.values() if np.isfinite(cell.scores).any()]
    best = max(cells, key=lambda cell: mean_of(cell)[0], default=None)
    if baseline is None or best is None or not np.isfinite(baseline.scores).any():
        return Beside(best, 0, 0, 0, 0, None)
    level, reach = mean_of(baseline)
    above = sum(mean_of(cell)[0] > level for cell in cells)
    apart = sum(mean - half > level + reach for mean, half in map(mean_of, cells))  # never where one is unknown
    paired = [cell for cell in cells if cell.seeds == baseline.seeds and len(cell.seeds) >= LEAST]
    p = np.array([better(cell.scores, baseline.scores) for cell in paired])
    surely = int((holm(p) < 0.05).sum()) if len(p) else 0
    return Beside(best, above, apart, surely, len(paired), improvement(best.scores, baseline.scores))


class Across(NamedTuple):
    """A cell in all environments of a study.

    Attributes:
        cell: it, in the first of them.
        mean: the interquartile mean over environments and seeds of scores on a scale from 0, the worst cell of an
            environment, to 1, its best.
        ends: of its 95 % interval, by a bootstrap that draws the seeds of each environment; None below five seeds.
    """

    cell: Cell
    mean: float
    ends: tuple[float, float] | None


def across(by_env: Mapping[str, Sequence[Cell]]) -> list[Across]:
    """Cells that have all their runs in every environment; the best first. None where an environment has no scale."""
    places: dict[tuple[Any, ...], list[np.ndarray]] = {}
    first: dict[tuple[Any, ...], Cell] = {}
    for cells in by_env.values():
        whole = [cell for cell in cells if len(cell.scores) == cell.wanted and np.isfinite(cell.scores).all()]
        means = [mean_of(cell)[0] for cell in whole]
        if len(set(means)) < 2:
            return []
        low, high = min(means), max(means)
        mine: dict[tuple[Any, ...], list[Cell]] = {}
        for cell in whole:
            mine.setdefault((cell.agent, cell.evaluation, cell.kl, cell.entropy, cell.wanted), []).append(cell)
        for key, same in mine.items():
            if len(same) == 1:  # others differ in more than these numbers
                places.setdefault(key, []).append((same[0].scores - low) / (high - low))
                first.setdefault(key, same[0])
    found = [
        Across(first[key], float(iqm(np.stack(scores))), drawn(np.stack(scores)))
        for key, scores in places.items()
        if len(scores) == len(by_env)
    ]
    return sorted(found, key=lambda entry: -entry.mean)


def drawn(scores: np.ndarray) -> tuple[float, float] | None:
    """The bootstrapped interval of the interquartile mean of (environments, seeds), where there are enough seeds."""
    return iqm_interval(scores)[1:] if scores.shape[-1] >= ENOUGH else None


def curve_of(cells: Sequence[Cell], curves: Sequence[tuple[Any, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the moving averages of returns of all runs of some cells, shape (steps, runs)."""
    runs = {run: number for number, run in enumerate(run for cell in cells for run in cell.runs)}
    mine = [row for row in curves if row[0] in runs]
    steps = np.array(sorted({row[1] for row in mine}))
    table = np.full((len(steps), len(runs)), np.nan)
    for run, step, _, _, last in mine:
        table[np.searchsorted(steps, step), runs[run]] = np.nan if last is None else last
    return steps, table
