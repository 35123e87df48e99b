"""The works that mdvi builds on, as BibTeX; `references.bib` holds them."""

from importlib.resources import files


def bibtex(key: str) -> str:
    """The entry of that key in the package's reference list."""
    library = (files("mdvi") / "references.bib").read_text(encoding="utf-8")
    return next(entry.strip() for entry in library.split("\n\n") if f"{{{key}," in entry)
