"""Code runs where the user names it and nowhere else, and then only what makes environments."""

import contextlib
import functools
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import gymnasium
import pytest
import typer

import mdvi as library
from commands import run
from forged import forge
from mdvi import cli, door, mdp
from mdvi.envs import names
from mdvi.study.execute import execute
from mdvi.study.plan import plan_of
from mdvi.study.spec import read
from mdvi.study.store import NAME, Store

MARK = "import pathlib\npathlib.Path({mark!r}).write_text('imported')\n"
STRANGER = """
import functools, gymnasium, subprocess
from functools import partial, wraps
from gymnasium import Env
from os import system as brought
from helper import brought_along

class World(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(0, 1, (1,)), gymnasium.spaces.Discrete(2)
    def __init__(self, **options): self.options = options
    def reset(self, *, seed=None, options=None): return self.observation_space.sample(), {{}}
    def step(self, action): return self.observation_space.sample(), 0.0, True, False, {{}}

class Sub(World): pass
class Other:
    def __init__(self, *a, **k): pathlib.Path({mark!r}).write_text("called")
class Caller:
    def __call__(self, **k) -> gymnasium.Env: pathlib.Path({mark!r}).write_text("called")

def called(**k): pathlib.Path({mark!r}).write_text("called")
def makes(**k) -> gymnasium.Env: return World(**k)
def in_words(**k) -> "Env": return World(**k)
def of_kind(**k) -> "gymnasium.Env[int, int]": return World(**k)
def of_class(**k) -> Sub: return Sub(**k)
def lies(**k) -> gymnasium.Env: return 3
def text(**k) -> "print": pathlib.Path({mark!r}).write_text("called")
def word(**k) -> str: pathlib.Path({mark!r}).write_text("called")
def nowhere(**k) -> "nothing.at.all": pathlib.Path({mark!r}).write_text("called")
@wraps(makes)
def wrapped(**k): pathlib.Path({mark!r}).write_text("called")
wrapped_call = functools.wraps(makes)(subprocess.run)
part, call, short = partial(makes), Caller(), lambda **k: World(**k)
bound = Caller().__call__
gymnasium.register("StrangerClass-v0", entry_point=World)
gymnasium.register("StrangerText-v0", entry_point="stranger:World")
gymnasium.register("StrangerFunction-v0", entry_point=makes)
gymnasium.register("StrangerLambda-v0", entry_point=lambda **k: called())
gymnasium.register("StrangerCall-v0", entry_point="stranger:called")
gymnasium.register("StrangerSystem-v0", entry_point="os:system", kwargs={{"command": "touch {mark}"}})
gymnasium.register(
    "StrangerWrapped-v0", entry_point=World,
    additional_wrappers=(gymnasium.envs.registration.WrapperSpec("x", "stranger:called", {{}}),),
)
gymnasium.register(
    "StrangerClock-v0", entry_point=World,
    additional_wrappers=(
        gymnasium.envs.registration.WrapperSpec("x", "gymnasium.wrappers:TimeLimit", {{"max_episode_steps": 9}}),
    ),
)
"""
HELPER = """
import gymnasium, pathlib
def brought_along(**k) -> gymnasium.Env: pathlib.Path({mark!r}).write_text("called")
"""
# What a file may name: all of it could run code, or read files, that the user has not asked for.
NAMES = ("stranger:World", "os:system:command=touch was_run")
MORE = (
    "stranger:StrangerClass-v0",
    "Ant-v5:xml_file=../stranger.xml",
    "stranger:World:size=.5",
    "stranger:called",
    "subprocess:run:args=touch",
    "builtins:exec:source=1",
    "GymV26Environment-v0:env_id=stranger",
    "Ant-v5:xml_file=/dev/zero",
    "CartPole-v0:entry_point=stranger:World",
    "stranger",
    "stranger-v0",
    ":World",
    "a:b:c:d",
)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A folder with files from somebody else, which is the current one; and the file that their code would leave."""
    mark = tmp_path / "was_run"
    place = tmp_path / "place"
    place.mkdir()
    for name, text in (("stranger", MARK + STRANGER), ("helper", HELPER)):
        (place / f"{name}.py").write_text(text.format(mark=str(mark)))
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("stranger", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield mark
    for name in ("stranger", "helper"):
        sys.modules.pop(name, None)
    for name in [name for name in gymnasium.registry if name.startswith("Stranger")]:
        del gymnasium.registry[name]


@pytest.mark.parametrize("name", ["World", "Sub", "makes", "in_words", "of_kind", "of_class", "StrangerClass-v0",
                                  "StrangerText-v0", "StrangerFunction-v0", "StrangerClock-v0"])  # fmt: skip
def test_what_the_user_names_is_made(stranger, name):
    env = door.maker(f"stranger:{name}")(size=3)
    assert env.unwrapped.options == {"size": 3}
    assert names.environment_of(f"stranger:{name}:processes=0").actions == 2


@pytest.mark.parametrize("name", ["Other", "called", "text", "word", "nowhere", "wrapped", "wrapped_call", "part",
                                  "call", "short", "bound", "brought", "brought_along", "StrangerLambda-v0",
                                  "StrangerCall-v0", "StrangerSystem-v0", "StrangerWrapped-v0"])  # fmt: skip
def test_what_makes_no_environments_is_refused_before_it_is_called(stranger, name):
    refused(stranger, name, 0)


def test_it_is_refused_in_a_process_of_its_own(stranger):
    refused(stranger, "called", 1)


def refused(stranger, name, processes):
    with pytest.raises(
        ValueError, match=r"expected a subclass of gymnasium\.\w+, or a function .* -> gymnasium"
    ) as told:
        names.environment_of(f"stranger:{name}:processes={processes}")
    assert "\n" not in str(told.value)
    assert "called" not in stranger.read_text()


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "builtins:exec", "builtins:open", "shutil:rmtree"])
def test_functions_of_the_library_are_refused(stranger, name):
    with pytest.raises(ValueError, match=r"annotated as making one, .*; got "):
        names.environment_of(f"{name}:processes=0,command=touch")


def test_a_function_that_makes_something_else_is_named(stranger):
    with pytest.raises(ValueError, match=r"stranger:lies: made an object of type int, which is not a gymnasium\.Env"):
        names.environment_of("stranger:lies:processes=0")


def files_of(name, place, studied=None):
    """What somebody else might send whose environment is of that name, and those of a study of these."""
    trained = place / "trained"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "0.1.0" / "training" / "host-named", trained)
    forge(trained, env=name)
    (trained / "metrics.csv").unlink()
    (place / "study.toml").write_text(
        f"title = 'a'\nenv = {json.dumps(studied or name)}\nsteps = 1000\nsettings = {{hidden = [4]}}\n"
        "[[grid]]\nagent = 'dqn'\n"
    )
    folder = place / "runs" / "study"
    folder.mkdir(parents=True)
    store = Store(folder / NAME)
    store.add(read(place / "study.toml").runs)
    store.close()
    shutil.copytree(folder, place / "elsewhere")
    return place / "study.toml", trained, folder, place / "elsewhere"


def commands(group, words=()):
    """Every command of the program with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


