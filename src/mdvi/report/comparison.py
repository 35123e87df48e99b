"""Several runs side by side: means over seeds with their intervals, and differences that are paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdvi.report.learning import Curve, Results, label_of, varied
from mdvi.report.sizes import Width
from mdvi.report.stats import averaged, improvement, in_words
from mdvi.words import as_html, plain

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure

SCORES = {"last_100": "last 100 episodes", "mean_return": "all episodes"}
_COLUMNS = ("", "seeds", "steps", *SCORES.values(), "difference", "seeds in both", "P(higher)", "failed")


class Beside(NamedTuple):
    """One entry beside the first one, by the mean return of the last hundred episodes.

    Attributes:
        seeds: how many seeds both have.
        difference: the mean over these seeds of this entry's return minus the first one's; NaN without such seeds.
        reach: the half-width of its 95 % interval, by Student's t on the differences; NaN below three seeds.
        chance: the probability that a seed of this entry returns more than a seed of the first one, ties counting
            half; NaN where one of them has no return.
    """

    seeds: int
    difference: float
    reach: float
    chance: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs, or their cells, side by side; the first one is what the others are compared with.

    Members that failed are left out and counted.

    Attributes:
        env: the environment of all.
        names: what each entry is called.
        results: what came of each.
        curves: steps, and the mean returns of the last hundred episodes, shape (steps, seeds), of each.
    """

    env: str
    names: tuple[str, ...]
    results: tuple[Results, ...]
    curves: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __repr__(self) -> str:
        rows = [list(_COLUMNS), *self._rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join([plain(row[0]).ljust(widths[0]), *map(str.rjust, map(plain, row[1:]), widths[1:])])
            for row in rows
        )
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return as_html(self._title, {}, _COLUMNS, self._rows)

    @property
    def beside_first(self) -> list[Beside]:
        """Each entry beside the first one."""
        return [beside(one, self.results[0]) for one in self.results]

    @property
    def _title(self) -> str:
        return (
            f"{plain(self.env)}: mean returns over seeds, ± 95 % from three seeds on; "
            f"differences from {plain(self.names[0])} are paired by seed"
        )

    @property
    def _rows(self) -> list[list[str]]:
        rows: list[list[str]] = []
        for name, one, other in zip(self.names, self.results, self.beside_first, strict=True):
            steps = f"{np.nanmax(one.steps):.0f}" if len(one.steps) else "–"
            scores = [in_words(*averaged(getattr(one, score))) for score in SCORES]
            compared = [in_words(other.difference, other.reach), str(other.seeds), _chance(other.chance)]
            shown = compared if rows else [""] * len(compared)
            rows.append([name, str(len(one.seeds)), steps, *scores, *shown, str(one.failed or "")])
        return rows

    def frame(self) -> "DataFrame":
        """A row for each entry, as a data frame of pandas: its numbers, its scores, and how it compares with the first.

        Columns that end in `_reach` are half-widths of 95 % intervals, NaN below three seeds.

        Raises:
            ModuleNotFoundError: when pandas is not installed, with the command that installs it.
        """
        from mdvi.report.frames import frame_of

        rows: list[dict[str, Any]] = []
        for name, one, other in zip(self.names, self.results, self.beside_first, strict=True):
            row: dict[str, Any] = {"name": name, **one.cell, "seeds": len(one.seeds), "failed": one.failed}
            for score in SCORES:
                row[score], row[f"{score}_reach"] = averaged(getattr(one, score))
            rows.append(row | {
                "paired_seeds": other.seeds, "difference": other.difference, "difference_reach": other.reach,
                "chance": other.chance,
            })  # fmt: skip
        return frame_of({name: [row[name] for row in rows] for name in rows[0]})

    def plot(self, title: str = "", width: Width = None) -> "Figure":
        """A learning curve for each entry: its seeds, and their mean with its 95 % interval from three seeds on.

        Args:
            title: above the picture; default the environment.
            width: "column" (3.25 inches) or "text" (6.75) of a paper, or a number of inches.

        Raises:
            ModuleNotFoundError: when Matplotlib is not installed, with the command that installs it.
        """
        from mdvi.report.seeds import learning_plot

        curves: list[Curve] = [(name, *curve) for name, curve in zip(self.names, self.curves, strict=True)]
        return learning_plot(curves, title or self.env, width)


def beside(one: Results, first: Results) -> Beside:
    """One cell beside another, by the mean return of the last hundred episodes."""
    mine, others = (dict(zip(cell.seeds, cell.last_100, strict=True)) for cell in (one, first))
    both = [seed for seed in mine if seed in others and np.isfinite(mine[seed] - others[seed])]
    difference, reach = averaged([mine[seed] - others[seed] for seed in both]) if both else (np.nan, np.nan)
    known = [cell.last_100[np.isfinite(cell.last_100)] for cell in (one, first)]
    chance = improvement(*known) if all(map(len, known)) else np.nan
    return Beside(len(both), difference, reach, chance)


def _chance(chance: float) -> str:
    """A probability to two digits, a dash for none."""
    return f"{chance:.2g}" if np.isfinite(chance) else "–"


def names_of(runs: Mapping[str, Sequence[Results]]) -> list[str]:
    """A name for each cell of each run: that of its run, with its numbers where the run has several cells."""
    names = []
    for name, results in runs.items():
        numbers = varied([one.cell for one in results])
        names += [", ".join(part for part in (name, label_of(one.cell, numbers)) if part) for one in results]
    return names
