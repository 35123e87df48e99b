"""Draws docs/regularizers_*.svg: what seven regularisers do to two and to three actions, and two on the half-strip.

Every number comes from `mdvi.regularizers` and `mdvi.iterate`. The pictures follow light and dark pages.
"""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mdvi
from mdvi.regularizers import regularizer_of
from mdvi.report.palette import DASHES, INK, NIGHT, PAPER, SERIES, SOFT, inks, rgb
from mdvi.report.plots import canvas
from mdvi.report.svg import following

CURVES = {  # softer policies first; the default has the colour of text
    "log-barrier": (SERIES[5], DASHES[1]),
    "tsallis:0.5": (SERIES[2], DASHES[2]),
    "shannon": (INK, DASHES[0]),
    "tsallis:1.5": (SERIES[1], DASHES[3]),
    "tsallis:2": (SERIES[0], DASHES[0]),
    "tsallis:3": (SERIES[3], DASHES[4]),
    "lazy": (SERIES[4], DASHES[5]),
}
REACH = 4.0  # the largest gap of two actions that is drawn, in units of κ
THREE = ("shannon", "tsallis:1.5", "tsallis:2", "lazy")
ZERO_FROM = {"tsallis:1.5": (2.0, "2κ"), "tsallis:2": (1.0, "κ"), "tsallis:3": (0.5, "κ/2")}  # κ/(α − 1)
WIDE = 4.0  # the distance from the tie of three actions to the sides of the maps, in units of κ
ONE = {(-2.6, -2.0): "only 1", (2.6, -2.0): "only 2", (0.0, 3.0): "only 3"}
REGIONS = {  # where the text goes
    "shannon": {(0.0, 0.0): "all three"},
    "tsallis:1.5": ONE | {(0.0, 0.1): "all", (0.0, -2.4): "1, 2", (-2.2, 1.35): "1, 3", (2.2, 1.35): "2, 3"},
    "tsallis:2": ONE | {(0.0, 0.0): "all", (0.0, -2.4): "1, 2", (-2.2, 1.35): "1, 3", (2.2, 1.35): "2, 3"},
    "lazy": ONE | {(0.0, 0.5): "the default"},
}
CAPTIONS = {
    "shannon": "lines: the best has 0.7, 0.9",
    "tsallis:1.5": "bands: gaps below 2κ",
    "tsallis:2": "bands: gaps below κ",
    "lazy": "triangle: best − mean ≤ κ",
}
SHADES = {3: 0.06, 2: 0.26, 1: 0.55}  # how opaque the colour is where so many actions have a chance
PLANE = np.array([[-1.0, 1.0, 0.0], [-1.0, -1.0, 2.0]]) / np.sqrt([[2.0], [6.0]])  # of x, up to a constant
CORNERS = PLANE.T  # of the simplex: action 1 below on the left, 2 below on the right, 3 above
RADII = {0.5: "κ/2", 1.0: "κ", 2.0: "2κ", 4.0: "4κ"}
KAPPAS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
BETAS = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
COMPARED = ("shannon", "tsallis:2")
GARNETS, ITERATIONS, LAST = 10, 200, 50


def save(figure: Figure, name: str) -> None:
    """Write a picture whose paper and ink change where the reader prefers a dark page."""
    figure.patch.set_gid("page")
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mdvi"}):
        figure.savefig(written, format="svg", metadata={"Date": None}, facecolor=PAPER)
    page = f"@media (prefers-color-scheme:dark){{#page path{{fill:{NIGHT} !important}}}}</style>"
    picture = following(written.getvalue().replace("</style>", page, 1))
    (Path(__file__).parent / f"regularizers_{name}.svg").write_text(picture, encoding="utf-8")


def gaps() -> np.ndarray:
    """Gaps of two actions from 0 to the largest one, with the place where the lazy policy jumps, and just behind it."""
    return np.sort(np.append(np.linspace(0, REACH, 321), 2 + 1e-9))


def reaches(name: str) -> float:
    """The gap of two actions, in units of κ, from which on the worse one has probability zero."""
    return 2.0 if name == "lazy" else ZERO_FROM.get(name, (np.inf, ""))[0]


