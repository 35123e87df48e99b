"""What a run shows of itself: lines, tables, frames, pictures, probabilities, and what Ctrl-C leaves of it."""

import doctest
import html.parser
import itertools
import re
import runpy
import signal

import jax
import numpy as np
import pytest

import mdvi
from mdvi import FiniteMDP, Report
from mdvi.envs import FiniteEnvironment, TimeLimit
from mdvi.learning import results
from mdvi.learning import train as training
from mdvi.learning.acting import policy
from mdvi.learning.acting.play import log_policy
from mdvi.learning.runs import record, signals
from mdvi.report import learning

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 200}
NAMES = ("kl", "entropy", "beta", "learning_rate")


def facts_of(run):
    """What heads the lines of metrics of each member."""
    names = ("member", "seed", *NAMES)
    return [{name: run.metrics[name][run.metrics["member"] == n][0] for name in names} for n in range(len(run))]


@pytest.fixture(scope="module")
def grid():
    """2 × 2 cells of three seeds, and one member that is said to have failed."""
    run = mdvi.train("CartPole-v1", "md-direct", beta=(0.5, 0.9), entropy=(0.01, 0.1), seeds=3, steps=600, **SMALL)
    run.population.log.fail(4, "diverged: on purpose")
    return mdvi.Run(run.population, run.config, facts_of(run), record.summary_of(
        run.population.log, run.population.settings, facts_of(run)
    ))  # fmt: skip


@pytest.fixture(scope="module")
def masked():
    """An agent with two actions, one of which is illegal in each of two of the three states, which it can see."""
    legal = np.array([[True, False], [False, True], [True, True]])
    model = FiniteMDP(np.full((3, 2, 3), 1 / 3), np.ones((3, 2)), 0.9, legal=legal)
    run = mdvi.train(TimeLimit(FiniteEnvironment(model), 20), "md-direct", steps=200, **SMALL)
    return run, legal


def test_a_run_is_a_few_lines(grid):
    lines = repr(grid).splitlines()
    assert lines[0] == "Run('md-direct' in 'CartPole-v1', members=12 (4 cells), steps=640,"
    assert re.fullmatch(r"    status='1 of 12 members failed', last_100=[\d.]+ … [\d.]+\)", lines[1])
    assert len(lines) == 2
    means = [results.last_100.mean() for results in grid.results]
    assert lines[1].endswith(f"{min(means):.4g} … {max(means):.4g})")


def test_a_notebook_shows_a_table_of_cells(grid):
    rows, row = [], []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, _):
            row.clear() if tag == "tr" else None

        def handle_data(self, data):
            row.append(data)

        def handle_endtag(self, tag):
            rows.append(list(row)) if tag == "tr" else None

    Reader().feed(grid._repr_html_())
    assert ["status", "1 of 12 members failed"] in rows
    assert ["λ", "τ", "β", "rate", "seeds", "all episodes", "last 100", "failed"] in rows
    assert [row[2:5] for row in rows[-4:]] == [[beta, "0.001", "3"] for beta in ("0.5", "0.5", "0.9", "0.9")]
    assert [row[-1] for row in rows[-4:]].count("1") == 1
    assert (
        "<script" not in mdvi.Run(grid.population, grid.config | {"env": "<script>"}, facts_of(grid), {})._repr_html_()
    )


def test_results_are_those_of_the_members_that_did_not_fail(grid):
    found = grid.results
    assert [(one.wanted, one.failed, one.seeds) for one in found] == [
        (3, 0, (0, 1, 2)), (3, 1, (0, 2)), (3, 0, (0, 1, 2)), (3, 0, (0, 1, 2))
    ]  # fmt: skip
    mine = grid.metrics["member"] == 5
    total = np.nansum(grid.metrics["episodes"][mine] * np.nan_to_num(grid.metrics["episode_return"][mine]))
    assert found[1].mean_return[1] == pytest.approx(total / grid.metrics["episodes"][mine].sum(), rel=1e-6)
    assert found[1].last_100[1] == pytest.approx(grid.metrics["last_100"][mine][-1])
    assert found[0].steps.tolist() == [640] * 3


