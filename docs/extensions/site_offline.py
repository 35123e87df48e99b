"""The pages load nothing from a network: the build fails if one of them would."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|link(?![^>]*rel=["'](?:canonical|next|prev|author|license)))"""
    r"""[^>]*?(?:src|href|srcset)=["'](?:https?:)?//[^"']+"""
)
_STYLE = re.compile(r"""(?:@import\s+|url\(\s*)["']?(?:https?:)?//[^"')]+""")


def loaded(folder: Path) -> list[str]:
    """What the pages and styles below a folder load from elsewhere."""
    found = []
    for pattern, ends in ((_LOADED, "*.html"), (_STYLE, "*.css"), (_STYLE, "*.html")):
        for path in sorted(folder.rglob(ends)):
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(folder)}: {part}" for part in pattern.findall(text)]
    return found


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is None and (found := loaded(Path(app.outdir))):
        raise ExtensionError("these pages need a network:\n" + "\n".join(found))


def setup(app: Sphinx) -> dict[str, Any]:
    """The check."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True}