def chances(axes: Axes) -> None:
    """The probability of the better of two actions."""
    x = np.stack([gaps(), np.zeros_like(gaps())], -1)
    axes.plot([0.5, REACH], [1, 1], color=SOFT, lw=1.2, zorder=1)
    for name, (color, dash) in CURVES.items():
        chance = regularizer_of(name).policy(x, 1.0)[:, 0]
        drawn = gaps() <= reaches(name) + 1e-6
        axes.plot(gaps()[drawn], chance[drawn], color=color, ls=dash, lw=1.6, zorder=2)
        if name in ZERO_FROM:
            place, text = ZERO_FROM[name]
            assert regularizer_of(name).policy(np.array([place, 0.0]), 1.0).tolist() == [1, 0]
            axes.plot(place, 1, "o", color=color, ms=5, zorder=3, clip_on=False)
            side, shift = ("right", 0.12) if name == "tsallis:3" else ("center", 0.0)
            axes.text(place + shift, 1.015, f"{name}\nfrom {text}", color=INK, ha=side, va="bottom", linespacing=1.05)
        elif name != "lazy":
            axes.text(REACH + 0.06, chance[-1], name, color=INK, va="center")
    axes.text(REACH, 1.008, "exactly 1", color=INK, ha="right", va="bottom")
    axes.text(1.96, 0.507, "lazy: ½ up to 2κ, then 1", color=INK, ha="right", va="bottom")
    axes.set_ylim(0.49, 1.075)
    axes.set_xlim(0, REACH)
    axes.set_ylabel("probability of the better action")


def maxima(axes: Axes) -> None:
    """M_κ(x) − max x."""
    x = np.stack([gaps(), np.zeros_like(gaps())], -1)
    axes.plot([0, REACH], [0, 0], color=SOFT, lw=1.2, zorder=1)
    for name, (color, dash) in CURVES.items():
        above = regularizer_of(name).maximum(x, 1.0) - x.max(-1)
        drawn = gaps() <= (reaches(name) if name in ZERO_FROM else REACH)
        axes.plot(gaps()[drawn], above[drawn], color=color, ls=dash, lw=1.6, zorder=2)
        if name in ("log-barrier", "lazy"):
            axes.text(REACH + 0.06, above[-1], name, color=INK, va="center")
        else:
            axes.text(-0.06, above[0], name, color=INK, ha="right", va="center")
    axes.text(REACH, -0.035, "exactly 0 for tsallis above 1", color=INK, ha="right", va="top")
    axes.set_xlim(-1.0, REACH)
    axes.set_ylabel("(M$_κ$(x) − max x) / κ")
    axes.spines["left"].set_visible(False)


def draw_two() -> None:
    """Both against the gap."""
    with canvas((9.0, 3.7)) as figure:
        left, right = figure.subplots(1, 2)
        chances(left)
        maxima(right)
        for axes in (left, right):
            axes.set_xticks(range(5), ["0", "κ", "2κ", "3κ", "4κ"])
            axes.set_xlabel("gap x(1) − x(2)")
        left.set_title("The policy", loc="left")
        right.set_title("What the regularised maximum adds to the maximum", loc="left")
        save(figure, "two")


def chances_around(name: str, side: np.ndarray) -> np.ndarray:
    """The policy for every x on a square around the tie of three actions."""
    return regularizer_of(name).policy(np.stack(np.meshgrid(side, side), -1) @ PLANE, 1.0)


def support(axes: Axes, name: str) -> None:
    """Which of three actions have a chance, for every x around the tie of all three."""
    side = np.linspace(-WIDE, WIDE, 720)  # an even number: no two actions tie exactly
    alive = (chances_around(name, side) > 0).sum(-1)
    colors = np.empty((*alive.shape, 4))
    colors[..., :3] = rgb(SERIES[0])
    colors[..., 3] = np.vectorize(SHADES.get)(alive)
    axes.imshow(colors, origin="lower", extent=(-WIDE, WIDE, -WIDE, WIDE), interpolation="none")
    if name == "shannon":
        side = np.linspace(-WIDE, WIDE, 65)
        for level, place in ((0.7, 1.3), (0.9, 2.4)):
            axes.contour(side, side, chances_around(name, side).max(-1), [level], colors=[SOFT], linewidths=0.8)
            axes.text(0, place, f"{level:g}", color=INK, ha="center", va="bottom")
    for (across, up), text in REGIONS[name].items():
        axes.text(across, up, text, color=INK, ha="center", va="center")
    axes.set_xlabel(CAPTIONS[name])
    bare(axes)


def simplex(axes: Axes, name: str) -> None:
    """The policies of all x at a few distances from the tie of all three actions."""
    axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=SOFT, lw=0.8, zorder=1)
    angle = np.linspace(0, 2 * np.pi, 241) + 1e-3  # no two actions tie exactly
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    for radius, color, dash in zip(RADII, SERIES, DASHES, strict=False):
        policy = regularizer_of(name).policy(radius * circle @ PLANE, 1.0)
        inside = (policy > 0).all(-1)
        policy_inside = np.where(inside[:, None], policy, np.nan)
        if name != "lazy":
            axes.plot(*(policy_inside @ CORNERS).T, color=color, ls=dash, lw=1.4, zorder=2)
        dots = policy[::5][(name == "lazy") | ~inside[::5]]
        axes.plot(*(dots @ CORNERS).T, "o", color=color, ms=3.2, zorder=3, clip_on=False)
    for action, (across, up) in enumerate(CORNERS * 1.13, 1):
        axes.text(across, up, f"{action}", color=INK, ha="center", va="center")
    axes.set_xlim(-1, 1)
    axes.set_ylim(-0.6, 1.02)
    axes.set_aspect("equal")
    bare(axes)