def test_frames_leave_failed_members_out_or_mark_them(grid):
    pandas = pytest.importorskip("pandas")
    frame, whole = grid.frame(), grid.frame(failed=True)
    assert sorted(set(frame["member"])) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert (frame["status"] == "ok").all()
    assert whole.loc[whole["member"] == 4, "status"].unique().tolist() == ["diverged: on purpose"]
    assert len(whole) == len(grid.metrics["member"]) == 36
    assert {frame[name].dtype for name in ("env_steps", "seed", "episodes")} == {np.dtype(np.int64)}
    assert frame.groupby(["beta", "entropy"])["last_100"].mean().notna().all()
    assert isinstance(frame, pandas.DataFrame)


def test_curves_have_a_band_of_seeds_for_each_cell(grid):
    figure = grid.plot()
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines] == [
        f"λ = {kl}, τ = {tau}, β = {beta}"
        for beta, tau, kl in ((0.5, 0.01, 0.01), (0.5, 0.1, 0.1), (0.9, 0.01, 0.09), (0.9, 0.1, 0.9))
    ]  # fmt: skip
    assert axes.lines[0].get_xdata().tolist() == [240, 440, 640]
    lines = {n: grid.metrics["last_100"][grid.metrics["member"] == n] for n in range(12)}
    np.testing.assert_allclose(axes.lines[1].get_ydata(), np.mean([lines[3], lines[5]], 0))  # 4 failed
    np.testing.assert_allclose(axes.lines[2].get_ydata(), np.mean([lines[6], lines[7], lines[8]], 0))
    assert "12" not in axes.get_title()
    assert "CartPole-v1" in axes.get_title()


def test_cells_are_drawn_on_full_grids_only(grid, masked):
    axes = grid.plot(cells=True, title="mine").axes[0]
    assert axes.get_title() == "mine"
    assert axes.images[0].get_array().shape == (2, 2)
    assert axes.images[0].get_array()[1, 0] == pytest.approx(grid.results[2].mean_return.mean(), rel=1e-6)
    with pytest.raises(ValueError, match="cells: expected a full grid"):
        masked[0].plot(cells=True)


def test_probabilities_are_those_of_the_agent(masked, grid):
    run, legal = masked
    found = run.probabilities(np.eye(3))
    assert ((found > 0) == legal).all()
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-12)
    assert run.probabilities([0, 0, 1]).shape == (2,)
    np.testing.assert_allclose(found, np.exp(log_policy(run.env, *run.networks(), np.eye(3, dtype=np.float32))), 1e-4)
    obs = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    mine = np.exp(np.asarray(log_policy(grid.env, *grid.networks(7), obs)))
    np.testing.assert_allclose(grid.probabilities(obs, 7), mine, rtol=1e-4)
    assert abs(grid.probabilities(obs, 7) - grid.probabilities(obs, 6)).max() > 1e-3
    only = grid.probabilities(obs, 7, legal=np.tile([False, True], (50, 1)))
    np.testing.assert_array_equal(only, np.tile([0.0, 1.0], (50, 1)))


def test_a_policy_is_sampled_from_its_probabilities(grid):
    obs = np.tile(np.array([0.1, -0.2, 0.03, 0.3], np.float32), (20_000, 1))
    wanted = grid.probabilities(obs[0], 3)
    share = np.bincount(grid.policy(obs, 3, seed=5), minlength=2) / len(obs)
    assert wanted.min() > 0.02
    np.testing.assert_allclose(share, wanted, atol=4 * np.sqrt(0.25 / len(obs)))
    np.testing.assert_array_equal(grid.policy(obs, 3, seed=5), grid.policy(obs, 3, seed=5))
    mask = np.tile([True, False], (len(obs), 1))
    assert not grid.policy(obs, 3, seed=5, legal=mask).any()


def test_acting_with_dense_networks_compiles_nothing(grid):
    obs = np.zeros(4)
    again = mdvi.Run(grid.population, grid.config, facts_of(grid), {})
    compiled = log_policy._cache_size()
    again.policy(obs)
    again.probabilities(obs)
    assert log_policy._cache_size() == compiled


def test_probabilities_are_never_nan(monkeypatch):
    run = mdvi.train("probe-matched", "dqn", steps=200, **SMALL)
    assert sorted(run.probabilities([True, False, False])) == [0.0, 1.0]
    agent, networks = run.networks()
    broken = agent, jax.tree.map(lambda leaf: leaf * np.nan, networks)
    monkeypatch.setattr(run.population, "networks", lambda number: broken)
    run = mdvi.Run(run.population, run.config, facts_of(run), {})
    with pytest.raises(ValueError, match="the networks of this member diverged"):
        run.probabilities([True, False, False])


