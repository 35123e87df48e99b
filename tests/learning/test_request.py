"""One request: what is typed, what config.json holds, and what a study's line asks for are the same."""

import json
import typing

import pytest
from pydantic import Field

import mdvi
from mdvi.learning.request import NUMBERS, Arguments, Request, identifying
from mdvi.learning.settings import Settings

HINTS = typing.get_type_hints(Arguments)


def test_a_type_checker_knows_every_argument_and_no_other():
    fields = set(Request.model_fields) - {"env", "agent", "settings"}
    assert set(HINTS) == fields | set(Settings.model_fields) | set(NUMBERS)


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
    assert identifying(content) == content
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
        ({"evaluate_kl": 1}, "evaluate_kl: "),
        ({"width": "2"}, "width: "),
        ({"kl": "0.1"}, "kl: expected a number or several"),
        ({"seeds": "3"}, "seeds: expected how many"),
        ({"steps": 1.5}, "steps: expected a whole number"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            mdvi.train("CartPole-v1", "dqn", **arguments)
    with pytest.raises(ValueError, match="agent: expected a name, got 3"):
        mdvi.train("CartPole-v1", 3)
