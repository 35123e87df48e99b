"""The colours of all pictures: on white paper, on a dark screen, and for eyes that tell fewer colours apart.

Every colour of a series keeps a contrast of 3 : 1 on white and on the dark page, so it is the same on both. Text, axes
and empty cells have a colour for each page. `tests/report/test_palette.py` measures all of this.
"""

import numpy as np

from mdvi.extras import explained

PAPER, NIGHT = "#ffffff", "#14171b"  # the page, in light and in dark
INK, SOFT, LINE, BLANK = "#1b1f24", "#5b6470", "#d8dde3", "#d5d9de"  # text, second text, grid, cells without a value
AT_NIGHT = {INK: "#e6e9ed", SOFT: "#a3adb8", LINE: "#343b44", BLANK: "#3b434d"}  # what these become on a dark page
ALARM = "#dc143c"  # what failed, and the baseline's mark
SERIES = ("#306ccc", "#d87824", "#c06cb4", "#c03030", "#606c6c", "#9c906c")  # found by a search in CIE Lab
DASHES = ("solid", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)))


def series(count: int) -> list[tuple[str, object]]:
    """A colour and a line style for each of so many curves; beyond six colours, the pairs are new ones.

    >>> series(2)
    [('#306ccc', 'solid'), ('#d87824', (0, (5, 1.5)))]
    """
    return [(SERIES[i % len(SERIES)], DASHES[(i + i // len(SERIES)) % len(DASHES)]) for i in range(count)]


def rgb(color: str) -> np.ndarray:
    """Red, green and blue of "#rrggbb", from 0 to 1."""
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def luminance(rgb: np.ndarray) -> np.ndarray:
    """The relative luminance of colours, shape (..., 3), from 0 for black to 1 for white. Source: WCAG 2.1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """The contrast of two colours "#rrggbb", from 1 to 21. Source: WCAG 2.1.

    >>> round(contrast("#ffffff", "#000000"), 6)
    21.0
    """
    low, high = sorted(float(luminance(rgb(color))) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def inks(values: np.ndarray, norm: object) -> np.ndarray:
    """Black or white, whichever differs more from the colour of each value: by 4.5 : 1 or more, as WCAG asks for.

    Args:
        values: shape (...); NaN counts as 0.
        norm: what maps values to the scale from 0 to 1.
    """
    with explained():
        import matplotlib as mpl
    bright = luminance(mpl.colormaps["viridis"](norm(np.nan_to_num(values)))[..., :3])  # type: ignore[operator]
    return np.where((1.05 / (bright + 0.05)) >= (bright + 0.05) / 0.05, "white", "black")
