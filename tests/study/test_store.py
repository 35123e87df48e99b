"""The database of a study: what is read is what was written, or it is refused, whatever happened to the file."""

import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mdvi import output
from mdvi.study import database
from mdvi.study.spec import read
from mdvi.study.store import NAME, Outcome, Store
from studies import HEAD

FIXTURES = Path(__file__).parents[1] / "fixtures" / "0.1.0" / "studies"
GRID = "[[grid]]\nagent = ['dqn', 'munchausen']\n"
FIGURE = "[figure1]\ngarnets = 3\niterations = 5\n"
SCORE = 0.9006


def curve_of(number, lines=5):
    return [(100 * line, line, number + 0.5 * line, -0.0) for line in range(1, lines)]


@pytest.fixture
def made(tmp_path):
    """A study of six runs, half of which are done, and its store, whose log is empty."""
    (tmp_path / "small.toml").write_text(HEAD + GRID + FIGURE)
    study = read(tmp_path / "small.toml")
    store = Store(tmp_path / NAME)
    store.add(study.runs)
    facts = {"score_mean_training": SCORE, "score_last100": 7, "env_steps": 600, "episodes": 30, "version": "mdvi 1"}
    store.finish(Outcome(run.id, "done", "", facts, curve_of(i)) for i, run in enumerate(study.runs[:3]))
    store.keep_table(study.experiments[0], "panel,curve\nleft,λ\n")
    store.close()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(NAME)] == [NAME]
    return study, tmp_path / NAME


def content(study, path, reading=True):
    """Everything that can be read."""
    wanted, store = [run.id for run in study.runs], Store(path, reading)
    try:
        return store.statuses(), store.runs(wanted), store.curves(wanted), store.tables(study)
    finally:
        store.close()


def change(path, script):
    """What another program does to the file."""
    base = sqlite3.connect(path)
    base.executescript(script)
    base.close()


# --- durable -------------------------------------------------------------------------------------------------------


def test_commits_are_on_the_disk_and_readers_do_not_wait(made):
    study, path = made
    store = Store(path)
    assert store._base.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with store._change([study.runs[0].id]):
        store._base.execute("UPDATE runs SET status = 'failed'")
        other = Store(path, reading=True)
        other._base.execute("PRAGMA busy_timeout = 0")
        assert list(other.statuses().values()) == ["done"] * 3 + ["queued"] * 3
        other.close()
        store._base.execute("UPDATE runs SET status = 'done' WHERE status != 'done'")
        store._base.execute("UPDATE runs SET status = 'queued' WHERE score_last100 IS NULL")
    store.close()


def test_a_new_store_has_a_log_before_anything_is_written(tmp_path):
    database._make(tmp_path / "deep" / "down" / NAME)  # opening it would see to that as well, with a journal
    assert (tmp_path / "deep" / "down" / NAME).read_bytes()[18:20] == b"\2\2"
    assert os.listdir(tmp_path / "deep" / "down") == [NAME]


def test_the_store_that_another_process_made_meanwhile_stays(made):
    study, path = made
    right, before = content(study, path), path.read_bytes()
    database._make(path)
    assert path.read_bytes() == before
    assert content(study, path) == right
    assert sorted(os.listdir(path.parent)) == sorted([NAME, "small.toml"])


def test_what_the_making_of_a_store_left_half_written_is_removed_by_who_may_write_in_it(made):
    study, path = made
    left = path.parent / f"{output.mark_of(path)}-0123abcd"
    left.write_bytes(path.read_bytes())  # as where a process dies between giving the file its name and this
    Store(path, reading=True).close()
    assert left.exists()
    Store(path).close()
    assert not left.exists()
    assert content(study, path) is not None


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_of_a_store_follows_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        Store(tmp_path / NAME).close()
    finally:
        os.umask(before)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_run_that_is_finished_again_has_the_new_curve_alone(made):
    study, path = made
    store, run = Store(path), study.runs[0].id
    store.finish([Outcome(run, "done", "", {}, [(7, 1, 2.0, None), (14, 2, float("inf"), 4.0)])])
    assert store.curves([run]) == [(run, 7, 1, 2.0, None), (run, 14, 2, float("inf"), 4.0)]
    store.finish([Outcome(run, "diverged", "why", {}, [])])
    assert store.curves([run]) == []
    store.close()