SMALL = {"garnets": 2, "iterations": 2, "episodes": 1}  # where a command could be at it for long


def orders(words, command, files):
    """Orders that give each of the files to every argument of a command, and to its --out; with what it insists on."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    for file in files:
        given = {option.opts[0]: SMALL.get(option.name) for option in options}
        given |= {option.opts[0]: file.parent / "a.gif" for option in options if option.required}
        needed = [text for name, value in given.items() if value is not None for text in (name, value)]
        ways = [[file, file.parent / "a.npz"][: len(arguments)], [file] * len(arguments)]
        if "--out" in given:
            ways += [["--out", file], [*ways[1], "--out", file], [*ways[1], "--out", files[2]]]
        yield from dict.fromkeys((*words, *way, *needed) for way in map(tuple, ways))


def test_no_command_runs_code_that_a_file_names(stranger, capsys, monkeypatch):
    files = files_of(NAMES[0], Path.cwd(), [NAMES[1], NAMES[0]])
    tried = 0
    for words, command in commands(typer.main.get_command(cli.app)):
        for order in orders(words, command, files):
            if not any(str(file) in map(str, order) for file in files):
                continue
            tried += 1
            run(capsys, monkeypatch, *order)
            assert not stranger.exists(), order
            assert not Path("was_run").exists(), order
    assert tried > 50
    assert "stranger" not in sys.modules


def public_functions():
    """Every public function of mdvi that takes a file or a folder, and the parameter that does."""
    for module in pkgutil.walk_packages(library.__path__, "mdvi."):
        if module.name in ("mdvi.__main__", "mdvi.learning.acting.numpy_policy") or module.name.startswith("mdvi.cli"):
            continue
        for name, function in vars(import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.name:
                continue
            for parameter in inspect.signature(function).parameters.values():
                if "Path" in str(parameter.annotation):
                    yield f"{module.name}.{name}", function, parameter.name


def test_no_function_runs_code_that_a_file_names(stranger, monkeypatch):
    functions = list(public_functions())
    assert {"mdvi.learning.train.load", "mdvi.study.spec.read", "mdvi.mdp.formats.read"} <= {
        name for name, *_ in functions
    }
    assert len(functions) > 20
    for number, name in enumerate(NAMES):
        place = Path.cwd() / str(number)
        place.mkdir()
        files = files_of(name, place)
        for _, function, parameter in functions:
            for file in files:
                needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
                if [p.name for p in needed] in ([parameter], []):
                    try_it(function, **{parameter: file})
        study = read(files[0])
        for function in (plan_of, functools.partial(execute, folder=files[2])):
            with pytest.raises(ValueError):
                function(study)
        with pytest.raises(ValueError):
            library.load(files[1])
        assert not stranger.exists(), name
        assert not Path("was_run").exists(), name
    assert "stranger" not in sys.modules


def try_it(function, **arguments):
    with contextlib.suppress(Exception):  # which is told elsewhere: this is about what is run
        found = function(**arguments)
        getattr(found, "close", int)()


def test_the_user_may_name_what_the_file_names(stranger, capsys, monkeypatch):
    files = files_of("stranger:World", Path.cwd())
    code, _, err = run(capsys, monkeypatch, "study", "plan", files[0])
    assert (code, "a file names this environment" in err) == (2, True)
    assert not stranger.exists()
    assert run(capsys, monkeypatch, "study", "plan", files[0], "--env", "stranger:World:x=1")[0] == 2
    assert not stranger.exists()
    assert run(capsys, monkeypatch, "study", "plan", files[0], "--env", "stranger:World")[0] == 0
    assert stranger.exists()


@pytest.mark.parametrize("name", [*NAMES, *MORE])
def test_what_could_run_other_code_is_not_taken_from_a_file(name):
    with pytest.raises(ValueError, match=r"a file names this environment|expected KEY=VALUE"):
        names.check_named_by_file(name)
    names.check_named_by_file(name, [name])


@pytest.mark.parametrize("name", ["CartPole-v1", "garnet:states=5", "FrozenLake-v1:map_name=8x8", "Acrobot-v1:stack=2",
                                  "LunarLander-v3:enable_wind=true,gravity=-9.5", "ALE/Pong-v5:sticky=.5"])  # fmt: skip
def test_what_runs_known_code_only_may_be_named_by_files(name):
    names.check_named_by_file(name)


def test_modules_in_the_current_folder_stand_for_nothing(stranger):
    """`python -m mdvi` puts the current folder before everything else that is imported."""
    for name in ("typer", "rich", "json", "signal", "typing", "tomllib", "gymnasium", "jax", "numpy", "csv"):
        Path(f"{name}.py").write_text(MARK.format(mark=str(stranger)))
    Path("study.toml").write_text('title = "a"\nenv = "stranger:World"\nsteps = 9\n[[grid]]\nagent = "dqn"\n')
    where = os.environ | {"PYTHONPATH": str(Path(library.__file__).parents[1])}
    order = [sys.executable, "-m", "mdvi", "study", "plan", "study.toml"]
    done = subprocess.run(order, env=where, capture_output=True, text=True, check=False)
    assert (done.returncode, "a file names this environment" in done.stderr) == (2, True), done.stderr
    assert not stranger.exists()


def test_a_model_of_somebody_elses_is_made_by_the_same_rules(stranger):
    with pytest.raises(ValueError, match=r"annotated as making one, .*; got "):
        mdp.from_gymnasium("stranger:StrangerCall-v0")
    with pytest.raises(ValueError, match="has no transition table"):
        mdp.from_gymnasium("stranger:StrangerClass-v0")
    assert "called" not in stranger.read_text()
