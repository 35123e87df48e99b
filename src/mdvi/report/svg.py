"""SVG pictures that follow the page: dark ink on light paper, light ink on a dark screen."""

import re

from mdvi.report.palette import AT_NIGHT

_PATHS = re.compile(r'(?<= d=")[^"]+')
_LONG = re.compile(r"\d+\.\d{3,}")


def following(picture: str) -> str:
    """The picture of Matplotlib with a style that changes its ink where the reader prefers a dark page.

    Programs that do not know media queries draw it as it was. Coordinates of paths are rounded to a hundredth of a
    point, which nobody sees and which makes the file smaller.
    """
    dark = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{night} !important}}'
        for light, night in AT_NIGHT.items()
        for kind in ("fill", "stroke")
    )
    style = f":root{{color-scheme:light dark}}@media (prefers-color-scheme:dark){{{dark}}}"
    styled = picture.replace("</style>", f"{style}</style>", 1)
    return _PATHS.sub(lambda path: _LONG.sub(lambda number: f"{float(number[0]):.2f}", path[0]), styled)
