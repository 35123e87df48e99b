"""Studies: a file becomes runs, runs survive whatever stops them, tables and the report say what came out."""

import csv
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from mdvi.envs.names import environment_of
from mdvi.learning.arrange import population_with
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.training import host
from mdvi.report.cells import Cell, cells_of, panels_of
from mdvi.report.curves import to_csv
from mdvi.report.findings import across
from mdvi.study.execute import WORK, Watch, execute
from mdvi.study.figure1 import run as figure1
from mdvi.study.spec import Study, read
from mdvi.study.store import NAME, Outcome, Store
from orphans import MARK, nobody_stays
from studies import GRID, HEAD, study_in, tables


def work(file, folder, limit=None):
    """What a process of its own does."""
    os.environ[MARK] = folder
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    import jax

    jax.config.update("jax_compilation_cache_dir", str(Path(file).parent / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    execute(read(Path(file)), Path(folder), every=0.0)


@pytest.fixture(scope="session")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mdvi.study.execute"])
    return context


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The study, trained without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    study = study_in(folder)
    assert execute(study, folder) == 0
    return study, folder


def test_a_file_becomes_runs(tmp_path):
    study = study_in(tmp_path)
    assert len(study.runs) == 2 * 2 * 4 * 3 + 2 * 3 + 2 * 3 + 3 == len({run.id for run in study.runs})
    assert study.runs[0].id == "e01a4ca8bf53119b"  # ids are kept for ever: results are found by them
    assert read(tmp_path / "small.toml", earlier=True).runs[0].id == "1ffae87ac7194c1c"  # and by those of version 0.1.0
    assert study.runs[0].numbers == (0.1, 0.1, 0.5)
    groups = [(b.runs[0].agent, b.runs[0].evaluation, len(b.runs)) for b in study.batches(together=8)]
    assert groups[:3] == [("md-direct", "w/", 8), ("md-direct", "w/", 4), ("md-direct", "w/o", 8)]
    twice = study_in(tmp_path, HEAD + GRID + GRID)
    assert twice.runs == study.runs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", "Invalid value"),
        ('title = "a"', "a study needs a [[grid]] or [figure1] or [regularizers]"),
        ('title = "a"\n[figure1]\ngarnet = 3', "unknown key figure1.garnet; did you mean 'garnets'"),
        ('title = "a"\n[figure1]\ngarnets = 1', "figure1.garnets: input should be greater than or equal to 2"),
        (HEAD + "[[grid]]\nagnt = 'dqn'", "grid.1.agent: field required"),
        (HEAD + "[[grid]]\nagent = 'dqn'\nentropi = 1", "unknown key grid.1.entropi; did you mean 'entropy'"),
        (HEAD + "sede = 1\n[[grid]]\nagent = 'dqn'", "unknown key sede; did you mean 'seeds'"),
        (HEAD + "[[grid]]\nagent = 'dqm'", "unknown agent 'dqm'; did you mean 'dqn'"),
        (HEAD + "[[grid]]\nagent = 'da'\nbeta = 'x'", "grid.1.beta: input should be a valid number"),
        (HEAD + "[[grid]]\nagent = 'da'\nevaluation = 'with'", "grid.1.evaluation: input should be 'w/' or 'w/o'"),
        (HEAD + "[[grid]]\nagent = 'da'\nkl = 1\nbeta = 0.5\nentropy = 1", "beta"),
        ("title = 'a'\nenv = 'CartPole-v1'\n[[grid]]\nagent = 'dqn'", "steps: set the environment steps"),
        (HEAD.replace("seeds = 3", "seeds = 0") + "[[grid]]\nagent = 'dqn'", "seed: expected at least one"),
        (HEAD + "[[grid]]\nagent = 'da'\nbeta = []", "beta: expected at least one"),
        (HEAD + "[[grid]]\nagent = 'dqn'\nseeds = [0, -1]", "seeds: expected numbers in 0…2³² − 1"),
        ("title = 'a'\nsteps = 5\n[[grid]]\nagent = 'dqn'", "env: name an environment"),
    ],
)
def test_files_that_cannot_be_meant_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        study_in(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/small.toml: ")
    assert "\n" not in str(caught.value)


def test_everything_is_trained_once_and_told(straight):
    study, folder = straight
    runs, curves = tables(study, folder)
    rows = list(csv.DictReader(io.StringIO(runs)))
    assert [row["run_id"] for row in rows] == [run.id for run in study.runs]
    assert {row["status"] for row in rows} == {"done"}
    assert all(float(row["score_mean_training"]) > 5 and row["env_steps"] == "600" for row in rows)
    assert curves.count("\n") == 1 + 5 * len(study.runs)
    assert list((folder / WORK).iterdir()) == []
    store = Store(folder / NAME)
    known = store.runs([study.runs[0].id])[0]
    assert known["version"].startswith("mdvi 0")
    assert re.fullmatch("([0-9a-f]{12}( with local changes)?)?", known["git_commit"])
    store.close()
    told = []
    execute(study, folder, watch=Watch(lambda done, goal: told.append((done, goal))))  # nothing is left to do
    assert told[-1] == (600 * len(study.runs),) * 2
    assert tables(study, folder) == (runs, curves)
    plain = sqlite3.connect(folder / NAME)  # readable without mdvi
    assert plain.execute("SELECT count(*) FROM runs WHERE status = 'done'").fetchone() == (len(study.runs),)
    plain.close()


def test_a_run_is_what_train_would_have_made_of_it(straight):
    import mdvi

    study, folder = straight
    chosen = next(run for run in study.runs if (run.agent, run.beta, run.entropy, run.seed) == ("da", 0.9, 1.0, 2))
    run = mdvi.train(
        "CartPole-v1", "da", beta=0.9, entropy=1.0, seeds=[2], steps=600, evaluate_kl=True, evaluate_entropy=True,
        hidden=(4,), warmup=100, batch=8, target_period=20, log_period=100, replay=1000,
    )  # fmt: skip
    store = Store(folder / NAME)
    assert store.runs([chosen.id])[0]["score_mean_training"] == run.summary["members"][0]["mean_return"]
    store.close()


def trained(folder):
    """How many runs are done; none may have failed."""
    base = sqlite3.connect(folder / NAME)
    try:
        ends = [status for (status,) in base.execute("SELECT status FROM runs")]
    except sqlite3.OperationalError:  # no table yet
        return 0
    finally:
        base.close()
    assert set(ends) <= {"queued", "running", "done"}
    return ends.count("done")


def storm(processes, root, straight, stops):
    """Kill a study so many times; when it ends before, begin another one."""
    study, file = straight[0], str(straight[1] / "small.toml")
    generator, kills, folder = np.random.default_rng(0), 0, root / "0"
    while kills < stops or trained(folder) < len(study.runs):
        folder.mkdir(exist_ok=True)
        child = processes.Process(target=work, args=(file, str(folder)))
        child.start()
        child.join(float(generator.uniform(0.05, 2.0)) if kills < stops else None)
        kills += child.exitcode is None
        child.kill()
        child.join()
        nobody_stays(str(folder))
        assert child.exitcode in (0, -9)
        if trained(folder) == len(study.runs):
            assert tables(study, folder) == tables(*straight)
            if kills < stops:
                folder = root / str(kills)
    execute(study, folder)
    assert list((folder / WORK).iterdir()) == []


@pytest.mark.timeout(900)
def test_a_study_that_is_killed_again_and_again_ends_as_if_it_had_not_been(processes, tmp_path, straight):
    storm(processes, tmp_path, straight, 25)


@pytest.mark.storm
def test_a_study_survives_two_hundred_kills(processes, tmp_path):
    """A third of them while environments have processes of their own."""
    study = study_in(
        tmp_path, HEAD + GRID + '[[grid]]\nenv = "Acrobot-v1:timeout=60"\nagent = ["dqn", "da"]\nsteps = 3000'
    )
    assert execute(study, tmp_path) == 0
    storm(processes, tmp_path, (study, tmp_path), 200)


def test_a_signal_puts_what_was_running_back_into_the_queue(tmp_path, straight):
    def stop(done, goal):
        if done > goal / 3:
            os.kill(os.getpid(), signal.SIGTERM)

    study, _ = straight
    with pytest.raises(Interrupted):
        execute(study, tmp_path, watch=Watch(progress=stop))
    store = Store(tmp_path / NAME)
    assert set(store.statuses().values()) == {"done", "queued"}
    store.close()
    batches = {}
    execute(study, tmp_path, watch=Watch(batch=lambda name, *steps: batches.update({name: steps})))
    assert batches
    assert all(done == goal for done, goal in batches.values())
    assert tables(study, tmp_path) == tables(*straight)


def test_two_processes_share_the_work(processes, tmp_path, straight):
    study, folder = straight
    pair = [processes.Process(target=work, args=(str(folder / "small.toml"), str(tmp_path))) for _ in range(2)]
    for child in pair:
        child.start()
    for child in pair:
        child.join()
        assert child.exitcode == 0
    execute(study, tmp_path)  # what the one that ended first left to the other
    assert tables(study, tmp_path) == tables(*straight)


def test_shares_trained_apart_are_merged(tmp_path, straight):
    study, _ = straight
    for i in (1, 2):
        execute(study, tmp_path / str(i), shard=(i, 2))
    store = Store(tmp_path / NAME)
    store.add(study.runs)
    counts = []
    for i in (1, 2, 2):
        other = Store(tmp_path / str(i) / NAME)
        counts.append(store.take(other))
        other.close()
    store.close()
    assert counts[0] + counts[1] == len(study.runs)
    assert counts[2] == 0
    assert tables(study, tmp_path) == tables(*straight)


def test_what_is_tried_again_is_forgotten_and_can_be_merged(tmp_path):
    text = HEAD.replace("seeds = 3", "seeds = 1") + "[[grid]]\nagent = 'dqn'\nlearning_rate = [0.001, 1e30]\n"
    study = study_in(tmp_path, text)
    execute(study, tmp_path / "here")
    execute(study, tmp_path / "there")
    here, there = Store(tmp_path / "here" / NAME), Store(tmp_path / "there" / NAME)
    diverged = study.runs[1].id
    assert here.runs([diverged])[0]["env_steps"]
    here.again([diverged])
    row = here.runs([diverged])[0]
    assert (row["status"], row["reason"], row["env_steps"], row["version"]) == ("queued", "", None, None)
    assert here.curves([diverged]) == []
    assert here.take(there) == 1
    assert here.curves([diverged]) == there.curves([diverged]) != []
    here.close()
    there.close()


def test_what_goes_wrong_is_a_status_and_a_line_and_can_be_tried_again(tmp_path):
    text = HEAD.replace("seeds = 3", "seeds = 1") + (
        "[[grid]]\nagent = 'dqn'\nlearning_rate = [0.001, 1e30]\n"  # diverges
        "[[grid]]\nenv = 'CartPole-v9'\nagent = 'dqn'\n"  # raises
        "[[grid]]\nagent = 'dqn'\nsettings = { replay = 900000000 }\n"  # exceeds memory
    )
    study, lines = study_in(tmp_path, text), []
    with pytest.raises(ValueError, match=r"^CartPole-v9: .*name it yourself, or correct it to CartPole-v1$"):
        execute(study, tmp_path)
    own = ("CartPole-v9",)
    execute(study, tmp_path, watch=Watch(remark=lines.append), memory=2e9, own=own)
    store = Store(tmp_path / NAME)
    rows = store.runs([run.id for run in study.runs])
    assert [row["status"] for row in rows] == ["done", "diverged", "failed", "failed"]
    assert "diverged: the loss was not finite at environment step" in rows[1]["reason"]
    assert rows[2]["reason"].startswith("ValueError: CartPole-v9")
    assert "Traceback" in rows[2]["trace"]
    assert "GB of memory and 2 GB are available: lower replay" in rows[3]["reason"]
    assert len(lines) == 3
    assert [cell.diverged for cell in cells_of(rows)] == [0, 1, 0, 0]
    store.again([study.runs[2].id])
    store.mark([study.runs[0].id], "running")  # has ended, and stays so
    assert list(store.statuses().values()) == ["done", "diverged", "queued", "failed"]
    store.close()
    execute(study, tmp_path, watch=Watch(remark=lines.append), memory=2e9, own=own)
    assert len(lines) == 4


def test_a_store_that_may_only_be_read_is_read(tmp_path, straight, monkeypatch):
    study, folder = straight
    shutil.copy(folder / NAME, tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert tables(study, tmp_path) == tables(*straight)
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
    assert execute(study, tmp_path) == 0  # nothing is missing, so nothing is written
    more = study_in(tmp_path, (HEAD + GRID).replace("seeds = 3", "seeds = 4"))
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / NAME}: attempt to write a readonly database")):
        execute(more, tmp_path)


def test_a_full_disk_loses_nothing(processes, tmp_path, straight):
    study, folder = straight
    child = processes.Process(target=work, args=(str(folder / "small.toml"), str(tmp_path), 30_000))
    child.start()
    child.join()
    assert child.exitcode != 0
    execute(study, tmp_path)
    assert tables(study, tmp_path) == tables(*straight)


def test_what_is_finished_is_finished_for_everybody_or_for_nobody(tmp_path, straight):
    study, _ = straight
    store = Store(tmp_path / NAME)
    store.add(study.runs)
    outcomes = [Outcome(run.id, "done", "", {}, [(100, 1, 5.0, 5.0)]) for run in study.runs[:2]]
    with pytest.raises(ValueError, match="no such column: nonsense"):
        store.finish([outcomes[0], outcomes[1]._replace(facts={"nonsense": 1})])
    assert set(store.statuses().values()) == {"queued"}
    assert store.curves([study.runs[0].id]) == []
    store.close()


class Links(HTMLParser):
    """What a page refers to."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("src", "href")]


def command(monkeypatch, *arguments):
    from mdvi.cli import main

    monkeypatch.setattr("sys.argv", ["mdvi", "study", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_the_commands(monkeypatch, capsys, tmp_path, straight):
    monkeypatch.chdir(tmp_path)
    study = study_in(tmp_path)
    assert command(monkeypatch, "plan", "small.toml", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == len(study.runs)
    assert len(plan["groups"]) == 7
    assert plan["groups"][0]["flops"] > 1e6
    assert command(monkeypatch, "status", "small.toml") == 2
    assert "has no study.sqlite; `mdvi study run` creates it" in capsys.readouterr().err
    assert command(monkeypatch, "run", "small.toml", "--shard", "3/2") == 2
    assert "--shard: expected i/n" in capsys.readouterr().err
    assert command(monkeypatch, "merge", "small.toml", straight[1]) == 0
    assert f"{len(study.runs)} runs" in capsys.readouterr().out
    assert command(monkeypatch, "run", "small.toml") == 0
    assert f"{len(study.runs)} done" in capsys.readouterr().out
    assert command(monkeypatch, "export", "small.toml") == 0
    assert len((tmp_path / "runs/small/runs.csv").read_text().splitlines()) == 1 + len(study.runs)
    assert command(monkeypatch, "export", "small.toml", "--format", "parket") == 2
    assert "did you mean 'parquet'" in capsys.readouterr().err
    assert command(monkeypatch, "export", "small.toml", "--format", "parquet") == 0
    for name in ("runs", "curves"):
        rows = pyarrow.parquet.read_table(tmp_path / f"runs/small/{name}.parquet").to_pylist()
        for row in rows:
            row |= {key: "" if x is None else f"{x:.9g}" if isinstance(x, float) else str(x) for key, x in row.items()}
        assert rows == list(csv.DictReader(io.StringIO((tmp_path / f"runs/small/{name}.csv").read_text())))
    assert command(monkeypatch, "retry", "small.toml") == 0
    assert "0 runs re-queued" in capsys.readouterr().out
    assert command(monkeypatch, "report", "small.toml", "--score", "score_last10") == 2
    assert "did you mean 'score_last100'" in capsys.readouterr().err
    assert command(monkeypatch, "report", "small.toml", "--baseline", "dqm") == 2
    assert "'dqm' is not in the study; did you mean 'dqn'" in capsys.readouterr().err
    assert command(monkeypatch, "report", "small.toml") == 0
    shown = capsys.readouterr().out
    assert "the paper says" in shown
    verdict = list(csv.DictReader(io.StringIO((tmp_path / "runs/small/verdict.csv").read_text())))
    assert [row["finding"] for row in verdict][:1] == ["Regularisation beats DQN over a wide range"]
    assert {row["answer"] for row in verdict} <= {"yes", "no", "not decided"}
    assert command(monkeypatch, "report", "small.toml", "--width", "colum") == 2
    assert "--width: unknown 'colum'; did you mean 'column'?" in capsys.readouterr().err
    page = (tmp_path / "runs/small/report.html").read_text()
    links = Links()
    links.feed(page)
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert links.tags.count("script") == 1  # it sorts tables
    assert len(page) < 5e6
    assert page.count("<details>") == 4 + 2
    assert "md-direct w/o" in page
    for form in ("png", "svg", "pdf"):
        assert (tmp_path / f"runs/small/heatmaps-CartPole-v1.{form}").stat().st_size > 5000


def test_a_report_of_what_went_wrong_and_of_agents_without_a_grid(monkeypatch, capsys, tmp_path):
    """Scores that were never trained: only the page is looked at."""
    monkeypatch.chdir(tmp_path)
    text = (
        HEAD
        + "[[grid]]\nagent = ['dqn', 'munchausen']\n"
        + "[[grid]]\nenv = 'Acrobot-v1'\n"
        + GRID.split("[[grid]]")[1]
    )
    study = study_in(tmp_path, text)
    store = Store(tmp_path / "runs/small" / NAME)
    store.add(study.runs)
    wrong = {0: "diverged", 7: "failed", 8: "failed"}
    facts = {"score_mean_training": 5.0, "score_last100": 6.0}
    store.finish(
        Outcome(run.id, wrong.get(i, "done"), "the <loss> & more" if i in wrong else "", {} if i in wrong else facts)
        for i, run in enumerate(study.runs)
        if i % 5 != 4
    )
    store.close()
    assert command(monkeypatch, "report", "small.toml") == 0
    page = (tmp_path / "runs/small/report.html").read_text()
    assert page.count("the &lt;loss&gt; &amp; more") == 3
    for options, count in (("--diverged",), 1), ((), 2), (("--failed", "--diverged"), 0):
        assert command(monkeypatch, "retry", "small.toml", *options) == 0
        assert f"{count} runs re-queued" in capsys.readouterr().out
    assert "2 of 3 seeds" in page
    assert "1 of 3 seeds, 2 failed" in page
    assert page.count("Heatmap of ") == 4  # the agents in CartPole have no grid
    panels = [f"{agent}-{kept}" for agent in ("da", "md-direct") for kept in ("with", "without")]
    pictures = [*(f"curves-Acrobot-v1-{panel}.png" for panel in panels), "heatmaps-Acrobot-v1.png"]
    assert sorted(p.name for p in (tmp_path / "runs/small").glob("*.png")) == pictures


def test_figure_1_is_part_of_a_study_or_all_of_it(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    study = study_in(tmp_path, 'title = "One figure"\n[figure1]\ngarnets = 3\niterations = 20')
    assert command(monkeypatch, "plan", "small.toml") == 0
    assert "Figure 1: 3 Garnets, 20 iterations" in capsys.readouterr().out
    assert command(monkeypatch, "run", "small.toml", "--out", "second", "--shard", "2/2") == 0
    assert "One figure: Figure 1 queued" in capsys.readouterr().out  # the first share computes it
    assert command(monkeypatch, "run", "small.toml", "--out", "first", "--shard", "1/2") == 0
    assert command(monkeypatch, "merge", "small.toml", "second", "first") == 0
    assert command(monkeypatch, "status", "small.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"figure1": "done", "wrong": []}
    monkeypatch.setattr("mdvi.study.execute._EXPERIMENTS", {})  # it is not computed again
    assert command(monkeypatch, "run", "small.toml") == 0
    assert command(monkeypatch, "export", "small.toml") == 0
    assert command(monkeypatch, "report", "small.toml") == 0
    table = to_csv(figure1(garnets=3, iterations=20, seed=study.experiments[0].seed))
    assert (tmp_path / "runs/small/figure1.csv").read_text() == table
    page = (tmp_path / "runs/small/report.html").read_text()
    assert "Figure 1: errors average out" in page
    assert 'download="runs.csv"' not in page
    assert (tmp_path / "runs/small/figure1.svg").exists()


def test_cells_are_ranked_over_all_environments(tmp_path):
    def cell(env, agent, scores, wanted=3):
        return Cell(env, agent, "", 0.0, 0.0, 0.0, 0.1, (0, 1, 2), np.array(scores), (), wanted, 0, 0)

    by_env = {
        "one": [cell("one", "dqn", [0.0, 0.0, 0.0]), cell("one", "da", [9.0, 10.0, 11.0]), cell("one", "x", [5.0] * 3)],
        "two": [cell("two", "dqn", [-7.0] * 3), cell("two", "da", [-5.0] * 3), cell("two", "x", [9.0] * 3, wanted=4)],
    }
    assert [(found.cell.agent, found.mean, found.ends) for found in across(by_env)] == [
        ("da", 1.0, None),
        ("dqn", 0.0, None),
    ]
    assert across({"one": by_env["one"], "two": by_env["two"][:1]}) == []  # a single cell is no scale
    more = {
        name: [cell(name, a, b, wanted=5) for a, b in (("dqn", [0.0] * 5), ("da", [1.0, 2.0, 2.0, 2.0, 3.0]))]
        for name in by_env
    }
    best = across(more)[0]
    assert best.ends[0] < best.mean == 1.0 < best.ends[1]


def test_code_is_run_only_when_it_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    study_in(tmp_path, HEAD.replace("CartPole-v1", "evil:Env") + "[[grid]]\nagent = 'dqn'")
    assert command(monkeypatch, "run", "small.toml") == 2
    assert (
        "a file names this environment, which would execute code of its own; to allow it, name it yourself"
        in capsys.readouterr().err
    )


def test_cells_are_put_on_grids_and_strips(straight):
    study, folder = straight
    store = Store(folder / NAME)
    cells = cells_of(store.runs([run.id for run in study.runs]))
    store.close()
    grids, strips = panels_of(cells)
    assert [(p.agent, p.evaluation) for p in grids] == [
        ("md-direct", "w/"), ("md-direct", "w/o"), ("da", "w/"), ("da", "w/o")
    ]  # fmt: skip
    assert grids[0].rows == ("β", [0.5, 0.9])
    assert grids[0].columns == ("τ", [0.1, 1.0])
    assert [(p.agent, p.columns[0]) for p in strips] == [("md-direct", "λ"), ("modqn", "β")]
    assert all(cell.seeds == (0, 1, 2) and cell.wanted == 3 for cell in cells)
    assert isinstance(study, Study)


def test_members_on_the_host_are_split_by_the_memory(tmp_path, monkeypatch):
    text = HEAD.replace("seeds = 3", "seeds = 5").replace("CartPole-v1", "Acrobot-v1") + "[[grid]]\nagent = 'dqn'"
    study, sizes = study_in(tmp_path, text), []
    inner = host.HostPopulation.__init__

    def counting(self, settings, env, members, *rest, **options):
        sizes.append(len(members))
        inner(self, settings, env, members, *rest, **options)

    monkeypatch.setattr(host.HostPopulation, "__init__", counting)
    run = study.runs[0]
    one, _ = population_with(run.request, [run.cell], environment_of(run.env), memory=np.inf)
    sizes.clear()
    execute(study, tmp_path, memory=2.5 * one.bytes_needed)
    assert sizes == [1, 2, 2, 1]
    assert tables(study, tmp_path)[0].count(",done,") == 5


def test_runs_that_differ_in_more_than_seeds_are_not_pooled(tmp_path):
    text = HEAD + "[[grid]]\nagent = 'soft-dqn'\nentropy = [0.1, 1.0]\nlearning_rate = [0.001, 0.01]"
    study = study_in(tmp_path, text)
    store = Store(tmp_path / NAME)
    store.add(study.runs)
    ended = [run for run in study.runs if run.seed < 2]
    facts = {"score_mean_training": 5.0, "learning_rate": 0.5}  # told when a run ends, not before
    store.finish(Outcome(run.id, "done", "", facts) for run in ended)
    cells = cells_of(store.runs([run.id for run in study.runs]))
    store.close()
    assert [(len(cell.seeds), cell.wanted) for cell in cells] == [(2, 3)] * 4
    with pytest.raises(ValueError, match="differ in learning rate, steps or settings"):
        panels_of(cells)
