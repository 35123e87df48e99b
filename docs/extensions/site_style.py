"""How the pictures of the gallery look: every colour is 4.5 : 1 on white, and has a line style of its own.

Dark colours that differ in hue look alike to a reader who does not see red or green; dashes tell their lines apart.
"""

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def reset(gallery_conf: dict[str, Any], name: str) -> None:
    """Called before every example."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update({
        "axes.prop_cycle": cycler(color=["#1f5f8b", "#b34700", "#1b7340", "#7b3f98", "#6b6b6b", "#8a6d00"])
        + cycler(linestyle=["-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1))]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.figsize": (7.2, 3.8),
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
    })  # fmt: skip


def shown(block: Any, variables: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The figure that the last line of a block stands for, as `solution.plot()` returns one: its picture.

    Figures of `matplotlib.pyplot` are found by Sphinx-Gallery itself.
    """
    figure = variables["example_globals"].get("___")
    if not isinstance(figure, Figure) or hasattr(figure, "number"):  # pyplot numbers its own
        return ""
    path = next(variables["image_path_iterator"])
    figure.savefig(path, dpi=120)
    titles = [axes.get_title() or axes.get_title("left") for axes in figure.axes]
    described = ". ".join(filter(None, [figure.get_suptitle(), *titles])) or "The picture that the line above draws"
    return str(figure_rst([path], gallery_conf["src_dir"], described.replace("\n", " ")))
