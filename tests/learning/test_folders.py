"""The folder of a run: whoever it comes from, whatever the disk does, and wherever it is moved to, nothing is lost."""

import errno
import fcntl
import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mdvi
from hostile import Row
from mdvi import envs, output
from mdvi.learning.runs import checkpoint, folder, record, run, signals
from mdvi.learning.runs.folder import InUse, locked
from mdvi.learning.runs.run import Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.training import host, population

TINY = {"hidden": (4,), "batch": 4, "warmup": 40, "replay": 80, "target_period": 20, "log_period": 40}
ASK = {"env": "CartPole-v1", "agent": "dqn", "steps": 160, **TINY}
OWN = ("config.json", "metrics.csv", "summary.json", ".lock", "checkpoint", "checkpoint/replay")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run that is over."""
    place = tmp_path_factory.mktemp("runs") / "finished"
    mdvi.train(**ASK, out=place)
    return place


@pytest.fixture
def ended(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


def files_in(place):
    """Every file below a folder, and its content."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def put(path, what, outside):
    """Something of another kind in the place of a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    elif what == "a file":
        path.write_text("x")
    else:
        path.symlink_to(outside)


@pytest.mark.parametrize(
    ("name", "what"),
    [(name, what) for name in OWN for what in ("a link", "a pipe", "a folder" if "." in name else "a file")],
)
def test_own_names_that_lead_elsewhere_are_refused_and_nothing_outside_changes(ended, tmp_path, name, what):
    for outside in (tmp_path / "file", tmp_path / "nowhere", tmp_path / "outside"):
        shutil.rmtree(tmp_path / "outside", ignore_errors=True)
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "0000000009.safetensors").write_text("precious")
        (tmp_path / "file").write_text("precious")
        put(ended / name, what, outside)
        before = files_in(tmp_path)
        for use in (partial(mdvi.train, **ASK, out=ended), partial(mdvi.load, ended)):
            with pytest.raises(ValueError, match=f"run/{name}: expected .* made by mdvi, found {what}; remove it"):
                use()
        with pytest.raises(ValueError, match=f"run/{name}: expected"):
            record.read_metrics(ended)
        assert files_in(tmp_path) == before
        if what != "a link":
            return


@pytest.mark.parametrize("what", ["a link", "a pipe", "a sparse file"])
def test_a_checkpoint_that_is_no_file_or_too_large_is_not_read(ended, tmp_path, what):
    path = ended / "checkpoint" / "0000000009.safetensors"
    if what == "a sparse file":
        path.touch()
        os.truncate(path, 2**40)
    else:
        put(path, what, tmp_path / "precious")
        shutil.copy(ended / "checkpoint" / "0000000001.safetensors", tmp_path / "precious")
    remarks = []
    loaded = mdvi.load(ended, remark=remarks.append)
    assert loaded.metrics["env_steps"][-1] == 160
    assert len(remarks) == 1
    assert "0000000009.safetensors: damaged" in remarks[0]
    assert remarks[0].endswith("using the previous checkpoint")


@pytest.mark.parametrize(
    "name",
    [
        "best.safetensors",
        "early.safetensors",
        "0000000400 (copy).safetensors",
        "00000000009.safetensors",
        "000000009.safetensors",
        "0000000009.SAFETENSORS",
        "٠٠٠٠٠٠٠٠٠٩.safetensors",
        "0000000009.safetensors.bak",
        "0000000009.safetensors\n",
        "-000000009.safetensors",
    ],
)
def test_only_files_of_exact_names_are_checkpoints(ended, name):
    place = ended / "checkpoint"
    own = checkpoint.serials(place)
    (place / name).write_bytes(b"somebody's")
    assert checkpoint.serials(place) == own
    checkpoint.write(place, 8, {}, {"note": 1})
    checkpoint.keep(place, [8])
    assert checkpoint.serials(place) == [8]
    assert (place / name).read_bytes() == b"somebody's"


def test_a_lost_configuration_is_written_again_for_what_the_checkpoints_are_of(ended):
    path = ended / "config.json"
    text = path.read_text()
    for damage in (None, "", "{", "[" * 10**5, json.dumps(json.loads(text) | {"seeds": "all"}), "[1]", "9" * 5000):
        path.unlink()
        if damage is not None:
            path.write_text(damage)
        with pytest.raises(ValueError, match=r"config.json.*; repeat the command that made the run"):
            mdvi.train(**ASK | {"steps": 200}, out=ended)
        remarks = []
        mdvi.train(**ASK, out=ended, report=Report(remark=remarks.append))
        assert path.read_text() == text
        assert sum("rewriting it: the checkpoints match this command" in line for line in remarks) == 1


def test_folders_of_others_are_not_taken_for_runs(tmp_path):
    place = tmp_path / "theirs"
    (place / "checkpoint").mkdir(parents=True)
    for name in ("checkpoint/best.pt", "metrics.csv"):
        (place / name).write_text("years of work")
    before = files_in(place)
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        mdvi.train(**ASK, out=place)
    assert files_in(place) == before


def test_a_process_that_was_killed_before_its_first_file_is_no_obstacle(tmp_path, finished):
    place = tmp_path / "run"
    place.mkdir()
    for name in (".lock", ".mdvi-x"):
        (place / name).touch()
    mdvi.train(**ASK, out=place, fresh=True)
    assert files_in(place).keys() == files_in(finished).keys()
    for half in (place / ".mdvi-y", place / "checkpoint" / ".mdvi-z", place / "checkpoint" / "replay" / ".mdvi-0"):
        half.parent.mkdir(exist_ok=True)
        half.write_text("half")
    mdvi.train(**ASK, out=place)
    assert files_in(place).keys() == files_in(finished).keys()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("call", ["open", "stat", "listdir"])
def test_an_error_of_the_machine_is_told_and_decides_nothing(ended, monkeypatch, call, number):
    before, real = files_in(ended), getattr(os, call)

    def broken(path, *arguments, **options):
        if "checkpoint" in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    for use in (partial(mdvi.train, **ASK, out=ended), partial(mdvi.load, ended)):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, broken)
            with pytest.raises(OSError, match="checkpoint") as caught:
                use()
        assert caught.value.errno == number
    assert files_in(ended) == before
    assert mdvi.train(**ASK, out=ended).summary["status"] == "ok"


def test_an_error_while_a_checkpoint_is_read_is_told(ended, monkeypatch):
    before = files_in(ended)
    for error in (MemoryError(), OSError(errno.EIO, "Input/output error", "checkpoint")):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "load", lambda data, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(OSError, match="checkpoint"):
                mdvi.train(**ASK, out=ended)
    assert files_in(ended) == before


def test_claims_are_compared_before_anything_is_made(ended, monkeypatch):
    config = json.loads((ended / "config.json").read_text())
    monkeypatch.setattr("mdvi.envs.names.environment_of", lambda text: pytest.fail("made an environment"))
    for claim in ({"seeds": list(range(100_000))}, {"env": "garnet:states=3000000"}, {"settings": {"hidden": [10**9]}}):
        (ended / "config.json").write_text(json.dumps(config | claim))
        for use in (mdvi.load, mdvi.learning.train.request_in):
            with pytest.raises(ValueError, match=r"config.json: does not match the checkpoints"):
                use(ended)
    claim = config | {"seeds": list(range(100_000))}
    arrays, note, _ = checkpoint.latest(ended / "checkpoint", 2**20)
    checkpoint.write(ended / "checkpoint", 9, arrays, note | {"config": record.digest_of(claim)})
    (ended / "config.json").write_text(json.dumps(claim))
    with pytest.raises(ValueError, match=r"declares 100000 members, but the checkpoints have another number"):
        mdvi.load(ended)


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, "9" * 5000, '{"a": 1' + " " * 2**26, "\xff", "7"])
def test_json_that_cannot_be_read_is_damage(ended, name, text):
    (ended / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=f"{name}: damaged"):
        mdvi.load(ended)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 400, "true", "null", '"1"'])
def test_numbers_that_are_none_are_damage(ended, number):
    text = (ended / "config.json").read_text()
    (ended / "config.json").write_text(text.replace('"seeds": [\n  0\n ]', f'"seeds": [{number}]'))
    with pytest.raises(ValueError, match=r"config.json: damaged: seeds"):
        mdvi.load(ended)


@pytest.mark.parametrize(
    "text", ["a,b\n1\n", "a\nx\n", "a,b\n1,2,3\n", "a" * 200_000, ",".join(["a"] * 2000), "a\n\xff"]
)
def test_metrics_that_cannot_be_read_are_damage(ended, text):
    (ended / "metrics.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"metrics.csv: damaged .*rewrites it"):
        record.read_metrics(ended)


def test_arrays_of_another_kind_are_refused_by_name():
    template = {"w": np.zeros((2, 3), np.float32)}
    for wrong in (np.zeros((2, 3)), np.zeros((2, 3), np.int32), np.zeros((3, 2), np.float32), None):
        arrays = {} if wrong is None else {"['w']": wrong}
        with pytest.raises(ValueError, match=r"\['w'\]: expected float32 of shape \(2, 3\), got "):
            checkpoint.unflatten(template, arrays, "")


def test_locks_exclude_each_other(tmp_path):
    with locked(tmp_path), pytest.raises(InUse), locked(tmp_path):
        pass
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True), pytest.raises(InUse), locked(tmp_path):
        pass
    with locked(tmp_path), pytest.raises(InUse), locked(tmp_path, shared=True):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("moment", ["before the file is opened", "before it is locked"])
def test_a_folder_that_is_removed_meanwhile_is_made_again(tmp_path, monkeypatch, moment):
    place, struck = tmp_path / "deep" / "work", []

    def strike():
        if not struck:
            struck.append(shutil.rmtree(place.parent))

    real, made = fcntl.flock, output.make_folder
    if moment == "before it is locked":
        monkeypatch.setattr(folder.fcntl, "flock", lambda *arguments: (strike(), real(*arguments)))
    else:
        monkeypatch.setattr(output, "make_folder", lambda path: (made(path), strike()))
    with locked(place) as lock:
        assert lock.valid
        assert place.exists()
        with pytest.raises(InUse), locked(place):
            pass
    assert struck


def test_a_folder_that_cannot_be_locked_is_not_in_use(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder.fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available"), locked(tmp_path):
        pass


def chunk_by_chunk(monkeypatch):
    """Rounds of one chunk or step, so that a small run can be met in its middle."""
    for kind in (population.Population, host.HostPopulation):
        advance = kind.advance
        monkeypatch.setattr(
            kind, "advance", lambda self, seconds, stopping, advance=advance: advance(self, 0.0, stopping)
        )


def numbers_of(trained):
    return {name: column.tobytes() for name, column in trained.metrics.items()}


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("device", "moved"),
        ("device", "moved, and something else in its place"),
        ("device", "its lock removed"),
        ("device", "removed"),
        ("host", "removed"),  # where the parts of the replay are gone too
    ],
)
def test_work_is_not_lost_with_its_folder(tmp_path, monkeypatch, where, what):
    ask = ASK if where == "device" else ASK | {"env": envs.made(Row, 0.9)}
    straight = numbers_of(mdvi.train(**ask))
    place, struck, remarks = tmp_path / "run", [], []

    def progress(done, goal):
        if done >= goal / 2 and not struck:
            struck.append(done)
            if what == "its lock removed":
                (place / ".lock").unlink()
            elif what == "removed":
                shutil.rmtree(place)
            else:
                place.rename(tmp_path / "elsewhere")
                if "something else" in what:
                    place.write_text("a letter")

    chunk_by_chunk(monkeypatch)
    mdvi.train(**ask, out=place, checkpoint_every=0.0, report=Report(progress=progress, remark=remarks.append))
    assert struck
    now = place.with_name("run-1") if "something else" in what else place
    assert numbers_of(mdvi.load(now, None if where == "device" else ask["env"])) == straight
    assert numbers_of(mdvi.train(**ask, out=now)) == straight
    assert any("was moved or removed during training; the run continues in" in line for line in remarks)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == now.name


def test_a_crash_around_the_last_checkpoint_loses_no_replay(tmp_path, monkeypatch):
    ask = ASK | {"env": envs.made(Row, 0.9)}
    straight, write = numbers_of(mdvi.train(**ask)), checkpoint.write
    chunk_by_chunk(monkeypatch)

    def dies(place, serial, arrays, note, **options):
        if note.get("finished"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(place, serial, arrays, note, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", dies)
        with pytest.raises(OSError, match="No space"):
            mdvi.train(**ask, out=tmp_path / "run", checkpoint_every=0.0)
    newest = max((tmp_path / "run" / "checkpoint").glob("*.safetensors"))
    newest.write_bytes(b"nothing")  # the one before it has all of its parts too
    assert numbers_of(mdvi.train(**ask, out=tmp_path / "run", checkpoint_every=0.0)) == straight
    assert list((tmp_path / "run" / "checkpoint" / "replay").iterdir())  # the run can be made longer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_answered_after_the_chunk_that_is_running(tmp_path, monkeypatch, number):
    step, stepped = population.Population._step, []

    def strike(self, group, stopping):
        step(self, group, stopping)
        stepped.append(group.chunks)
        if len(stepped) == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(run, "_ROUND", 1e9)
    monkeypatch.setattr(population.Population, "_step", strike)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        mdvi.train(**ASK | {"steps": 4000}, out=tmp_path / "run", workers=1)
    assert caught.value.number == number
    assert stepped == [1, 2]
    assert mdvi.load(tmp_path / "run").metrics["env_steps"].tolist() == [80, 120]
    assert signal.getsignal(number) is before


def test_nohup_stays_in_force_and_a_second_signal_ends_the_process(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.signals() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopped.number == 0
            ends = []
            monkeypatch.setattr(os, "_exit", ends.append)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (stopped.number, ends) == (signal.SIGTERM, [])
            with pytest.raises(KeyboardInterrupt):  # in Python, where the process has more to lose
                os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert ends == [128 + signal.SIGTERM]
            python = stopped.before.pop(signal.SIGINT)  # which a command has not
            os.kill(os.getpid(), signal.SIGINT)
            stopped.before[signal.SIGINT] = python
            assert ends == [128 + signal.SIGTERM, 128 + signal.SIGINT]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_has_gone_costs_nothing(tmp_path):
    """Its lines cannot be written any more, before or after the signal comes."""

    def progress(done, goal, signalled):
        if done >= 2:
            if signalled:
                os.kill(os.getpid(), signal.SIGHUP)
            raise OSError(errno.EIO, "Input/output error")

    for signalled, error in ((False, OSError), (True, Interrupted)):
        place = tmp_path / f"{signalled}"
        with pytest.MonkeyPatch.context() as patch:
            chunk_by_chunk(patch)
            with pytest.raises(error):
                mdvi.train(**ASK, out=place, report=Report(progress=partial(progress, signalled=signalled)))
        assert mdvi.load(place).metrics["env_steps"].tolist() == [80, 120]


def test_after_hanging_up_nothing_is_written_to_the_terminal():
    terminal, line = os.openpty()
    stopped = signals.Signals(terminals=(line,))
    stopped.note(signal.SIGHUP, None)
    os.close(terminal)
    os.write(line, b"nobody reads this")
    os.close(line)


@pytest.mark.parametrize("where", ["device", "host"])
def test_runs_of_an_earlier_version_open_and_go_on(tmp_path, where):
    """Runs of 0.1.0 that were stopped twice; what they had written down stays."""
    place = shutil.copytree(Path(__file__).parents[1] / "fixtures" / "0.1.0" / "stopped" / where, tmp_path / where)
    config, before = json.loads((place / "config.json").read_text()), record.read_metrics(place)
    loaded = mdvi.load(place)
    assert numbers_of(loaded) == {name: column.tobytes() for name, column in before.items()}
    assert loaded.evaluate(2)[0].shape == (2,)
    ended = mdvi.train(**{name: config[name] for name in ASK if name in config} | config["settings"] | {
        name: config[name] for name in ("kl", "entropy")
    }, out=place)  # fmt: skip
    assert ended.summary["status"] == "ok"
    assert ended.metrics["env_steps"].tolist()[-2:] == [160, 160]
    for name, column in before.items():
        np.testing.assert_array_equal(ended.metrics[name][: len(column)], column)
