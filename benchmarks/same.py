"""Compare the results of two checkouts bit by bit: agents, solutions, certificates, iterations and Figure 1.

    python same.py OLD NEW [--models 500]

Each checkout runs in a separate process with this Python, which prints digests of its results: the files of a training
run of every agent, in a compiled environment and in one on the host; the values, bounds, policies and certificates of
random models; a trace of every algorithm; the CSV of Figure 1. The differences are listed, and the exit code is 1 if
there are any. Only names that are public in both checkouts are used.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

SIZES = {
    "hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 500, "target_period": 20, "log_period": 100,
    "diagnostics": True,
}  # fmt: skip
WEIGHTS = (0.0, 1e-3, 0.1, 1.0)
METHODS = ("auto", "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration")


def digest(*contents: Any) -> str:
    """A digest of arrays, files, and anything that JSON can hold."""
    total = hashlib.sha256()
    for content in contents:
        if isinstance(content, bytes):
            total.update(content)
        elif isinstance(content, np.ndarray | np.generic):
            total.update(f"{content.dtype} {content.shape}".encode() + np.ascontiguousarray(content).tobytes())
        else:
            total.update(json.dumps(content, sort_keys=True, default=str).encode())
    return total.hexdigest()[:16]


def contents(file: Path) -> list[Any]:
    """The bytes of a file; for a checkpoint its arrays and notes, because their order in the file may vary."""
    if file.suffix != ".safetensors":
        return [file.read_bytes()]
    with safe_open(file, "numpy") as opened:
        names = sorted(opened.keys())
        return [names, opened.metadata(), *(opened.get_tensor(name) for name in names)]


def agents(place: Path) -> dict[str, str]:
    """Every file of a run of each agent."""
    import mdvi

    found = {}
    listed = subprocess.run(
        [sys.executable, "-m", "mdvi", "list", "agents", "--json"], capture_output=True, text=True, check=True
    ).stdout
    for entry in json.loads(listed):
        name = entry["name"]
        for env, steps in (("CartPole-v1", 600), ("Acrobot-v1", 300)):
            folder = place / f"{name}-{env}"
            run = mdvi.train(env, name, seeds=2, steps=steps, out=folder, checkpoint_every=1e9, **SIZES)
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                found[f"{name} in {env}: {file.relative_to(folder)}"] = digest(*contents(file))
            columns = {key: value.tolist() for key, value in run.metrics.items()}
            found[f"{name} in {env}: metrics"] = digest(columns, run.summary)
    return found


def solutions(count: int) -> dict[str, str]:
    """Values, bounds, policies and certificates of random models."""
    import mdvi
    from mdvi.planning.certificate import certificate_arrays

    found = {}
    for seed in range(count):
        rng = np.random.default_rng([24, seed])
        states, actions = int(rng.integers(2, 60)), int(rng.integers(1, 6))
        branching = int(rng.integers(1, min(states, 5) + 1))
        model = mdvi.mdp.garnet(
            states=states, actions=actions, branching=branching, seed=seed, discount=float(rng.choice([0.5, 0.9, 0.99]))
        )
        kl, entropy = float(rng.choice(WEIGHTS)), float(rng.choice(WEIGHTS))
        solution = mdvi.solve(model, kl, entropy, method=str(rng.choice(METHODS)))
        bounds = mdvi.certify(model, solution.action, kl, entropy)
        arrays = certificate_arrays(model, solution, kl, entropy, None)
        found[f"model {seed}"] = digest(
            solution.value, solution.lower, solution.upper, solution.gap, solution.status, solution.action,
            solution.trace, solution.q, solution.log_policy, *(arrays[name] for name in sorted(arrays)),
            *(np.asarray(getattr(bounds, name)) for name in ("lower", "upper") if hasattr(bounds, name)),
        )  # fmt: skip
    return found


def traces() -> dict[str, str]:
    """A trace of every algorithm, with errors and without."""
    import mdvi

    found = {}
    for name, entry in mdvi.named.ALL.items():
        for kind, errors in (("exact", mdvi.errors.none()), ("sampled", mdvi.errors.sampled(1))):
            trace = mdvi.iterate(mdvi.mdp.garnet(), entry.scheme(), 60, errors, [0, 1])
            arrays = (getattr(trace, part) for part in ("loss", "bound", "normalized_loss"))
            found[f"{name}, {kind}"] = digest(*(np.asarray(array) for array in arrays if array is not None))
    return found


def figure1(place: Path) -> dict[str, str]:
    """The CSV of Figure 1."""
    command = ["reproduce", "figure1", "--garnets", "4", "--iterations", "200", "--out", str(place / "figure1")]
    subprocess.run([sys.executable, "-m", "mdvi", *command], check=True, capture_output=True)
    return {f"Figure 1: {path.name}": digest(path.read_bytes()) for path in (place / "figure1").glob("*.csv")}


def dump(models: int) -> None:
    """Print all digests."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        print(json.dumps({**agents(place), **solutions(models), **traces(), **figure1(place)}))


def main() -> int:
    """Compare two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--dump", action="store_true", help="print the digests of the mdvi that Python finds")
    arguments = parser.parse_args()
    if arguments.dump:
        dump(arguments.models)
        return 0
    found = []
    for checkout in arguments.checkouts:
        where = os.environ | {"PYTHONPATH": str((checkout / "src").resolve())}
        command = [sys.executable, __file__, "--dump", "--models", str(arguments.models)]
        done = subprocess.run(command, env=where, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    old, new = found
    different = [name for name in old | new if old.get(name) != new.get(name)]
    for name in different:
        print(f"different: {name}")
    first, second = arguments.checkouts
    print(f"{len(old)} results in {first}, {len(new)} in {second}: {len(different)} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
