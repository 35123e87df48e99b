"""Draws docs/half_strip.svg: the algorithms of `mdvi.algorithms` as points of the half-strip κ ≥ 0, 0 ≤ β ≤ 1."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdvi import algorithms

KINDS = {  # colour and legend of each part of the strip
    "limit": ("#b34700", "κ = 0: limits, greedy policies"),
    "entropy": ("#1f5f8b", "β = 0: entropy alone"),
    "kl": ("#1b7340", "β = 1: KL alone, all errors averaged"),
    "both": ("#7b3f98", "inside: KL and entropy"),
}
# Where the text goes, in points from the place on the strip, and its side; one entry per place.
OFFSETS = {
    (0.03, 0.9): (0, -17, "center"),
    (0.1, 0.9): (-6, -15, "right"),
    (0.11, 0.909): (8, 3, "left"),
    (0.1, 1.0): (0, 20, "center"),
    (0.2, 0.95): (0, 11, "center"),
}


def height(beta: float) -> float:
    """The place of β on the vertical axis, which has more room near 1, where most algorithms are."""
    return float(-np.log(1.06 - beta))


def kind_of(kappa: float, beta: float) -> str:
    """The part of the strip that a point lies in."""
    if kappa == 0:
        return "limit"
    return {0.0: "entropy", 1.0: "kl"}.get(beta, "both")


def main() -> None:
    """Group the algorithms that share a place, and label each place once."""
    places: dict[tuple[float, float], list[str]] = {}
    for name, algorithm in algorithms.ALL.items():
        scheme = algorithm.scheme()
        place = round(float(scheme.temperature), 3), round(float(scheme.beta), 3)
        places.setdefault(place, []).append(name.replace("_", " "))
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "mdvi"}):
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        axes = figure.subplots()
        bottom, top = height(0), height(1)
        axes.fill_between([0, 0.5], bottom, top, color="0.94", lw=0, zorder=0)
        for color, beta in (("entropy", 0.0), ("kl", 1.0)):
            axes.plot([0, 0.5], [height(beta)] * 2, color=KINDS[color][0], lw=1.5)
        axes.plot([0, 0], [bottom, top], color=KINDS["limit"][0], lw=1.5)
        for (kappa, beta), names in places.items():
            # A linear axis would crowd the small temperatures: the square root spreads them.
            x, y, color = kappa**0.5, height(beta), KINDS[kind_of(kappa, beta)][0]
            axes.plot(x, y, "o", color=color, ms=7, zorder=3, clip_on=False)
            right, up, side = OFFSETS.get((kappa, beta), (-9, 0, "right") if kappa == 0 else (0, 15, "center"))
            each = 1 if kappa == 0 else 3
            axes.annotate(
                "\n".join(", ".join(names[i : i + each]) for i in range(0, len(names), each)),
                (x, y), textcoords="offset points", xytext=(right, up), ha=side, va="center", color=color,
            )  # fmt: skip
        for color, text in KINDS.values():
            axes.plot([], [], "o-", color=color, label=text)
        axes.legend(loc="center", bbox_to_anchor=(0.6, 0.36), frameon=True, facecolor="white", edgecolor="0.8")
        axes.set_xlim(-0.13, 0.5)
        axes.set_ylim(bottom - 0.15, top + 0.35)
        axes.set_xticks([k**0.5 for k in (0, 0.01, 0.03, 0.1, 0.2)], ["0", "0.01", "0.03", "0.1", "0.2"])
        axes.set_yticks([height(beta) for beta in (0, 0.5, 0.9, 0.95, 1)], ["0", "0.5", "0.9", "0.95", "1"])
        axes.set_xlabel("temperature κ = λ + τ (default parameters)")
        axes.set_ylabel("β = λ / (λ + τ)")
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
