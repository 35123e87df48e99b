"""Commands of learning: train, evaluate, play, plot, export."""

import json
import math
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mdvi.cli.common import Json, PictureWidth, check_targets, check_width, count, number, show, tell, write
from mdvi.cli.names import AGENTS, ENVIRONMENTS, MODELS, PRESETS, suggest
from mdvi.extras import check_installed
from mdvi.progress import bars_on_stderr

if TYPE_CHECKING:
    from mdvi.learning.train import Run

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run.")]
BestPolicy = Annotated[
    bool, typer.Option("--best", help="Use the policy with the best evaluation during training, not the last one.")
]
OwnEnv = Annotated[
    str | None,
    typer.Option("--env", metavar="ENV", help="The environment of the run, if it is a class of your own."),
]
Member = Annotated[int, count(0, help="The member of the population.")]
Sampled = Annotated[bool, typer.Option("--sampled", help="Sample actions; default: the most probable action.")]


def setting_meant(error: typer.TyperException) -> str:
    """What to type instead of an option that `mdvi train` does not have, where a setting has its name."""
    option = str(getattr(error, "option_name", "")).removeprefix("--").replace("-", "_")
    context: Any = getattr(error, "ctx", None)
    if not option or context is None or context.command.name != "train":
        return ""
    from mdvi.learning.request import DISCOUNT, setting_called

    typed, setting = error.option_name, setting_called(option)  # type: ignore[attr-defined]
    if option in ("gamma", "discount"):
        return f"No such option: {typed}; {DISCOUNT}"
    if any(setting == param.name for param in context.command.params):
        return f"No such option: {typed}; did you mean --{str(setting).replace('_', '-')}?"
    return f"No such option: {typed}; it is a setting, --set {setting}=…" if setting else ""


