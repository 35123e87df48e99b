"""The documentation: every public name is described and has a place, and links between pages lead somewhere."""

import re
from pathlib import Path

import pytest
from docs.extensions import public

import mdvi
from mdvi.regularizers import base

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "built" not in page.parts]


def test_every_public_name_and_member_is_described():
    assert public.undocumented() == []


def test_every_public_name_has_a_place_in_the_reference():
    assert public.absent() == []


def test_gaps_would_be_seen(monkeypatch):
    def unheard_of() -> None:
        pass

    class Bare:
        """Something."""

        field: int

        def method(self) -> None:
            pass

    Bare.__module__ = base.__name__
    monkeypatch.setattr(mdvi.errors, "unheard_of", unheard_of, raising=False)
    monkeypatch.setattr(mdvi.errors, "Bare", Bare, raising=False)
    monkeypatch.setattr(mdvi.errors, "__all__", [*mdvi.errors.__all__, "unheard_of", "Bare"])
    bare = ["mdvi.errors.Bare.field", "mdvi.errors.Bare.method"]
    assert sorted(public.undocumented()) == sorted([*bare, "mdvi.errors.unheard_of"])
    monkeypatch.setattr(mdvi, "__all__", [*mdvi.__all__, "new"])
    monkeypatch.setattr(mdvi, "new", unheard_of, raising=False)
    assert "mdvi.new" in public.absent()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_stands_in_fences(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"^ *>>> ", text, re.MULTILINE)  # three quotations inside each other, for Markdown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_pictures_say_what_they_show(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for picture, label, target in re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")) and "built/" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target
        assert not picture or len(label) > 30, target
    for fence in re.findall(r"^```\{image\}.*?^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        assert re.search(r"^:alt: .{30,}", fence, re.MULTILINE), fence
