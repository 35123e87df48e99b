"""`mdvi study`: run grids of runs from a file, and report the results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mdvi.cli.common import Command, Group, Json, PictureWidth, check_width, number, show, tell, write
from mdvi.cli.names import studies_named
from mdvi.progress import bars_on_stderr

if TYPE_CHECKING:
    from mdvi.report.verdict import Verdict
    from mdvi.study.spec import Experiment, Study

study = typer.Typer(help="Run a grid of runs from a TOML file, and report it.", no_args_is_help=True, cls=Group)

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="The study: a TOML file, or the name of a study shipped with mdvi (see `mdvi list studies`).",
        show_default=False,
        autocompletion=studies_named,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The folder of the results; default: runs/NAME.", show_default=False),
]
OwnEnvs = Annotated[
    list[str] | None,
    typer.Option("--env", help="Allow an environment of the study that is code of your own.", metavar="ENV"),
]


@study.command("plan", cls=Command)
def plan_command(file: File, out: Out = None, env: OwnEnvs = None, json_: Json = False) -> None:
    """Estimate the cost of a study: runs, programs, arithmetic, memory and rough time; show how many runs are done."""
    from mdvi import input
    from mdvi.study.plan import plan_of
    from mdvi.study.spec import read
    from mdvi.study.store import NAME

    found, folder = read(_path(file)), _folder(file, out)
    begun = input.kind(folder / NAME, links=False) is not None
    done = _state(found, folder)[1].get("done", 0) if begun else 0
    plan = plan_of(found, env or ())
    if json_:
        typer.echo(json.dumps(plan.totals | {"done": done, "groups": plan.groups}))
        return
    table = Table(title=f"{file}: {plan.totals['runs']} runs, {len(plan.groups)} programs")
    for name in ("program", "runs", "steps", "FLOP each", "MB each", "all runs"):
        table.add_column(name, justify="left" if name == "program" else "right", overflow="fold")
    for group in plan.groups:
        table.add_row(
            f"{group['agent']} {group['evaluation']}".strip() + f", {group['env']}", str(group["runs"]),
            f"{group['steps']:.3g}", f"{group['flops']:.2g}", f"{group['bytes'] / 1e6:.0f}", _time(group["seconds"]),
        )  # fmt: skip
    if plan.groups:
        show(table)
    for asked in found.experiments:
        show(f"{asked.title}: {asked.garnets} Garnets, {asked.iterations} iterations")
    show(f"{plan.totals['flops']:.2g} floating-point operations, roughly {_time(plan.totals['seconds'])} here")
    if done:
        show(f"{done} of these {plan.totals['runs']} runs are done already, in {folder}")


@study.command("run", cls=Command)
def run_command(
    file: File,
    out: Out = None,
    shard: Annotated[
        str, typer.Option(metavar="i/n", help="Train the i-th of n shares, for machines without a shared folder.")
    ] = "1/1",
    env: OwnEnvs = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local",
            help="Train on a Ray cluster: its address, or local to start one on this machine.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float | None, number("GB of memory that may be used; with --ray, by each worker.", show_default=False)
    ] = None,
    checkpoint_every: Annotated[float, number("The time between checkpoints.", least=0, metavar="SECONDS")] = 60.0,
) -> None:
    """Train the missing runs. After an interruption, the same command continues."""
    from mdvi.learning.runs.signals import Interrupted
    from mdvi.study.execute import Watch, execute

    folder, part = _folder(file, out), _shard(shard)
    found = _study(file, folder)
    if memory is not None and not 0 < memory < float("inf"):
        raise ValueError(f"--memory: expected a number of GB above 0, got {memory}")
    with bars_on_stderr() as track:

        def progress(done: int, goal: int) -> None:
            track("environment steps", goal)(done)

        def batch(name: str, done: int, goal: int) -> None:
            track(name, goal)(done)

        def experiment(asked: "Experiment", part: str, done: int) -> None:
            track(f"{asked.title}, {part}", asked.iterations)(done)

        try:
            busy = execute(
                found, folder, shard=part, memory=None if memory is None else memory * 1e9, every=checkpoint_every,
                watch=Watch(progress, batch, experiment, tell), ray=ray, own=env or (),
            )  # fmt: skip
        except Interrupted as stop:
            tell(f"mdvi: {stop}; saved in {folder}, the same command continues")
            raise typer.Exit(128 + stop.number) from None
    if busy:
        tell(f"{busy} runs are being trained by another process")
    _, counts, tables = _state(found, folder)
    _show(found, counts, tables)
    if wrong := counts.get("failed", 0) + counts.get("diverged", 0):
        raise FloatingPointError(f"{wrong} of {len(found.runs)} runs failed or diverged: mdvi study status {file}")


@study.command("status", cls=Command)
def status_command(file: File, out: Out = None, json_: Json = False) -> None:
    """Show how many runs are done, and why others failed."""
    folder = _folder(file, out)
    found = _study(file, folder)
    rows, counts, tables = _state(found, folder)
    wrong = [row for row in rows if row["status"] in ("failed", "diverged")]
    if json_:
        names = ("run_id", "status", "reason", "trace")
        typer.echo(json.dumps(counts | tables | {"wrong": [{name: row[name] for name in names} for row in wrong]}))
        return
    _show(found, counts, tables)
    for row in wrong:
        numbers = f"λ = {row['kl']:.4g}, τ = {row['entropy']:.4g}, " if row["kl"] is not None else ""
        show(f"{row['run_id']} {row['agent']} {row['evaluation']} {numbers}seed {row['seed']}: {row['reason']}")


@study.command("retry", cls=Command)
def retry_command(
    file: File,
    out: Out = None,
    failed: Annotated[bool, typer.Option("--failed", help="Queue failed runs; the default.")] = False,
    diverged: Annotated[bool, typer.Option("--diverged", help="Queue diverged runs.")] = False,
) -> None:
    """Queue failed, or diverged, runs again; `mdvi study run` trains them."""
    folder = _folder(file, out)
    found = _study(file, folder)
    with _store(folder) as store:
        again = {"failed"} if failed or not diverged else set()
        again |= {"diverged"} if diverged else set()
        statuses = store.statuses()
        chosen = [run.id for run in found.runs if statuses.get(run.id) in again]
        store.again(chosen)
    show(f"{len(chosen)} runs re-queued")


@study.command("merge", cls=Command)
def merge_command(
    file: File,
    others: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDERS...", help="Folders of other machines.", show_default=False),
    ],
    out: Out = None,
) -> None:
    """Copy the results of other machines into this store."""
    own = _folder(file, out)
    found = _study(file, own, *others)
    with _store(own, new=True) as store:
        store.add(found.runs)
        for folder in others:
            with _store(folder, reading=True) as other:
                show(f"{folder}: {store.take(other)} runs")


@study.command("export", cls=Command)
def export_command(
    file: File,
    out: Out = None,
    form: Annotated[str, typer.Option("--format", help="The kind of file.", metavar="csv|parquet")] = "csv",
) -> None:
    """Write runs.csv with a row for each run, curves.csv with the learning curves, and the table of each experiment."""
    from mdvi.report import export
    from mdvi.words import did_you_mean

    writers: dict[str, tuple[Any, Any]] = {
        "csv": (export.runs_csv, export.curves_csv),
        "parquet": (export.runs_parquet, export.curves_parquet),
    }
    if form not in writers:
        raise ValueError(f"--format: unknown {form!r}{did_you_mean(form, writers)}")
    folder = _folder(file, out)
    found = _study(file, folder)
    wanted = [run.id for run in found.runs]
    with _store(folder, reading=True) as store:
        both, tables = (store.runs(wanted), store.curves(wanted)), store.tables(found)
    files = {
        folder / f"{name}.{form}": writer(rows)
        for name, rows, writer in zip(("runs", "curves"), both, writers[form], strict=True)
    }
    files |= {folder / f"{name}.csv": table for name, table in tables.items()}
    _write(folder, files)
    show(", ".join(map(str, files)))


@study.command("report", cls=Command)
def report_command(
    file: File,
    out: Out = None,
    score: Annotated[
        str, typer.Option(metavar="NAME", help="score_mean_training, as in the paper, or score_last100.")
    ] = "score_mean_training",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The agent to compare others with; default: dqn.", show_default=False),
    ] = None,
    width: PictureWidth = None,
) -> None:
    """Write an HTML page with a verdict, heatmaps, curves, tables and provenance; its figures as PNG, SVG, PDF."""
    from mdvi.report.cells import SCORES
    from mdvi.report.export import verdict_csv
    from mdvi.report.page import Results, study_page, study_pictures, study_verdicts
    from mdvi.report.plots import as_bytes
    from mdvi.study.provenance import provenance
    from mdvi.words import did_you_mean

    check_width(width)
    if score not in SCORES:
        raise ValueError(f"--score: unknown {score!r}{did_you_mean(score, list(SCORES))}")
    folder = _folder(file, out)
    spec = _study(file, folder)
    agents = {run.agent for run in spec.runs}
    if baseline is not None and baseline not in agents:
        raise ValueError(f"--baseline: {baseline!r} is not in the study{did_you_mean(baseline, agents)}")
    wanted = [run.id for run in spec.runs]
    with _store(folder, reading=True) as store:
        rows, curves, tables = store.runs(wanted), store.curves(wanted), store.tables(spec)
    command = f"mdvi study run {file} --out {folder}"
    results = Results(spec.title, spec.about, rows, curves, score, baseline or "dqn", command, tables)
    facts = provenance(command, sum(row["seconds"] for row in rows))
    files: dict[Path, str | bytes] = {folder / "report.html": study_page(results, facts)}
    found = study_verdicts(results)
    if found:
        files[folder / "verdict.csv"] = verdict_csv(found)
    for name, picture in study_pictures(results, width).items():
        files |= {folder / f"{name}.{form}": as_bytes(picture, form) for form in ("png", "svg", "pdf")}
    _write(folder, files)
    if found:
        _show_verdicts(found)
    show(f"open {folder / 'report.html'}")


def _show_verdicts(found: "Sequence[Verdict]") -> None:
    """A row for each finding of the paper; the rules and the sentences stand in the report."""
    table = Table(title="± is half of a 95 % interval; the report has the rules")
    for name in ("where", "the paper says", "we find", "number"):
        table.add_column(name, overflow="fold")
    for verdict in found:
        number = verdict.numbers if verdict.seeds else ""
        table.add_row(verdict.env, verdict.finding, verdict.answer, number)
    show(table)


def _write(folder: Path, files: Mapping[Path, str | bytes]) -> None:
    """Write results into a folder; the folder may be untrusted, so links that lead out of it are refused."""
    from mdvi.output import check_inside

    for path in files:
        check_inside(path, folder)
    write(files)


def _time(seconds: float) -> str:
    """A duration in a suitable unit."""
    for unit, size in (("years", 3.15e7), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} seconds"


def _folder(file: Path, out: Path | None) -> Path:
    return out or Path("runs") / file.stem


def _path(file: Path) -> Path:
    """The file of a study, or if there is no such file, the study of that name that is shipped with mdvi."""
    from mdvi.shipped import studies

    return file if file.exists() else studies().get(str(file), file)


def _study(file: Path, *folders: Path) -> "Study":
    """The study of a file; as version 0.1.0 read it, if one of these folders has results of such runs."""
    from mdvi import input
    from mdvi.study.spec import read
    from mdvi.study.store import NAME

    path = _path(file)
    found, earlier = read(path), read(path, earlier=True)
    other = {run.id for run in earlier.runs} - {run.id for run in found.runs}
    for folder in folders if other else ():
        if input.kind(folder / NAME, links=False) is not None:
            with _store(folder, reading=True) as store:
                if not other.isdisjoint(store.statuses()):
                    return earlier
    return found


def _store(folder: Path, new: bool = False, reading: bool = False) -> Any:
    """A context manager for the store in a folder."""
    import contextlib

    from mdvi import input
    from mdvi.study.store import NAME, Store

    if not new and input.kind(folder / NAME, links=False) is None:
        raise ValueError(f"{folder}: has no {NAME}; `mdvi study run` creates it")
    return contextlib.closing(Store(folder / NAME, reading))


def _state(found: "Study", folder: Path) -> tuple[list[dict[str, Any]], dict[str, int], dict[str, str]]:
    """The rows of the store, the number of runs by status, and the status of each experiment by its name."""
    import collections

    with _store(folder, reading=True) as store:
        rows = store.runs([run.id for run in found.runs])
        there = store.tables(found)
    tables = {asked.name: "done" if asked.name in there else "queued" for asked in found.experiments}
    counts = collections.Counter(row["status"] for row in rows)
    counts["queued"] += len(found.runs) - len(rows)
    return rows, dict(+counts), tables


def _show(found: "Study", counts: dict[str, int], tables: dict[str, str]) -> None:
    parts = [f"{len(found.runs)} runs"] if found.runs else []
    parts += [f"{count} {status}" for status, count in sorted(counts.items())]
    parts += [f"{asked.title} {tables[asked.name]}" for asked in found.experiments]
    show(f"{found.title}: {', '.join(parts)}")


def _shard(text: str) -> tuple[int, int]:
    """The two numbers of i/n."""
    left, _, right = text.partition("/")
    if not (left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
        raise ValueError(f"--shard: expected i/n with 1 ≤ i ≤ n, got {text!r}")
    return int(left), int(right)
