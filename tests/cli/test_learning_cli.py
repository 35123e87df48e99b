"""The commands of learning as a person calls them: train, resume, evaluate, play, plot, export; and what goes wrong."""

import csv
import json
import os
import runpy
import shutil
import signal
import sys
import types
import warnings

import jax
import numpy as np
import pytest
from PIL import Image

import mdvi as library
from commands import run
from mdvi.learning.acting.export import exported
from mdvi.learning.acting.numpy_policy import Policy
from mdvi.learning.acting.play import log_policy
from mdvi.learning.training.population import Population

SIZES = ("hidden=8", "batch=8", "warmup=40", "replay=200", "target_period=20", "log_period=200")
OPTIONS = [part for size in SIZES for part in ("--set", size)]


@pytest.fixture
def mdvi(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small grid: 2 × 2 cells, two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "grid"
    sizes = {size.split("=")[0]: int(size.split("=")[1]) for size in SIZES} | {"hidden": [8]}
    library.train(
        "CartPole-v1", "md-direct", beta=(0.5, 0.9), entropy=(0.01, 0.1), seeds=2, steps=1000, out=folder, **sizes
    )
    return folder


def test_train_leaves_a_folder_and_says_what_came_out(mdvi, tmp_path):
    folder = tmp_path / "run"
    order = ("train", "CartPole-v1", "--agent", "md-direct", "--kl", ".1", "--entropy", ".01", "--seeds", 2)
    order += ("--steps", 600, *OPTIONS, "--out", folder)
    code, out, _ = mdvi(*order)
    assert code == 0
    assert "last 100" in out
    config = json.loads((folder / "config.json").read_text())
    assert (config["env"], config["kl"], config["seeds"]) == ("CartPole-v1", [0.1], [0, 1])
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["env_steps"] for row in rows] == ["240", "240", "440", "440", "640", "640"]
    wanted = {"env_steps", "member", "seed", "kl", "entropy", "episode_return", "episode_length", "loss"}
    assert wanted <= rows[0].keys()
    assert {row["kl"] for row in rows} == {"0.1"}
    assert json.loads((folder / "summary.json").read_text())["status"] == "ok"
    assert mdvi("train", "--out", folder, "--json")[0] == 0  # resumes: nothing is left to do
    assert mdvi(*order[:-3], "--set", "batch=16", "--out", folder)[0] == 2


def test_evaluate_plays_what_was_trained(mdvi, trained):
    code, out, _ = mdvi("evaluate", trained, "--episodes", 5, "--json")
    members = json.loads(out)["members"]
    assert code == 0
    assert len(members) == 8
    assert all(1 <= member["mean_return"] <= 500 for member in members)
    assert all(member["mean_return"] == member["mean_length"] for member in members)  # +1 a step
    again = json.loads(mdvi("evaluate", trained, "--episodes", 5, "--json")[1])["members"]
    assert again == members
    code, out, _ = mdvi("evaluate", trained, "--episodes", 5, "--sampled", "--epsilon", ".1")
    assert code == 0
    assert "± 95 %" in out


def test_play_films_an_episode(mdvi, trained, tmp_path):
    code, _, err = mdvi("play", trained, "--video", tmp_path / "a.gif", "--member", 3)
    assert code == 0
    steps = int(err.split(" steps")[0].split()[-1])
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (240, 160)
        assert 1 < film.n_frames <= steps + 1  # equal frames are merged
    assert mdvi("play", trained, "--video", tmp_path / "a.avi")[0] == 2
    assert mdvi("play", trained, "--video", tmp_path / "b.gif", "--member", 8)[0] == 2


def test_plot_draws_curves_and_cells(mdvi, trained, tmp_path):
    code, _, err = mdvi("plot", trained, "--out", tmp_path / "curves.svg")
    assert code == 0
    assert err.count("wrote") == 2
    assert "environment steps" in (tmp_path / "curves.svg").read_text()
    cells = (tmp_path / "curves-cells.svg").read_text()
    assert all(text in cells for text in ("β", "τ", "mean return over training"))


def test_an_exported_policy_needs_numpy_alone_and_agrees(mdvi, trained, tmp_path):
    code, _, _ = mdvi("export", trained, tmp_path / "policy.npz", "--member", 2)
    assert code == 0
    program = (tmp_path / "policy.py").read_text()
    assert len(program.splitlines()) < 200
    assert not [word for word in ("jax", "from mdvi", "import mdvi") if word in program]
    policy = runpy.run_path(str(tmp_path / "policy.py"))["Policy"](tmp_path / "policy.npz")
    mine = library.load(trained)
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    assert [policy.act(o) for o in obs] == mine.policy(obs, 2).tolist()
    agent, networks = mine.networks(2)
    probabilities = np.exp(np.asarray(log_policy(mine.env, agent, networks, obs)))
    np.testing.assert_allclose([policy.probabilities(o) for o in obs], probabilities, rtol=1e-3, atol=1e-6)


