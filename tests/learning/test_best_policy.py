"""Evaluation during training: the best policy is kept, found again by `evaluate`, and may end training."""

import json

import numpy as np
import pytest
from test_longer import equal
from test_own_agents import parameters

import mdvi as library
from commands import run

SIZES = {
    "hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 300, "target_period": 20, "log_period": 100,
    "epsilon": 0.5, "seeds": 2, "evaluation_period": 150, "evaluation_episodes": 3,
}  # fmt: skip
ENVS = {"CartPole-v1": 700, "LunarLander-v3": 500}  # compiled, and on the host


@pytest.mark.parametrize("env", ENVS)
def test_the_best_policy_is_the_one_that_evaluate_finds(env, tmp_path):
    trained = library.train(env, "munchausen", steps=ENVS[env], out=tmp_path / "run", **SIZES)
    loaded = library.load(tmp_path / "run")
    for number, member in enumerate(trained.summary["members"]):
        lines = trained.metrics["member"] == number
        returns, steps = (trained.metrics[name][lines] for name in ("evaluation_return", "env_steps"))
        looked = ~np.isnan(returns)
        crossed = np.diff(steps // 150, prepend=0) > 0  # each time that another 150 steps are over
        np.testing.assert_array_equal(looked, crossed)
        assert member["best_return"] == pytest.approx(returns[looked].max(), rel=1e-8)  # in the file to nine digits
        assert member["best_step"] == steps[looked][returns[looked].argmax()]
        for one in (trained, loaded):
            played, _ = one.best.evaluate(3, number, seed=member["best_seed"])
            assert played.mean(dtype=float) == member["best_return"]
    assert any((a != b).any() for a, b in zip(parameters(trained), parameters(trained.best), strict=True))


@pytest.mark.parametrize("env", ENVS)
def test_evaluation_changes_nothing_else(env):
    plain = library.train(env, "munchausen", steps=400, **SIZES | {"evaluation_period": 0})
    looked = library.train(env, "munchausen", steps=400, **SIZES)
    for one, other in zip(parameters(plain), parameters(looked), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in plain.metrics:
        np.testing.assert_array_equal(plain.metrics[name], looked.metrics[name])
    with pytest.raises(ValueError, match="member 0 was not evaluated during training"):
        plain.best.networks(0)


@pytest.mark.parametrize("env", ENVS)
def test_a_run_that_was_stopped_between_evaluations_is_the_run_that_never_was(env, tmp_path):
    straight = library.train(env, "dqn", steps=ENVS[env], **SIZES)
    for steps in (200, 300, ENVS[env]):
        parts = library.train(env, "dqn", steps=steps, out=tmp_path / "run", **SIZES)
    equal(straight, parts)
    for one, other in zip(parameters(straight.best), parameters(parts.best), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("env", "goal"), [("CartPole-v1", 9.0), ("LunarLander-v3", -2000.0)])
def test_training_ends_when_every_member_is_good_enough(env, goal, tmp_path):
    ask = SIZES | {"stop_at": goal, "steps": 5000}
    ended = library.train(env, "dqn", out=tmp_path / "run", **ask)
    members = ended.summary["members"]
    assert all(member["best_return"] >= goal for member in members)
    assert max(member["env_steps"] for member in members) < 5000
    equal(ended, library.train(env, "dqn", out=tmp_path / "run", **ask))
    far = library.train(env, "dqn", **SIZES | {"stop_at": 1e6, "steps": 300})
    assert far.summary["members"][0]["env_steps"] == 300


def test_a_member_that_is_not_good_enough_goes_on():
    ask = SIZES | {"steps": 1500, "seeds": 6}
    free = library.train("CartPole-v1", "dqn", **ask)
    first = [free.metrics["evaluation_return"][free.metrics["member"] == number] for number in range(6)]
    goal = float(np.nanmax(np.stack(first)[:, :2]))  # what one of them reaches at once and others do not
    some = library.train("CartPole-v1", "dqn", **ask, stop_at=goal)
    for member, returns in zip(some.summary["members"], first, strict=True):
        reached = np.flatnonzero(returns >= goal)
        last = int(reached[0]) if len(reached) else len(returns) - 1
        assert member["env_steps"] == 100 * (last + 2)
    assert len({member["env_steps"] for member in some.summary["members"]}) > 1


def test_the_shell_plays_and_exports_the_best(tmp_path, capsys, monkeypatch):
    trained = library.train("CartPole-v1", "dqn", steps=700, out=tmp_path / "run", **SIZES)
    best = trained.summary["members"][0]
    arguments = ("--episodes", 3, "--seed", best["best_seed"], "--json")
    code, out, _ = run(capsys, monkeypatch, "evaluate", tmp_path / "run", "--best", *arguments)
    assert code == 0
    assert json.loads(out)["members"][0]["mean_return"] == best["best_return"]
    assert run(capsys, monkeypatch, "export", tmp_path / "run", tmp_path / "best.npz", "--best")[0] == 0
    with np.load(tmp_path / "best.npz") as file:
        np.testing.assert_array_equal(file["weight_0"], trained.best.networks(0)[1].critic.layers[0].weight)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"stop_at": 3.0, "evaluation_period": 0}, "stop_at: .* set evaluation_period too"),
        ({"evaluation_period": -1}, "evaluation_period: .* got -1"),
        ({"evaluation_episodes": 0}, "evaluation_episodes: .* got 0"),
        ({"stop_at": float("nan")}, "stop_at: "),
    ],
)
def test_settings_that_cannot_be_meant_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        library.train("CartPole-v1", "dqn", steps=300, **SIZES | setting)
