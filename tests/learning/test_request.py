"""One request: what is typed, what config.json holds, and what a study's line asks for are the same."""

import inspect
import json
import subprocess
import sys
import typing

import numpy as np
import pytest
from pydantic import Field

import mdvi
from mdvi.cli import learning
from mdvi.learning.request import NUMBERS, Arguments, Request, identifying
from mdvi.learning.settings import Settings
from mdvi.study import spec

HINTS = typing.get_type_hints(Arguments)


def test_a_type_checker_knows_every_argument_and_no_other():
    fields = set(Request.model_fields) - {"env", "agent", "settings", "start"}
    assert set(HINTS) == fields | set(Settings.model_fields) | set(NUMBERS)


def test_the_shell_and_the_grids_of_a_study_have_every_field():
    renamed = {"evaluate_kl": "no_kl", "evaluate_entropy": "no_entropy", "settings": "set_"}
    options = set(inspect.signature(learning.train_command).parameters)
    assert {renamed.get(name, name) for name in Request.model_fields} - options == {"width"}  # of machines, not agents
    renamed = dict.fromkeys(("evaluate_kl", "evaluate_entropy"), "evaluation")
    keys = set(spec._Grid.model_fields)
    assert {renamed.get(name, name) for name in Request.model_fields} - {"width", "start"} == keys


@pytest.mark.parametrize("name", ["torso", "optimizer", "loss"])
def test_lists_of_names_are_the_same(name):
    assert HINTS[name] == Settings.model_fields[name].annotation


def test_what_is_written_is_what_was_asked_for(tmp_path):
    request = Request.of("CartPole-v1", "dqn", seeds=[3, 1], learning_rate=1e-3, hidden=(8, 8), steps=1e3)
    content = json.loads(json.dumps(request.content))
    assert content.pop("version") == mdvi.__version__
    assert Request.read(content) == request
    assert content["settings"] == {"hidden": [8, 8]}
    assert (content["seeds"], content["steps"], content["kl"]) == ([3, 1], 1000, None)
    with pytest.raises(ValueError, match="frozen"):
        request.steps = 1


def test_a_later_field_renames_a_request_only_where_it_differs_from_its_default():
    class Later(Request):
        reference: str = Field(default="uniform")

    content = Request.of("CartPole-v1", "dqn").content
    assert content.pop("start") is None
    assert identifying(content) == identifying(content | {"start": None}) == content
    assert identifying(content | {"start": "0123"}) != content
    assert identifying(content | {"reference": "uniform"}, Later.model_fields) == content
    other = content | {"reference": "other"}
    assert identifying(other, Later.model_fields) == other


def test_a_field_that_is_missing_or_of_the_wrong_kind_is_named():
    content = Request.of("CartPole-v1", "dqn").content
    for name, value in {"env": 3, "seeds": [True], "kl": ["1"], "steps": 1.5, "settings": [], "width": "2"}.items():
        with pytest.raises(ValueError, match=f"^{name} is missing or of the wrong kind"):
            Request.read(content | {name: value})
        with pytest.raises(ValueError, match=f"^{name} is missing"):
            Request.read({key: value for key, value in content.items() if key != name})


def test_arguments_of_the_wrong_type_are_refused_by_name():
    for arguments, message in (
        ({"evaluate_kl": 2}, "evaluate_kl: "),
        ({"width": "2"}, "width: "),
        ({"kl": "0.1"}, "kl: expected a number or a list of numbers"),
        ({"seeds": "3"}, "seeds: expected a number of seeds"),
        ({"steps": 1.5}, "steps: expected a whole number"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            mdvi.train("CartPole-v1", "dqn", **arguments)
    with pytest.raises(ValueError, match=r"agent: expected a name or an `Entry` of mdvi.agents, got 3"):
        mdvi.train("CartPole-v1", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": float("inf")}, "learning_rate: expected a positive number, got inf"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a positive number, got nan"),
        ({"entropy": float("nan")}, "entropy: the agent dqn has no entropy"),
        ({"seeds": [10**301]}, "seeds: expected at least one, all whole and in 0…2³² − 1"),
        ({"cls": 1}, "unknown setting 'cls'; did you mean 'loss'"),
        ({"hidden": ["a"]}, "hidden: "),
        ({"hidden": 64}, r"hidden: expected widths of layers, such as \(64, 64\), got 64"),
        ({"seeds": 0}, "seeds: expected at least one, got 0"),
        ({"steps": -5}, "steps: expected a whole number of at least 0, got -5"),
        ({"lr": 0.1}, "unknown setting 'lr'; did you mean 'learning_rate'"),
        ({"gamma": 0.9}, "unknown setting 'gamma'; the discount is a number of the environment"),
    ],
)
def test_what_cannot_be_meant_is_told_by_its_name_and_in_a_few_words(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}") as told:
        mdvi.train("CartPole-v1", "dqn", **arguments)
    assert len(str(told.value)) < 200


def test_switches_and_counts_of_numpy_are_taken():
    request = Request.of("CartPole-v1", "dqn", evaluate_kl=np.False_, evaluate_entropy=1, width=np.int64(2))
    assert (request.evaluate_kl, request.evaluate_entropy, request.width) == (False, True, 2)


def test_nothing_needs_a_folder_for_temporary_files_until_frames_are_kept_on_disk(tmp_path):
    script = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
import mdvi
run = mdvi.train("CartPole-v1", "dqn", steps=60, hidden=[4], batch=4, warmup=20, replay=40, target_period=20)
print(len(run))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "1\n", done.stderr