def test_an_exported_convolutional_policy_agrees(mdvi, tmp_path):
    sizes = {"hidden": (8,), "warmup": 50, "replay": 50, "target_period": 20, "log_period": 20, "batch": 4}
    boards = np.random.default_rng(0).random((20, 10, 10, 4)) < 0.2
    with jax.debug_key_reuse(False):  # pgx selects between keys
        mine = library.train("minatar-breakout", "da", steps=70, out=tmp_path / "run", **sizes)
        assert mdvi("export", tmp_path / "run", tmp_path / "policy.npz")[0] == 0
        policy = runpy.run_path(str(tmp_path / "policy.py"))["Policy"](tmp_path / "policy.npz")
        assert [policy.act(board) for board in boards] == mine.policy(boards).tolist()
        probabilities = np.exp(np.asarray(log_policy(mine.env, *mine.networks(), boards)))
        np.testing.assert_allclose([policy.probabilities(b) for b in boards], probabilities, rtol=1e-3, atol=1e-6)


def test_an_exported_policy_is_told_what_is_legal(tmp_path):
    probability, legal = np.full((3, 2, 3), 1 / 3), np.array([[True, False], [False, True], [True, True]])
    env = library.envs.FiniteEnvironment(library.FiniteMDP(probability, np.ones((3, 2)), 0.9, legal=legal))
    mine = library.train(library.envs.TimeLimit(env, 20), "md-direct", steps=200, hidden=(8,), warmup=50, log_period=50)
    np.savez(tmp_path / "policy.npz", **exported(*mine.networks()))
    policy, rng = Policy(str(tmp_path / "policy.npz")), np.random.default_rng(0)
    for obs, mask in zip(np.eye(3), legal, strict=True):
        assert policy.act(obs, legal=mask) == mine.policy(obs)
        assert mask[policy.act(obs, rng, mask)]
        assert (policy.probabilities(obs, mask) > 0).tolist() == mask.tolist()
    assert policy.act([1, 0, 0]) == policy.act(np.array([True, False, False]))
    with pytest.raises(ValueError, match="legal: expected at least one legal action, got none"):
        policy.act([1, 0, 0], legal=np.zeros(2, bool))
    with pytest.raises(ValueError, match="episodes: expected a whole number, 1 to 1073741824, got 0"):
        mine.evaluate(0)


