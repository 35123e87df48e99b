"""The speed of a sweep relative to a simple loop, and the memory of a solve relative to the printed estimate.

The reference is a simple fused loop over compressed rows in Numba with prange, which writes only the maximum. Sweeps
alternate, and ratios are of neighbouring pairs, because the speed of a shared machine changes from second to second.
"""

import resource
import subprocess
import sys
import time

import numpy as np
from numba import njit, prange

from mdvi import mdp, solve
from mdvi.planning.problem import problem_of
from mdvi.planning.requests import memory_of

PAIRS = 15


@njit(parallel=True, error_model="numpy")
def fused(start, state, probability, reward, discount, v, value):
    """V(s) = max_a r(s, a) + γ Σ p v."""
    states, actions = reward.shape
    for s in prange(states):
        top = -np.inf
        for a in range(actions):
            expected = 0.0
            for j in range(start[s * actions + a], start[s * actions + a + 1]):
                expected += probability[j] * v[state[j]]
            x = reward[s, a] + discount * expected
            if x > top:
                top = x
        value[s] = top


def sweep_ratios(states: int) -> None:
    """The ratios of the sweep to the reference, and of the entropic sweep to the hard sweep."""
    problem = problem_of(mdp.garnet(states, 4, 5, 0.99))
    matrix, gain = problem.mdp.kernel.csr(), problem.gain
    v, value, best = np.random.default_rng(0).random(states), np.empty(states), np.empty(states, np.int32)
    q = np.empty(gain.shape)  # the solver keeps it when t > 0
    runs = {
        "yardstick": lambda: fused(matrix.indptr, matrix.indices, matrix.data, gain, 0.99, v, value),
        "ours": lambda: problem.sweeps.backup(*problem.rows, gain, 0.99, 0.0, v, value, best, None),
        "entropic": lambda: problem.sweeps.backup(*problem.rows, gain, 0.99, 0.01, v, value, best, q),
    }
    seconds = {name: [] for name in runs}
    for turn in range(PAIRS + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - begun)
    times = ", ".join(f"{name} {1e3 * np.median(s):.1f} ms" for name, s in seconds.items())
    print(f"one sweep of Garnet {states:.0e} × 4 × 5, median of {PAIRS}: {times}")
    for one, other in (("ours", "yardstick"), ("entropic", "ours")):
        ratio = np.divide(seconds[one], seconds[other])
        print(f"  {one} / {other}: {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")


def peak_memory(states: int) -> None:
    """The ratio of the peak memory of a process that builds and solves a Garnet to the printed estimate."""
    model = mdp.garnet(states, 4, 5, 0.99)
    estimate, built = memory_of(model, False), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    solution = solve(model)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"Garnet {states:.0e} × 4 × 5: {solution.status} in {solution.seconds:.1f} s; estimate "
        f"{estimate / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB ({built / 1e9:.2f} before): ratio {peak / estimate:.2f}"
    )


def main(full: bool) -> None:
    """Run both benchmarks, the memory benchmark in a separate process."""
    sweep_ratios(1_000_000 if full else 200_000)
    sys.stdout.flush()
    subprocess.run([sys.executable, __file__, str(10_000_000 if full else 300_000)], check=True)


if __name__ == "__main__":
    peak_memory(int(sys.argv[1]))
