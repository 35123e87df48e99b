"""Pictures of tutorials and of the gallery say what they show, which Sphinx-Gallery leaves open."""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx_gallery.directives import imgsgnode

_TOOLTIP = re.compile(r'tooltip="([^"]*)"')


def _describe(app: Sphinx, doctree: nodes.document) -> None:
    """A thumbnail says what its example is about; a figure says that too, before its own titles."""
    if not app.env.docname.startswith("built/"):
        return
    title = next((node.astext() for node in doctree.findall(nodes.title)), "")
    text = next(
        (node.astext() for node in doctree.findall(nodes.paragraph) if "full example code" not in node.astext()), ""
    )
    about = f"{title}. {text.partition('. ')[0].rstrip('.')}."
    for node in doctree.findall():
        if isinstance(node, nodes.raw) and (found := _TOOLTIP.search(node.astext())):
            about = html.unescape(found[1])
        elif isinstance(node, nodes.image) and not node.get("alt"):
            node["alt"] = about
        elif isinstance(node, imgsgnode):
            node["alt"] = html.escape(" ".join(f"{about} {node['alt']}".split()))  # it is written as it is


def setup(app: Sphinx) -> dict[str, Any]:
    """The descriptions."""
    app.connect("doctree-read", _describe)
    return {"parallel_read_safe": True}
