"""The references of mdvi as BibTeX, from `references.bib`."""

from importlib.resources import files


def bibtex(key: str) -> str:
    """The BibTeX entry of a key."""
    library = (files("mdvi") / "references.bib").read_text(encoding="utf-8")
    return next(entry.strip() for entry in library.split("\n\n") if f"{{{key}," in entry)
