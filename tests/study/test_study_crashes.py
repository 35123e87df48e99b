"""What stops a study, or gets into its folder, is not taken for the result of a run."""

import contextlib
import errno
import os
import shutil

import pytest

from mdvi.learning.runs.folder import locked
from mdvi.study import execute as module
from mdvi.study import worker
from mdvi.study.execute import WORK, Watch, execute
from mdvi.study.store import NAME, Outcome, Store
from studies import HEAD, study_in

SHORT = HEAD.replace("steps = 600", "steps = 200").replace("seeds = 3", "seeds = 1")
ONE, TWO = "[[grid]]\nagent = 'dqn'\n", "[[grid]]\nagent = ['dqn', 'munchausen']\n"


def statuses(folder):
    store = Store(folder / NAME)
    with contextlib.closing(store):
        return sorted(store.statuses().values())


def place_of(study, folder):
    return folder / WORK / study.batches()[0].id


@pytest.mark.parametrize("times", [1, 3])
def test_a_folder_that_others_remove_before_it_is_locked_is_made_again(tmp_path, monkeypatch, times):
    study, struck, real = study_in(tmp_path, SHORT + TWO), [], module.run.locked

    @contextlib.contextmanager
    def after_removal(folder, shared=False):
        if folder.parent.name == WORK and len(struck) < times:
            struck.append(shutil.rmtree(folder))
        with real(folder, shared):
            yield

    monkeypatch.setattr(module.run, "locked", after_removal)
    monkeypatch.setattr(
        module, "train_batch", lambda batch, *_, **__: [Outcome(run.id, "done", "", {}) for run in batch.runs]
    )
    assert execute(study, tmp_path) == 0
    assert statuses(tmp_path) == ["done", "done"]
    assert os.listdir(tmp_path / WORK) == []


def of_the_disk(number):
    raise OSError(number, os.strerror(number))


def in_other_words(number):
    try:
        of_the_disk(number)
    except OSError as error:
        raise ValueError(f"the checkpoint cannot be read: {error}") from None


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("way", [of_the_disk, in_other_words])
def test_an_error_of_the_machine_stops_a_study_and_loses_nothing(tmp_path, monkeypatch, number, way):
    study = study_in(tmp_path, SHORT + TWO)
    kept = place_of(study, tmp_path) / "run" / "checkpoint"
    kept.mkdir(parents=True)
    (kept / "0000000001.safetensors").write_bytes(b"good")
    with monkeypatch.context() as patch:
        patch.setattr(worker.run, "train", lambda *_, **__: way(number))
        with pytest.raises((OSError, ValueError), match=os.strerror(number)):
            execute(study, tmp_path)
    assert statuses(tmp_path) == ["queued", "queued"]
    assert (kept / "0000000001.safetensors").read_bytes() == b"good"


def test_an_error_of_the_batch_is_its_result(tmp_path, monkeypatch):
    study = study_in(tmp_path, SHORT + TWO)

    def failing(*_, **__):
        raise ValueError("cannot be meant")

    monkeypatch.setattr(worker.run, "train", failing)
    execute(study, tmp_path)
    assert statuses(tmp_path) == ["failed", "failed"]


def test_runs_that_another_process_trains_are_left_to_it(tmp_path):
    study = study_in(tmp_path, SHORT + ONE)
    place = place_of(study, tmp_path)
    for folder in (place, place / "run"):
        with locked(folder):
            assert execute(study, tmp_path) == 1
        assert statuses(tmp_path) == ["queued"]


def half_written(run):
    run.mkdir(parents=True)
    (run / ".mdvi-0123").write_text('{"version')


def unknown(run):
    run.mkdir(parents=True)
    (run / "notes.txt").write_text("what is this?")


def of_something_else(run):
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"version": "0.1.0", "env": "Acrobot-v1"}')


def garbled(run):
    (run / "checkpoint").mkdir(parents=True)
    (run / "config.json").write_text("{")
    (run / "checkpoint" / "0000000001.safetensors").write_bytes(b"\0" * 100)


@pytest.mark.parametrize("left", [half_written, unknown, of_something_else, garbled])
def test_whatever_a_crash_leaves_of_a_run_it_is_trained(tmp_path, left):
    study, lines = study_in(tmp_path, SHORT + ONE), []
    left(place_of(study, tmp_path) / "run")
    execute(study, tmp_path, watch=Watch(remark=lines.append))
    assert statuses(tmp_path) == ["done"]
    assert os.listdir(tmp_path / WORK) == []
    assert any("training starts from the beginning" in line for line in lines) == (left is not half_written)


@pytest.mark.parametrize("part", [WORK, "batch", "run"])
def test_no_link_leads_out_of_the_folder_of_a_study(tmp_path, part):
    study, outside, inside = study_in(tmp_path, SHORT + ONE), tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "config.json").write_text("precious")
    place = {WORK: inside / WORK, "batch": place_of(study, inside), "run": place_of(study, inside) / "run"}[part]
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(ValueError, match=f"{place}: expected a folder made by mdvi, found a link; remove it"):
        execute(study, inside)
    assert statuses(inside) == ["queued"]
    assert (os.listdir(outside), (outside / "config.json").read_text()) == (["config.json"], "precious")


def test_what_is_not_work_stays_where_it_lies(tmp_path, monkeypatch):
    study = study_in(tmp_path, SHORT + ONE)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / WORK / "old").mkdir(parents=True)
    (tmp_path / WORK / "notes.txt").write_text("mine")
    (tmp_path / WORK / "link").symlink_to(outside)
    monkeypatch.setattr(
        module, "train_batch", lambda batch, *_, **__: [Outcome(run.id, "done", "", {}) for run in batch.runs]
    )
    execute(study, tmp_path)
    assert sorted(os.listdir(tmp_path / WORK)) == ["link", "notes.txt"]
    assert os.listdir(outside) == []


@pytest.mark.parametrize("name", ["runs.csv", "curves.csv", "report.html"])
@pytest.mark.parametrize("command", ["export", "report"])
def test_results_are_not_written_through_a_link(tmp_path, monkeypatch, capsys, name, command):
    from mdvi.cli import main

    study, outside, inside = study_in(tmp_path, SHORT + ONE), tmp_path / "outside", tmp_path / "inside"
    store = Store(inside / NAME)
    store.add(study.runs)
    store.close()
    outside.write_text("precious")
    (inside / name).symlink_to(outside)
    monkeypatch.setattr("sys.argv", ["mdvi", "study", command, str(tmp_path / "small.toml"), "--out", str(inside)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == (2 if (name == "report.html") == (command == "report") else 0)
    assert outside.read_text() == "precious"
    assert stop.value.code == 0 or f"mdvi: {inside / name}: is a link out of" in capsys.readouterr().err