def test_seconds_are_shared_out(made):
    study, path = made
    store, ids = Store(path), [run.id for run in study.runs]
    store.add_seconds(ids[:4], 8.0)
    store.add_seconds(ids[:1], 0.5)
    assert [row["seconds"] for row in store.runs(ids)] == [2.5, 2.0, 2.0, 2.0, 0.0, 0.0]
    store.close()


def test_only_reading_changes_nothing(made):
    study, path = made
    store = Store(path, reading=True)
    with pytest.raises(ValueError, match="attempt to write a readonly database"):
        store.mark([study.runs[5].id], "running")
    store.close()


# --- damaged -------------------------------------------------------------------------------------------------------


def damaged(data, generator):
    """A copy with a bit flipped, an end cut off, or a stretch emptied or filled with noise."""
    data = bytearray(data)
    kind, place, length = generator.randrange(4), generator.randrange(len(data)), generator.randrange(1, 3000)
    if kind == 0:
        data[place] ^= 1 << generator.randrange(8)
    elif kind == 1:
        del data[place:]
    else:
        stretch = len(data[place : place + length])
        data[place : place + length] = bytes(stretch) if kind == 2 else generator.randbytes(stretch)
    return bytes(data)


def test_damage_anywhere_is_refused_or_changes_nothing(made):
    study, path = made
    right, sound, generator = content(study, path), path.read_bytes(), random.Random(0)
    told = []
    for _ in range(400):
        for beside in path.parent.glob(f"{NAME}-*"):
            beside.unlink()
        path.write_bytes(damaged(sound, generator))
        try:
            assert content(study, path, reading=generator.random() < 0.5) == right
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 200
    assert all(line.startswith(f"{path}: ") and len(line) < len(str(path)) + 400 for line in told)


def test_every_bit_of_a_score_counts(made):
    study, path = made
    sound = path.read_bytes()
    place = sound.find(struct.pack(">d", SCORE))
    for bit in range(64):
        data = bytearray(sound)
        data[place + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"the row of \w+ in runs is damaged \(checksum mismatch\); restore a copy"
        ):
            content(study, path)


FORGERIES = {
    "UPDATE runs SET score_last100 = 8 WHERE status = 'done'": "the row of .* in runs is damaged",
    "UPDATE runs SET status = 'done'": "the row of .* in runs is damaged",
    "UPDATE runs SET seed = seed + 1": "the row of .* in runs is damaged",
    "UPDATE runs SET run_id = 'x' WHERE status = 'queued' AND seed = 0": "the row of x in runs is damaged",
    "UPDATE curves SET last_100 = 1e9 WHERE env_steps = 200": "the row of .* in curves is damaged",
    "DELETE FROM curves WHERE env_steps = 400": "lines of the curve of run .* are missing",
    "DELETE FROM curves": "lines of the curve of run .* are missing",
    "UPDATE figure1 SET content = replace(content, 'left', 'right')": "the row of .* in figure1 is damaged",
    """UPDATE curves SET run_id = (SELECT max(run_id) FROM curves), env_steps = 7
        WHERE env_steps = 100 AND run_id = (SELECT min(run_id) FROM curves)""": "of the curve of run|in curves is",
}


@pytest.mark.parametrize("script", FORGERIES)
def test_rows_that_something_else_changed_are_refused(made, script):
    study, path = made
    change(path, script)
    with pytest.raises(ValueError, match=FORGERIES[script]):
        content(study, path)


