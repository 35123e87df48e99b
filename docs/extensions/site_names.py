"""`{public-names} mdvi.errors`: what the docstrings of a module's public names say, or of those that are listed."""

import inspect
from typing import Any

import public
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective


class PublicNames(SphinxDirective):
    """One entry for each name."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The entries, as autodoc makes them."""
        module = self.arguments[0]
        listed = " ".join(self.content).split() or public.functions_and_classes(module)
        lines = ["````{eval-rst}"]
        for name in listed:
            value = getattr(public.modules()[module], name)
            kind = "function"
            if inspect.isclass(value):
                kind = "exception" if issubclass(value, BaseException) else "class"
            lines += [f".. auto{kind}:: {module}.{name}"]
            lines += ["   :members:", "   :exclude-members: model_config, model_post_init"] * (kind == "class") + [""]
        return self.parse_text_to_nodes("\n".join([*lines, "````"]))


def _refuse_gaps(app: Sphinx) -> None:
    gaps = [f"{name} has no docstring" for name in public.undocumented()]
    gaps += [f"{name} has no place in docs/reference" for name in public.absent()]
    if gaps:
        raise ExtensionError("\n".join(gaps))


def setup(app: Sphinx) -> dict[str, Any]:
    """The directive, and the check that nothing public is left out."""
    app.add_directive("public-names", PublicNames)
    app.connect("builder-inited", _refuse_gaps)
    return {"parallel_read_safe": True}
