"""Functions that the commands share: output, atomic writes of files, and checks of options."""

import io
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from typer.core import TyperArgument, TyperCommand, TyperGroup

from mdvi.cli.names import FORMATS, MODELS, REGULARIZERS, suggest
from mdvi.extras import check_installed
from mdvi.words import integer_in, key_and_value, number_in, number_of, plain, value_of

_PLAIN: Any = {"highlight": False, "markup": False, "emoji": False}


PictureWidth = Annotated[
    str | None,
    typer.Option(
        "--width",
        metavar="column|text|INCHES",
        help="How wide pictures are: the column or the text of a paper (3.25 and 6.75 inches), or a number of inches.",
        show_default=False,
    ),
]


class Command(TyperCommand):
    """A command with a shorter help text, see `_named`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options of the command."""
        return _named(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands with a shorter help text, see `_named`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the group."""
        return _named(super().get_params(ctx))


def _named(params: list[Any]) -> list[Any]:
    """The parameters, changed so that the help shows no type for switches and arguments."""
    for param in params:
        if isinstance(param, TyperArgument):
            param.display_type_rich = lambda ctx: ""  # type: ignore[method-assign]
        elif param.is_flag:
            param.metavar = ""
    return params


def check_width(width: str | None) -> None:
    """Whether that is a width of pictures, found out before anything slow.

    Raises:
        ValueError: when it is not.
    """
    from mdvi.report.sizes import inches

    try:
        inches(width, 1.0)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def count(least: int, *names: str, help: str) -> Any:
    """An option that takes a whole number of at least `least`, written 500000, 500_000 or 5e5."""
    return typer.Option(*names, parser=_whole, callback=_at_least(least), metavar="N", help=help)


def number(help: str, *, least: int | None = None, metavar: str = "NUMBER", show_default: bool = True) -> Any:
    """An option that takes a number; if `least` is given, the number is finite and at least `least`."""
    check = None if least is None else _at_least(least)
    return typer.Option(parser=_real, callback=check, metavar=metavar, help=help, show_default=show_default)


def _whole(text: str) -> int:
    found = number_of(str(text))
    if found is None or found % 1 != 0:
        raise typer.BadParameter(f"expected a whole number, such as 1000 or 1e3, got {text!r}")
    return int(found)


def _real(text: str) -> float:
    found = number_of(str(text))
    if found is None:
        raise typer.BadParameter(f"expected a number, got {text!r}")
    return float(found)


def _at_least(least: int) -> Callable[[float | None], float | None]:
    """A check of an option, which runs before slow imports; an option that is not given passes."""

    def check(value: float | None) -> float | None:
        if value is not None and not least <= value < float("inf"):
            raise typer.BadParameter(f"expected a finite number of at least {least}, got {value}")
        return value

    return check


def tell(line: str) -> None:
    """Print a line on stderr; brackets and colons are printed literally."""
    Console(stderr=True, **_PLAIN).print(plain(line), soft_wrap=True)


def show(result: str | Table) -> None:
    """Print a line or a table on stdout; brackets and colons are printed literally."""
    if isinstance(result, str):
        Console(**_PLAIN).print(plain(result), soft_wrap=True)
    else:
        Console(**_PLAIN).print(_Shown(result))


class _Shown:
    """A table whose control characters are escaped; the title may have several lines."""

    def __init__(self, table: Table) -> None:
        self.table = table
        if isinstance(table.title, str):  # Rich would drop some characters
            table.title = _plain_lines(table.title)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.table, options):
            yield segment if segment.control else Segment(_plain_lines(segment.text), segment.style)


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def replace_what_cannot_be_printed() -> None:
    """Replace characters that the output cannot encode, such as λ in ASCII, with question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model file, gym:ID such as gym:FrozenLake-v1, or a family such as "
        "garnet:states=1000,actions=4,branching=5,seed=0 (see `mdvi list models`).",
        show_default=False,
        autocompletion=suggest(*MODELS, "gym:"),
    ),
]
Regularizer = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Ω, such as tsallis:2, lazy or divergence:2 (see `mdvi list regularizers`).",
        autocompletion=suggest(*REGULARIZERS),
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"The format of a model file, by default from its suffix: {', '.join(FORMATS)}.",
        autocompletion=suggest(*FORMATS),
    ),
]
Reward = Annotated[
    str | None, typer.Option(metavar="NAME|none", help="The rewards to read from a .tra or .drn file, or none.")
]
Discount = Annotated[float | None, number("γ; default: γ of the model. Some formats have no γ.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def finite(number: Any) -> float | int | None:
    """The number, or None, which JSON writes as null, for an infinite one."""
    return number if isinstance(number, int) else (float(number) if abs(number) != float("inf") else None)


def csv_of(columns: dict[str, Any]) -> str:
    """Columns of numbers as CSV, with a header."""
    lines = [",".join(columns)]
    lines += [",".join(f"{x:.10g}" for x in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def check_targets(plot: Path | None, *, run: Path | None = None, **files: Path | None) -> None:
    """Check before the work starts that all output files can be written; the keywords are the names of the options.

    The folder of a run may come from an untrusted source, so a path in it may not be a link that leads out of it.
    """
    from mdvi.output import check_inside, check_target

    if plot is not None:
        if plot.suffix not in (".pdf", ".png", ".svg"):
            raise ValueError(f"{plot}: expected a name ending in .pdf, .png, .svg")
        check_installed("matplotlib")
    taken: dict[Path, str] = {}
    for option, path in {**files, "plot": plot}.items():
        if path is None:
            continue
        if path in taken:
            raise ValueError(f"{path}: given for both --{taken[path]} and --{option}; use different files")
        taken[path] = option
        if run is not None:
            check_inside(path, run)
        check_target(path)


def write(files: Mapping[Path, str | bytes]) -> None:
    """Write results; from now on, Ctrl-C is ignored until all files are written."""
    from mdvi import output

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path, content in files.items():
        output.write(path, content)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def advised(error: typer.TyperException) -> str:
    """What is wrong with a command as it was typed, and where to look."""
    message: str = getattr(error, "format_message", error.__str__)()
    command = getattr(getattr(error, "ctx", None), "command_path", "")
    vague = ("Missing ", "No such option", "Got unexpected extra argument")
    if not (command and message.startswith(vague)):
        return message
    extra = message.startswith("Got ") and "=" in message
    colon = "; parameters follow a name after a colon, as in lake:size=4,discount=.9" if extra else ""
    return f"{message.removesuffix('.')}{colon}; see `{command} --help`"


def fail(message: str, code: int) -> int:
    """Print one line on stderr, and return the exit code."""
    if message:  # there is no message if the help was shown instead
        print(f"mdvi: {plain(' '.join(message.split()))}", file=sys.stderr)
    return code


def numbers_of(name: str, text: str) -> list[float]:
    """The numbers in a text, separated by commas."""
    return [number_in(name, part) for part in text.split(",")]


def settings_of(parts: list[str]) -> dict[str, Any]:
    """The settings in KEY=VALUE texts: numbers, true, false or words; widths may be written 64,64 or 64-64."""
    found = {}
    for key, value in map(key_and_value, parts):
        if key in found:
            raise ValueError(f"--set: {key} is given twice")
        widths = value.replace("-", ",").split(",")
        found[key] = [integer_in(key, width) for width in widths] if key == "hidden" else value_of(value)
    return found
