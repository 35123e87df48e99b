"""Runs that mdvi 0.1.0 made and did not finish: they are loaded, evaluated and trained to their end."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

import mdvi as library
from commands import run
from mdvi import envs
from mdvi.learning.runs.identity import fingerprint
from mdvi.learning.runs.run import Report

MADE = Path(__file__).parents[1] / "fixtures" / "0.1.0" / "training"


@pytest.fixture
def mdvi(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


@pytest.fixture
def old(tmp_path):
    """A function that copies a run of 0.1.0."""
    return lambda name: shutil.copytree(MADE / name, tmp_path / name)


@pytest.fixture
def signs(monkeypatch):
    """The module of the environment, found as a person's is."""
    monkeypatch.chdir(MADE)
    monkeypatch.syspath_prepend(MADE)
    monkeypatch.delitem(sys.modules, "signs", raising=False)
    return importlib.import_module("signs")


def test_a_native_run_goes_on_from_where_it_was(mdvi, old):
    folder = old("native")
    assert mdvi("evaluate", folder, "--episodes", 3)[0] == 0
    assert len(library.load(folder).metrics["env_steps"]) == 9
    code, _, err = mdvi("train", "--out", folder)
    assert code == 0
    assert "resuming at " in err
    assert library.load(folder).metrics["env_steps"].max() == 400
    assert json.loads((folder / "summary.json").read_text())["status"] == "ok"


def test_a_run_of_a_named_class_goes_on(mdvi, old, signs):
    folder = old("host-named")
    assert mdvi("evaluate", folder, "--episodes", 3, "--env", "signs:Signs")[0] == 0
    command = "train signs:Signs --agent dqn --steps 400 --set hidden=8 --set batch=8 --set warmup=40 --set replay=100"
    command += " --set target_period=20 --set log_period=40 --set epsilon=.5"
    code, _, err = mdvi(*command.split(), "--out", folder)
    assert (code, "resuming at 2" in err) == (0, True), err
    assert library.load(folder, "signs:Signs").metrics["env_steps"].max() == 400


def test_a_run_of_a_function_goes_on(old, signs):
    folder, remarks = old("host-object"), []
    env = envs.made(signs.make)
    assert library.load(folder, env, remarks.append).evaluate(3)[1].tolist() == [5, 5, 5]
    sizes = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 100, "target_period": 20, "log_period": 40}
    again = library.train(env, "dqn", steps=400, out=folder, report=Report(remark=remarks.append), epsilon=0.5, **sizes)
    assert again.summary["status"] == "ok"
    assert any("resuming at 2" in line for line in remarks)
    assert sum("was written by mdvi 0.1.0" in line for line in remarks) == 2
    assert json.loads((folder / "config.json").read_text())["env"] == fingerprint(env)
    assert library.load(folder, env).env.scale == (255.0,)