def test_export_writes_what_the_command_writes(grid, tmp_path):
    written = grid.export(tmp_path / "mine.npz", 2)
    assert written == (tmp_path / "mine.npz", tmp_path / "mine.py")
    mine = runpy.run_path(str(written[1]))["Policy"](written[0])
    obs = np.random.default_rng(0).normal(size=(20, 4))
    np.testing.assert_allclose([mine.probabilities(o) for o in obs], grid.probabilities(obs, 2), rtol=1e-3)
    with pytest.raises(ValueError, match=r"mine.csv: expected a name ending in .npz"):
        grid.export(tmp_path / "mine.csv")


def pressed(after):
    """A report that presses Ctrl-C when there are so many lines of metrics."""
    lines = itertools.count(1)

    def tables(_):
        if next(lines) == after:
            signal.raise_signal(signal.SIGINT)

    return Report(tables=tables)


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0"])
def test_ctrl_c_keeps_what_was_trained(env):
    pytest.importorskip("gymnasium") if env == "MountainCar-v0" else None
    with pytest.raises(mdvi.Interrupted, match="stopped by SIGINT") as caught:
        mdvi.train(env, seeds=2, steps=10**6, report=pressed(4), **SMALL)
    run = caught.value.run
    assert "except mdvi.Interrupted as stop" in caught.value.__notes__[0]
    assert run.status == "not finished"
    assert len(run.metrics["env_steps"]) >= 4
    assert repr(run).startswith(f"Run('munchausen' in '{env}', members=2, steps=")
    assert run.probabilities(np.zeros(run.env.observation.shape)).sum() == pytest.approx(1)
    returns, _ = run.evaluate(2, limit=20)
    assert np.isfinite(returns).all()
    assert run.plot().axes[0].lines[0].get_xdata().max() == run.metrics["env_steps"].max()


def test_members_that_have_not_started_say_so():
    with pytest.raises(mdvi.Interrupted) as caught:
        mdvi.train("CartPole-v1", seeds=3, steps=10**6, workers=1, report=pressed(1), **SMALL)
    run = caught.value.run
    started = [n for n in range(3) if n in run.metrics["member"]]
    assert started
    for member in set(range(3)) - set(started):
        with pytest.raises(ValueError, match=f"member {member} has not started yet"):
            run.policy(np.zeros(4), member)


def test_the_second_ctrl_c_raises_keyboard_interrupt_where_the_first_would_have():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with signals.signals() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert stopped.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_run_lacks_is_said(masked):
    run, _ = masked
    columns = facts_of(run)
    run.population.log.rows[0], kept = [], run.population.log.rows[0]
    empty = mdvi.Run(run.population, run.config, columns, {})
    run.population.log.rows[0] = kept
    assert repr(empty).endswith("last_100=unknown)")
    with pytest.raises(ValueError, match="all members failed, or none has a line of metrics yet"):
        empty.plot()
    if pytest.importorskip("pandas"):
        assert empty.frame().empty


def test_grids_of_other_rates_are_not_pooled():
    metrics = {"kl": [0.1, 0.2] * 4, "entropy": [0.1, 0.1, 0.2, 0.2] * 2, "beta": [0.5, 0.6, 0.3, 0.5] * 2}
    metrics |= {"learning_rate": [0.1] * 4 + [0.2] * 4, "member": range(8), "episodes": [1.0] * 8}
    metrics |= {"episode_return": range(8), "env_steps": [10.0] * 8, "last_100": range(8)}
    columns = {name: np.array(list(column), float) for name, column in metrics.items()}
    assert learning.grid_of(columns) is None
    half = learning.lines_of(columns, range(4))
    np.testing.assert_array_equal(learning.grid_of(half).score, [[0, 2], [1, 3]])
    assert learning.grid_of(learning.lines_of(columns, range(3))) is None
    assert len(learning.curves_of(columns)) == 8
    assert "rate = 0.2" in learning.curves_of(columns)[4][0]


@pytest.mark.parametrize("module", [results, policy, learning, signals, training])
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(module).failed == 0