def test_damaged_rows_are_neither_changed_nor_sealed_again(made):
    study, path = made
    change(path, "UPDATE runs SET score_last100 = 8")
    store, ids = Store(path), [run.id for run in study.runs]
    for act in (
        lambda: store.mark(ids, "running"),
        lambda: store.again(ids),
        lambda: store.add_seconds(ids, 1.0),
        lambda: store.finish([Outcome(ids[0], "done", "", {})]),
        lambda: store.add(study.runs),
    ):
        with pytest.raises(ValueError, match=r"is damaged \(checksum mismatch\)"):
            act()
    store.close()
    base = sqlite3.connect(path)
    assert base.execute("SELECT DISTINCT score_last100, seconds FROM runs").fetchall() == [(8.0, 0.0)]
    base.close()


def test_a_change_that_fails_is_undone_and_told_as_it_was(made, monkeypatch):
    study, path = made
    store, right = Store(path), content(study, path)
    store._base.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096}")
    long = [(step, 1, 0.0, 0.0) for step in range(20_000)]
    with pytest.raises(ValueError, match="database or disk is full"):
        store.finish([Outcome(study.runs[4].id, "done", "", {}, long)])
    store.close()
    assert content(study, path) == right


# --- from strangers ------------------------------------------------------------------------------------------------

HOSTILE = {
    "view": """PRAGMA foreign_keys = OFF; ALTER TABLE runs RENAME TO hidden; CREATE VIEW runs AS WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT hidden.* FROM hidden, (SELECT count(*) FROM n)""",
    "view beside": "CREATE VIEW more AS SELECT * FROM runs",
    "view in the place of a pragma": "CREATE VIEW pragma_user_version AS SELECT 3 AS user_version",
    "trigger": "CREATE TRIGGER later AFTER UPDATE ON runs BEGIN DELETE FROM figure1; END",
    "virtual table": "CREATE VIRTUAL TABLE words USING fts5(word)",
    "pages as a table": "CREATE VIRTUAL TABLE pages USING dbstat(main)",
    "generated column": "ALTER TABLE runs ADD COLUMN more TEXT AS (hex(zeroblob(1000000000)))",
    "column": "ALTER TABLE runs ADD COLUMN more TEXT",
    "index": "CREATE INDEX quick ON curves (episodes)",
    "expression in an index": "CREATE INDEX quick ON curves (abs(episodes) + 1)",
    "condition in an index": "CREATE INDEX quick ON curves (episodes) WHERE abs(episodes) > 1",
    "table": "CREATE TABLE more (x)",
    "table that is missing": "DROP TABLE figure1",
    "statistics": "ANALYZE",
    "other types": """DROP TABLE figure1; CREATE TABLE figure1 (figure_id TEXT PRIMARY KEY, content ANY,
        checksum INTEGER NOT NULL DEFAULT 0) STRICT""",
    "any types": """DROP TABLE figure1; CREATE TABLE figure1 (figure_id TEXT PRIMARY KEY, content TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0)""",
    "check": """DROP TABLE figure1; CREATE TABLE figure1 (figure_id TEXT PRIMARY KEY, content TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0 CHECK (length(hex(zeroblob(1000000))) > 0)) STRICT""",
    "schema by hand": """PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = sql || ' -- more'
        WHERE name = 'figure1'; PRAGMA writable_schema = OFF""",
    "another version's number": "PRAGMA user_version = 3",
    "no version": "PRAGMA user_version = 0",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reading", [True, False])
def test_a_schema_that_is_not_ours_is_refused_before_it_is_used(made, name, reading):
    study, path = made
    change(path, HOSTILE[name])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="its schema differs from mdvi's"):
        content(study, path, reading)
    assert path.read_bytes() == before


def test_databases_of_others_and_later_ones_are_refused(made):
    study, path = made
    for script, words in (
        ("PRAGMA application_id = 7", "is a database of another program"),
        ("PRAGMA user_version = 99", "was written by a later version of mdvi; update mdvi"),
        ("PRAGMA application_id = 0; PRAGMA user_version = 0", "is a database of another program"),
    ):
        copy = path.with_name("copy.sqlite")
        shutil.copy(path, copy)
        change(copy, script)
        with pytest.raises(ValueError, match=words):
            content(study, copy)


def test_a_text_that_is_too_long_is_not_read(made):
    study, path = made
    change(path, f"UPDATE figure1 SET content = hex(zeroblob({(1 << 25) + 99}))")
    with pytest.raises(ValueError, match="string or blob too big"):
        content(study, path)


