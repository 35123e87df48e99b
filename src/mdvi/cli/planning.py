"""Commands of the planner: solve a model, certify a policy, convert a file."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from mdvi.cli.common import (
    Discount,
    Format,
    Json,
    Regularizer,
    Reward,
    Source,
    check_targets,
    finite,
    number,
    show,
    tell,
    write,
)
from mdvi.cli.names import FORMATS, METHODS, suggest

if TYPE_CHECKING:
    from mdvi.mdp.names import Given
    from mdvi.planning.solution import Solution

Kl = Annotated[float, number("λ, the weight of the KL to the prior.", least=0)]
Entropy = Annotated[float, number("τ, the weight of the entropy.", least=0)]
Prior = Annotated[str, typer.Option(metavar="uniform|FILE", help="μ: .npz with `policy` or `prior`, or CSV of S × A.")]
Reference = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="ρ: −τ D(π‖ρ) replaces the entropy term, divergences and lazy refer to ρ; a file as for --prior.",
    ),
]
Tolerance = Annotated[float, number("The largest width of the proved interval of a value.")]
TimeLimit = Annotated[float | None, number("Stop after this time, with the interval so far.", metavar="SECONDS")]

Criterion = Annotated[
    str | None,
    typer.Option(
        metavar="discounted|total|average",
        help="What a value is; default: discounted, and total at discount 1.",
        show_default=False,
    ),
]

_NOT_CERTIFIED = 3
_LARGE = 10**9  # bytes of memory from which a remark is made


def solve_command(
    source: Source,
    kl: Kl = 0.0,
    entropy: Entropy = 0.0,
    prior: Prior = "uniform",
    regularizer: Regularizer = "shannon",
    reference: Reference = None,
    tolerance: Tolerance = 1e-6,
    time_limit: TimeLimit = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(METHODS)}.", autocompletion=suggest(*METHODS))
    ] = "auto",
    criterion: Criterion = None,
    discount: Discount = None,
    format_: Format = None,
    reward: Reward = None,
    json_: Json = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write value and policy to this .npz or .csv file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw value and policy to this .png, .svg or .pdf file.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the certificate to this .npz file.")
    ] = None,
) -> int:
    """Solve a model, with a proved interval for each value. Exit code 0: certified; 3: not within the tolerance."""
    check_targets(plot, out=out, certificate=certificate)
    for path, suffixes in ((out, (".npz", ".csv")), (certificate, (".npz",))):
        if path is not None and path.suffix not in suffixes:
            raise ValueError(f"{path}: expected a name ending in {', '.join(suffixes)}")
    import numpy as np

    from mdvi.mdp.names import source_of
    from mdvi.planning import files
    from mdvi.planning.requests import criterion_of
    from mdvi.planning.solve import solve

    given = source_of(source, discount, format_, reward)
    mu = None if prior == "uniform" else files.policy_in(Path(prior))
    rho = None if reference is None else files.policy_in(reference)
    _announce(given, kl + entropy > 0)
    omega: dict[str, Any] = {"regularizer": regularizer, "reference": rho, "criterion": criterion}
    with _interval_bar(tolerance) as progress:
        solution = solve(given.model, kl, entropy, mu, tolerance, method, time_limit, **omega, progress=progress)
    results: dict[Path, str | bytes] = {}
    infinite = not np.isfinite(solution.value).all()
    if infinite and (out or plot or certificate):
        tell("values are infinite: no solution, no picture and no certificate is written")
        out = plot = certificate = None
    if out is not None:
        results[out] = files.solution_file(solution, out.suffix)
    if plot is not None:
        results[plot] = _picture(given, solution, kl, entropy, plot.suffix[1:])
    if certificate is not None:
        from mdvi.mdp.formats import arrays
        from mdvi.planning.certificate import certificate_arrays

        results[certificate] = arrays.save(certificate_arrays(given.model, solution, kl, entropy, mu, rho))
    write(results)
    if json_:
        typer.echo(json.dumps(_facts(solution, criterion_of(given.model, criterion))))
    else:
        _table(given, solution, kl, entropy)
    for path in results:
        tell(f"wrote {path}")
    return 0 if solution.status == "certified" else _NOT_CERTIFIED


def certify_command(
    source: Source,
    policy: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="π: .npz with `policy` or `log_policy`, or CSV of S × A.", show_default=False
        ),
    ],
    kl: Kl = 0.0,
    entropy: Entropy = 0.0,
    prior: Prior = "uniform",
    regularizer: Regularizer = "shannon",
    reference: Reference = None,
    tolerance: Tolerance = 1e-6,
    time_limit: TimeLimit = None,
    criterion: Criterion = None,
    discount: Discount = None,
    format_: Format = None,
    reward: Reward = None,
    json_: Json = False,
) -> int:
    """Prove an upper bound on the loss of a policy. Exit code 0: certified; 3: not within the tolerance."""
    from mdvi.mdp.names import source_of
    from mdvi.planning import files
    from mdvi.planning.certificate import certify

    given = source_of(source, discount, format_, reward)
    pi = files.policy_in(policy)
    mu = None if prior == "uniform" else files.policy_in(Path(prior))
    omega: dict[str, Any] = {"regularizer": regularizer, "criterion": criterion}
    omega["reference"] = None if reference is None else files.policy_in(reference)
    _announce(given, kl + entropy > 0)
    with _interval_bar(tolerance) as progress:
        found = certify(given.model, pi, kl, entropy, mu, tolerance, time_limit, **omega, progress=progress)
    facts = {"status": found.status, "tolerance": tolerance, "gap": found.gap, "least_gap": found.least_gap}
    facts |= {"states": given.model.states, "actions": given.model.actions, "message": found.message}
    if json_:
        typer.echo(json.dumps(facts))
    else:
        show(found.message)
    return 0 if found.status == "certified" else _NOT_CERTIFIED


def check_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model, an .npz file.", show_default=False)],
    certificate: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="A file of `mdvi solve --certificate`.", show_default=False)
    ],
) -> int:
    """Check a certificate with NumPy alone. Exit code 0: proved; 1: not proved; 2: not readable.

    This runs the program checker.py, one file that does not import mdvi, in a separate Python process.
    """
    from mdvi.shipped import shipped

    program = [sys.executable, "-P", str(shipped("checker.py")), str(model.absolute()), str(certificate.absolute())]
    return subprocess.run(program, check=False).returncode


def convert_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="A model: file, gym:ID or family.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)],
    discount: Discount = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="The format to read; default: by the suffix of IN.",
            autocompletion=suggest(*FORMATS),
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            *("--format", "--to"),
            metavar="NAME",
            help="The format to write; default: by the suffix of OUT.",
            autocompletion=suggest(*FORMATS),
        ),
    ] = None,
    reward: Reward = None,
) -> None:
    """Write a model in another format, and report translations."""
    from mdvi.mdp import write as write_model
    from mdvi.mdp.names import source_of

    check_targets(None, out=out)
    given = source_of(source, discount, from_, reward)
    for note in (*given.notes, *write_model(given.model, out, format_)):
        tell(note)
    tell(f"wrote {out}")


def _announce(given: "Given", regularized: bool) -> None:
    """Print the translations of a model, and the memory of the solution if that is large."""
    from mdvi.planning.requests import memory_of

    for note in given.notes:
        tell(note)
    needed = memory_of(given.model, regularized)
    if needed > _LARGE:
        tell(f"about {needed / 1e9:.1f} GB of memory")


@contextmanager
def _interval_bar(tolerance: float) -> Iterator[Any]:
    """A progress callback that shows the narrowing of the interval on a logarithmic scale, if stderr is a terminal."""
    from mdvi.planning.watch import narrowing
    from mdvi.progress import console_of_bars

    console = console_of_bars()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("compiling and starting", total=1.0)
        words = narrowing(tolerance)

        def update(backups: int, gap: float) -> None:
            description, done = words(backups, gap)
            bar.update(task, completed=done, description=description)

        yield update


def _facts(solution: "Solution", criterion: str) -> dict[str, Any]:
    mdp, component = solution.problem.mdp, solution.component
    decided = math.isfinite(solution.gap)
    return {
        "status": solution.status,
        "criterion": criterion,
        "tolerance": solution.tolerance,
        "gap": finite(solution.gap),
        "lower_max_error": finite(solution.least_error) if decided else None,
        "gain": finite(float(solution.value[0])) if criterion == "average" and _constant(solution) else None,
        "component": None if component is None else [mdp.names.state(int(s)) for s in component],
        "states": mdp.states,
        "actions": mdp.actions,
        "nonzeros": mdp.nonzeros,
        "method": solution.method,
        "backups": solution.backups,
        "seconds": solution.seconds,
        "message": solution.message,
    } | _cost_of(solution, criterion)


def _constant(solution: "Solution") -> bool:
    """Whether all states have the same gain, as far as it is known."""
    return math.isfinite(solution.gap) and bool(solution.lower.max() <= solution.upper.min())


def _cost_of(solution: "Solution", criterion: str) -> dict[str, Any]:
    """What the regulariser costs, where it is not Shannon's: two more solves."""
    from mdvi.planning.certificate import regularization_cost

    if solution.problem.regularizer.name == "shannon":
        return {"regularizer": "shannon"}
    if not math.isfinite(solution.gap) or criterion == "average":
        return {"regularizer": solution.problem.regularizer.name, "bias_bound": None, "certified_optimal": False}
    cost, optimal = regularization_cost(solution)
    return {
        "regularizer": solution.problem.regularizer.name,
        "bias_bound": finite(cost),
        "certified_optimal": optimal,
    }


