"""Time, memory and people: a solve can be stopped, keeps within its estimate, and never becomes dense."""

import errno
import json
import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core import caching

from mdvi import mdp, solve
from mdvi.native import njit
from mdvi.planning import requests

SLOW = mdp.chain(2000, discount=0.99999)  # values of up to 10^5


def test_ctrl_c_gives_the_best_interval_so_far():
    def press(backups, gap):
        if backups == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    stopped = solve(SLOW, tolerance=1e-3, method="value-iteration", progress=press)
    assert (stopped.status, stopped.backups) == ("interrupted", 5)
    assert stopped.message.startswith("interrupted after 5 backups")
    assert signal.getsignal(signal.SIGINT) is before
    best = solve(SLOW, tolerance=1e-3)
    assert best.status == "certified"
    assert (stopped.lower <= best.upper).all()
    assert (best.lower <= stopped.upper).all()
    assert stopped.gap == pytest.approx(stopped.trace.min())


def test_a_second_ctrl_c_acts_as_always():
    def press(backups, gap):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test runner may have put in another one
    try:
        with pytest.raises(KeyboardInterrupt):
            solve(SLOW, progress=press)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_time_limit_is_kept_and_said():
    stopped = solve(SLOW, tolerance=1e-3, method="value-iteration", time_limit=1e-9)
    assert stopped.status == "time limit"
    assert stopped.backups <= 1
    assert "time was up" in stopped.message


PRESSED = """
import contextlib, os, signal
from mdvi.cli import main, planning

def press(backups, gap):
    if backups == 3:
        os.kill(os.getpid(), signal.SIGINT)

planning._interval_bar = lambda tolerance: contextlib.nullcontext(press)
main()
"""


def test_ctrl_c_in_the_shell_gives_the_interval_and_exit_code_3():
    command = [sys.executable, "-c", PRESSED, "solve", "chain:states=2000,discount=0.99999"]
    command += ["--method", "value-iteration", "--tolerance", "1e-3", "--json"]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 3, child.stderr
    found = json.loads(child.stdout)
    assert (found["status"], found["backups"]) == ("interrupted", 3)


def test_a_model_beyond_memory_is_refused_before_it_is_touched(monkeypatch):
    model = mdp.garnet(1000, 4, 5)
    monkeypatch.setattr(requests, "physical_memory", lambda: 10_000)
    with pytest.raises(ValueError, match=r"solving 1000 states would need 0\.0 GiB of 0\.0 GiB"):
        solve(model)


def test_a_model_that_claims_more_than_there_is_is_refused():
    with pytest.raises(ValueError, match="would need"):
        mdp.garnet(10**9, 100, 100)


PEAK = """
import resource, sys
import numpy as np
from mdvi import mdp, solve
from mdvi.planning.certificate import certify, optimal_actions, unregularized_bounds
from mdvi.planning.requests import memory_of
small = mdp.grid(200, 200)
solve(small), solve(small, entropy=0.1), certify(small, np.exp(solve(small).log_policy))  # compiled
model = mdp.{model}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
solution = solve(model, entropy={entropy})
policy = np.exp(solution.log_policy)
assert solution.status == "certified"
optimal_actions(solution), unregularized_bounds(solution), solution.q
certify(model, policy, entropy={entropy})
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print((after - before) / memory_of(model, {entropy} > 0))
"""


@pytest.mark.parametrize(("model", "entropy"), [("garnet(150_000, 4, 5)", 0.0), ("grid(300, 300, discount=0.9)", 0.1)])
def test_a_sparse_model_stays_sparse(model, entropy):
    """A dense P of this size would need 10^5 times the memory; all that is done stays within 1.3 × the estimate."""
    script = PEAK.format(model=model, entropy=entropy)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.3


def test_nothing_depends_on_the_number_of_threads():
    script = (
        "from mdvi import mdp, solve\nimport hashlib\n"
        "for entropy in (0.0, 0.1):\n"
        "    s = solve(mdp.grid(100, 100, discount=0.9), entropy=entropy, tolerance=1e-5)\n"
        "    print(hashlib.sha256(s.lower.tobytes() + s.upper.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"NUMBA_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0].split())) == 2


KERNEL = """
import sys
import numba
import numpy as np
from mdvi.planning.sweeps import compiled

@compiled
def doubled(out, x):
    for i in numba.prange(len(x)):
        out[i] = 2 * x[i]

for size in (10, 100_000):
    out = np.empty(size)
    doubled(out, np.ones(size))
    assert (out == 2).all()
print(numba.threading_layer())
"""


def test_large_sweeps_use_all_cores_also_when_small_ones_were_compiled_first(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for _ in ("compiled", "loaded from the cache"):
        run = subprocess.run(
            [sys.executable, "kernel.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr  # without a parallel loop there is no threading layer to speak of


def test_the_value_of_a_solution_is_no_further_off_than_half_its_gap():
    solution = solve(mdp.lake(8), tolerance=1e-3)
    exact = solve(mdp.lake(8), tolerance=1e-9)
    assert np.abs(solution.value - exact.value).max() <= solution.gap / 2 + exact.gap
    assert solution.least_error <= np.abs(solution.value - exact.value).max() + exact.gap


def doubled(x):
    return 2 * x


def test_functions_are_compiled_where_no_folder_can_be_written(monkeypatch):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(doubled)
    assert njit(cache=True)(doubled)(21) == 42


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_damaged_machine_code_is_compiled_anew(suffix, damage, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert njit(cache=True)(doubled)(21) == 42
    (stored,) = tmp_path.rglob(f"*.{suffix}")
    stored.write_bytes(stored.read_bytes()[:-20] if damage is None else damage)
    assert njit(cache=True)(doubled)(21) == 42
    sound = njit(cache=True)(doubled)
    assert sound(21) == 42
    assert sum(sound.stats.cache_hits.values()) == 1


def test_a_disk_that_fills_up_costs_the_stored_code_only(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    function = njit(cache=True)(doubled)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    assert function(21) == 42
