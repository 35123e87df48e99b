"""Draws docs/half_strip.svg: the algorithms of `mdvi.algorithms` as points of the half-strip κ ≥ 0, 0 ≤ β ≤ 1."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from mdvi import algorithms

# Where the text goes, in points from the place on the strip; one entry per place.
OFFSETS = {
    (0.0, 0.0): (-8, -14),
    (0.0, 0.9): (-8, 0),
    (0.0, 1.0): (-8, 14),
    (0.1, 1.0): (4, 18),
    (0.03, 0.9): (-20, -14),
}


def main() -> None:
    """Group the algorithms that share a place, and label each place once."""
    places: dict[tuple[float, float], list[str]] = {}
    for name, algorithm in algorithms.ALL.items():
        scheme = algorithm.scheme()
        places.setdefault((float(scheme.temperature), round(float(scheme.beta), 3)), []).append(name)
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "mdvi"}):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.fill_between([0, 1], 0, 1, color="0.94", lw=0, zorder=0)
        for (kappa, beta), names in places.items():
            # A linear axis would crowd the small temperatures: the square root spreads them.
            x = kappa**0.5
            axes.plot(x, beta, "o", color="#31688e" if kappa else "#c44e00", zorder=3, clip_on=False)
            left = kappa == 0
            axes.annotate(
                "\n".join(", ".join(names[i : i + 3]) for i in range(0, len(names), 3)),
                (x, beta),
                textcoords="offset points",
                xytext=OFFSETS.get((kappa, beta), (8, 0)),
                ha="right" if left else "left",
                va="center",
            )
        axes.set_xlim(-0.28, 0.62)
        axes.set_ylim(-0.12, 1.12)
        axes.set_xticks([k**0.5 for k in (0, 0.01, 0.03, 0.1, 0.2)], ["0", "0.01", "0.03", "0.1", "0.2"])
        axes.axvline(0, color="0.4", lw=0.8)
        axes.set_xlabel("temperature κ = λ + τ (default parameters)")
        axes.set_ylabel("β = λ / (λ + τ)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