def _table(given: "Given", solution: "Solution", kl: float, entropy: float) -> None:
    from mdvi.planning.certificate import optimal_actions, unregularized_bounds

    mdp = given.model
    omega = solution.problem.regularizer.name
    weights = f"λ = {kl:g}, τ = {entropy:g}" + ("" if omega == "shannon" else f", {omega}")
    table = Table(title=f"{mdp}\n{weights}", show_header=False)
    table.add_row("status", f"{solution.status}: {solution.message}")
    table.add_row("gap", f"{solution.gap:.3g} (tolerance {solution.tolerance:.3g})")
    first = f"state {mdp.names.state(0)}"
    start = f"{first}: {solution.value[0]:.10g} in [{solution.lower[0]:.10g}, {solution.upper[0]:.10g}]"
    table.add_row("value", f"{start}; all: {solution.value.min():.6g} … {solution.value.max():.6g}")
    if not math.isfinite(solution.gap):
        pass  # there is nothing to compare
    elif kl + entropy == 0:
        ties = int((optimal_actions(solution).sum(-1) > 1).sum())
        table.add_row("ties", f"{ties} of {mdp.states} states have several actions that may be optimal")
    elif float(mdp.discount) < 1:
        lower, upper = unregularized_bounds(solution)
        table.add_row("without λ, τ", f"{first}: in [{lower[0]:.6g}, {upper[0]:.6g}]")
    table.add_row("work", f"{solution.backups} backups of {mdp.nonzeros} transitions, {solution.seconds:.3g} s")
    show(table)


def _picture(given: "Given", solution: "Solution", kl: float, entropy: float, form: str) -> bytes:
    """The content of a file with the picture of `Solution.plot`."""
    from mdvi.report.plots import as_bytes

    return as_bytes(solution.plot(f"{given.name}, λ = {kl:g}, τ = {entropy:g}"), form)
