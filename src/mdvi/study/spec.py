"""A study as data: what a TOML file asks for, and the runs that follow from it.

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

A grid is every combination of what it lists; what stands above the grids holds for all that do not say otherwise.

    [figure1]
    garnets = 100

asks for the paper's Figure 1, beside the grids or alone.
"""

import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdvi import input
from mdvi.learning.arrange import numbers_of
from mdvi.learning.request import Cell, Request, explored
from mdvi.words import did_you_mean

Name = Annotated[str, Field(max_length=1000)]
Numbers = float | list[float] | None
Evaluation = Literal["w/", "w/o"]
TOGETHER = 64  # runs that are trained, and written down, together
_MOST, _MOST_CELLS = 100_000, 10_000  # runs of a study, and runs that differ in more than their seeds
_LARGEST = 1 << 20  # bytes of a file
_LINE = 300  # characters of a refusal
_LONG = 10**12  # environment steps of a run
# A key of very many parts, for which the reader of TOML takes time that grows with the square of their number.
_DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}""")


class Run(NamedTuple):
    """One run: an agent of given numbers, from one seed, in one environment.

    Attributes:
        env: the environment.
        agent: the agent.
        evaluation: "w/" or "w/o" KL and entropy in the evaluation; "" as the agent has it.
        kl: λ, or None.
        beta: β instead of λ, or None.
        entropy: τ, or None.
        learning_rate: or None for the preset's.
        seed: what everything random comes from.
        steps: environment steps.
        preset: sizes and numbers it starts from; "" for the environment's own.
        settings: changes of them, as JSON.
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
        """Derived from the content: equal runs of any study have the same."""
        return _digest(list(self))

    @property
    def cell_id(self) -> str:
        """The same for runs that differ in their seeds only."""
        return _digest(list(self._replace(seed=0)))

    @property
    def group(self) -> tuple[Any, ...]:
        """Runs of one group are the same program with other numbers."""
        return self.env, self.agent, self.evaluation, self.steps, self.preset, self.settings

    @property
    def numbers(self) -> tuple[float, float, float]:
        """λ, τ and β, as its agent has them.

        Raises:
            ValueError: for an agent that is none, or numbers it does not take.
        """
        return numbers_of(self.agent, self.kl, self.entropy, self.beta)

    @property
    def cell(self) -> Cell:
        """Its numbers and its seed."""
        return Cell(self.kl, self.beta, self.entropy, self.learning_rate, self.seed)

    @property
    def request(self) -> Request:
        """What `mdvi.train` would be asked for, for its whole group."""
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
        """Derived from its runs."""
        return _digest([run.id for run in self.runs])


class _Given(BaseModel):
    """What may stand above the grids, and in each of them."""

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


class Figure1(BaseModel):
    """The paper's Figure 1.

    Attributes:
        garnets: how many Garnets, at least two.
        iterations: K.
        seed: of the first Garnet and of the sampling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    garnets: int = Field(default=100, ge=2, le=10**6)
    iterations: int = Field(default=800, ge=1, le=10**6)
    seed: int = Field(default=1000, ge=0, le=2**63 - 1)

    @property
    def id(self) -> str:
        """Derived from the content."""
        return _digest([self.garnets, self.iterations, self.seed])


class _File(_Given):
    """The whole file."""

    title: str
    about: str = ""
    grid: list[_Grid] = []
    figure1: Figure1 | None = None


class Study(NamedTuple):
    """What is to be found out.

    Attributes:
        title: for people.
        about: a sentence or two.
        runs: all of them, in the order of the file, each once.
        figure1: the paper's Figure 1, where it is asked for.
    """

    title: str
    about: str
    runs: tuple[Run, ...]
    figure1: Figure1 | None = None

    def environments(self) -> list[str]:
        """The environments of its runs, each once."""
        return list(dict.fromkeys(run.env for run in self.runs))

    def groups(self) -> list[list[Run]]:
        """Its runs by what is one program with other numbers."""
        groups: dict[tuple[Any, ...], list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.group, []).append(run)
        return list(groups.values())

    def batches(self, together: int = TOGETHER) -> list[Batch]:
        """The runs by groups, so many side by side at most; the same for the same file, whatever is done already."""
        return [
            Batch(tuple(runs[first : first + together]))
            for runs in self.groups()
            for first in range(0, len(runs), together)
        ]


def read(path: Path, earlier: bool = False) -> Study:
    """A study out of its file.

    Args:
        path: of the file.
        earlier: with the exploration that runs had in version 0.1.0 where neither a preset nor ε is named.

    Raises:
        ValueError: if the file cannot be read or is invalid; the message names the place.
    """
    try:
        given = _File.model_validate(_parsed(path))
        axes = [_axes(given, grid, earlier) for grid in given.grid]
        for what, most, sizes in (("runs", _MOST, axes), ("cells", _MOST_CELLS, map(_cells, axes))):
            if (count := sum(math.prod(map(len, grid)) for grid in sizes)) > most:
                raise ValueError(f"asks for {count} {what}, and a study has {most} at most; make it several studies")
        runs = tuple(dict.fromkeys(Run(*values) for grid in axes for values in itertools.product(*grid)))
        for run in runs:
            _ = run.numbers  # can be meant
        if not runs and given.figure1 is None:
            raise ValueError("nothing is asked for: it needs a [[grid]], or [figure1]")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply") from None
    except ValueError as error:  # pydantic's is one too
        text = _first(error) if isinstance(error, ValidationError) else str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: {text if len(text) <= _LINE else f'{text[:_LINE]}…'}") from None
    return Study(given.title, given.about, runs, given.figure1)


def _parsed(path: Path) -> dict[str, Any]:
    """The content of a file of bounded size and depth."""
    text = input.read(path, _LARGEST).decode()
    if _DEEP.search(text):
        raise ValueError("a key has more than 16 parts")
    return tomllib.loads(text)


def _axes(above: _File, grid: _Grid, earlier: bool) -> list[Sequence[Any]]:
    """What a grid lists for each field of its runs, which are every combination; nothing is multiplied out yet."""
    seeds = _either(grid.seeds, above.seeds)
    if (steps := _either(grid.steps, above.steps)) is None:
        raise ValueError("steps: say how many environment steps a run takes, above the grids or in each")
    if (env := _either(grid.env, above.env)) is None:
        raise ValueError("env: name an environment, above the grids or in each")
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
            raise ValueError(f"{name}: expected at least one")
    ends = (whole[0], whole[-1]) if isinstance(whole, range) else (min(whole), max(whole))
    if ends[0] < 0 or ends[1] >= 2**32:
        raise ValueError("seed: expected all in 0…2³² − 1")
    return axes


def _cells(axes: list[Sequence[Any]]) -> list[Sequence[Any]]:
    """The same without the seeds."""
    return [values for name, values in zip(Run._fields, axes, strict=True) if name != "seed"]


def _either(inner: Any, outer: Any) -> Any:
    return outer if inner is None else inner


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part + 1) if isinstance(part, int) else part for part in found["loc"]]
    kinds = ("list[", "literal[", "str", "constrained-str", "int", "float")
    where = ".".join(part for part in place if not part.startswith(kinds))
    if found["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"grid": _Grid, "figure1": Figure1}
        model = models[place[0]] if len(place) > 1 else _File
        return f"unknown key {where}{did_you_mean(place[-1], list(model.model_fields))}"
    return f"{where}: {found['msg'].lower()}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
