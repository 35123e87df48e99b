"""Tables that the program itself knows best: commands with their options, settings, presets, and what has a name."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer.main
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mdvi
from mdvi.cli import app as command_line
from mdvi.learning.agents import catalogue
from mdvi.learning.settings import PRESETS, Settings


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", r"\|")


def _code(text: object) -> str:
    return f"`{_cell(text)}`" if str(text) else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _first_line(value: Any) -> str:
    return _cell((inspect.getdoc(value) or "").partition("\n")[0])


def _signature(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(
        p.name if p.default is p.empty else f"{p.name}={p.default:g}" if isinstance(p.default, float) else
        f"{p.name}={p.default}"
        for p in parameters
    )  # fmt: skip


def _algorithms() -> str:
    rows = (
        [_code(row.name), _code(_signature(row.scheme)), _cell(row.mapping), _cell(row.summary)]
        for row in mdvi.algorithms.ALL.values()
    )
    return _table(("name", "parameters", "(λ, τ)", ""), rows)


def _agents() -> str:
    rows = (
        [
            _code(entry.name),
            _cell(entry.construction.name),
            *("" if number is None else f"{number:g}" for number in (entry.kl, entry.entropy, entry.beta)),
            _cell(entry.summary),
        ]
        for entry in catalogue.ALL.values()
    )
    return _table(("name", "construction", "`kl`", "`entropy`", "`beta`", ""), rows)


def _functions(table: dict[str, Callable[..., Any]]) -> str:
    rows = ([_code(name), _code(_signature(make)), _first_line(make)] for name, make in table.items())
    return _table(("name", "parameters", ""), rows)


def _settings() -> str:
    rows = (
        [_code(name), _code(field.default), _cell(field.description or "")]
        for name, field in Settings.model_fields.items()
    )
    return _table(("setting", "`Settings()` has", "what it is"), rows)


def _presets() -> str:
    names = [name for name in Settings.model_fields if name != "diagnostics"]
    presets = PRESETS.values()
    rows = [[_code(name), *(_code(getattr(preset.settings, name)) for preset in presets)] for name in names]
    numbers = dict.fromkeys(name for preset in presets for name in preset.numbers)
    rows += [[_code(name), *(_code(preset.numbers.get(name, "")) for preset in presets)] for name in numbers]
    rows += [["`steps`", *(_code(preset.steps) for preset in presets)]]
    return _table(("", *map(_code, PRESETS)), rows)


def _formats() -> str:
    rows = (
        [_code(form.name), " ".join(map(_code, form.suffixes)), _cell(form.summary)]
        for form in mdvi.mdp.FORMATS.values()
    )
    return _table(("format", "files", ""), rows)


TABLES: dict[str, Callable[[], str]] = {
    "agents": _agents,
    "algorithms": _algorithms,
    "environments": lambda: _functions(mdvi.envs.NAMES),
    "errors": lambda: _functions(mdvi.errors.ALL),
    "families": lambda: _functions(mdvi.mdp.FAMILIES),
    "formats": _formats,
    "presets": _presets,
    "settings": _settings,
}


class Table(SphinxDirective):
    """`{table-of} agents`: the table of that name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        return self.parse_text_to_nodes(TABLES[self.arguments[0]]())


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below this one, and its words."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _commands(below, (*path, name))
    else:
        yield path, command


def _option(parameter: Any) -> list[str]:
    words = ", ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    known = isinstance(default, str | int | float) and not isinstance(default, bool)
    shown = f"{default:g}" if isinstance(default, float) else default if known else ""
    return [words, _code(shown), _cell(parameter.help or "")]


class Commands(SphinxDirective):
    """`{commands}`: each command of the shell with its usage, its text and its options."""

    def run(self) -> list[nodes.Node]:
        """A section for each."""
        found: list[nodes.Node] = []
        for path, command in _commands(typer.main.get_command(command_line), ("mdvi",)):
            takes = [p for p in command.params if not p.opts[0].startswith("-")]
            options = [p for p in command.params if p.opts[0].startswith("-") and p.name != "help"]
            usage = " ".join(
                [*path, *((p.metavar or p.name or "").upper() for p in takes), "[OPTIONS]" * bool(options)]
            )
            text = f"```sh\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n\n"
            if takes:
                rows = (
                    [_code((p.metavar or p.name or "").upper()), _cell(getattr(p, "help", "") or "")] for p in takes
                )
                text += _table(("argument", ""), rows) + "\n"
            if options:
                text += _table(("option", "default", ""), map(_option, options))
            title = " ".join(path)
            section = nodes.section(ids=[nodes.make_id(title)], names=[title])
            section += nodes.title(title, "", nodes.literal(title, title))
            section += self.parse_text_to_nodes(text)
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, Any]:
    """The directives."""
    app.add_directive("table-of", Table)
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
