"""A study as data: the content of a TOML file, and the runs that it defines.

    title = "CartPole: six variants"
    env = "CartPole-v1"
    preset = "small"
    steps = 40_000
    seeds = 3

    [[grid]]
    agent = ["md-direct", "md-indirect", "da"]
    evaluation = ["w/", "w/o"]
    beta = [0.5, 0.9, 0.99]
    entropy = [0.01, 0.1, 1.0]

    [[grid]]
    agent = "dqn"

A grid contains every combination of its values; keys above the grids are defaults for all grids.

    [figure1]
    garnets = 100

adds the paper's Figure 1; grids are then optional.
"""

import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdvi import input
from mdvi.learning.arrange import numbers_of
from mdvi.learning.request import Cell, Request, explored
from mdvi.words import did_you_mean

Name = Annotated[str, Field(max_length=1000)]
Numbers = float | list[float] | None
Evaluation = Literal["w/", "w/o"]
TOGETHER = 64  # runs that are trained, and stored, together
_MOST, _MOST_CELLS = 100_000, 10_000  # limits of runs in a study, and of runs that differ in more than their seeds
_LARGEST = 1 << 20  # the largest number of bytes of a file
_LINE = 300  # the largest number of characters of an error message
_LONG = 10**12  # the largest number of environment steps of a run
# A key of very many parts; the time of the TOML parser is quadratic in their number.
_DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}""")


class Run(NamedTuple):
    """One run: an agent with its numbers, one seed, and one environment.

    Attributes:
        env: the environment.
        agent: the agent.
        evaluation: "w/" or "w/o" KL and entropy in the evaluation; "" for the default of the agent.
        kl: λ, or None for the default of the agent.
        beta: β instead of λ, or None.
        entropy: τ, or None for the default of the agent.
        learning_rate: the learning rate, or None for the learning rate of the preset.
        seed: the seed of all random numbers.
        steps: environment steps.
        preset: sizes and numbers to start from; "" for the default preset of the environment.
        settings: changes of the preset, as JSON.
    """

    env: str
    agent: str
    evaluation: str
    kl: float | None
    beta: float | None
    entropy: float | None
    learning_rate: float | None
    seed: int
    steps: int
    preset: str
    settings: str

    @property
    def id(self) -> str:
        """The id, derived from the content: equal runs have the same id in all studies."""
        return _digest(list(self))

    @property
    def cell_id(self) -> str:
        """The id of the cell: equal for runs that differ in their seeds only."""
        return _digest(list(self._replace(seed=0)))

    @property
    def group(self) -> tuple[Any, ...]:
        """The key of the group: runs of one group share a compiled program and differ in their numbers."""
        return self.env, self.agent, self.evaluation, self.steps, self.preset, self.settings

    @property
    def numbers(self) -> tuple[float, float, float]:
        """λ, τ and β of the agent.

        Raises:
            ValueError: if the agent is unknown, or does not take these numbers.
        """
        return numbers_of(self.agent, self.kl, self.entropy, self.beta)

    @property
    def cell(self) -> Cell:
        """The numbers and the seed of the run."""
        return Cell(self.kl, self.beta, self.entropy, self.learning_rate, self.seed)

    @property
    def request(self) -> Request:
        """The request of `mdvi.train` for the group of the run."""
        kept = {"w/": True, "w/o": False, "": None}[self.evaluation]
        return Request.of(
            self.env, self.agent, evaluate_kl=kept, evaluate_entropy=kept, seeds=[self.seed], steps=self.steps,
            preset=self.preset or None, **json.loads(self.settings),
        )  # fmt: skip


class Batch(NamedTuple):
    """Runs of one group that are trained side by side."""

    runs: tuple[Run, ...]

    @property
    def id(self) -> str:
        """The id, derived from the runs."""
        return _digest([run.id for run in self.runs])


class _Given(BaseModel):
    """The keys that are allowed above the grids, and in each grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: Name | list[Name] | None = None
    seeds: int | list[int] | None = None
    steps: int | None = Field(default=None, ge=1, le=_LONG)
    preset: Name | None = None
    settings: dict[str, Any] | None = None


class _Grid(_Given):
    """A grid."""

    agent: Name | list[Name]
    evaluation: Evaluation | list[Evaluation] | None = None
    kl: Numbers = None
    beta: Numbers = None
    entropy: Numbers = None
    learning_rate: Numbers = None


class Experiment(BaseModel):
    """An experiment of the laboratory on Garnets.

    Attributes:
        garnets: the number of Garnets, at least two.
        iterations: K.
        seed: the seed of the first Garnet and of the sampling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    schemes: ClassVar[int]  # that are run on each Garnet

    garnets: int = Field(default=100, ge=2, le=10**6)
    iterations: int = Field(default=800, ge=1, le=10**6)
    seed: int = Field(default=1000, ge=0, le=2**63 - 1)

    @property
    def id(self) -> str:
        """The id, derived from the content."""
        return _digest([self.garnets, self.iterations, self.seed])


class Figure1(Experiment):
    """The paper's Figure 1."""

    name: ClassVar[str] = "figure1"
    title: ClassVar[str] = "Figure 1"
    schemes: ClassVar[int] = 15


class Regularizers(Experiment):
    """The left panel of Figure 1, regulariser by regulariser."""

    name: ClassVar[str] = "regularizers"
    title: ClassVar[str] = "Regularisers"
    schemes: ClassVar[int] = 15

    garnets: int = Field(default=20, ge=2, le=10**6)

    @property
    def id(self) -> str:
        """The id, derived from the content."""
        return _digest([self.name, self.garnets, self.iterations, self.seed])


