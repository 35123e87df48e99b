"""Runs that start from the networks of another one."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from test_own_agents import parameters

import mdvi as library
from commands import run
from mdvi.learning.agents.catalogue import ALL

SIZES = {
    "hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 300, "target_period": 20, "log_period": 100,
    "epsilon": 0.2, "steps": 300,
}  # fmt: skip
ENVS = ["CartPole-v1", "Acrobot-v1"]  # compiled, and on the host


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)


def untrained(env, agent="munchausen", start=None, **changes):
    """The networks that members have before their first gradient step: at a learning rate too small to move them."""
    return library.train(env, agent, start=start, learning_rate=1e-30, **SIZES | changes)


@pytest.mark.parametrize("agent", ["munchausen", "md-direct"])
@pytest.mark.parametrize("env", ENVS)
def test_members_start_from_those_of_the_other_run_in_their_order_or_all_from_one(env, agent, tmp_path):
    source = library.train(env, agent, seeds=2, out=tmp_path / "source", **SIZES)
    wanted = [source.networks(member)[1] for member in (0, 1)]
    for start in (source, tmp_path / "source", str(tmp_path / "source")):
        begun = untrained(env, agent, start, seeds=[7, 8])
        assert [same(begun.networks(member)[1], wanted[member]) for member in (0, 1)] == [True, True]
    begun = untrained(env, agent, f"{tmp_path / 'source'}:1", seeds=3)
    assert all(same(begun.networks(member)[1], wanted[1]) for member in range(3))
    assert not same(untrained(env, agent, seeds=2).networks(0)[1], wanted[0])
    moved = library.train(env, agent, start=source, seeds=2, learning_rate=1e-2, **SIZES)
    assert not same(moved.networks(0)[1], wanted[0])


@pytest.mark.parametrize("env", ENVS)
def test_several_members_in_one_call_start_from_theirs(env):
    source = library.train(env, "dqn", seeds=2, **SIZES)
    wide = {} if env == "Acrobot-v1" else {"width": 2}
    with jax.debug_key_reuse(False):  # which takes members side by side for one that uses a key again
        begun = untrained(env, "dqn", source, seeds=2, **wide)
    assert [same(begun.networks(member)[1], source.networks(member)[1]) for member in (0, 1)] == [True, True]


@pytest.mark.parametrize("env", ENVS)
def test_a_run_that_started_from_another_goes_on_without_it(env, tmp_path):
    source = library.train(env, "dqn", out=tmp_path / "source", **SIZES)
    ask = SIZES | {"seeds": 2}
    straight = library.train(env, "dqn", start=source, **ask | {"steps": 600})
    library.train(env, "dqn", start=tmp_path / "source", out=tmp_path / "run", **ask)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start"] == straight.config["start"]
    longer = library.train(env, "dqn", out=tmp_path / "run", **ask | {"steps": 600})
    for one, other in zip(parameters(straight), parameters(longer), strict=True):
        np.testing.assert_array_equal(one, other)
    other = library.train(env, "dqn", **SIZES | {"seeds": [5]})
    with pytest.raises(ValueError, match="was made with start = "):
        library.train(env, "dqn", start=other, out=tmp_path / "run", **ask | {"steps": 600})


def test_the_best_policies_are_a_start_too():
    source = library.train("CartPole-v1", "dqn", **SIZES, evaluation_period=100, evaluation_episodes=3)
    begun = untrained("CartPole-v1", "dqn", source.best)
    assert same(begun.networks(0)[1], source.best.networks(0)[1])


def test_the_shell_starts_from_a_member(tmp_path, capsys, monkeypatch):
    source = library.train("CartPole-v1", "dqn", seeds=2, out=tmp_path / "source", **SIZES)
    settings = [f"--set={name}={value}" for name, value in SIZES.items() if name not in ("hidden", "steps")]
    ask = ("CartPole-v1", "--agent=dqn", "--steps=300", "--set=hidden=8,8", "--learning-rate=1e-30", *settings)
    place = tmp_path / "run"
    assert run(capsys, monkeypatch, "train", *ask, "--from", f"{tmp_path / 'source'}:1", "--out", place)[0] == 0
    assert same(library.load(place).networks(0)[1], source.networks(1)[1])
    assert run(capsys, monkeypatch, "train", "--out", place)[0] == 0
    code, _, err = run(capsys, monkeypatch, "train", *ask, "--from", tmp_path / "nothing")
    assert code == 2
    assert "is it the folder of a training run?" in err


def test_networks_that_do_not_fit_are_refused():
    two = library.train("CartPole-v1", "dqn", seeds=2, **SIZES)
    for start, changes, message in (
        (two, {"seeds": 3}, "start: expected a run with 1 or 3 members, got 2"),
        (two, {"seeds": 2, "hidden": (8,)}, "start: the networks of that run have other shapes"),
        (two, {"seeds": 2, "agent": "md-direct"}, "start: the networks of that run have other shapes"),
    ):
        agent = changes.pop("agent", "dqn")
        with pytest.raises(ValueError, match=message):
            library.train("CartPole-v1", agent, start=start, **SIZES | changes)
    mine = dataclasses.replace(ALL["munchausen"], lowest=-0.5)  # another agent whose networks are the same
    assert library.train("CartPole-v1", mine, start=two, seeds=2, **SIZES).summary["status"] == "ok"
