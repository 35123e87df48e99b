"""The commands as a person or a script calls them: output, exit codes, one line for bad input, nothing half-written."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer
from rich.table import Table

from commands import run
from mdvi import algorithms, cli, envs, errors, mdp, progress
from mdvi.cli import common, names
from mdvi.learning.agents import catalogue as agents
from mdvi.learning.settings import PRESETS
from mdvi.planning.methods import METHODS
from mdvi.words import plain


@pytest.fixture
def mdvi(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


def test_version(mdvi):
    code, out, _ = mdvi("--version")
    assert code == 0
    assert out.strip() == "0.1.0"


def test_help_is_quick_because_it_does_not_import_jax():
    script = (
        "import sys; sys.argv = ['mdvi', '--help']\nfrom mdvi.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    checked = script + "sys.exit(any(m in sys.modules for m in ('jax', 'matplotlib', 'scipy', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", checked], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_list_algorithms_as_json(mdvi):
    code, out, _ = mdvi("list", "algorithms", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert len(rows) == 23
    assert {"name", "kl", "entropy", "evaluation", "reference"} <= rows["vi"].keys()
    assert rows["munchausen"]["kl"] == pytest.approx(0.027)
    assert rows["munchausen"]["entropy"] == pytest.approx(0.003)
    assert rows["softmax_dqn"]["evaluation"] == "none"
    assert rows["entropy_npg"]["evaluation"] == "entropy"


@pytest.mark.parametrize("what", ["algorithms", "models", "errors"])
def test_list_for_people(mdvi, what):
    code, out, _ = mdvi("list", what)
    assert code == 0
    assert {"algorithms": "munchausen", "models": "garnet", "errors": "sampled"}[what] in out


def test_cite(mdvi):
    assert "Munchausen Reinforcement Learning" in mdvi("cite", "munchausen")[1]
    own = mdvi("cite", "mdvi")[1]
    assert own == mdvi("cite")[1]
    assert "Leverage the Average" in own
    version = metadata.version("mdvi")
    assert own.startswith("@software{mdvi,")
    assert "author  = {{The mdvi developers}}" in own
    assert f"version = {{{version}}}" in own
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    for agent in agents.ALL:
        assert mdvi("cite", agent)[1].startswith("@")
    assert "Human-level control" in mdvi("cite", "dqn")[1]


def test_counts_may_be_written_with_an_exponent(mdvi):
    code, out, _ = mdvi("iterate", "garnet:states=5", "-k", "1e1", "--seeds", "2e0", "--json")
    assert code == 0
    assert len(json.loads(out)["loss"]) == 11
    assert json.loads(out)["seeds"] == 2


def options_of(command, path="mdvi"):
    """Every option of every command, with the command that it belongs to."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, f"{path} {name}")
    context = typer.Context(command)
    yield from ((path, param) for param in command.get_params(context) if param.param_type_name == "option")


OPTIONS = list(options_of(typer.main.get_command(cli.app)))


@pytest.mark.parametrize(
    ("command", "name"), [(command, option.opts[0]) for command, option in OPTIONS if option.metavar == "N"]
)
@pytest.mark.parametrize("text", ["1.5", "many", "inf", "-1", "1e400"])
def test_every_count_refuses_what_is_no_whole_number(mdvi, command, name, text):
    needed = {
        "play": ("run", "--video", "x.gif"),
        "evaluate": ("run",),
        "export": ("run", "x.npz"),
        "iterate": ("lake",),
    }
    words = command.split()[1:]
    code, out, err = mdvi(*words, *needed.get(words[-1], ()), name, text)
    assert (code, out) == (2, "")
    assert re.search(rf"'{name}'.*: expected a (whole|finite) number.*, got '?{text}'?", err), err


def test_the_help_names_what_is_typed_and_shows_no_types(mdvi):
    code, out, _ = mdvi("train", "--help")
    assert code == 0
    assert re.search(r"--steps +N ", out)
    assert re.search(r"--json +Print JSON", out)
    for command, option in OPTIONS:
        assert bool(option.metavar) != option.is_flag, (command, option.name)


