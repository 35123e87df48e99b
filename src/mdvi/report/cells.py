"""From runs to cells: what the seeds of one agent at one point of the grid have in common."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SCORES = {"score_mean_training": "mean return over training", "score_last100": "mean return of the last 100 episodes"}


class Cell(NamedTuple):
    """Runs that differ in their seeds only.

    Attributes:
        env: their environment.
        agent: their agent.
        evaluation: "w/", "w/o" or "".
        kl: λ.
        entropy: τ.
        beta: β.
        learning_rate: of their agent.
        seeds: of the runs that are done, in order.
        scores: of these seeds, in the same order.
        runs: their ids.
        wanted: how many runs there should be.
        failed: how many of them failed.
        diverged: how many of them diverged.
    """

    env: str
    agent: str
    evaluation: str
    kl: float
    entropy: float
    beta: float
    learning_rate: float
    seeds: tuple[int, ...]
    scores: np.ndarray
    runs: tuple[str, ...]
    wanted: int
    failed: int
    diverged: int

    @property
    def label(self) -> str:
        """Agent and evaluation."""
        return f"{self.agent} {self.evaluation}".strip()


def cells_of(rows: Sequence[dict[str, Any]], score: str = "score_mean_training") -> list[Cell]:
    """The cells of runs that have ended, in the order of their first runs; cells where none has are left out.

    Args:
        rows: rows of `runs` of a study's store.
        score: one of `SCORES`.
    """
    names = ("env", "agent", "evaluation", "kl", "entropy", "beta", "learning_rate")
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["cell_id"], []).append(row)
    cells = []
    for group in groups.values():
        done = sorted((row for row in group if row["status"] == "done"), key=lambda row: row["seed"])
        ends = [row["status"] for row in group]
        if not any(end in ("done", "failed", "diverged") for end in ends):
            continue
        scores = np.array([np.nan if row[score] is None else row[score] for row in done], float)
        cells.append(Cell(
            **{name: (done or group)[0][name] for name in names},
            seeds=tuple(row["seed"] for row in done),
            scores=scores,
            runs=tuple(row["run_id"] for row in done),
            wanted=len(group),
            failed=ends.count("failed"),
            diverged=ends.count("diverged"),
        ))  # fmt: skip
    return cells


class Panel(NamedTuple):
    """Cells of one agent and evaluation on a grid of two numbers, or along one.

    Attributes:
        agent: whose.
        evaluation: "w/", "w/o" or "".
        rows: what the rows are, "β" or "λ", and its values; one row without a name for a strip.
        columns: what the columns are, and its values.
        cells: by row and column; None where there is none.
    """

    agent: str
    evaluation: str
    rows: tuple[str, list[float]]
    columns: tuple[str, list[float]]
    cells: dict[tuple[int, int], Cell]

    @property
    def label(self) -> str:
        """Agent and evaluation, and that it is a strip."""
        return f"{self.agent} {self.evaluation}".strip() + ("" if self.rows[0] else ", τ = 0")


def panels_of(cells: Sequence[Cell]) -> tuple[list[Panel], list[Panel]]:
    """The grids over (β, τ) or (λ, τ), and the strips at τ = 0; agents at a single point have neither.

    Raises:
        ValueError: when two cells lie at one place, because they differ in something else.
    """
    grids: list[Panel] = []
    strips: list[Panel] = []
    for agent, evaluation in dict.fromkeys((cell.agent, cell.evaluation) for cell in cells):
        mine = [cell for cell in cells if (cell.agent, cell.evaluation) == (agent, evaluation)]
        inner, edge = [cell for cell in mine if cell.entropy > 0], [cell for cell in mine if cell.entropy == 0]
        for some, found in ((inner, grids), (edge, strips)):
            if len({(cell.kl, cell.entropy, cell.beta) for cell in some}) < len(some):
                raise ValueError(
                    f"{agent} {evaluation}: some cells have the same λ, τ and β and differ in learning rate, steps or "
                    "settings; put them into studies of their own to see them on a grid"
                )
            if len(some) > 1:
                found.append(_panel(agent, evaluation, some, strip=some is edge))
    return grids, strips


def _panel(agent: str, evaluation: str, cells: list[Cell], strip: bool) -> Panel:
    values = {name: sorted({getattr(cell, name) for cell in cells}) for name in ("beta", "kl", "entropy")}
    if strip:
        name = "kl" if len(values["kl"]) > 1 else "beta"
        where = {(0, values[name].index(getattr(cell, name))): cell for cell in cells}
        return Panel(agent, evaluation, ("", [0.0]), ("λ" if name == "kl" else "β", values[name]), where)
    name = "beta" if len(values["beta"]) <= len(values["kl"]) else "kl"
    where = {(values[name].index(getattr(cell, name)), values["entropy"].index(cell.entropy)): cell for cell in cells}
    return Panel(agent, evaluation, ("β" if name == "beta" else "λ", values[name]), ("τ", values["entropy"]), where)
