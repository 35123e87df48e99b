"""Commands of the laboratory: iterate a scheme, repeat a figure, list names, cite sources."""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mdvi.cli.common import (
    Discount,
    Format,
    Json,
    Regularizer,
    Reward,
    Source,
    check_targets,
    count,
    csv_of,
    finite,
    number,
    show,
    tell,
    write,
)
from mdvi.cli.names import AGENTS, ALGORITHMS, ERRORS, LISTS, suggest
from mdvi.extras import check_installed
from mdvi.progress import bars_on_stderr
from mdvi.words import did_you_mean, signature, summary

if TYPE_CHECKING:
    from mdvi.algorithms import Algorithm
    from mdvi.learning.agents.catalogue import Entry
    from mdvi.report.curves import Curve


def iterate_command(
    model: Source,
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="More parameters of a family, e.g. states=50 discount=.95"),
    ] = None,
    kl: Annotated[float, number("λ, the weight of the KL term.", least=0)] = 0.0,
    entropy: Annotated[float, number("τ, the weight of the entropy.", least=0)] = 0.0,
    algorithm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A named algorithm instead, e.g. munchausen or munchausen:alpha=.9",
            autocompletion=suggest(*ALGORITHMS),
        ),
    ] = None,
    regularizer: Regularizer = "shannon",
    errors: Annotated[
        str,
        typer.Option(
            metavar="NAME[=NUMBER]",
            help="The error model, see `mdvi list errors`.",
            autocompletion=suggest(*ERRORS),
        ),
    ] = "none",
    iterations: Annotated[int, count(1, "--iterations", "-k", help="The number of iterations.")] = 200,
    seed: Annotated[int, count(0, help="The first seed.")] = 0,
    seeds: Annotated[int, count(1, help="The number of runs, with consecutive seeds.")] = 1,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write iteration, loss and bound to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw loss and bound to this .png, .svg or .pdf file.")
    ] = None,
    discount: Discount = None,
    format_: Format = None,
    reward: Reward = None,
    json_: Json = False,
) -> None:
    """Run a scheme on a model; show the exact loss of its policies and the bound of the theorem."""
    import numpy as np

    from mdvi import algorithms
    from mdvi.laboratory.errors import errors_of
    from mdvi.laboratory.iterate import iterate
    from mdvi.mdp.names import source_of
    from mdvi.scheme import Scheme

    if algorithm is not None and (kl or entropy):
        raise ValueError("--algorithm determines λ and τ; give either --algorithm, or --kl and --entropy")
    if algorithm is not None and regularizer != "shannon":
        raise ValueError("--algorithm determines the regularizer; give either --algorithm, or --regularizer")
    check_targets(plot, csv=csv)
    given = source_of(model, discount, format_, reward, parameters or ())
    mdp = given.model
    for note in given.notes:
        tell(note)
    scheme = Scheme.of(kl, entropy, regularizer=regularizer) if algorithm is None else algorithms.scheme_of(algorithm)
    error_model = errors_of(errors, mdp, seed)
    with bars_on_stderr() as track:
        trace = iterate(
            mdp,
            scheme,
            iterations,
            error_model,
            np.arange(seed, seed + seeds),
            record=("loss", "normalized_loss", "bound"),
            progress=track("iterating", iterations),
        )
    loss, bound = trace.loss.mean(0), trace.bound.mean(0)
    columns = {"iteration": range(iterations + 1), "loss": loss, "bound": bound}
    columns["normalized_loss"] = trace.normalized_loss.mean(0)
    files: dict[Path, str | bytes] = {} if csv is None else {csv: csv_of(columns)}
    if plot is not None:
        from mdvi.report.plots import as_bytes, trace_plot

        title = f"{given.name}, λ = {float(scheme.kl):g}, τ = {float(scheme.entropy):g}, errors: {errors}"
        files[plot] = as_bytes(trace_plot(loss, bound, title), plot.suffix[1:])
    write(files)
    for path in files:
        tell(f"wrote {path}")
    if json_:
        facts = {
            "model": str(mdp),
            "kl": float(scheme.kl),
            "entropy": float(scheme.entropy),
            "temperature": float(scheme.temperature),
            "beta": float(scheme.beta),
            "evaluation": scheme.evaluation,
            "theorem": trace[0].theorem,
            "seeds": seeds,
        }
        series = {name: [finite(x) for x in column] for name, column in columns.items()}
        typer.echo(json.dumps(facts | series))
        return
    table = Table(title=f"{mdp}\n{_theorem(trace[0].theorem)}; means over {seeds} run{'s' * (seeds > 1)}")
    for name in ("k", "loss ‖q* − q_π‖∞", "bound", "loss ‖·‖₁ / ‖q*‖₁"):
        table.add_column(name, justify="right")
    for k in sorted({min(k, iterations) for k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, iterations)}):
        table.add_row(str(k), f"{loss[k]:.4g}", f"{bound[k]:.4g}", f"{columns['normalized_loss'][k]:.4g}")
    show(table)


