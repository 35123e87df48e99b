"""What mdvi needs, what its extras bring, and the command that a message about a missing package gives."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mdvi
from commands import run
from mdvi import extras
from mdvi.learning.acting.film import film_file
from mdvi.report import export, plots
from test_layers import CORE

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]
BROUGHT_BY = {"jaxlib": "jax", "Box2D": "gymnasium", "PIL": "pillow", "mlflow": "mlflow-skinny"}  # where names differ


def name_of(requirement):
    return re.match(r"[\w-]+", requirement)[0]


def remove(monkeypatch, package):
    """Let a package be missing, whether it has been imported or not."""
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


def check(message, package, extra):
    """Whether one sentence says what is missing, and gives the command that installs the extra, quoted for a shell."""
    sentence = f"{package} is not installed; to install the packages of mdvi's extra [{extra}], run: "
    _, found, command = message.partition(sentence)
    assert found, message
    assert "\n" not in message.strip()
    assert shlex.split(command)[:4] == [sys.executable, "-m", "pip", "install"]
    assert sorted(shlex.split(command)[4:]) == sorted(OPTIONAL[extra])


def test_the_core_is_small():
    assert {name_of(requirement) for requirement in PROJECT["dependencies"]} == CORE


def test_every_optional_package_is_brought_by_its_extra():
    assert {*OPTIONAL} == {*extras.PACKAGES, "all"}
    assert OPTIONAL["all"] == [f"mdvi[{','.join(extras.PACKAGES)}]"]
    for extra, packages in extras.PACKAGES.items():
        brought = {name_of(requirement) for requirement in OPTIONAL[extra]}
        assert {BROUGHT_BY.get(package, package.lower().replace("_", "-")) for package in packages} <= brought
        assert all(";" not in requirement for requirement in OPTIONAL[extra])


def test_other_missing_packages_are_not_explained(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match="No module named 'nowhere'"), extras.explained():
        import nowhere  # noqa: F401
    monkeypatch.setattr("importlib.metadata.requires", lambda name: None)
    assert extras.missing("jax").endswith(" install jax")  # where mdvi has no metadata


COMMANDS = {
    "plots": ("matplotlib", ("solve", "chain", "--plot", "chain.png", "--out", "chain.npz")),
    "envs": ("gymnasium", ("solve", "gym:FrozenLake-v1")),
    "atari": ("ale_py", ("train", "ALE/Pong-v5", "--steps", "1e3")),
    "tracking": ("wandb", ("train", "CartPole-v1", "--track", "wandb")),
    "ray": ("ray", ("study", "run", "figure1", "--ray", "local")),
    "video": ("imageio", ("play", "nowhere", "--video", "nowhere.mp4")),
}


@pytest.mark.parametrize("extra", COMMANDS)
def test_a_command_that_lacks_an_extra_says_how_to_install_it(capsys, monkeypatch, tmp_path, extra):
    package, arguments = COMMANDS[extra]
    monkeypatch.chdir(tmp_path)
    remove(monkeypatch, package)
    code, out, err = run(capsys, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    check(err, package, extra)
    assert list(tmp_path.rglob("*.*")) == []


CALLS = {
    "matplotlib": ("plots", lambda: plots.solution_plot(np.zeros(2), np.ones((2, 2)), 1e-6, "")),
    "PIL": ("video", lambda: film_file([np.zeros((4, 4, 3), np.uint8)], ".gif")),
    "imageio": ("video", lambda: film_file([np.zeros((4, 4, 3), np.uint8)], ".mp4")),
    "pyarrow": ("parquet", lambda: export.runs_parquet([])),
    "pgx": ("envs", lambda: mdvi.envs.NAMES["minatar-breakout"]()),
    "Box2D": ("envs", lambda: mdvi.envs.gymnasium("LunarLander-v3")),
    "gymnasium": ("envs", lambda: mdvi.envs.gymnasium("Acrobot-v1")),
    "ale_py": ("atari", lambda: mdvi.envs.atari("ALE/Pong-v5")),
}


@pytest.mark.parametrize("package", CALLS)
def test_a_function_that_lacks_a_package_says_how_to_install_it(monkeypatch, package):
    extra, call = CALLS[package]
    remove(monkeypatch, package)
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d.")]:
        monkeypatch.delitem(sys.modules, name)  # it has found Box2D already
    with pytest.raises(ModuleNotFoundError) as error:
        call()
    check(str(error.value), package, extra)


NO_LEARN = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name in ("jax", "jaxlib", "equinox", "optax", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def without_learn(code, *arguments, folder=None):
    command = [sys.executable, "-c", NO_LEARN + code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_public_name_that_needs_jax_says_so():
    done = without_learn("""
import mdvi
for name in mdvi.__all__:
    try:
        getattr(mdvi, name)
    except ModuleNotFoundError as error:
        print(name, error)
for name in ("study.run", "agents.Entry", "algorithms.vi", "bounds.avi", "envs.made", "errors.sampled"):
    room, _, member = name.partition(".")
    try:
        exec(f"from mdvi.{room} import {member}")
    except ModuleNotFoundError as error:
        print(name, error)
""")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {"bounds.avi", "envs.made", "errors.sampled"} <= lines.keys()
    assert {
        "train",
        "load",
        "iterate",
        "Scheme",
        "algorithms",
        "envs",
        "study.run",
        "agents.Entry",
        "algorithms.vi",
    } <= lines.keys()
    assert not {"solve", "certify", "mdp", "FiniteMDP", "Solution", "regularizers"} & lines.keys()
    for message in lines.values():
        check(message, message.partition(" ")[0], "learn")


@pytest.mark.parametrize(
    "arguments",
    [("train", "CartPole-v1"), ("iterate", "garnet"), ("study", "run", "figure1"), ("list", "agents"), ("cite", "vi")],
)
def test_commands_that_need_jax_say_so(arguments, tmp_path):
    done = without_learn("from mdvi.cli import main\nmain()", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    check(done.stderr, re.match(r"mdvi: (\w+)", done.stderr)[1], "learn")


def test_the_core_has_its_commands(tmp_path):
    script = """
from mdvi.cli import main
for arguments in ("list models", "list studies", "cite mdvi", "convert lake:size=4 lake.npz",
                  "solve lake.npz --certificate proof.npz", "check lake.npz proof.npz"):
    sys.argv = ["mdvi", *arguments.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, arguments
"""
    done = without_learn(script, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "wrote lake.npz\nwrote proof.npz\n")
    assert "proved: lower ≤ v* ≤ upper in all 16 states" in done.stdout