def linked(place, target):
    place.symlink_to(target)


def piped(place, target):
    os.mkfifo(place)


def foldered(place, target):
    place.mkdir()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("make", [linked, piped, foldered])
def test_only_regular_files_are_opened(made, suffix, make):
    study, path = made
    target = path.with_name("outside")
    shutil.copy(path, target)
    before, place = target.read_bytes(), path.with_name(NAME + suffix)
    place.unlink(missing_ok=True)
    make(place, target)
    with pytest.raises(ValueError, match=f"{place}: expected a file, found a (link|pipe|folder)"):
        content(study, path)
    assert target.read_bytes() == before


def test_a_device_is_not_opened(tmp_path):
    (tmp_path / NAME).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="expected a file, found a link"):
        Store(tmp_path / NAME)


def test_a_journal_that_names_another_file_does_not_remove_it(made):
    """SQLite removes the file that the end of a journal names, when it rolls the journal back."""
    study, path = made
    victim = path.with_name("victim")
    victim.write_text("precious")
    name, magic = str(victim).encode(), bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">IIIII", 0, 1, path.stat().st_size // 4096, 4096, 4096)
    end = struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    path.with_name(f"{NAME}-journal").write_bytes(header.ljust(4096, b"\0") + end)
    with pytest.raises(ValueError, match="this journal names another file"):
        content(study, path)
    assert victim.read_text() == "precious"


def test_a_journal_of_a_transaction_that_was_cut_off_is_rolled_back(made):
    study, path = made
    right = content(study, path)
    program = """if True:
        import os, sqlite3, sys
        base = sqlite3.connect(sys.argv[1], isolation_level=None)
        base.execute("PRAGMA journal_mode = DELETE")
        base.execute("PRAGMA cache_size = 1")
        base.execute("BEGIN")
        base.execute("UPDATE runs SET score_last100 = 8")
        base.execute("UPDATE curves SET last_100 = 8")
        os._exit(0)"""
    subprocess.run([sys.executable, "-c", program, path], check=True)
    assert content(study, path) == right


# --- every command -------------------------------------------------------------------------------------------------


def emptied(path):
    path.write_bytes(b"")


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def noisy(path):
    data = bytearray(path.read_bytes())
    data[8192:11192] = random.Random(0).randbytes(3000)
    path.write_bytes(data)


def foreign(path):
    path.unlink()
    change(path, "CREATE TABLE t (x)")


def text(path):
    path.write_text("no database " * 500)


def viewed(path):
    change(path, HOSTILE["view"])


def forged(path):
    change(path, "UPDATE runs SET score_mean_training = 9 WHERE status = 'done'")


def away(path):
    path.rename(path.with_name("other"))
    path.symlink_to("other")