EXPERIMENTS: dict[str, type[Experiment]] = {kind.name: kind for kind in (Figure1, Regularizers)}


class _File(_Given):
    """The whole file."""

    title: str
    about: str = ""
    grid: list[_Grid] = []
    figure1: Figure1 | None = None
    regularizers: Regularizers | None = None


class Study(NamedTuple):
    """A study.

    Attributes:
        title: the title.
        about: a description in a sentence or two.
        runs: all runs without duplicates, in the order of the file.
        experiments: the experiments of the laboratory that the study includes.
    """

    title: str
    about: str
    runs: tuple[Run, ...]
    experiments: tuple[Experiment, ...] = ()

    def environments(self) -> list[str]:
        """The environments of the runs, without duplicates."""
        return list(dict.fromkeys(run.env for run in self.runs))

    def groups(self) -> list[list[Run]]:
        """The runs by group: the runs of a group share a compiled program."""
        groups: dict[tuple[Any, ...], list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.group, []).append(run)
        return list(groups.values())

    def batches(self, together: int = TOGETHER) -> list[Batch]:
        """The runs of each group in batches of at most `together`, independent of what is done already."""
        return [
            Batch(tuple(runs[first : first + together]))
            for runs in self.groups()
            for first in range(0, len(runs), together)
        ]


def read(path: Path, earlier: bool = False) -> Study:
    """Read a study from its file.

    Args:
        path: the path of the file.
        earlier: use the default exploration of version 0.1.0 if neither a preset nor ε is named.

    Raises:
        ValueError: if the file cannot be read or is invalid; the message names the place.
    """
    try:
        given = _File.model_validate(_parsed(path))
        axes = [_axes(given, grid, earlier) for grid in given.grid]
        for what, most, sizes in (("runs", _MOST, axes), ("cells", _MOST_CELLS, map(_cells, axes))):
            if (count := sum(math.prod(map(len, grid)) for grid in sizes)) > most:
                raise ValueError(f"expected at most {most} {what} in a study, got {count}; split it into several")
        runs = tuple(dict.fromkeys(Run(*values) for grid in axes for values in itertools.product(*grid)))
        for run in runs:
            _ = run.numbers  # raises for invalid numbers
        asked = (getattr(given, name) for name in EXPERIMENTS)
        experiments = tuple(experiment for experiment in asked if experiment is not None)
        if not runs and not experiments:
            raise ValueError(f"a study needs a [[grid]]{''.join(f' or [{name}]' for name in EXPERIMENTS)}")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply") from None
    except ValueError as error:  # includes ValidationError
        text = _first(error) if isinstance(error, ValidationError) else str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: {text if len(text) <= _LINE else f'{text[:_LINE]}…'}") from None
    return Study(given.title, given.about, runs, experiments)


def _parsed(path: Path) -> dict[str, Any]:
    """The content of a file of bounded size and depth."""
    text = input.read(path, _LARGEST).decode()
    if _DEEP.search(text):
        raise ValueError("a key has more than 16 parts; use at most 16")
    return tomllib.loads(text)


def _axes(above: _File, grid: _Grid, earlier: bool) -> list[Sequence[Any]]:
    """The values of a grid for each field of its runs; the runs are all combinations."""
    seeds = _either(grid.seeds, above.seeds)
    if (steps := _either(grid.steps, above.steps)) is None:
        raise ValueError("steps: set the environment steps of a run, above the grids or in each grid")
    if (env := _either(grid.env, above.env)) is None:
        raise ValueError("env: name an environment, above the grids or in each grid")
    preset = _either(grid.preset, above.preset) or ""
    changes = (above.settings or {}) | (grid.settings or {})
    settings = json.dumps(changes if earlier else explored(changes, preset, steps), sort_keys=True)
    whole = seeds if isinstance(seeds, list) else range(1 if seeds is None else min(seeds, 2**32 + 1))
    given = (
        env, grid.agent, _either(grid.evaluation, ""), grid.kl, grid.beta, grid.entropy, grid.learning_rate,
        whole, steps, preset, settings,
    )  # fmt: skip
    axes: list[Sequence[Any]] = [values if isinstance(values, list | range) else [values] for values in given]
    for name, values in zip(Run._fields, axes, strict=True):
        if not values:
            raise ValueError(f"{name}: expected at least one value, got an empty list")
    ends = (whole[0], whole[-1]) if isinstance(whole, range) else (min(whole), max(whole))
    if ends[0] < 0 or ends[1] >= 2**32:
        raise ValueError("seeds: expected numbers in 0…2³² − 1")  # the number may be too long to print
    return axes


def _cells(axes: list[Sequence[Any]]) -> list[Sequence[Any]]:
    """The axes of a grid without the seeds."""
    return [values for name, values in zip(Run._fields, axes, strict=True) if name != "seed"]


def _either(inner: Any, outer: Any) -> Any:
    return outer if inner is None else inner


def _first(error: ValidationError) -> str:
    """A message about the first invalid key."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part + 1) if isinstance(part, int) else part for part in found["loc"]]
    kinds = ("list[", "literal[", "str", "constrained-str", "int", "float")
    where = ".".join(part for part in place if not part.startswith(kinds))
    if found["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"grid": _Grid, **EXPERIMENTS}
        model = models[place[0]] if len(place) > 1 else _File
        return f"unknown key {where}{did_you_mean(place[-1], list(model.model_fields))}"
    return f"{where}: {found['msg'].lower()}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
