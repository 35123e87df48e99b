"""The command line. Exit codes: 0 done, 2 bad input (one line on stderr), 3 the iteration diverged, 130 interrupted."""

import contextlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from mdvi.named import Algorithm

app = typer.Typer(
    help="Planning and learning with KL and entropy regularisation: one scheme, two numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
reproduce = typer.Typer(help="Repeat a figure of the paper.", no_args_is_help=True)
app.add_typer(reproduce, name="reproduce")


def _at_least(least: int) -> Callable[[float], float]:
    """A check of an option, made before anything slow is imported."""

    def check(value: float) -> float:
        if not least <= value < float("inf"):
            raise typer.BadParameter(f"expected a finite number of at least {least}, got {value}")
        return value

    return check


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Entry point: runs a command and turns what went wrong into one line and an exit code."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        code = _fail(getattr(error, "format_message", error.__str__)(), 2)
    except (ValueError, ModuleNotFoundError) as error:
        code = _fail(str(error), 2)
    except BrokenPipeError:
        os._exit(141)  # whoever read our output has left; there is nobody to tell
    except OSError as error:
        code = _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except FloatingPointError as error:
        code = _fail(str(error), 3)
    except MemoryError as error:
        code = _fail(f"not enough memory: {error}", 2)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # how XLA says so
            raise
        code = _fail(f"not enough memory: {error}", 2)
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(code)


def _interrupted(*_: Any) -> None:
    """Ctrl-C: end here and now.

    An exception would be lost when it is raised in a callback or an import of some library, and an orderly end of
    the interpreter while compiled work is running can crash.
    """
    clear = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar, and the cursor it hides
    os.write(sys.stderr.fileno(), f"{clear}mdvi: interrupted; nothing was written\n".encode())
    os._exit(130)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that come before a command."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(version_of("mdvi"))
        raise typer.Exit


@app.command("iterate")
def iterate_command(
    model: Annotated[str, typer.Argument(help="A family (see `mdvi list models`) or a Gymnasium id with a table.")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Its parameters, e.g. states=50 discount=.95"),
    ] = None,
    kl: Annotated[float, typer.Option(callback=_at_least(0), help="λ, the weight of the KL term.")] = 0.0,
    entropy: Annotated[float, typer.Option(callback=_at_least(0), help="τ, the weight of the entropy.")] = 0.0,
    algorithm: Annotated[
        str | None, typer.Option(help="A named algorithm instead, e.g. munchausen or munchausen:alpha=.9")
    ] = None,
    errors: Annotated[str, typer.Option(help="NAME or NAME=NUMBER, see `mdvi list errors`.")] = "none",
    iterations: Annotated[int, typer.Option("--iterations", "-k", callback=_at_least(1), help="K.")] = 200,
    seed: Annotated[int, typer.Option(callback=_at_least(0), help="The first seed.")] = 0,
    seeds: Annotated[int, typer.Option(callback=_at_least(1), help="How many runs, with consecutive seeds.")] = 1,
    csv: Annotated[Path | None, typer.Option(help="Write iteration, loss and bound to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw loss and bound to this .png, .svg or .pdf file.")] = None,
    json_: Json = False,
) -> None:
    """Run a scheme on a model and show the true loss of its policies beside the theorem's bound."""
    import numpy as np

    from mdvi import arguments
    from mdvi.planning.iterate import iterate
    from mdvi.scheme import Scheme

    if algorithm is not None and (kl or entropy):
        raise ValueError("--algorithm sets its own weights; give either it or --kl and --entropy")
    _check_targets(csv, plot)
    mdp = arguments.model_of(model, parameters or [])
    scheme = Scheme.of(kl, entropy) if algorithm is None else arguments.scheme_of(algorithm)
    error_model = arguments.errors_of(errors, mdp, seed)
    with _progress() as track:
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
    files: dict[Path, str | bytes] = {} if csv is None else {csv: _csv(columns)}
    if plot is not None:
        from mdvi.study.plots import as_bytes, trace_plot

        title = f"{model}, λ = {float(scheme.kl):g}, τ = {float(scheme.entropy):g}, errors: {errors}"
        files[plot] = as_bytes(trace_plot(loss, bound, title), plot.suffix[1:])
    _write(files)
    for path in files:
        Console(stderr=True).print(f"wrote {path}", soft_wrap=True, highlight=False)
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
        series = {name: [_finite(x) for x in column] for name, column in columns.items()}
        typer.echo(json.dumps(facts | series))
        return
    table = Table(title=f"{mdp}\n{_theorem(trace[0].theorem)}; means over {seeds} run{'s' * (seeds > 1)}")
    for name in ("k", "loss ‖q* − q_π‖∞", "bound", "loss ‖·‖₁ / ‖q*‖₁"):
        table.add_column(name, justify="right")
    for k in sorted({min(k, iterations) for k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, iterations)}):
        table.add_row(str(k), f"{loss[k]:.4g}", f"{bound[k]:.4g}", f"{columns['normalized_loss'][k]:.4g}")
    Console().print(table)


