"""Check that `auto` takes at most three times as long as the best of the methods that it chooses from, plus 5 ms.

The cases are the models of the planning benchmark, and small models, with several weights of entropy and KL. The time
is the processor time on one thread, the least of a few repetitions, so that other load has little influence. A method
is stopped after ten times the time of `auto`. The exit code is 1 if `auto` is slower in any case.

Usage: python methods.py --quick | --full, and optionally the names of cases.
"""

import os

os.environ.update(dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import math
import sys
import time

import numpy as np
from rings import cyclic

from mdvi import FiniteMDP, mdp, solve
from mdvi.planning.methods import METHODS
from planning import FULL, QUICK, Case

TIMES, PLUS = 3.0, 0.005  # seconds
WEIGHTS = ((0.0, 0.0), (0.0, 0.001), (0.0, 0.01), (0.0, 0.1), (0.0, 1.0), (0.01, 0.0), (0.1, 0.1))
REPETITIONS, LONG = 5, 0.5  # no more repetitions after one of more than LONG seconds
LONGER, AT_LEAST, AT_MOST = (
    10,
    0.1,
    60.0,
)  # the time limit as a multiple of the time of `auto`, and its range in seconds


def _random(seed: int, states: int, discount: float) -> FiniteMDP:
    rng = np.random.default_rng(seed)
    return FiniteMDP(rng.dirichlet(np.ones(states), (states, 3)), rng.normal(size=(states, 3)), discount)


def _walk(states: int, discount: float) -> FiniteMDP:
    """A walk with two actions, which drift to the left or to the right, and costs that differ from state to state."""
    p = np.zeros((2, states, states))
    for a, forward in enumerate((0.3, 0.7)):
        for s in range(states):
            p[a, s, min(s + 1, states - 1)] += forward
            p[a, s, max(s - 1, 0)] += 1 - forward
    return FiniteMDP(p.transpose(1, 0, 2), -np.random.default_rng(0).random((states, 2)), discount)


SMALL = [
    Case("small", "random, 12 states", lambda: _random(0, 12, 0.99)),
    Case("small", "random, 30 states", lambda: _random(1, 30, 0.9999)),
    Case("small", "grid 10²", lambda: mdp.grid(10, 10, discount=0.99)),
    Case("small", "lake 8²", lambda: mdp.lake(8)),
    Case("small", "forest 10", lambda: mdp.forest(10, discount=0.99)),
    Case("small", "chain 100", lambda: mdp.chain(100, discount=0.999)),
    Case("small", "inventory 20", lambda: mdp.inventory(20, 10, 5, 5.0)),
    Case("small", "garnet 100", lambda: mdp.garnet(100, 4, 5, 0.99)),
    Case("small", "garnet 1000", lambda: mdp.garnet(1000, 4, 5, 0.999)),
    Case("small", "maze 70²", lambda: mdp.maze(70, 70, discount=0.999)),
    *(Case("walk", f"walk with costs, {n}", lambda n=n: _walk(n, 0.9999)) for n in (30, 300, 1000)),
    Case("small", "ring 30", lambda: cyclic("ring", 30, 0.99, "in every third state")),
]


def seconds(model: FiniteMDP, method: str, weights: tuple[float, float], limit: float) -> tuple[float, str]:
    """The least time of a few repetitions, and the status; ∞ after the time limit."""
    best, status = math.inf, ""
    for repetition in range(REPETITIONS):
        begun = time.process_time()
        status = solve(model, *weights, method=method, time_limit=limit).status
        taken = time.process_time() - begun
        if repetition > 0 and status == "time limit":
            return math.inf, status
        best = min(best, taken)
        if repetition > 0 and taken > LONG:
            break
    return best, status


def main() -> int:
    """Print a row for each case and pair of weights, and at the end the rows in which `auto` is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="small models, some minutes")
    size.add_argument("--full", action="store_true", help="all models, hours")
    parser.add_argument("cases", nargs="*", help="only these cases")
    given = parser.parse_args()
    slow, largest = [], 0.0
    for case in SMALL + (QUICK if given.quick else FULL):
        if given.cases and case.name not in given.cases:
            continue
        model = case.build()
        for weights in WEIGHTS:
            own, status = seconds(model, "auto", weights, AT_MOST)
            limit = min(max(LONGER * own, AT_LEAST), AT_MOST)
            named = {name: seconds(model, name, weights, limit)[0] for name in METHODS}
            best = min(named, key=lambda name: named[name])
            ratio = (own - PLUS) / named[best]
            largest = max(largest, ratio)
            row = f"{case.name:45} λ = {weights[0]:<5} τ = {weights[1]:<5} auto {own * 1e3:9.2f} ms ({status}), "
            row += f"{best} {named[best] * 1e3:9.2f} ms: {own / named[best]:6.2f}, less 5 ms {ratio:6.2f}"
            print(row, flush=True)
            if ratio > TIMES:
                slow.append(row)
    print(f"\nlargest ratio, less 5 ms: {largest:.2f}; {len(slow)} above {TIMES}", *slow, sep="\n")
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
