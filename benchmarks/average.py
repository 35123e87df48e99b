"""Average rewards: seconds to a proved gain, of models that mix fast and slowly, with one gain and with several.

The model is built and a small one of its kind solved beforehand, so that neither building nor compilation counts.

Usage: python average.py [--full]; --full includes models of a million states.
"""

import argparse
from collections.abc import Callable

import numpy as np
import scipy.sparse

from mdvi import FiniteMDP, mdp, solve
from mdvi.planning.solution import CERTIFIED

TOLERANCE = 1e-6
HEADER = ("case", "states", "entropy", "seconds", "backups", "gap", "status")


def garnet(states: int) -> FiniteMDP:
    """Four actions, five successors each: it mixes within a few steps."""
    return mdp.garnet(states, 4, 5, 0.9).replace(discount=1)


def walk(states: int) -> FiniteMDP:
    """On a square grid with walls around, one of 4 directions or, by chance, another; the far corner pays."""
    side = int(np.sqrt(states))
    place = np.arange(side * side).reshape(side, side)
    row, column = np.divmod(place.ravel(), side)
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    there = np.stack(
        [place[np.clip(row + i, 0, side - 1), np.clip(column + j, 0, side - 1)] for i, j in steps], axis=-1
    )
    successors = np.repeat(there[:, None], 4, axis=1)
    probability = np.full((side * side, 4, 4), 0.0625) + 0.75 * np.eye(4)
    start = np.arange(0, probability.size + 1, 4)
    matrix = scipy.sparse.csr_array((probability.ravel(), successors.ravel(), start), shape=(4 * side**2, side**2))
    matrix.sum_duplicates()  # against a wall
    reward = np.zeros((side * side, 4))
    reward[-1] = 1.0
    return FiniteMDP(matrix, reward, 1.0)


def ring(states: int) -> FiniteMDP:
    """Onward with probability .5 or stay; one state pays."""
    place = np.arange(states)
    successors = np.stack([place, (place + 1) % states], axis=-1)[:, None]
    return FiniteMDP((successors, np.full((states, 1, 2), 0.5)), (place == 0).astype(float)[:, None], 1.0)


def islands(states: int) -> FiniteMDP:
    """A hundredth as many Garnets of 100 states each; one action of each first state leaves to the next of them."""
    successors, probability, reward = [], [], []
    for begin in range(0, states, 100):
        one = mdp.garnet(100, 3, 3, 0.9, seed=begin)
        table = one.table().kernel
        state, chance = np.asarray(table.state) + begin, np.asarray(table.probability).copy()
        if begin + 100 < states:
            state[0, 2], chance[0, 2] = begin + 100, 0.0
            chance[0, 2, 0] = 1.0
        successors.append(state)
        probability.append(chance)
        reward.append(np.asarray(one.reward))
    return FiniteMDP((np.concatenate(successors), np.concatenate(probability)), np.concatenate(reward), 1.0)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args().full
    cases: list[tuple[Callable[[int], FiniteMDP], int]] = [
        (garnet, 10**5),
        (walk, 10**4),
        (ring, 10**4),
        (islands, 10**4),
    ]
    cases += [(garnet, 10**6), (walk, 10**5), (ring, 10**6)] if full else []
    print("{:>8} {:>9} {:>8} {:>8} {:>8} {:>9}  {}".format(*HEADER), flush=True)
    for build, states in cases:
        small, model = build(1000), build(states)
        for entropy in (0.0, 0.01):
            solve(small, entropy=entropy, criterion="average", tolerance=TOLERANCE, progress=False)
            found = solve(
                model, entropy=entropy, criterion="average", tolerance=TOLERANCE, time_limit=120, progress=False
            )
            facts = f"{entropy:>8g} {found.seconds:>8.2f} {found.backups:>8} {found.gap:>9.1e}  {found.status}"
            print(f"{build.__name__:>8} {model.states:>9} {facts}", flush=True)
            assert found.status == CERTIFIED or states > 10**4


if __name__ == "__main__":
    main()
