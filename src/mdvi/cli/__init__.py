"""The command line.

Exit codes: 0 done, 2 bad input (one line on stderr), 3 not certified or diverged, 129 terminal closed,
130 interrupted, 143 terminated; `mdvi check` exits with 1 if a certificate is not proved.
"""

import os
import signal
import sys
from typing import Annotated

import typer

from mdvi.cli import laboratory, learning, planning
from mdvi.cli.common import Command, Group, advised, fail, replace_what_cannot_be_printed
from mdvi.cli.laboratory import figure1, regularizers
from mdvi.cli.study import study
from mdvi.extras import explained
from mdvi.interrupt import interrupted

app = typer.Typer(
    help="Planning and learning with KL and entropy regularisation: one scheme, two numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
)
reproduce = typer.Typer(
    help="Repeat a figure of the paper, or do it with other regularisers.", no_args_is_help=True, cls=Group
)
app.add_typer(reproduce, name="reproduce")
app.add_typer(study, name="study")

app.command("solve", cls=Command)(planning.solve_command)
app.command("certify", cls=Command)(planning.certify_command)
app.command("check", cls=Command)(planning.check_command)
app.command("convert", cls=Command)(planning.convert_command)
app.command("iterate", cls=Command)(laboratory.iterate_command)
reproduce.command("figure1", cls=Command)(figure1)
reproduce.command("regularizers", cls=Command)(regularizers)
app.command("train", cls=Command)(learning.train_command)
app.command("evaluate", cls=Command)(learning.evaluate_command)
app.command("play", cls=Command)(learning.play_command)
app.command("plot", cls=Command)(learning.plot_command)
app.command("export", cls=Command)(learning.export_command)
app.command("list", cls=Command)(laboratory.list_command)
app.command("cite", cls=Command)(laboratory.cite)


def main() -> None:
    """Run a command; convert an error into one line and an exit code."""
    before = signal.signal(signal.SIGINT, interrupted)
    replace_what_cannot_be_printed()
    try:
        with explained():
            code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        code = fail(learning.setting_meant(error) or advised(error), 2)
    except (ValueError, OverflowError, ModuleNotFoundError) as error:
        code = fail(str(error), 2)
    except BrokenPipeError:
        os._exit(141)  # the reader of the output has exited, so a message is useless
    except OSError as error:
        code = fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except FloatingPointError as error:
        code = fail(str(error), 3)
    except MemoryError as error:
        code = fail(f"not enough memory: {error}", 2)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # the error of XLA for lack of memory
            raise
        code = fail(f"not enough memory: {error}", 2)
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that come before a command."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(version_of("mdvi"))
        raise typer.Exit
