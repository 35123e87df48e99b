"""Studies on a Ray cluster: the same tables, whoever is killed meanwhile."""

import contextlib
import ipaddress
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest

from mdvi.learning.runs.run import InUse, locked
from mdvi.study.cluster import Cluster
from mdvi.study.execute import WORK, execute
from mdvi.study.store import NAME
from orphans import MARK, nobody_stays
from studies import HEAD, study_in, tables

pytest.importorskip("ray")
GRID = """
[[grid]]
agent = ["dqn", "munchausen"]
steps = 6000
seeds = 12
"""


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The study, trained in this process without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    study = study_in(folder, HEAD + GRID)
    assert execute(study, folder) == 0
    return study, folder


def on_ray(straight, folder):
    """`mdvi study run --ray local` in a process of its own."""
    call = "import sys; from mdvi.cli import main; sys.argv[0] = 'mdvi'; main()"
    options = ["--out", folder, "--ray", "local", "--checkpoint-every", "0"]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(straight[1] / "compiled"), MARK: str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", call, "study", "run", straight[1] / "small.toml", *options],
        env=os.environ | cache, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def workers(driver):
    """Its workers that are training, by their names."""
    return [child for child in psutil.Process(driver.pid).children(recursive=True) if child.name() == "ray::_train"]


def until(driver, condition):
    """Wait for something to come true while a process works."""
    while not condition():
        assert driver.poll() is None, driver.stdout.read()
        time.sleep(0.05)


def checkpoints(folder):
    return list((folder / WORK).glob("*/run/checkpoint*/*"))


def test_workers_that_are_killed_lose_nothing(tmp_path, straight):
    driver = on_ray(straight, tmp_path)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        until(driver, lambda: checkpoints(tmp_path) and workers(driver))
        workers(driver)[0].send_signal(number)
        time.sleep(1.0)
    told, _ = driver.communicate()
    assert driver.returncode == 0, told
    assert "resuming at" in told
    assert tables(straight[0], tmp_path) == tables(*straight)
    assert list((tmp_path / WORK).iterdir()) == []


@pytest.mark.storm
def test_twenty_kills_of_workers_and_of_who_asked_them_lose_nothing(tmp_path, tmp_path_factory):
    root, chance = tmp_path_factory.mktemp("straight"), random.Random(0)
    study = study_in(root, HEAD + GRID.replace("6000", "60000"))
    assert execute(study, root) == 0
    for _ in range(4):  # after ten kills of its workers a batch fails
        driver = on_ray((study, root), tmp_path)
        for kill in range(5):
            known = checkpoints(tmp_path)
            while checkpoints(tmp_path) == known or not workers(driver):
                assert driver.poll() is None, driver.stdout.read()
                time.sleep(0.05)
            time.sleep(chance.random())
            victim = chance.choice(workers(driver)) if kill < 4 else driver
            victim.kill()
        driver.communicate()
        nobody_stays(str(tmp_path))
    driver = on_ray((study, root), tmp_path)
    told, _ = driver.communicate()
    assert driver.returncode == 0, told
    assert tables(study, tmp_path) == tables(study, root)
    assert list((tmp_path / WORK).iterdir()) == []
    nobody_stays(str(tmp_path))


def test_an_interrupted_study_goes_on_here(tmp_path, straight):
    driver = on_ray(straight, tmp_path)
    until(driver, lambda: checkpoints(tmp_path))
    driver.send_signal(signal.SIGINT)
    told, _ = driver.communicate()
    assert driver.returncode == 130, told
    assert "saved in" in told
    base = sqlite3.connect(tmp_path / NAME)
    assert base.execute("SELECT sum(seconds) FROM runs").fetchone()[0] > 0
    assert {status for (status,) in base.execute("SELECT status FROM runs")} <= {"done", "queued"}
    base.close()
    execute(straight[0], tmp_path)
    assert tables(straight[0], tmp_path) == tables(*straight)
    assert list((tmp_path / WORK).iterdir()) == []


def test_one_process_hands_out_a_study(tmp_path, straight):
    study, _ = straight
    (tmp_path / WORK).mkdir()
    with locked(tmp_path, shared=True), pytest.raises(InUse, match="another process is training in it"):
        execute(study, tmp_path, ray="local")
    with locked(tmp_path), pytest.raises(InUse, match="another process is training in it"):
        execute(study, tmp_path)


def test_a_worker_that_cannot_write_stops_the_study_and_fails_no_run(tmp_path, straight):
    (tmp_path / WORK).write_text("not a folder")
    driver = on_ray(straight, tmp_path)
    told, _ = driver.communicate()
    assert driver.returncode == 2, told
    assert "mdvi: " in told
    assert "Traceback" not in told
    base = sqlite3.connect(tmp_path / NAME)
    assert {status for (status,) in base.execute("SELECT status FROM runs")} == {"queued"}
    base.close()


def test_a_cluster_that_dies_is_told_in_one_line(tmp_path, straight):
    driver = on_ray(straight, tmp_path)
    until(driver, lambda: checkpoints(tmp_path))
    next(child for child in psutil.Process(driver.pid).children(recursive=True) if child.name() == "raylet").kill()
    told, _ = driver.communicate(timeout=300)
    assert driver.returncode == 2, told
    assert "--ray: the cluster failed" in told
    assert "Traceback" not in told
    execute(straight[0], tmp_path)
    assert tables(straight[0], tmp_path) == tables(*straight)


def listening():
    """The addresses at which this process and those it has started listen."""
    addresses, here = set(), psutil.Process()
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            addresses |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return addresses


@pytest.mark.filterwarnings("ignore:os.fork")  # Ray forks, and other tests in this process have started JAX
def test_a_cluster_of_this_machine_lets_no_other_machine_in(monkeypatch):
    with Cluster("local"):
        opened = listening()
        assert opened
        assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in opened)
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", True)
    monkeypatch.setattr("mdvi.study.cluster._keep_here", lambda: None)
    with pytest.raises(ValueError, match="--ray local: this version of Ray would accept connections"):
        Cluster("local")


def test_a_cluster_that_is_not_there_is_told_in_one_line(tmp_path, straight):
    code = subprocess.run(
        [sys.executable, "-c", "from mdvi.cli import main; main()", "study", "run", straight[1] / "small.toml",
         "--out", tmp_path, "--ray", "127.0.0.1:1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert code.returncode == 2
    assert code.stderr.startswith("mdvi: --ray 127.0.0.1:1: ")
    assert code.stderr.count("\n") == 1