@reproduce.command()
def figure1(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("results/figure1"),
    garnets: Annotated[
        int, typer.Option(callback=_at_least(2), help="How many Garnets; two are needed for an interval.")
    ] = 100,
    iterations: Annotated[int, typer.Option(callback=_at_least(1), help="How many iterations.")] = 800,
    seed: Annotated[
        int, typer.Option(callback=_at_least(0), help="The seed of the first Garnet and of the sampling.")
    ] = 1000,
) -> None:
    """Figure 1: three panels, a CSV of all curves, PNG and SVG, and report.html."""
    from mdvi.study.output import check_target

    names = ("figure1.csv", "figure1.png", "figure1.svg", "report.html")
    for name in names:
        check_target(out / name)
    from mdvi.study import figure1 as experiment
    from mdvi.study.curves import to_csv
    from mdvi.study.plots import as_bytes
    from mdvi.study.plots import figure1 as draw
    from mdvi.study.provenance import provenance
    from mdvi.study.report import figure1_page

    start = time.monotonic()
    with _progress() as track:
        bars: dict[str, Any] = {}

        def progress(panel: str, done: int) -> None:
            bars.setdefault(panel, track(f"{panel} panel", iterations))(done)

        curves = experiment.run(garnets, iterations, seed, progress)
    table, figure = to_csv(curves), draw(curves)
    png, svg = as_bytes(figure, "png"), as_bytes(figure, "svg")
    command = f"mdvi reproduce figure1 --garnets {garnets} --iterations {iterations} --seed {seed}"
    facts = provenance(command, time.monotonic() - start)
    page = figure1_page(curves, png, svg, table, facts, garnets)
    _write(dict(zip((out / name for name in names), (table, png, svg, page), strict=True)))
    Console().print(f"{facts['took']}; open {shlex.quote(str(out / 'report.html'))}", soft_wrap=True)


@app.command("list")
def list_command(
    what: Annotated[str, typer.Argument(help="algorithms, models or errors")] = "algorithms",
    json_: Json = False,
) -> None:
    """List what can be named on the command line."""
    import inspect

    from mdvi import mdp, named
    from mdvi.arguments import signature
    from mdvi.planning import errors

    if what == "algorithms":
        rows = [_row(algorithm, signature(algorithm.scheme)) for algorithm in named.ALL.values()]
    elif what in ("models", "errors"):
        entries = mdp.FAMILIES if what == "models" else errors.ALL
        rows = [
            {
                "name": name,
                "parameters": signature(entry),
                "summary": (inspect.getdoc(entry) or "").splitlines()[0],
            }
            for name, entry in entries.items()
        ]
    else:
        raise ValueError(f"cannot list {what!r}{named.did_you_mean(what, ('algorithms', 'models', 'errors'))}")
    if json_:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    for row in rows:
        console.print(f"[bold]{row['name']}[/bold]({row['parameters']})  {row.get('mapping', '')}", soft_wrap=True)
        console.print(f"    {row['summary']}", soft_wrap=True, markup=False)


@app.command()
def cite(
    name: Annotated[str, typer.Argument(help="An algorithm, or mdvi for the paper itself.")] = "mdvi",
) -> None:
    """Print the BibTeX entry of an algorithm's source."""
    from mdvi import named

    typer.echo(named.bibtex("vieillard2020leverage") if name == "mdvi" else named.find(name).bibtex())


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


def _theorem(theorem: str | None) -> str:
    return f"bound: {theorem}" if theorem else "no theorem covers this scheme with these errors, so no bound"


def _finite(number: Any) -> float | int | None:
    """JSON has no infinity: null stands for it."""
    return number if isinstance(number, int) else (float(number) if abs(number) != float("inf") else None)


def _csv(columns: dict[str, Any]) -> str:
    lines = [",".join(columns)]
    lines += [",".join(f"{x:.10g}" for x in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def _check_targets(csv: Path | None, plot: Path | None) -> None:
    from mdvi.study.output import check_target

    if plot is not None and plot.suffix not in (".pdf", ".png", ".svg"):
        raise ValueError(f"{plot}: expected a name ending in .pdf, .png, .svg")
    if plot is not None and plot == csv:
        raise ValueError(f"{plot}: given for both --csv and --plot")
    for path in (csv, plot):
        if path is not None:
            check_target(path)


def _write(files: Mapping[Path, str | bytes]) -> None:
    """Write results; from here on an interrupt comes too late to stop them."""
    from mdvi.study.output import write

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path, content in files.items():
        write(path, content)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """A factory of progress callbacks, drawn on stderr when a person is looking."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:

        def track(name: str, total: int) -> Any:
            task = bar.add_task(name, total=total)
            return lambda done: bar.update(task, completed=done)

        yield track


def _fail(message: str, code: int) -> int:
    if message:  # there is none where the help was shown instead
        print(f"mdvi: {' '.join(message.split())}", file=sys.stderr)
    return code
