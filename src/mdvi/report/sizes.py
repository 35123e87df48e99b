"""How wide pictures are: the column and the text of a paper, or a number of inches."""

from mdvi.words import did_you_mean, number_of

WIDTHS = {"column": 3.25, "text": 6.75}  # inches, of most two-column journals and conferences
_LEAST, _MOST = 2.0, 40.0
Width = float | str | None


def inches(width: Width, default: float) -> float:
    """The width of a picture in inches.

    Args:
        width: "column", "text", or a number of inches, also as text; None for the default.
        default: in inches.

    Raises:
        ValueError: for another word, and for a number below 2 or above 40.

    >>> inches("column", 7.0), inches(None, 7.0), inches("5.5", 7.0)
    (3.25, 7.0, 5.5)
    """
    if width is None:
        return default
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width]
    found = number_of(width) if isinstance(width, str) else width
    if found is None:
        raise ValueError(f"width: unknown {width!r}{did_you_mean(str(width), WIDTHS)}; a number of inches is fine too")
    if not _LEAST <= found <= _MOST:
        raise ValueError(f"width: expected {_LEAST:g} to {_MOST:g} inches, got {found:g}")
    return float(found)
