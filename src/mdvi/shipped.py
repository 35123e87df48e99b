"""Files that are shipped with mdvi but are not modules of it: `checker.py`, and the studies of the documentation.

In a checkout they are at its top. An installed mdvi has them in its folder `share`, which has no modules that a program
could import by mistake.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_SHARE = _PACKAGE / "share"


def shipped(name: str) -> Path:
    """The path of a shipped file or folder, such as `checker.py`, `studies` or `studies/figure1.toml`."""
    return (_SHARE if _SHARE.is_dir() else _PACKAGE.parents[1]) / name


def studies() -> dict[str, Path]:
    """The studies that are shipped with mdvi, by the names of their files without the suffix."""
    return {file.stem: file for file in sorted(shipped("studies").glob("*.toml"))}
