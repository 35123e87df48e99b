"""Learning of the paper's six variants, DQN and M-DQN; tables of means over seeds with 95 % intervals.

    --small    CartPole, 64–64, 2·10⁵ steps. The cell (β, τ) of each variant is the best of nine by the last hundred
               episodes of ten seeds; the results are from ten other seeds.
    --paper    CartPole with the paper's network and numbers, 10⁵ steps, one seed of each
    --minatar  MinAtar-Breakout, 10⁶ frames, five seeds of DQN, M-DQN and MD-direct
    --lander   LunarLander-v3, the paper's numbers with a 64–64 network, 2·10⁵ steps, five seeds of the same; curves.svg

Every part is a run in a separate folder, so that an interrupted benchmark can be resumed.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import mdvi
from mdvi.report.plots import as_bytes, learning_plot
from mdvi.report.stats import interval

BETAS, ENTROPIES = (0.5, 0.9, 0.99), (0.01, 0.1, 1.0)
VARIANTS = {
    f"{agent} {'w/' if kept else 'w/o'}": {"agent": agent, "evaluate_kl": kept, "evaluate_entropy": kept}
    for agent in ("md-direct", "md-indirect", "da")
    for kept in (True, False)
}
BASELINES = {"dqn": {"agent": "dqn"}, "munchausen": {"agent": "munchausen"}}
HEADER = ("part", "variant", "beta", "entropy", "seeds", "training", "± 95 %", "last 100", "±", "worst seed")


def small(out: Path) -> list[tuple]:
    rows = []
    for name, variant in {**VARIANTS, **BASELINES}.items():
        folder, cell = out / name.replace("/", ""), {}
        if name in VARIANTS:
            search = mdvi.train(
                "CartPole-v1", **variant, beta=BETAS, entropy=ENTROPIES, seeds=range(100, 110), steps=200_000,
                preset="small", out=folder / "search",
            )  # fmt: skip
            cell = best(search.summary["members"])
        run = mdvi.train(
            "CartPole-v1", **variant, **cell, seeds=10, steps=200_000, preset="small", out=folder / "final"
        )
        rows.append(row("small", name, run))
        show(rows[-1:])
    return rows


def paper(out: Path) -> list[tuple]:
    rows = []
    for name, variant in {**VARIANTS, **BASELINES}.items():
        cell = {"beta": 0.9, "entropy": 0.1} if name in VARIANTS else {}
        run = mdvi.train(
            "CartPole-v1", **variant, **cell, seeds=1, steps=100_000, preset="paper",
            out=out / name.replace("/", ""),
        )  # fmt: skip
        rows.append(row("paper", name, run))
        show(rows[-1:])
    return rows


def minatar(out: Path) -> list[tuple]:
    rows = []
    for name in ("dqn", "munchausen", "md-direct"):
        run = mdvi.train("minatar-breakout", name, seeds=5, steps=1_000_000, out=out / name)
        rows.append(row("minatar", name, run))
        show(rows[-1:])
    return rows


def lander(out: Path) -> list[tuple]:
    rows, curves = [], []
    for name, cell in {"dqn": {}, "munchausen": {}, "md-direct": {"beta": 0.9, "entropy": 0.1}}.items():
        run = mdvi.train(
            "LunarLander-v3", name, **cell, seeds=5, steps=200_000, preset="paper", hidden=[64, 64], out=out / name
        )
        rows.append(row("lander", name, run))
        show(rows[-1:])
        steps, last = np.unique(run.metrics["env_steps"]), run.metrics["last_100"]
        curves.append((name, steps, last.reshape(len(steps), len(run))))
    figure = learning_plot(curves, "LunarLander-v3, five seeds")
    (out / "curves.svg").write_bytes(as_bytes(figure, "svg"))
    return rows


def best(members: list[dict]) -> dict[str, float]:
    """The cell with the largest mean over the last hundred episodes."""
    cells = {(member["beta"], member["entropy"]) for member in members}

    def score(cell: tuple[float, float]) -> float:
        return np.mean([m["last_100"] for m in members if (m["beta"], m["entropy"]) == cell])

    return dict(zip(("beta", "entropy"), max(sorted(cells), key=score), strict=True))


def row(part: str, name: str, run: mdvi.Run) -> tuple:
    members = run.summary["members"]
    numbers = []
    for key in ("mean_return", "last_100"):
        mean, reach = interval(np.array([[member[key] for member in members]], float))
        numbers += [float(mean[0]), float(reach[0]) if len(members) > 1 else float("nan")]
    worst = min(member["last_100"] for member in members)
    return (part, name, members[0]["beta"], members[0]["entropy"], len(members), *numbers, worst)


def show(rows: list[tuple]) -> None:
    for entry in rows:
        print("  ".join(f"{x:>9.4g}" if isinstance(x, float) else f"{x!s:>16}" for x in entry), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in (small, paper, minatar, lander):
        parser.add_argument(f"--{part.__name__}", action="append_const", dest="parts", const=part)
    parser.add_argument("--out", type=Path, default=Path("results/learning"))
    arguments = parser.parse_args()
    print("  ".join(HEADER))
    for part in arguments.parts or [small]:
        rows = part(arguments.out / part.__name__)
        with (arguments.out / f"{part.__name__}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


if __name__ == "__main__":
    main()
