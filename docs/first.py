"""Draws docs/first.svg, the first picture that a reader sees: a panel of Figure 1, and a lake solved with proof."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import mdvi

ITERATIONS, GARNETS = 800, 100
KLS = {0.0: "#6b6b6b", 0.01: "#1f5f8b", 0.1: "#7b3f98", 1.0: "#1b7340", 10.0: "#b34700"}


def losses(axes: mpl.axes.Axes) -> None:
    """The paper's loss for several λ, from sampled backups: the mean over Garnets."""
    models = [mdvi.mdp.garnet(seed=1000 + i) for i in range(GARNETS)]
    schemes = [mdvi.Scheme.of(kl=kl) for kl in KLS]
    trace = mdvi.iterate(
        models, schemes, ITERATIONS, mdvi.errors.sampled(1), seed=1000, record=("normalized_loss",)
    )  # fmt: skip
    mean = trace.normalized_loss.mean(1)
    for color, curve in zip(KLS.values(), mean, strict=True):
        axes.plot(np.arange(1, ITERATIONS + 1), curve[1:], color=color, lw=1.6)
    axes.text(90, 0.49, "value iteration, λ = 0", color=KLS[0.0])
    axes.text(220, 0.12, "λ = 10", color=KLS[10.0])
    axes.text(23, 0.2, "λ = 1", color=KLS[1.0])
    axes.text(3, 0.06, "λ = 0.01 and 0.1", color=KLS[0.1])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("iteration k")
    axes.set_ylabel("loss of the policy, relative")
    axes.set_title("A KL term averages the errors", fontsize=10.5, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def lake(axes: mpl.axes.Axes) -> None:
    """Values as colours, the optimal action of each cell as an arrow; holes black, the goal marked."""
    model = mdvi.mdp.lake(8)
    solution = mdvi.solve(model, tolerance=1e-6)
    size, goal = 8, model.states - 1
    value = np.where(model.terminal, np.nan, solution.value).reshape(size, size)
    picture = axes.imshow(value, cmap="Blues", vmin=-0.3, vmax=1.1)
    picture.cmap.set_bad("0.15")
    for cell in range(model.states):
        row, column = divmod(cell, size)
        if cell == goal:
            axes.add_patch(mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, color="#1b7340"))
            axes.text(column, row, "goal", ha="center", va="center", color="white", fontsize=7.5)
        elif not model.terminal[cell]:
            ink = "white" if value[row, column] > 0.7 else "black"
            axes.text(column, row + 0.32, f"{value[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=6)
            down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[solution.action[cell]]
            start, end = (
                (column - 0.22 * right, row - 0.1 - 0.22 * down),
                (column + 0.22 * right, row - 0.1 + 0.22 * down),
            )
            axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": ink, "lw": 1.1})
    axes.set_title(f"A lake: every value is proved to ±{solution.gap / 2:.0e}", fontsize=10.5, loc="left")
    axes.set_axis_off()


def main() -> None:
    """Both, side by side."""
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "mdvi"}):
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        losses(left)
        lake(right)
        figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