def train_command(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="ENV",
            help="The environment, see `mdvi list envs`; not needed to resume the run in --out.",
            autocompletion=suggest(*ENVIRONMENTS, *MODELS),
        ),
    ] = None,
    agent: Annotated[
        str,
        typer.Option(metavar="NAME", help="The agent, see `mdvi list agents`.", autocompletion=suggest(*AGENTS)),
    ] = "munchausen",
    kl: Annotated[str | None, typer.Option(metavar="NUMBERS", help="λ, or several values: 0.01,0.1,1")] = None,
    entropy: Annotated[str | None, typer.Option(metavar="NUMBERS", help="τ, or several values.")] = None,
    beta: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="β = λ/(λ + τ) instead of λ, or several values.")
    ] = None,
    learning_rate: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="The learning rate, or several values.")
    ] = None,
    no_kl: Annotated[bool, typer.Option("--no-kl-in-evaluation", help="Leave the KL out of the evaluation.")] = False,
    no_entropy: Annotated[
        bool, typer.Option("--no-entropy-in-evaluation", help="Leave the entropy out of the evaluation.")
    ] = False,
    seeds: Annotated[int, count(1, help="The number of seeds.")] = 1,
    seed: Annotated[int, count(0, help="The first seed.")] = 0,
    steps: Annotated[
        int | None,
        count(
            1,
            help="Environment steps of each member, rounded up to whole lines of metrics; default: the steps of the "
            "preset. More steps continue a finished run.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"Sizes to start from: {', '.join(PRESETS)}.", autocompletion=suggest(*PRESETS)
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. hidden=64,64.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder of the run; a run in it is resumed.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="Start from the networks of another run; RUN:2 for its member 2."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse a folder that is not empty.")] = False,
    checkpoint_every: Annotated[float, number("The time between checkpoints.", least=0, metavar="SECONDS")] = 60.0,
    memory: Annotated[
        float | None, number("Bytes of memory to use; default: 80 % of the free memory.", least=0)
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write the metrics to this folder for TensorBoard.")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="wandb|mlflow", help="Also send metrics there.", autocompletion=suggest("wandb", "mlflow")
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Train an agent: all seeds and all points of the grid side by side; training can be resumed at any time."""
    from mdvi.cli import common
    from mdvi.learning import train
    from mdvi.learning.request import check_settings
    from mdvi.learning.runs.run import Report
    from mdvi.learning.runs.signals import Interrupted
    from mdvi.learning.runs.track import tracker

    numbers = {
        name: None if text is None else common.numbers_of(name, text)
        for name, text in (("kl", kl), ("entropy", entropy), ("beta", beta), ("learning_rate", learning_rate))
    }
    if env is None:
        if out is None:
            raise ValueError("ENV: give an environment (see `mdvi list envs`), or the folder of a run with --out")
        options = (kl, entropy, beta, learning_rate, preset, set_), (agent, seeds, seed, no_kl, no_entropy)
        if any(options[0]) or options[1] != ("munchausen", 1, 0, False, False):
            raise ValueError(
                "ENV is required with these options; without ENV, the run in --out is resumed with its original "
                "settings, or for more --steps"
            )
        request = train.request_in(out) | ({} if steps is None else {"steps": steps})
    else:
        settings = common.settings_of(set_ or [])
        check_settings(settings)
        request = numbers | {
            "env": env,
            "agent": agent,
            "evaluate_kl": False if no_kl else None,
            "evaluate_entropy": False if no_entropy else None,
            "seeds": range(seed, seed + seeds),
            "steps": steps,
            "preset": preset,
            **settings,
        }
    where: dict[str, Any] = {
        "out": out,
        "fresh": fresh,
        "checkpoint_every": checkpoint_every,
        "memory": memory,
        "start": start,
    }
    with bars_on_stderr() as track_bar, tracker(tensorboard, track, tell) as tables:

        def progress(done: int, goal: int) -> None:
            track_bar("training", goal)(done)

        try:
            run = train.train(**request, **where, report=Report(progress, tell, tables))
        except Interrupted as stop:
            kept = f"; saved in {out}, the same command continues" if out else "; nothing was saved (no --out)"
            tell(f"mdvi: {stop}{kept}")
            raise typer.Exit(128 + stop.number) from None
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # everything is written
    if json_:
        typer.echo(json.dumps(run.summary))
    else:
        _show(run, out)
    if run.summary["status"] != "ok":
        raise FloatingPointError(run.summary["status"])


def evaluate_command(
    folder: RunFolder,
    episodes: Annotated[int, count(1, help="Episodes of each member.")] = 100,
    sampled: Sampled = False,
    epsilon: Annotated[float, number("The probability of a random action.")] = 0.0,
    seed: Annotated[int, count(0, help="The seed of the episodes.")] = 0,
    limit: Annotated[int, count(1, help="Steps after which an episode is stopped.")] = 27_000,
    best: BestPolicy = False,
    env: OwnEnv = None,
    json_: Json = False,
) -> None:
    """Play episodes with every trained policy."""
    from mdvi.report.stats import averaged, in_words, short

    run = _load(folder, env, best)
    rows: list[dict[str, Any]] = []
    with bars_on_stderr() as track:
        bar = track("evaluating", len(run))
        for member in range(len(run)):
            returns, lengths = run.evaluate(episodes, member, seed=seed, sampled=sampled, epsilon=epsilon, limit=limit)
            mean, reach = averaged(returns)
            rows.append({
                "member": member,
                "seed": int(_of(run, member, "seed")),
                **{name: _of(run, member, name) for name in ("kl", "entropy")},
                "episodes": episodes,
                "mean_return": mean,
                "interval": reach if math.isfinite(reach) else None,
                "mean_length": float(lengths.mean()),
                "status": run.population.log.status[member] or "ok",
            })  # fmt: skip
            bar(member + 1)
    acting = "a sample of the policy" if sampled else "the most probable action"
    acting += f", random with probability {epsilon:g}" if epsilon else ""
    if json_:
        typer.echo(json.dumps({"acting": acting, "members": rows}))
        return
    table = Table(title=f"{run.config['env']}, {run.config['agent']}: {episodes} episodes, {acting}")
    for name in ("member", "seed", "λ", "τ", "return, ± 95 %", "length"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = (short(float(row[name])) for name in ("kl", "entropy"))
        reach = math.nan if row["interval"] is None else float(row["interval"])
        scores = in_words(float(row["mean_return"]), reach), short(float(row["mean_length"]))
        table.add_row(str(row["member"]), str(row["seed"]), *numbers, *scores)
    show(table)
    for row in rows:
        if row["status"] != "ok":
            tell(f"mdvi: member {row['member']} failed in training: {row['status']}")


def play_command(
    folder: RunFolder,
    video: Annotated[Path, typer.Option(metavar="FILE", help="The .gif or .mp4 file to write.", show_default=False)],
    member: Member = 0,
    sampled: Sampled = False,
    seed: Annotated[int, count(0, help="The seed of the episode.")] = 0,
    limit: Annotated[int, count(1, help="The largest number of steps.")] = 1000,
    best: BestPolicy = False,
    env: OwnEnv = None,
) -> None:
    """Film one episode of a trained policy."""
    from mdvi.learning.acting.film import film_file

    check_targets(None, run=folder, video=video)
    if video.suffix not in (".gif", ".mp4"):
        raise ValueError(f"{video}: expected a name ending in .gif or .mp4")
    check_installed(*(("PIL",) if video.suffix == ".gif" else ("imageio", "imageio_ffmpeg")))
    run = _load(folder, env, best)
    frames, total = run.film(member, seed=seed, sampled=sampled, limit=limit)
    write({video: film_file(frames, video.suffix)})
    tell(f"return {total:g} in {len(frames) - 1} steps; wrote {video}")


def plot_command(
    folder: RunFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .png, .svg or .pdf file; default: RUN/curves.png.")
    ] = None,
    width: PictureWidth = None,
) -> None:
    """Draw learning curves; if λ and τ both vary, also draw the cells, in …-cells."""
    from mdvi.learning.runs.record import read_config, read_metrics, read_summary
    from mdvi.report.learning import curves_of, grid_of, lines_of
    from mdvi.report.plots import as_bytes, cells_plot
    from mdvi.report.seeds import learning_plot

    check_width(width)
    path = out or folder / "curves.png"
    second = path.with_name(f"{path.stem}-cells{path.suffix}")
    check_targets(path, run=folder, cells=second)
    config, metrics = read_config(folder), read_metrics(folder)
    if sound := _sound(read_summary(folder)):  # as in the table of `mdvi train`; if all members failed, all are drawn
        metrics = lines_of(metrics, sound)
    title = f"{config['env']}, {config['agent']}, {len(config['seeds'])} seeds"
    files: dict[Path, str | bytes] = {path: as_bytes(learning_plot(curves_of(metrics), title, width), path.suffix[1:])}
    grid = grid_of(metrics)
    if grid is not None:
        files[second] = as_bytes(cells_plot(*grid[:3], title, grid.reach, width), path.suffix[1:])
    write(files)
    for name in files:
        tell(f"wrote {name}")


def export_command(
    folder: RunFolder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The .npz file to write; a .py file is written next to it.")
    ],
    member: Member = 0,
    best: BestPolicy = False,
    env: OwnEnv = None,
) -> None:
    """Export a policy: its arrays, and a program that evaluates them with NumPy alone."""
    from mdvi.learning.acting import export

    program = export.program_beside(file)
    check_targets(None, run=folder, file=file, program=program)
    run = _load(folder, env, best)
    write(export.files_of(file, run.env, *run.networks(member)))
    tell(f"wrote {file} and {program}")


def _of(run: "Run", member: int, name: str) -> float:
    """A number of a member, from its first line of metrics."""
    return float(run.metrics[name][run.metrics["member"] == member][0])


def _load(folder: Path, env: str | None, best: bool) -> "Run":
    from mdvi.learning.train import load

    run = load(folder, env, tell)
    return run.best if best else run


def _show(run: "Run", out: Path | None) -> None:
    """Print the results of each cell."""
    from mdvi.report.learning import COLUMNS

    steps = run.summary["members"][0]["env_steps"]
    table = Table(
        title=f"{run.config['env']}, {run.config['agent']}: {steps} environment steps\n"
        "mean return over seeds, ± 95 % from three seeds on"
    )
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for results in run.results:
        table.add_row(*results.row)
    show(table)
    if out is not None:
        show(f"next: mdvi plot {shlex.quote(str(out))}")


def _sound(summary: dict[str, Any]) -> list[int]:
    """The members that did not fail, from a summary that may be malformed; empty if it is."""
    members = summary.get("members")
    return [
        number
        for number, member in enumerate(members if isinstance(members, list) else [])
        if isinstance(member, dict) and member.get("status") == "ok"
    ]