@pytest.mark.parametrize("what", ["agents", "envs"])
def test_agents_and_environments_are_listed(mdvi, what):
    code, out, _ = mdvi("list", what, "--json")
    names = {row["name"] for row in json.loads(out)}
    assert code == 0
    assert {"agents": {"md-direct", "modqn", "dqn"}, "envs": {"CartPole-v1", "minatar-asterix"}}[what] <= names
    assert mdvi("list", what)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "ENV: give an environment"),
        (("train", "CartPol-v1"), "did you mean 'CartPole-v1'"),
        (("train", "garnet:stats=3"), "unknown parameter 'stats'"),
        (("train", "CartPole-v1", "--agent", "md_direct"), "did you mean 'md-direct'"),
        (("train", "CartPole-v1", "--agent", "dqn", "--entropy", "1"), "entropy: the agent dqn has no entropy"),
        (("train", "CartPole-v1", "--kl", "a,b"), "kl: expected a number, got 'a'"),
        (("train", "CartPole-v1", "--set", "hiden=8"), "did you mean 'hidden'"),
        (("train", "CartPole-v1", "--set", "hidden"), "expected KEY=VALUE"),
        (("train", "CartPole-v1", "--batch", "32"), "No such option: --batch; it is a setting, --set batch=…"),
        (("train", "CartPole-v1", "--batch-size", "32"), "--batch-size; it is a setting, --set batch=…"),
        (("train", "CartPole-v1", "--lr", "1"), "No such option: --lr; did you mean --learning-rate?"),
        (("train", "CartPole-v1", "--gamma", ".9"), "the discount is a number of the environment"),
        (("train", "CartPole-v1", "--frobnicate", "1"), "No such option: --frobnicate; see `mdvi train --help`"),
        (
            ("train", "CartPole-v1", "--agent", "ppo"),
            "'ppo'; did you mean 'dpp'?; see `mdvi list agents`",
        ),
        (("train", "cartpole-v1"), "Environment `cartpole` doesn't exist; did you mean 'CartPole-v1'?"),
        (("train", "nowhere_at_all:Env"), "it is looked for in the current folder"),
        (("evaluate", "nowhere"), "nowhere: there is nothing here"),
        (("train", "CartPole-v1", "--set", "seeds=3"), "unknown setting 'seeds'"),
        (("train", "CartPole-v1", "--set", "epsilon=abc"), "epsilon: expected a number, got 'abc'"),
        (("train", "CartPole-v1", "--set", "double=maybe"), "double: expected true or false, got 'maybe'"),
        (("train", "CartPole-v1", "--set", "replay=1000000000000"), "replay: "),
        (("train", "CartPole-v1", "--seed", "4294967296"), "seeds: expected"),
        (
            (
                "train",
                "CartPole-v1:discount=5",
            ),
            "discount",
        ),
        (
            (
                "train",
                "CartPole-v1:limit=0",
            ),
            "limit: expected 1 to 2³¹ − 1, got 0",
        ),
        (("train", "--out", "nowhere", "--kl", "1"), "ENV is required with these options"),
        (("train", "CartPole-v1", "--seeds", "0"), "at least 1"),
        (("train", "CartPole-v1", "--steps", 2**31), "steps: expected 1 to 2^30"),
        (("train", "CartPole-v1", "--track", "aim"), "expected wandb or mlflow"),
        (("evaluate", "nowhere"), "is it the folder of a training run?"),
        (("plot", "nowhere"), "is it the folder of a training run?"),
        (("play", "nowhere", "--video", "x.gif"), "is it the folder of a training run?"),
        (("export", "nowhere", "x.txt"), "expected a name ending in .npz"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(mdvi, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = mdvi(*arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_population_with_a_failed_member_ends_with_code_3(mdvi, tmp_path):
    options = (*OPTIONS, "--steps", 400, "--learning-rate", "0.001,1e30", "--out", tmp_path / "run")
    code, _, err = mdvi("train", "CartPole-v1", "--agent", "dqn", *options)
    assert code == 3
    assert "member 1: diverged" in err
    assert err.strip().endswith("1 of 2 members failed")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["members"][0]["status"] == "ok"
    code, out, _ = mdvi("evaluate", tmp_path / "run", "--episodes", 2, "--json")
    assert code == 0
    assert [member["status"][:8] for member in json.loads(out)["members"]] == ["ok", "diverged"]
    assert "member 1 failed in training: diverged" in mdvi("evaluate", tmp_path / "run", "--episodes", 2)[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_everything_and_is_the_exit_code(mdvi, tmp_path, monkeypatch, number):
    advance = Population.advance

    def struck(self, seconds, stopping):
        advance(self, 0.0, stopping)
        os.kill(os.getpid(), number)

    order = ("train", "CartPole-v1", *OPTIONS, "--steps", 2000, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Population, "advance", struck)
        code, out, err = mdvi(*order)
    assert (code, out) == (128 + number, "")
    assert f"stopped by {number.name}; saved in {tmp_path / 'run'}, the same command continues" in err
    assert not (tmp_path / "run" / "summary.json").exists()
    assert library.load(tmp_path / "run").metrics["env_steps"].tolist() == [240, 440]
    assert mdvi(*order)[0] == 0


@pytest.mark.parametrize("command", ["plot", "export", "play"])
@pytest.mark.parametrize("what", ["link", "pipe"])
def test_nothing_leaves_the_folder_of_a_run_by_a_link(mdvi, trained, tmp_path, command, what):
    name, option = {"plot": ("curves.png", ()), "export": ("p.npz", ()), "play": ("v.gif", ("--video",))}[command]
    folder = shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "outside").write_text("precious")
    if what == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path / "outside")
    code, out, err = mdvi(command, folder, *option, *(() if command == "plot" else (folder / name,)))
    assert (code, out) == (2, "")
    assert f"{name}: is a link out of {folder}, or a pipe; remove it, or use another file" in err
    assert (tmp_path / "outside").read_text() == "precious"


def test_metrics_go_to_tensorboard(mdvi, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tensorboardX imports
        import tensorboardX  # noqa: F401
    code, _, _ = mdvi("train", "CartPole-v1", "--steps", 400, *OPTIONS, "--tensorboard", tmp_path / "board")
    assert code == 0
    events = next((tmp_path / "board").glob("events*")).read_bytes()
    assert b"member_0/episode_return" in events
    assert b"member_0/loss" in events


class Away(types.ModuleType):
    """A service that starts, takes so many lines and is gone then."""

    def __init__(self, lines):
        super().__init__("mlflow")
        self.lines = lines

    def start_run(self):
        if not self.lines:
            raise RuntimeError("no server\nand a long story")

    def log_metrics(self, values, step):
        self.lines -= 1
        if self.lines < 0:
            raise ConnectionError("the server left")

    def end_run(self):
        raise AssertionError("a service that failed is left alone")


def test_a_service_that_fails_costs_no_run(mdvi, tmp_path, monkeypatch):
    for lines, code, words in ((0, 2, "mdvi: --track mlflow: no server\n"), (1, 0, "the server left\n")):
        monkeypatch.setitem(sys.modules, "mlflow", Away(lines))
        out = tmp_path / f"{lines}"
        found, _, err = mdvi("train", "CartPole-v1", "--steps", 400, *OPTIONS, "--track", "mlflow", "--out", out)
        assert found == code
        assert err.count(words) == 1
        assert (out / "summary.json").exists() == (code == 0)
