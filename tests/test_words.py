"""Text for people: nothing in it is acted upon, and cells of a CSV file come back as they were."""

import csv
import io
import sys
import unicodedata

import pytest

from mdvi.words import from_cell, plain, to_cell

HARMLESS = ["λ = 0.1, τ = 10⁻³ …", "ü é 漢字 😀", "a\u00a0b\u3000c", r"C:\new", "$x$ % {0} [bold]"]


@pytest.mark.parametrize("text", HARMLESS)
def test_text_that_only_shows_stays_as_it_is(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\u202egnp.exe\u2066\u200b\ufeff", r"\u202egnp.exe\u2066\u200b\ufeff"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        (b"\xff\x1b".decode(errors="surrogateescape"), r"\udcff\x1b"),
        ("\U000e0041", r"\U000e0041"),
        (ValueError("bad\x08"), r"bad\x08"),
    ],
)
def test_characters_that_do_something_are_shown_escaped(text, shown):
    assert plain(text) == shown


def test_no_code_point_gets_through_that_is_no_glyph_or_space():
    for code in (*range(0x3000), *range(0xE0000, 0xE0200), *range(0x3000, sys.maxunicode + 1, 61)):
        shown = plain(chr(code))
        assert shown == chr(code) or (shown.startswith("\\") and shown.isascii())
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert shown != chr(code)


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "'=1",
    "''-x",
    "＝1",
    " -1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_cells_that_begin_like_a_formula_are_text(text):
    assert to_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["dqn", "", "'", "it's", "a=b", "-1.5", "+3", "-inf", "1e-5", -1.5, 3, None, True])
def test_other_cells_stay_as_they_are(value):
    assert to_cell(value) is value


@pytest.mark.parametrize("text", [*HARMLESS, *FORMULAS, "'", "''", "'-1", "-1", "' x", '"=1",2', "a\nb", ""])
def test_cells_come_back_from_a_file_as_they_were(text):
    file = io.StringIO()
    csv.writer(file).writerow([to_cell(text)])
    (cell,) = next(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert from_cell(cell) == text
