"""Files that come with mdvi and are no part of the package: `checker.py`, and the studies of the documentation.

In a checkout they lie at its top. An installed mdvi has them in its folder `share`, where no module is near that a
program run there would import by mistake.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_SHARE = _PACKAGE / "share"


def shipped(name: str) -> Path:
    """Where a file of that name lies, such as `checker.py` or `studies/figure1.toml`; the folder `studies` too."""
    return (_SHARE if _SHARE.is_dir() else _PACKAGE.parents[1]) / name


def studies() -> dict[str, Path]:
    """The studies that come with mdvi, by the names of their files without the suffix."""
    return {file.stem: file for file in sorted(shipped("studies").glob("*.toml"))}
