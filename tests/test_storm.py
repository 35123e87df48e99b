"""The storm: a run stopped again and again, by kill -9 among others, is the run that was never stopped."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import mdvi

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


def command(agent, folder, steps):
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    where = ["--out", str(folder), "--checkpoint-every", "0"]
    members = ["--seeds", "2", "--steps", str(steps)]
    return [sys.executable, "-c", PROGRAM, "train", "CartPole-v1", "--agent", agent, *members, *settings, *where]


def digest(folder):
    """Of all parameters and of the metrics as they are on disk."""
    run, sum_ = mdvi.load(folder), hashlib.sha256()
    for member in range(len(run)):
        for leaf in jax.tree.leaves(run.networks(member)[1]):
            sum_.update(np.asarray(leaf).tobytes())
    sum_.update((folder / "metrics.csv").read_bytes())
    return sum_.hexdigest()


@pytest.mark.storm
@pytest.mark.parametrize("agent", ["md-direct", "md-indirect", "da", "munchausen"])
def test_fifty_stops_change_nothing(tmp_path, agent):
    steps = 500_000
    straight, stormy = tmp_path / "straight", tmp_path / "stormy"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    start = time.monotonic()
    subprocess.run(command(agent, straight, steps), check=True, capture_output=True, env=environment)
    whole = time.monotonic() - start
    generator, slowest, codes = np.random.default_rng(0), 0.0, {}
    for stop in range(STOPS):
        with subprocess.Popen(
            command(agent, stormy, steps), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            shown = time.monotonic()
            before = newest(stormy)
            while newest(stormy) == before and process.poll() is None and time.monotonic() - shown < 60:
                time.sleep(0.02)
            time.sleep(generator.uniform(0, whole / STOPS / 2))
            number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[stop % 3]
            process.send_signal(number)
            sent = time.monotonic()
            code = process.wait()
            codes[code] = codes.get(code, 0) + 1
            if number != signal.SIGKILL:
                slowest = max(slowest, time.monotonic() - sent)
    subprocess.run(command(agent, stormy, steps), check=True, capture_output=True, env=environment)
    assert 0 not in codes  # every stop met a run that was not over
    assert digest(straight) == digest(stormy)
    assert not list(stormy.rglob(".mdvi-*"))  # half-written files
    assert slowest < 5
    print(f"{agent}: {STOPS} stops, exit codes {codes}, slowest answer to a signal {slowest:.2f} s; equal to the bit")


def newest(folder: Path) -> str:
    return max((path.name for path in (folder / "checkpoint").glob("*.safetensors")), default="")