SUGGESTED = {
    "train --agent mun": ["munchausen"],
    "train probe-c": ["probe-constant", "probe-chosen"],
    "train Cart": ["CartPole-v1"],
    "solve garn": ["garnet"],
    "solve lake --method gauss": ["gauss-seidel"],
    "iterate lake --algorithm spee": ["speedy_q"],
    "iterate lake --errors sam": ["sampled"],
    "convert x y --from cass": ["cassandra"],
    "train CartPole-v1 --preset carT": [],
    "train CartPole-v1 --preset cart": ["cartpole"],
    "study run figure": ["figure1"],
    "cite md": ["mdvi", "md_vi", "md-direct", "md-indirect"],
    "list mo": ["models"],
}


@pytest.mark.parametrize("typed", SUGGESTED)
def test_the_shell_completes_names(capsys, monkeypatch, typed):
    monkeypatch.setenv("_MDVI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"mdvi {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    with pytest.raises(SystemExit):
        cli.app(prog_name="mdvi")
    assert capsys.readouterr().out.split() == SUGGESTED[typed]


def test_completion_imports_nothing_slow():
    script = (
        "import os, sys; os.environ.update(_MDVI_COMPLETE='complete_bash', COMP_WORDS='mdvi cite m', COMP_CWORD='2')\n"
        "from mdvi.cli import app\ntry: app(prog_name='mdvi')\nexcept SystemExit: pass\n"
        "sys.exit(any(m in sys.modules for m in ('jax', 'matplotlib', 'scipy', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "munchausen" in done.stdout


def test_names_that_are_completed_are_the_names_there_are():
    assert list(agents.ALL) == list(names.AGENTS)
    assert list(algorithms.ALL) == list(names.ALGORITHMS)
    assert list(envs.NAMES) == list(names.ENVIRONMENTS)
    assert list(errors.ALL) == list(names.ERRORS)
    assert list(mdp.FORMATS) == list(names.FORMATS)
    assert list(mdp.FAMILIES) == list(names.MODELS)
    assert ["auto", *METHODS] == list(names.METHODS)
    assert ["paper", *PRESETS] == list(names.PRESETS)


def test_iterate_for_scripts(mdvi, tmp_path):
    table, picture = tmp_path / "deep" / "run.csv", tmp_path / "run.svg"
    code, out, _ = mdvi(
        *("iterate", "garnet", "states=12", "discount=.8", "--kl", ".1", "--errors", "sampled", "--iterations", 30),
        *("--seeds", 3, "--csv", table, "--plot", picture, "--json"),
    )
    result = json.loads(out)
    assert code == 0
    assert result["theorem"] == "theorem 1"
    assert result["kl"] == 0.1
    assert len(result["loss"]) == 31
    assert result["bound"][0] is None
    assert all(loss <= bound for loss, bound in zip(result["loss"][1:], result["bound"][1:], strict=True))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == pytest.approx(result["loss"])
    assert "<svg" in picture.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "run.svg"]


def test_iterate_for_people(mdvi):
    code, out, _ = mdvi("iterate", "FrozenLake-v1", "is_slippery=False", "discount=.9", "--algorithm", "vi", "-k", 20)
    assert code == 0
    assert "bound: avi" in out
    code, out, _ = mdvi("iterate", "chain", "--algorithm", "mpi:backups=3", "--errors", "gaussian=.1", "-k", 5)
    assert code == 0
    assert "no theorem" in out


SPELLINGS = [
    ("chain:states=9,discount=.8",),
    ("chain", "states=9", "discount=.8"),
    ("chain:states=9", "discount=.8"),
    ("chain:states=9", "--discount", ".8"),
    ("chain", "states=9", "discount=.5", "--discount", ".8"),
]


def test_a_model_has_one_grammar_in_every_command(mdvi, tmp_path):
    def iterated(*source):
        code, out, err = mdvi("iterate", *source, "-k", 4, "--json")
        assert code == 0, err
        return json.loads(out)

    first = iterated(*SPELLINGS[0])
    assert all(iterated(*spelling) == first for spelling in SPELLINGS[1:])
    for name in ("chain.csv", "chain.txt"):
        assert mdvi("convert", SPELLINGS[0][0], tmp_path / name, "--format", "csv")[0] == 0
    for source in ((tmp_path / "chain.csv",), (tmp_path / "chain.txt", "--format", "csv")):
        assert iterated(*source)["loss"] == first["loss"]
        assert mdvi("solve", *source, "--json")[0] == 0
    code, _, err = mdvi("iterate", tmp_path / "chain.csv", "states=3")
    assert (code, err.count("\n")) == (2, 1)
    assert "a file takes no parameters, got 'states=3'" in err
    lakes = ["gym:FrozenLake-v1,is_slippery=False", "FrozenLake-v1:is_slippery=False"]
    assert iterated(lakes[0]) == iterated(lakes[1]) == iterated("FrozenLake-v1", "is_slippery=False")


def test_lists_need_no_docstrings():
    script = """
import sys
from mdvi.cli import main
for what in ("algorithms", "agents", "models", "envs", "errors"):
    sys.argv = ["mdvi", "list", what, "--json"]
    try: main()
    except SystemExit as stop: assert not stop.code, what
"""
    done = subprocess.run([sys.executable, "-OO", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count('"name": ') > 50


@pytest.mark.parametrize(
    "arguments", [("solve", "chain"), ("iterate", "chain", "-k", "2"), ("list",), ("solve", "--help")]
)
def test_where_only_ascii_is_shown_the_rest_is_replaced(arguments):
    command = "from mdvi.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"?" in done.stdout
    assert done.stderr == b""


EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b1m\u202e\r\x08\x7f b"
HARMLESS = plain(EVIL)


def raw(text):
    return [char for char in text if not char.isprintable() and char != "\n"]


def test_names_from_elsewhere_are_shown_and_not_acted_upon(mdvi, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert mdvi("convert", "chain", f"{EVIL}.csv")[0] == 0
    for arguments in (
        ("solve", f"{EVIL}.csv", "--out", f"{EVIL}.npz", "--plot", f"{EVIL}.svg"),
        ("iterate", f"{EVIL}.csv", "-k", 2, "--csv", f"{EVIL}2.csv"),
        ("solve", EVIL),
        ("iterate", f"{EVIL}-v1"),
        ("iterate", "chain", f"{EVIL}=3"),
        ("iterate", "chain", "--algorithm", EVIL),
        ("solve", "chain", "--prior", f"{EVIL}.npz"),
        ("solve", f"chain:{EVIL}"),
        ("list", EVIL),
        ("train", EVIL),
        ("train", "CartPole-v1", "--set", EVIL),
        ("evaluate", EVIL),
        ("study", "status", f"{EVIL}.toml"),
        (EVIL,),
        ("solve", f"--{EVIL}"),
    ):
        _, out, err = mdvi(*arguments)
        assert not raw(out + err), arguments
    monkeypatch.setattr(progress.time, "monotonic", itertools.count(step=100).__next__)
    with progress.bars_on_stderr() as track:
        track(EVIL, 5)(1)
        track(EVIL, 5)(2)
    table = Table(title=f"{EVIL}\nλ")
    table.add_column(EVIL)
    table.add_row(EVIL)
    common.show(table)
    common.show(EVIL)
    common.tell(EVIL)
    out, err = capsys.readouterr()
    assert not raw(out + err)
    assert HARMLESS in out
    assert HARMLESS in err
    assert "λ" in out


BAD = {
    "unknown command": (["solv"], "solv"),
    "unknown option": (["iterate", "garnet", "--lambda", ".1"], "--lambda"),
    "not a number": (["iterate", "garnet", "--kl", "much"], "'--kl'"),
    "negative kl": (["iterate", "garnet", "--kl", "-1"], "'--kl': expected a finite number of at least 0, got -1.0"),
    "nan entropy": (
        ["iterate", "garnet", "--entropy", "nan"],
        "'--entropy': expected a number, got 'nan'",
    ),
    "unknown model": (
        ["iterate", "garnett"],
        "unknown model 'garnett', and there is no such file; did you mean 'garnet'?",
    ),
    "unknown parameter": (
        ["iterate", "garnet", "state=3"],
        "garnet: unknown parameter 'state'; did you mean 'states'?",
    ),
    "not key=value": (["iterate", "garnet", "30"], "expected KEY=VALUE, got '30'"),
    "value of a parameter": (["iterate", "garnet", "states=many"], "states: expected an integer, got 'many'"),
    "bad discount": (["iterate", "garnet", "discount=1"], "discount: expected a number in [0, 1), got 1.0"),
    "gym id": (["iterate", "FrozenLake-v77"], "FrozenLake-v77"),
    "gym without table": (["iterate", "CartPole-v1"], "no transition table"),
    "gym option": (["iterate", "FrozenLake-v1", "map_name=9x9"], "FrozenLake-v1 with {'map_name': '9x9'}: KeyError"),
    "infinite temperature": (
        ["iterate", "chain", "--kl", "1e308", "--entropy", "1e308"],
        "temperature: expected a finite number of at least 0, got inf",
    ),
    "dense evaluation": (["iterate", "chain", "states=1000000"], "the exact evaluation of 1000000 states"),
    "unknown algorithm": (["iterate", "chain", "--algorithm", "munchhausen"], "did you mean 'munchausen'?"),
    "algorithm parameter": (["iterate", "chain", "--algorithm", "munchausen:alfa=1"], "did you mean 'alpha'?"),
    "both": (["iterate", "chain", "--algorithm", "vi", "--kl", "1"], "give either --algorithm, or --kl and --entropy"),
    "unknown errors": (["iterate", "chain", "--errors", "gausian=1"], "did you mean 'gaussian'?"),
    "errors without number": (["iterate", "chain", "--errors", "gaussian"], "needs a number, as in gaussian=0.1"),
    "errors with a number": (["iterate", "chain", "--errors", "none=3"], "--errors none: takes no number, got 3"),
    "given twice": (["iterate", "chain", "states=3", "states=4"], "chain: states is given twice"),
    "one file for two": (
        ["iterate", "chain", "--csv", "x.png", "--plot", "x.png"],
        "x.png: given for both --csv and --plot",
    ),
    "long name": (["iterate", "chain", "--csv", "x" * 300], "File name too long"),
    "gym's own argument": (["iterate", "FrozenLake-v1", "environment=3"], "FrozenLake-v1 with {'environment': 3}"),
    "old gym id": (["iterate", "FrozenLake-v0"], "FrozenLake-v0"),
    "too many models": (["reproduce", "figure1", "--garnets", "1000000000"], "record: the trace would need"),
    "too many samples": (["iterate", "chain", "-k", "1", "--errors", "sampled=1000000000000"], "not enough memory"),
    "zero samples": (["iterate", "chain", "--errors", "sampled=0"], "samples: expected an integer of at least 1"),
    "zero iterations": (["iterate", "chain", "-k", "0"], "'-k': expected a finite number of at least 1, got 0"),
    "zero seeds": (["iterate", "chain", "--seeds", "0"], "'--seeds': expected a finite number of at least 1, got 0"),
    "plot format": (["iterate", "chain", "--plot", "x.bmp"], "x.bmp: expected a name ending in"),
    "list": (["list", "algorithm"], "did you mean 'algorithms'?"),
    "cite": (["cite", "munchhausen"], "did you mean 'munchausen'?"),
    "no model": (["solve"], "Missing argument 'MODEL'; see `mdvi solve --help`"),
    "parameters apart": (["solve", "lake", "size=4"], "after a colon, as in lake:size=4"),
    "one garnet": (
        ["reproduce", "figure1", "--garnets", "1"],
        "'--garnets': expected a finite number of at least 2, got 1",
    ),
    "negative seed": (
        ["reproduce", "figure1", "--seed", "-1"],
        "'--seed': expected a finite number of at least 0, got -1",
    ),
    "unknown figure": (["reproduce", "figure17"], "figure17"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(mdvi, monkeypatch, tmp_path, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    code, out, err = mdvi(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("mdvi: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[], ["reproduce"]])
def test_a_command_without_its_own_command_shows_the_help(mdvi, command):
    code, out, err = mdvi(*command)
    assert code == 2
    assert "Usage: mdvi" in out
    assert err == ""


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(mdvi, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = mdvi("reproduce", "figure1", "--out", tmp_path / "file" / "below")
    assert code == 2
    assert err == f"mdvi: cannot write to {tmp_path}/file/below/figure1.csv: Not a directory\n"
    assert mdvi("iterate", "chain", "--csv", tmp_path)[0] == 2
    assert mdvi("iterate", "chain", "--csv", "/proc/version")[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_refused_is_not_made(mdvi, tmp_path):
    assert mdvi("iterate", "chan", "--csv", tmp_path / "new" / "x.csv")[0] == 2
    (tmp_path / "report.html").mkdir()
    code, _, err = mdvi("reproduce", "figure1", "--out", tmp_path)
    assert (code, err) == (2, f"mdvi: cannot write to {tmp_path}/report.html: it is a folder; name a file\n")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_link_is_followed_and_a_pipe_is_written_to(mdvi, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "new" / "target.csv")
    (tmp_path / "new").mkdir()
    assert mdvi("iterate", "chain", "-k", "2", "--csv", tmp_path / "link.csv")[0] == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "new" / "target.csv").read_text().startswith("iteration,loss")
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    assert mdvi("iterate", "chain", "-k", "2", "--csv", tmp_path / "pipe")[0] == 0
    assert reader.communicate(timeout=60)[0].startswith("iteration,loss")
    inlet, outlet = os.pipe()
    assert mdvi("iterate", "chain", "-k", "2", "--csv", f"/dev/fd/{outlet}")[0] == 0
    assert os.read(inlet, 14) == b"iteration,loss"
    os.close(inlet)
    os.close(outlet)


def test_divergence_is_exit_code_3(mdvi, monkeypatch):
    import mdvi.laboratory.iterate as loop

    def diverge(*arguments, **options):
        raise FloatingPointError("q stopped being finite at iteration 3")

    monkeypatch.setattr(loop, "iterate", diverge)
    assert mdvi("iterate", "chain") == (3, "", "mdvi: q stopped being finite at iteration 3\n")


INTERRUPTED = {
    "between two chunks of the loop": """
import mdvi.laboratory.iterate as loop
loop._check_finite = interrupt
""",
    "in a callback that loses exceptions": """
import gc
gc.callbacks.append(interrupt)
""",
}


@pytest.mark.parametrize("moment", INTERRUPTED)
def test_an_interrupt_is_exit_code_130_and_leaves_nothing(tmp_path, moment):
    script = f"""
import os, signal
def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
from mdvi import cli
import mdvi.study.figure1
reproduce = mdvi.study.figure1.run
def run(*arguments):
    {INTERRUPTED[moment].strip().replace(chr(10), chr(10) + "    ")}
    return reproduce(*arguments)
mdvi.study.figure1.run = run
cli.main()
"""
    arguments = ["reproduce", "figure1", "--garnets", "2", "--iterations", "300", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "mdvi: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_heard_while_libraries_are_imported():
    script = """
import importlib.abc, os, signal, sys
class Early(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Early())
from mdvi.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script, "list"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mdvi: interrupted; nothing was written\n")


def test_a_reader_that_leaves_is_not_an_error():
    command = f"{sys.executable} -c 'from mdvi.cli import main; main()' list | true"
    assert subprocess.run(command, shell=True, capture_output=True, check=False).stderr == b""
