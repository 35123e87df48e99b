"""The time of one sweep with Tsallis' regularisers relative to the entropic one, on a Garnet with 10⁶ × 4 × 5.

Sweeps alternate, and ratios are of neighbouring ones, because the speed of a shared machine changes from second to
second. They set out from values without regularisation, where gaps between actions are those of a solve. The bars are
for τ = .01; at the median gap, where policies are as mixed as they get, there is none.

Usage: python regularizers.py [STATES]
"""

import sys
import time

import numpy as np

from mdvi import mdp, solve
from mdvi.planning.problem import problem_of
from mdvi.regularizers import SHANNON, Regularizer, Tsallis

TURNS = 15
BARS: dict[Regularizer, float] = {SHANNON: 1.0, Tsallis(2): 1.2, Tsallis(1.5): 1.5}


def ratios(states: int) -> bool:
    """A Markdown table of times and ratios; whether all bars are met."""
    model = mdp.garnet(states, 4, 5, 0.99)
    v = solve(model, tolerance=1e-2).value
    q = np.sort(problem_of(model).action_values(v), -1)
    gap = float(np.median(q[:, -1] - q[:, -2]))
    print(f"one sweep of Garnet {states:.0e} × 4 × 5, median of {TURNS}; the median gap of actions is {gap:.3g}\n")
    print("| τ | Ω | ms | times the entropic sweep | bar |\n|---:|---|---:|---:|---:|")
    met = True
    for tau in (0.01, gap):
        problems = {omega: problem_of(model, 0.0, tau, regularizer=omega) for omega in BARS}
        seconds: dict[Regularizer, list[float]] = {omega: [] for omega in BARS}
        for turn in range(TURNS + 1):
            for omega, problem in problems.items():
                begun = time.perf_counter()
                problem.backup(v)
                if turn:  # the first one compiles
                    seconds[omega].append(time.perf_counter() - begun)
        for omega, bar in BARS.items():
            ratio = float(np.median(np.divide(seconds[omega], seconds[SHANNON])))
            allowed = f"{bar:.1f}" if tau == 0.01 and bar > 1 else ""
            met = met and (not allowed or ratio <= bar)
            time_ = 1e3 * np.median(seconds[omega])
            print(f"| {tau:.3g} | {omega.name} | {time_:.1f} | {ratio:.2f} | {allowed} |", flush=True)
    return met


if __name__ == "__main__":
    sys.exit(0 if ratios(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000) else 1)
