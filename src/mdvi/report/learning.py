"""What the lines of metrics of a run say: learning curves, scores and results by cell.

Metrics are columns of equal length, one line for each member every so often: `env_steps`, `member`, `seed`, the
numbers of the cell (`kl`, `entropy`, `beta`, `learning_rate`), `episodes`, `episode_return` and `last_100`. The members
of a cell differ in their seeds only.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mdvi.report.stats import averaged, in_words

NUMBERS = {
    "kl": "λ",
    "entropy": "τ",
    "beta": "β",
    "learning_rate": "rate",
}  # that tell cells apart, as they are written
COLUMNS = (*NUMBERS.values(), "seeds", "all episodes", "last 100", "failed")  # of a table of results
Metrics = Mapping[str, np.ndarray]
Curve = tuple[str, np.ndarray, np.ndarray]


class Results(NamedTuple):
    """What came of one cell.

    Attributes:
        cell: λ, τ, β and the learning rate, under the names of `NUMBERS`.
        wanted: how many members the cell has.
        members: the numbers of those that did not fail, in the order of their seeds.
        seeds: of these members.
        mean_return: the mean return of all episodes of each of these members; NaN where none has ended.
        last_100: the mean return of its last hundred episodes, likewise.
        steps: the environment steps of each of these members.
    """

    cell: dict[str, float]
    wanted: int
    members: tuple[int, ...]
    seeds: tuple[int, ...]
    mean_return: np.ndarray
    last_100: np.ndarray
    steps: np.ndarray

    @property
    def failed(self) -> int:
        """How many members failed."""
        return self.wanted - len(self.seeds)

    @property
    def row(self) -> list[str]:
        """The cells of a row of a table, under the names of `COLUMNS`."""
        scores = [in_words(*averaged(scores)) for scores in (self.mean_return, self.last_100)]
        return [*(f"{x:.4g}" for x in self.cell.values()), str(self.wanted), *scores, str(self.failed or "")]


class Grid(NamedTuple):
    """A score for each pair of two numbers.

    Attributes:
        score: shape (rows, columns); NaN where no episode has ended.
        rows: "λ" or "β", and its values.
        columns: "τ", and its values.
        reach: the half-widths of the scores' intervals over seeds; NaN below three seeds.
    """

    score: np.ndarray
    rows: tuple[str, list[float]]
    columns: tuple[str, list[float]]
    reach: np.ndarray


def results_of(members: Sequence[Mapping[str, Any]]) -> list[Results]:
    """The results of each cell, in the order of the first members; `members` are those of the summary of a run."""
    groups: dict[tuple[float, ...], list[Mapping[str, Any]]] = {}
    for member in members:
        groups.setdefault(tuple(float(member[name]) for name in NUMBERS), []).append(member)
    found = []
    for cell, group in groups.items():
        sound = sorted((member for member in group if member["status"] == "ok"), key=lambda member: member["seed"])
        mean, last, steps = (
            np.array([np.nan if member[name] is None else member[name] for member in sound], float)
            for name in ("mean_return", "last_100", "env_steps")
        )
        numbers, seeds = (tuple(int(member[name]) for member in sound) for name in ("member", "seed"))
        found.append(Results(dict(zip(NUMBERS, cell, strict=True)), len(group), numbers, seeds, mean, last, steps))
    return found


def varied(cells: Sequence[Mapping[str, float]]) -> list[str]:
    """The names of the numbers in which cells differ."""
    return [name for name in NUMBERS if len({cell[name] for cell in cells}) > 1]


def label_of(cell: Mapping[str, float], names: Sequence[str]) -> str:
    """These numbers of a cell, as a legend has them.

    >>> label_of({"kl": 0.1, "entropy": 0.01, "beta": 0.909, "learning_rate": 0.001}, ["kl", "entropy"])
    'λ = 0.1, τ = 0.01'
    """
    return ", ".join(f"{NUMBERS[name]} = {cell[name]:.3g}" for name in names)


def lines_of(metrics: Metrics, members: Collection[int]) -> dict[str, np.ndarray]:
    """The lines of metrics of some members."""
    chosen = np.isin(metrics["member"], list(members)) if metrics else None
    return {name: column[chosen] for name, column in metrics.items()}


def curve_of(lines: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the mean returns of the last hundred episodes of all members in these lines, shape (steps, members).

    Steps at which a member has no line are NaN.
    """
    if not lines:
        return np.zeros(0), np.zeros((0, 0))
    steps, members = np.unique(lines["env_steps"]), np.unique(lines["member"])
    table = np.full((len(steps), len(members)), np.nan)
    table[np.searchsorted(steps, lines["env_steps"]), np.searchsorted(members, lines["member"])] = lines["last_100"]
    return steps, table


def curves_of(metrics: Metrics) -> list[Curve]:
    """For each cell: its label, and its curve as `curve_of` has it."""
    cells = [dict(zip(NUMBERS, cell, strict=True)) for cell in _cells_in(metrics)]
    names = varied(cells)
    curves = []
    for cell in cells:
        chosen = np.logical_and.reduce([metrics[name] == value for name, value in cell.items()])
        curve = curve_of({name: metrics[name][chosen] for name in ("env_steps", "member", "last_100")})
        curves.append((label_of(cell, names) or "mean over seeds", *curve))
    return curves


def grid_of(metrics: Metrics) -> Grid | None:
    """The mean over seeds of each seed's mean return over training, for each (λ or β, τ).

    None unless both numbers vary on a full grid, and where learning rates vary as well: members that differ in more
    than their seeds are not pooled.
    """
    if len(np.unique(metrics["learning_rate"])) > 1:
        return None
    columns, pairs = np.unique(metrics["entropy"]), len({cell[:2] for cell in _cells_in(metrics)})
    rows_by = "beta" if len(np.unique(metrics["beta"].round(9))) * len(columns) == pairs else "kl"
    rows = np.unique(metrics[rows_by].round(9))
    if min(len(rows), len(columns)) < 2 or len(rows) * len(columns) != pairs:
        return None
    score, reach = np.full((2, len(rows), len(columns)), np.nan)
    for (i, row), (j, column) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
        chosen = (metrics[rows_by].round(9) == row) & (metrics["entropy"] == column) & (metrics["episodes"] > 0)
        members = [chosen & (metrics["member"] == member) for member in np.unique(metrics["member"][chosen])]
        returns, episodes = metrics["episode_return"], metrics["episodes"]
        score[i, j], reach[i, j] = averaged([np.average(returns[lines], weights=episodes[lines]) for lines in members])
    return Grid(score, (NUMBERS[rows_by], rows.tolist()), (NUMBERS["entropy"], columns.tolist()), reach)


def _cells_in(metrics: Metrics) -> list[tuple[float, ...]]:
    """The numbers of each cell, in the order of the first lines."""
    return list(dict.fromkeys(zip(*(metrics[name].tolist() for name in NUMBERS), strict=True)))
