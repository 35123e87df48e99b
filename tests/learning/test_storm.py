"""The storm: a run stopped again and again, by kill -9 among others, is the run that was never stopped."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np
import psutil
import pytest

import mdvi
from orphans import MARK, nobody_stays

STOPS = 50
PROGRAM = "from mdvi.cli import main; main()"
SETTINGS = [
    "hidden=16",
    "batch=16",
    "warmup=200",
    "replay=5000",
    "target_period=100",
    "log_period=1000",
    "diagnostics=true",
]
HOST = "Acrobot-v1:timeout=60"  # a process for each member


def command(env, agent, folder, steps):
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    where = ["--out", str(folder), "--checkpoint-every", "0"]
    members = ["--seeds", "2", "--steps", str(steps)]
    return [sys.executable, "-c", PROGRAM, "train", env, "--agent", agent, *members, *settings, *where]


def digest(folder):
    """Of all parameters and of the metrics as they are on disk."""
    run, sum_ = mdvi.load(folder), hashlib.sha256()
    for member in range(len(run)):
        for leaf in jax.tree.leaves(run.networks(member)[1]):
            sum_.update(np.asarray(leaf).tobytes())
    sum_.update((folder / "metrics.csv").read_bytes())
    return sum_.hexdigest()


def newest(folder: Path) -> str:
    return max((path.name for path in (folder / "checkpoint").glob("*.safetensors")), default="")


def moment(process, folder, seconds):
    """Wait for the next checkpoint of a process, and then for so long."""
    before, shown = newest(folder), time.monotonic()
    while newest(folder) == before and process.poll() is None and time.monotonic() - shown < 60:
        time.sleep(0.02)
    time.sleep(seconds)


@pytest.fixture
def environment(tmp_path):
    """Programs are compiled once, and processes can be told from others."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return os.environ | cache | {MARK: str(tmp_path)}


def straight_run(arguments, environment):
    """How long a run takes that nobody stops."""
    start = time.monotonic()
    subprocess.run(arguments, check=True, capture_output=True, env=environment)
    return time.monotonic() - start


@pytest.mark.storm
@pytest.mark.parametrize(
    ("env", "agent", "steps", "numbers"),
    [
        ("CartPole-v1", "md-direct", 500_000, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        ("CartPole-v1", "md-indirect", 500_000, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        ("CartPole-v1", "da", 500_000, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        ("CartPole-v1", "munchausen", 500_000, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        (HOST, "md-direct", 60_000, (signal.SIGKILL,)),
    ],
)
def test_fifty_stops_change_nothing(tmp_path, environment, env, agent, steps, numbers):
    straight, stormy = tmp_path / "straight", tmp_path / "stormy"
    whole = straight_run(command(env, agent, straight, steps), environment)
    generator, slowest, codes = np.random.default_rng(0), 0.0, Counter()
    for stop in range(STOPS):
        with subprocess.Popen(
            command(env, agent, stormy, steps),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            moment(process, stormy, generator.uniform(0, whole / STOPS / 2))
            number = numbers[stop % len(numbers)]
            process.send_signal(number)
            sent = time.monotonic()
            codes[process.wait()] += 1
            if number != signal.SIGKILL:
                slowest = max(slowest, time.monotonic() - sent)
        nobody_stays(str(tmp_path))
    subprocess.run(command(env, agent, stormy, steps), check=True, capture_output=True, env=environment)
    assert 0 not in codes  # every stop met a run that was not over
    assert digest(straight) == digest(stormy)
    assert not list(stormy.rglob(".mdvi-*"))  # half-written files
    assert slowest < 5
    print(
        f"{agent} in {env}: {STOPS} stops, exit codes {dict(codes)}, slowest answer {slowest:.2f} s; equal to the bit"
    )


@pytest.mark.storm
def test_thirty_kills_of_environments_cost_their_member_and_nothing_else(tmp_path, environment):
    def rows(folder, member):
        lines = (folder / "metrics.csv").read_text().splitlines()
        return [row for row in csv.DictReader(lines) if row["member"] == str(member)]

    straight, generator, lost = tmp_path / "straight", np.random.default_rng(0), Counter()
    whole = straight_run(command(HOST, "dqn", straight, 20_000), environment)
    for kill in range(30):
        folder = tmp_path / str(kill)
        with subprocess.Popen(
            command(HOST, "dqn", folder, 20_000), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            moment(process, folder, generator.uniform(0, whole / 4))
            children = psutil.Process(process.pid).children()
            victim = int(generator.integers(2))
            with suppress(psutil.NoSuchProcess):
                children[victim].kill()
            _, told = process.communicate()
        nobody_stays(str(tmp_path))
        assert process.returncode == 3, told
        assert b"1 of 2 members failed" in told
        assert b"Traceback" not in told
        failed = int(told.split(b"member ")[1].split(b":")[0])
        assert rows(folder, 1 - failed) == rows(straight, 1 - failed)
        *before, _ = rows(folder, failed)  # the last one was written when it failed
        assert before == rows(straight, failed)[: len(before)]
        lost[failed] += 1
    assert set(lost) == {0, 1}
    print(f"30 kills of environments: members lost {dict(lost)}, the others equal to the bit")