@pytest.mark.parametrize("harm", [emptied, truncated, noisy, foreign, text, viewed, forged, away])
def test_every_command_names_a_store_that_is_not_sound(monkeypatch, capsys, made, harm):
    from mdvi.cli import main

    _, path = made
    folder, file = path.parent, path.with_name("small.toml")
    shutil.copytree(folder, folder / "sound")
    harm(path)
    commands = [[name, file, "--out", folder] for name in ("status", "run", "export", "report", "retry", "plan")]
    commands += [["status", file, "--out", folder, "--json"], ["merge", file, folder / "sound", "--out", folder]]
    commands += [["merge", file, folder, "--out", folder / "sound"]]
    monkeypatch.setattr("mdvi.study.execute._here", None)  # nothing is trained
    for command in commands:
        monkeypatch.setattr("sys.argv", ["mdvi", "study", *map(str, command)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert stop.value.code == 2, command
        assert said.out == "", command
        assert said.err.startswith(f"mdvi: {path}: "), said.err
        assert said.err.count("\n") == 1


# --- of version 0.1.0 ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["done", "half"])
def old(request, tmp_path):
    """A study of version 0.1.0, its folder, and the tables that this version made of it."""
    shutil.copytree(FIXTURES / request.param, tmp_path / request.param)
    shutil.copy(FIXTURES / f"{request.param}.toml", tmp_path)
    return tmp_path / f"{request.param}.toml", tmp_path / request.param


def mdvi(monkeypatch, capsys, *arguments):
    from mdvi.cli import main

    monkeypatch.setattr("sys.argv", ["mdvi", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().out


def test_old_studies_are_brought_up_and_give_the_same_tables(monkeypatch, capsys, old):
    file, folder = old
    half = folder.name == "half"
    code, said = mdvi(monkeypatch, capsys, "study", "status", file, "--out", folder, "--json")
    assert code == 0
    counts = {name: count for name, count in json.loads(said).items() if isinstance(count, int)}
    assert counts == ({"done": 2, "running": 2} if half else {"done": 10, "diverged": 2})
    base = sqlite3.connect(folder / NAME)
    assert base.execute("PRAGMA user_version").fetchone() == (4,)
    assert base.execute("SELECT count(*) FROM runs WHERE checksum = 0").fetchone() == (0,)
    assert (
        base.execute("SELECT sum(lines) FROM runs").fetchone() == base.execute("SELECT count(*) FROM curves").fetchone()
    )
    base.close()
    assert mdvi(monkeypatch, capsys, "study", "export", file, "--out", folder)[0] == 0
    for table in (folder / "exported").iterdir():
        assert (folder / table.name).read_text() == table.read_text()
    assert mdvi(monkeypatch, capsys, "study", "report", file, "--out", folder)[0] == 0
    assert (folder / "report.html").stat().st_size > 5_000


def test_an_old_study_that_has_ended_has_nothing_to_do(monkeypatch, capsys, tmp_path):
    for name in ("done", "done.toml"):
        (shutil.copytree if name == "done" else shutil.copy)(FIXTURES / name, tmp_path / name)
    monkeypatch.setattr("mdvi.study.execute.train_batch", None)
    monkeypatch.setattr("mdvi.study.execute._EXPERIMENTS", {})
    code, said = mdvi(monkeypatch, capsys, "study", "run", tmp_path / "done.toml", "--out", tmp_path / "done")
    assert code == 3  # two of its runs diverged
    assert "12 runs, 2 diverged, 10 done, Figure 1 done" in said


def test_an_old_study_that_was_killed_goes_on(monkeypatch, capsys, tmp_path):
    for name in ("half", "half.toml"):
        (shutil.copytree if name == "half" else shutil.copy)(FIXTURES / name, tmp_path / name)
    code, said = mdvi(monkeypatch, capsys, "study", "run", tmp_path / "half.toml", "--out", tmp_path / "half")
    assert (code, "4 runs, 4 done" in said) == (0, True)
    study, path = read(tmp_path / "half.toml", earlier=True), tmp_path / "half" / NAME
    rows = content(study, path)[1]
    before = (tmp_path / "half" / "exported" / "runs.csv").read_text().splitlines()
    assert [f"{row['score_mean_training']:.9g}" for row in rows[:2]] == [line.split(",")[11] for line in before[1:3]]
    assert os.listdir(tmp_path / "half" / "work") == []


def test_a_store_of_an_earlier_version_that_may_not_be_written_is_named(monkeypatch, old):
    file, folder = old
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="was written by an earlier version of mdvi and is read-only"):
        content(read(file), folder / NAME)


@pytest.mark.parametrize("version", [1, 2])
def test_stores_of_versions_before_are_brought_up_as_well(tmp_path, version):
    shutil.copy(FIXTURES / "done" / NAME, tmp_path / NAME)
    study = read(FIXTURES / "done.toml", earlier=True)
    script = "DROP TABLE figure1;"
    script += "ALTER TABLE runs DROP COLUMN git_commit;" if version == 1 else ""
    change(tmp_path / NAME, f"{script} PRAGMA user_version = {version}")
    _, rows, curves, figure = content(study, tmp_path / NAME)
    assert ([row["git_commit"] is None for row in rows] == [True] * 12) == (version == 1)
    assert (len(rows), len(curves) > 10, figure) == (12, True, {})