Folder = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder to write to.")]
Garnets = Annotated[int, count(2, help="The number of Garnets, at least two.")]
Iterations = Annotated[int, count(1, help="The number of iterations.")]
FirstSeed = Annotated[int, count(0, help="The seed of the first Garnet and of the sampling.")]


def figure1(
    out: Folder = Path("results/figure1"), garnets: Garnets = 100, iterations: Iterations = 800, seed: FirstSeed = 1000
) -> None:
    """Repeat Figure 1: three panels as PNG and SVG, a CSV file of all curves, and report.html."""
    _check_places("figure1", out)
    from mdvi.report.curves import FIGURE1
    from mdvi.report.page import figure1_page
    from mdvi.report.plots import figure1 as draw
    from mdvi.study.figure1 import run

    _repeat("figure1", out, (garnets, iterations, seed), run, FIGURE1, draw, figure1_page)


def regularizers(
    out: Folder = Path("results/regularizers"),
    garnets: Garnets = 20,
    iterations: Iterations = 800,
    seed: FirstSeed = 1000,
) -> None:
    """Repeat the left panel of Figure 1 with other regularisers, lazy beside agile: PNG, SVG, CSV and report.html."""
    _check_places("regularizers", out)
    from mdvi.report.curves import REGULARIZERS, by_regularizer
    from mdvi.report.page import regularizers_page
    from mdvi.report.plots import regularizers as draw
    from mdvi.study.regularizers import run

    size = garnets, iterations, seed
    _repeat(
        "regularizers", out, size, run, REGULARIZERS, lambda curves: draw(by_regularizer(curves)), regularizers_page
    )


def _files_of(name: str, out: Path) -> list[Path]:
    """Where the table, both pictures and the report of an experiment go."""
    return [out / file for file in (f"{name}.csv", f"{name}.png", f"{name}.svg", "report.html")]


def _check_places(name: str, out: Path) -> None:
    """The files can be written, and the libraries are there, before any work is done."""
    from mdvi.output import check_target

    for path in _files_of(name, out):
        check_target(path)
    check_installed("matplotlib", "jinja2")


def _repeat(
    name: str,
    out: Path,
    size: tuple[int, int, int],
    run: Callable[..., list["Curve"]],
    columns: Mapping[str, str],
    draw: Callable[[list["Curve"]], Any],
    page: Callable[..., str],
) -> None:
    """Run an experiment on so many Garnets for so many iterations, and write its table, its pictures and its report."""
    from mdvi.report.curves import to_csv
    from mdvi.report.plots import as_bytes
    from mdvi.study.provenance import provenance

    start, (garnets, iterations, seed) = time.monotonic(), size
    with bars_on_stderr() as track:
        curves = run(garnets, iterations, seed, lambda part, done: track(part, iterations)(done))
    table, figure = to_csv(curves, columns), draw(curves)
    png, svg = as_bytes(figure, "png"), as_bytes(figure, "svg")
    command = f"mdvi reproduce {name} --garnets {garnets} --iterations {iterations} --seed {seed}"
    facts = provenance(command, time.monotonic() - start)
    report = page(curves, png, svg, table, facts, garnets)
    write(dict(zip(_files_of(name, out), (table, png, svg, report), strict=True)))
    show(f"{facts['took']}; open {shlex.quote(str(out / 'report.html'))}")