def bare(axes: Axes) -> None:
    """No ticks and no frame, and the title and the label stay."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_three() -> None:
    """The support above, the simplex below."""
    with canvas((9.0, 5.1)) as figure:
        figure.set_layout_engine("none")
        grid = figure.subplots(2, len(THREE), gridspec_kw={
            "left": 0.01, "right": 0.99, "top": 0.945, "bottom": 0.11, "wspace": 0.05, "hspace": 0.17,
        })  # fmt: skip
        for (above, below), name in zip(grid.T, THREE, strict=True):
            support(above, name)
            simplex(below, name)
            above.set_title(name)
        for radius, color, dash in zip(RADII, SERIES, DASHES, strict=False):
            below.plot([], [], color=color, ls=dash, lw=1.4, marker="o", ms=3.2, label=RADII[radius])
        figure.legend(loc="lower center", ncols=4, title="distance of x from the tie of all three")
        save(figure, "three")


def dense(model: mdvi.FiniteMDP) -> np.ndarray:
    """P(s' | s, a), shape (states, actions, states)."""
    return model.kernel.csr().toarray().reshape(model.states, model.actions, model.states)


def losses(name: str) -> np.ndarray:
    """What the last policies lose of the reward, relative to the optimum's, on Garnets with one sample per backup."""
    models = [mdvi.mdp.garnet(seed=1000 + i) for i in range(GARNETS)]
    schemes = [mdvi.Scheme(kappa, beta, regularizer=name) for beta in BETAS for kappa in KAPPAS]
    trace = mdvi.iterate(models, schemes, ITERATIONS, mdvi.errors.sampled(1), seed=1000, record=("log_policy",))
    lost = np.zeros((len(schemes), GARNETS, LAST))
    for i, model in enumerate(models):
        policy, kernel = np.exp(trace.log_policy[:, i, -LAST:]), dense(model)
        discount, reward = float(model.discount), np.asarray(model.reward)
        induced = np.einsum("...sa,sat->...st", policy, kernel)
        value = np.linalg.solve(
            np.eye(model.states) - discount * induced, (policy * reward).sum(-1)[..., None]
        )[..., 0]  # fmt: skip
        best = mdvi.solve(model, tolerance=1e-9).q
        q = reward + discount * np.einsum("sat,...t->...sa", kernel, value)
        lost[:, i] = np.abs(best - q).sum((-1, -2)) / np.abs(best).sum()
    return lost.mean((1, 2)).reshape(len(BETAS), len(KAPPAS))


def draw_strip() -> None:
    """Two maps of the half-strip with one scale of colours."""
    maps = {name: losses(name) for name in COMPARED}
    first, second = maps.values()
    assert (first[:, 0] == second[:, 0]).all(), "at κ = 0 every Ω is the same"
    scale = mpl.colors.Normalize(-np.log10(0.8), 2.0)
    with canvas((9.0, 3.4)) as figure:
        both = figure.subplots(1, 2, sharey=True)
        places = np.arange(len(KAPPAS)) + 0.25 * (np.array(KAPPAS) > 0)  # the edge κ = 0 stands apart
        for axes, (name, lost) in zip(both, maps.items(), strict=True):
            for part in (slice(0, 1), slice(1, None)):
                edges = np.append(places[part], places[part][-1] + 1)
                image = axes.pcolormesh(
                    edges, np.arange(len(BETAS) + 1), -np.log10(lost[:, part]), cmap="viridis", norm=scale
                )  # fmt: skip
            for (row, column), ink in np.ndenumerate(inks(-np.log10(lost), scale)):
                text = f"{lost[row, column]:.{2 if lost[row, column] >= 0.0995 else 3}f}"
                axes.text(places[column] + 0.5, row + 0.5, text, ha="center", va="center", color=ink, fontsize=7)
            axes.set_xticks(places + 0.5, [f"{kappa:g}" for kappa in KAPPAS])
            axes.set_yticks(np.arange(len(BETAS)) + 0.5, [f"{beta:g}" for beta in BETAS])
            axes.set_xlabel("temperature κ")
            axes.set_title(name, loc="left")
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        both[0].set_ylabel("β")
        bar = figure.colorbar(image, ax=both, label="lost reward, relative", pad=0.01)
        shown = (0.01, 0.03, 0.1, 0.3)
        bar.set_ticks([-np.log10(lost) for lost in shown], labels=[f"{lost:g}" for lost in shown])
        save(figure, "strip")


def main() -> None:
    """All three."""
    draw_two()
    draw_three()
    draw_strip()


if __name__ == "__main__":
    main()
