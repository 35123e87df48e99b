"""How the pictures of the gallery look: colours that are told apart without colour vision, and 4.5 : 1 on white."""

from typing import Any


def reset(gallery_conf: dict[str, Any], name: str) -> None:
    """Called before every example."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update({
        "axes.prop_cycle": cycler(color=["#1f5f8b", "#b34700", "#1b7340", "#7b3f98", "#6b6b6b", "#8a6d00"]),
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