def list_command(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help=f"{', '.join(LISTS)}.", autocompletion=suggest(*LISTS))
    ] = "algorithms",
    json_: Json = False,
) -> None:
    """List the names that commands accept."""
    if what not in _ROWS:
        raise ValueError(f"cannot list {what!r}{did_you_mean(what, LISTS)}")
    rows = _ROWS[what]()
    if json_:
        typer.echo(json.dumps(rows, indent=1))
        return
    console = Console(highlight=False)
    for row in rows:
        name = f"[bold]{row['name']}[/bold]" + (f"({row['parameters']})" if "parameters" in row else "")
        console.print(f"{name}  {row.get('mapping', '')}".rstrip(), soft_wrap=True)
        console.print(f"    {row['summary']}", soft_wrap=True, markup=False)
    if what == "envs":
        others = "Also: a family of models, a Gymnasium id such as LunarLander-v3, ALE/GAME-v5, module:Class."
        console.print(others, soft_wrap=True, markup=False)


def cite(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An algorithm, an agent, or mdvi for this software and its paper.",
            autocompletion=suggest("mdvi", *ALGORITHMS, *AGENTS),
        ),
    ] = "mdvi",
) -> None:
    """Print the BibTeX entry of mdvi, or of the source of an algorithm or an agent."""
    from mdvi.references import bibtex

    if name == "mdvi":
        typer.echo(f"{bibtex('mdvi')}\n\n{bibtex('vieillard2020leverage')}")
        return
    from mdvi import algorithms
    from mdvi.learning.agents import catalogue as agents

    keys = {agent.name: agent.reference for agent in agents.ALL.values()}
    keys |= {algorithm.name: algorithm.reference for algorithm in algorithms.ALL.values()}
    if name not in keys:
        raise ValueError(f"unknown algorithm or agent {name!r}{did_you_mean(name, ['mdvi', *keys])}")
    typer.echo(bibtex(keys[name]))


def _algorithms() -> list[dict[str, Any]]:
    from mdvi import algorithms

    return [_row(algorithm, signature(algorithm.scheme)) for algorithm in algorithms.ALL.values()]


def _agents() -> list[dict[str, Any]]:
    from mdvi.learning.agents import catalogue

    return [_agent_row(agent) for agent in catalogue.ALL.values()]


def _envs() -> list[dict[str, Any]]:
    from mdvi import envs

    return _functions(envs.NAMES)


def _models() -> list[dict[str, Any]]:
    from mdvi import mdp

    return _functions(mdp.FAMILIES)


def _errors() -> list[dict[str, Any]]:
    from mdvi.laboratory import errors

    return _functions(errors.ALL)


def _studies() -> list[dict[str, Any]]:
    """The studies that are shipped with mdvi; `mdvi study run NAME` runs one."""
    import tomllib

    from mdvi.shipped import studies

    return [
        {"name": name, "summary": tomllib.loads(file.read_text(encoding="utf-8")).get("title", "")}
        for name, file in studies().items()
    ]


def _regularizers() -> list[dict[str, Any]]:
    from mdvi.regularizers import REGULARIZERS

    return [
        {"name": f"{name}:ALPHA" if entry.indexed else name, "summary": entry.about}
        for name, entry in REGULARIZERS.items()
    ]


_ROWS: dict[str, Callable[[], list[dict[str, Any]]]] = dict(
    zip(LISTS, (_algorithms, _agents, _envs, _models, _errors, _regularizers, _studies), strict=True)
)


def _functions(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "parameters": signature(entry), "summary": summary(entry)} for name, entry in entries.items()
    ]


def _row(algorithm: "Algorithm", parameters: str) -> dict[str, Any]:
    scheme = algorithm.scheme()
    return {
        "name": algorithm.name,
        "kl": float(scheme.kl),
        "entropy": float(scheme.entropy),
        "temperature": float(scheme.temperature),
        "beta": float(scheme.beta),
        "evaluation": scheme.evaluation,
        "backups": "inf" if scheme.backups == float("inf") else int(scheme.backups),
        "parameters": parameters,
        "mapping": algorithm.mapping,
        "reference": algorithm.reference,
        "summary": algorithm.summary,
    }


def _agent_row(entry: "Entry") -> dict[str, Any]:
    """An agent and its default numbers."""
    numbers = {"kl": entry.kl, "entropy": entry.entropy, "beta": entry.beta}
    return {
        "name": entry.name,
        "parameters": ", ".join(f"{name}={value}" for name, value in numbers.items() if value is not None),
        "mapping": entry.construction.name,
        "reference": entry.reference,
        "summary": entry.summary,
    }


def _theorem(theorem: str | None) -> str:
    return f"bound: {theorem}" if theorem else "no theorem covers this scheme with these errors, so no bound"
