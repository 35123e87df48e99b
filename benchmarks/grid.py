"""A grid of runs against a plain NumPy loop over the same runs: ratios of times for the same work in one process.

    10 values of λ × 100 Garnets(30, 4, 4) × 800 iterations of sampled MD-VI(λ, 0)

The grid is timed once without and once with the exact evaluation of every policy. The loop is a direct implementation
of the paper: separate runs, vectorised NumPy iterations, and one linear solve for each evaluation. It is timed on a few
runs, which all take the same time, and scaled to the number of runs. Compilation is timed separately. Usage: python
grid.py [runs]
"""

import logging
import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads slow down 30 × 30 systems

import jax
import numpy as np

from mdvi import Scheme, errors, iterate
from mdvi.mdp import FiniteMDP, garnet

KLS = np.geomspace(0.01, 10.0, 10)
GARNETS, ITERATIONS = 100, 800


def loop(model: FiniteMDP, kl: float, optimal_q: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Sampled MD-VI(λ, 0) on one model; the normalised loss of every policy if q_* is given, q otherwise."""
    states, actions = model.states, model.actions
    p, r, gamma = model.dense().kernel.probability, model.reward, float(model.discount)
    successor, cumulative = model.kernel.state, model.kernel.probability.cumsum(-1)
    q, log_policy = np.zeros((states, actions)), np.full((states, actions), -np.log(actions))
    losses = []
    for _ in range(ITERATIONS):
        x = q / kl + log_policy
        x = x - x.max(-1, keepdims=True)
        improved = x - np.log(np.exp(x).sum(-1, keepdims=True))
        policy = np.exp(improved)
        v = (policy * (q - kl * (improved - log_policy))).sum(-1)
        slot = (rng.random((states, actions, 1)) > cumulative).sum(-1).clip(max=cumulative.shape[-1] - 1)
        q = r + gamma * v[np.take_along_axis(successor, slot[..., None], -1)[..., 0]]
        log_policy = improved
        if optimal_q is not None:
            chain = np.eye(states) - gamma * np.einsum("sa,sat->st", policy, p)
            value = r + gamma * (p @ np.linalg.solve(chain, (policy * r).sum(-1)))
            losses.append(np.abs(optimal_q - value).sum() / np.abs(optimal_q).sum())
    return np.array(losses) if losses else q


class Compilations(logging.Handler):
    """Counts the compilations of the program of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Process one log line."""
        self.count += record.getMessage().startswith("Finished XLA compilation of jit(_advance)")


def main(runs: int) -> None:
    models = [garnet(30, 4, 4, 0.9, seed=i) for i in range(GARNETS)]
    schemes = [Scheme.of(kl) for kl in KLS]
    optimal = iterate(models, Scheme.of(), 1, record=("bound",)).optimal_q
    print(f"{len(KLS)} λ × {GARNETS} Garnets × {ITERATIONS} iterations; loop timed on {runs} of {10 * GARNETS} runs")
    logging.getLogger("jax").addHandler(counter := Compilations())
    logging.getLogger("jax").propagate = False
    for label, record in (("without evaluation", ("bound",)), ("with exact evaluation", ("normalized_loss",))):
        record = () if label.startswith("without") else record
        with jax.log_compiles():
            counter.count = 0
            start = time.perf_counter()
            iterate(models, schemes, ITERATIONS, errors.sampled(1), record=record)
            first = time.perf_counter() - start
            grid, plain = [], []
            for repetition in range(3):
                start = time.perf_counter()
                trace = iterate(models, schemes, ITERATIONS, errors.sampled(1), seed=repetition, record=record)
                grid.append(time.perf_counter() - start)
                start = time.perf_counter()
                for i in range(runs):
                    known = optimal[i] if record else None
                    losses = loop(models[i], KLS[i % 10], known, np.random.default_rng([repetition, i]))
                plain.append((time.perf_counter() - start) * 10 * GARNETS / runs)
        if record:
            ours = trace.normalized_loss[(runs - 1) % 10, runs - 1, -100:].mean()
            print(
                f"  same work: loss of one run over the last 100 iterations {ours:.4f}, loop {losses[-100:].mean():.4f}"
            )
        ratios = np.divide(plain, grid)
        print(
            f"  {label}: grid {np.median(grid):.2f} s ({first:.2f} s with compilation, {counter.count} compilation), "
            f"loop {np.median(plain):.1f} s: {np.median(ratios):.1f} times faster "
            f"({min(ratios):.1f} to {max(ratios):.1f} in 3 pairs)"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
