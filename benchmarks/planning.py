"""Certified planning against its peers: the same model and the same true accuracy, one process for each result.

Every solver is run with accuracy 1e-6 in the sense of its documentation. The reference is a much narrower interval of
mdvi, which checker.py verifies without sharing code with the solver. If the values of a peer miss 1e-6, its row says
so, and the peer is run again with higher accuracies up to 1e-12; the first accurate result counts. The conversion of a
model into the form of a peer is not timed. The best of three repetitions counts, so that compilation does not; of fewer
if they are long, and of up to fifty within two seconds if they are short. A peer is stopped after ten times the time of
mdvi, and at least five seconds. Its row then says that it takes longer, and it is not run on larger models of the same
family and discount.

Usage: python planning.py --quick | --full, and optionally the names of cases; also writes the table to planning.csv.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import machine
import numpy as np
from peers import PEERS, TIGHTER
from rings import KINDS, PAYS, cyclic

from mdvi import FiniteMDP, mdp, solve
from mdvi.planning.certificate import certificate_arrays
from mdvi.planning.solution import CERTIFIED

sys.path.append(str(Path(__file__).parents[1]))
import checker

ACCURACY, TRUTH = 1e-6, 1e-8
PATIENCE, AT_LEAST, PREPARING = 10, 5, 300  # a multiple of the time of mdvi; seconds; seconds
HEADER = ("case", "states", "discount", "solver", "asked", "seconds", "error", "ratio", "verdict")


@dataclass(frozen=True)
class Case:
    """A model of the suite; models of one family differ in size only."""

    family: str
    name: str
    build: Callable[[], FiniteMDP]


def _garnet(states: int, discount: float) -> Case:
    return Case(f"garnet {discount}", f"garnet {states:.0e}", lambda: mdp.garnet(states, 4, 5, discount))


def _grid(size: int, discount: float) -> Case:
    return Case(f"grid {discount}", f"grid {size}²", lambda: mdp.grid(size, size, discount=discount))


def _cyclic(kind: str, states: int, pays: str, shuffled: bool = False, discount: float = 0.9999) -> Case:
    name = f"{kind} {states:.0e}, pays {pays}{', shuffled' if shuffled else ''}"
    return Case(f"{kind} {pays} {shuffled}", name, lambda: cyclic(kind, states, discount, pays, shuffled))


LAKE = Case("lake", "lake 64²", lambda: mdp.lake(64))
INVENTORY = Case("inventory", "inventory 1e+04", lambda: mdp.inventory(9999, 10, 50, 50.0))
FOREST = Case("forest", "forest 1e+03", lambda: mdp.forest(1000, discount=0.99))
WIDE = Case("wide", "garnet 1e+05, 100 successors", lambda: mdp.garnet(100_000, 4, 100, 0.99))
RINGS = [_cyclic(kind, 1000, PAYS[i % 4], shuffled=i % 2 == 1) for i, kind in enumerate(KINDS)]
MORE_RINGS = [
    _cyclic(kind, states, PAYS[(i + j) % 4], shuffled)
    for i, kind in enumerate(KINDS)
    for j, states in enumerate((999, 10_000, 100_000, 1_000_000))
    for shuffled in (False, True)
]
QUICK = [_garnet(10_000, 0.99), _grid(100, 0.99), _grid(100, 0.999), _grid(100, 0.9999), LAKE, FOREST, *RINGS]
FULL = [
    *(_garnet(states, discount) for discount in (0.99, 0.999) for states in (100_000, 1_000_000)),
    *(_grid(size, discount) for discount in (0.99, 0.999, 0.9999) for size in (100, 316, 1000)),
    *(LAKE, INVENTORY, FOREST, WIDE),
    *RINGS,
    *MORE_RINGS,
]


class Bench:
    """The rows of the table, and the pairs of solver and family that were stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, object]] = []
        self.slow: set[tuple[str, str]] = set()

    def run(self, case: Case) -> None:
        """Run all solvers on one model."""
        model = case.build()
        path = self._stored(model)
        truth = self._truth(model, path)
        counted = ~np.asarray(model.terminal)
        shared = {"case": case.name, "states": model.states, "discount": float(model.discount)}
        ours = self._asked(path, "mdvi", ACCURACY, PREPARING)
        assert isinstance(ours, tuple), ours
        error = float(np.abs(ours[1] - truth)[counted].max(initial=0.0))
        self._row(shared, "mdvi", ACCURACY, ours[0], error, None, "right" if error <= ACCURACY else "WRONG")
        soft = self._asked(path, "mdvi τ = .01", ACCURACY, PREPARING)
        self._row(shared, "mdvi τ = .01", ACCURACY, soft[0] if isinstance(soft, tuple) else soft, None, None, "")
        limit = max(math.ceil(PATIENCE * ours[0]), AT_LEAST)
        ratios = []
        for peer in PEERS:
            if (peer, case.family) in self.slow:
                self._row(shared, peer, ACCURACY, None, None, None, "not tried: too slow on a smaller one")
                continue
            for asked in TIGHTER:
                found = self._asked(path, peer, asked, limit)
                if not isinstance(found, tuple):
                    self._row(shared, peer, asked, None, None, ours[0] / limit, found)
                    if "longer" in found or "memory" in found:
                        self.slow.add((peer, case.family))
                    break
                seconds, values = found
                error = float(np.abs(values - truth)[counted].max(initial=0.0))
                right = error <= ACCURACY
                self._row(
                    shared,
                    peer,
                    asked,
                    seconds,
                    error,
                    ours[0] / seconds if right else None,
                    "right" if right else "wrong",
                )
                if right:
                    ratios.append(ours[0] / seconds)
                    break
        ratio = max(ratios, default=ours[0] / limit)
        print(f"{case.name}, γ = {float(model.discount)}: ours / best peer = {ratio:.3f}\n", flush=True)

    def _stored(self, model: FiniteMDP) -> Path:
        matrix, path = model.kernel.csr(), self.folder / "model.npz"
        np.savez(
            path,
            indptr=matrix.indptr,
            indices=matrix.indices,
            data=matrix.data,
            shape=np.array(matrix.shape),
            reward=model.reward,
            discount=model.discount,
            terminal=model.terminal,
            legal=model.legal,
        )
        return path

    def _truth(self, model: FiniteMDP, path: Path) -> np.ndarray:
        for narrow in (TRUTH, ACCURACY / 4, ACCURACY / 2):  # rounding may make the first accuracies unreachable
            solution = solve(model, tolerance=narrow)
            if solution.status == CERTIFIED:
                break
        claim = certificate_arrays(model, solution, 0.0, 0.0, None)
        with np.load(path) as file:
            wrong = checker.check(checker.read_model(file), claim)
        assert wrong is None, wrong
        assert solution.status == CERTIFIED, solution.message
        return solution.value

    def _asked(self, path: Path, solver: str, accuracy: float, limit: int) -> tuple[float, np.ndarray] | str:
        """The seconds and values, or a short reason for the failure."""
        out = self.folder / "values.npy"
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("peers.py")), str(path), solver]
        try:
            done = subprocess.run(
                [*command, str(accuracy), str(limit), str(out)],
                capture_output=True,
                text=True,
                timeout=PREPARING + 4 * limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "cannot even take the model in"
        lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
        if done.returncode == 0 and lines:
            return min(json.loads(lines[-1])), np.load(out)
        if done.returncode == -14:
            return f"longer than {limit} s"
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return "out of memory" if "MemoryError" in reason or done.returncode in (-6, -9) else f"failed: {reason[:60]}"

    def _row(self, shared, solver, asked, seconds, error, ratio, verdict) -> None:
        row = shared | dict(zip(HEADER[3:], (solver, asked, seconds, error, ratio, verdict), strict=True))
        self.rows.append(row)
        shown = {name: "" if value is None else value for name, value in row.items()}
        for name, form in (("seconds", ".4g"), ("error", ".1e"), ("ratio", ".3g"), ("asked", ".0e")):
            shown[name] = format(shown[name], form) if isinstance(shown[name], float) else str(shown[name])
        print(
            "{case:45} {discount:<7} {solver:17} {asked:6} {seconds:>9} {error:>8} {ratio:>8}  {verdict}".format(
                **shown
            ),
            flush=True,
        )


def summary(rows: list[dict]) -> str:
    """The mean ratios to the best peer of each case, to the best peer without one library, and to each single peer.

    If no peer was accurate, or a single peer was stopped or ran out of memory, it counts as if it had finished then.
    """
    libraries = dict.fromkeys(peer.split()[0] for peer in PEERS)
    groups = {"best peer": set(PEERS)}
    groups |= {f"best without {name}": {p for p in PEERS if p.split()[0] != name} for name in libraries}
    groups |= {peer: {peer} for peer in PEERS}
    lines = []
    for name, peers in groups.items():
        found: dict[tuple, tuple[bool, float]] = {}
        for row in rows:
            if row["solver"] in peers and row["ratio"]:
                case = row["case"], str(row["discount"])
                found[case] = max(found.get(case, (False, 0.0)), (row["verdict"] == "right", float(row["ratio"])))
        ratios, right = [ratio for _, ratio in found.values()], sum(right for right, _ in found.values())
        if ratios:
            mean = math.exp(np.mean(np.log(ratios)))
            counts = f"{len(ratios)} cases, {right} answered"
            lines.append(f"ours / {name}: geometric mean {mean:.3f}, largest {max(ratios):.3f} ({counts})")
    return "\n".join(lines)


def main() -> None:
    """Run the suite; print a row for each answer and the mean of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="a few minutes, small models")
    size.add_argument("--full", action="store_true", help="an hour or more, up to ten million states")
    parser.add_argument("--out", type=Path, default=Path("planning.csv"), help="where to write the table as CSV")
    parser.add_argument("cases", nargs="*", help="only these cases")
    given = parser.parse_args()
    chosen = [c for c in (QUICK if given.quick else FULL) if not given.cases or c.name in given.cases]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for case in chosen:
            bench.run(case)
            given.out.parent.mkdir(parents=True, exist_ok=True)
            with given.out.open("w", newline="") as file:
                table = csv.DictWriter(file, HEADER)
                table.writeheader()
                table.writerows(bench.rows)
    print(summary(bench.rows))
    if not given.cases:
        machine.main(full=given.full)


if __name__ == "__main__":
    main()
