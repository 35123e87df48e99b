"""The line of progress: shown where somebody can see it, after a second, and wiped out in the end."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mdvi
from mdvi import Scheme, mdp, progress
from mdvi.planning.watch import narrowing


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def seen(self):
        """What the last line shows, as a terminal writes it."""
        shown = ""
        for piece in self.getvalue().split("\r"):
            shown = piece + shown[len(piece) :]
        return shown.rstrip()


def test_a_line_comes_after_a_second_and_goes_in_the_end():
    stream, now = Terminal(), SimpleNamespace(time=100.0)
    line = progress.Line(stream, lambda: now.time)
    for time, expected in (
        (100.9, ""),
        (101.0, "[#####...............] a long line"),
        (101.05, "[#####...............] a long line"),
        (101.2, "[##########..........] short"),
    ):
        now.time = time
        line.show("short" if time > 101.1 else "a long line", 0.25 if time < 101.1 else 0.5)
        assert stream.seen == expected
    line.close()
    assert stream.seen == ""
    assert "\n" not in stream.getvalue()
    other = Terminal()
    progress.Line(other, lambda: now.time).close()
    assert other.getvalue() == ""


@pytest.mark.parametrize(("kind", "notebook"), [(Terminal, False), (io.StringIO, True), (io.StringIO, False)])
def test_only_where_somebody_watches(monkeypatch, kind, notebook):
    sees = notebook or kind is Terminal
    monkeypatch.setattr(progress, "in_notebook", lambda: notebook)
    monkeypatch.setattr(progress, "AFTER", 0.0)
    for call in (
        lambda **more: mdvi.solve(mdp.garnet(), method="value-iteration", **more),
        lambda **more: mdvi.evaluate(mdp.garnet(), [0] * 30, **more),
        lambda **more: mdvi.certify(mdp.garnet(), [0] * 30, **more),
        lambda **more: mdvi.iterate(mdp.garnet(), Scheme.of(kl=0.1), 20, record=("q",), **more),
    ):
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        call()
        assert bool(stream.getvalue()) == sees
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        call(progress=False)
        told = []
        call(progress=lambda *what, told=told: told.append(what))
        assert told
        assert stream.getvalue() == ""


def test_a_process_without_stderr_is_not_watched():
    assert not progress.watched(None)


def test_an_error_wipes_the_line_out(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(progress, "AFTER", 0.0)
    monkeypatch.setattr(sys, "stderr", stream)

    def fail():
        with progress.shown(None, lambda done: ("words", done)) as told:
            told(0.5)
            assert "words" in stream.seen
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert stream.seen == ""


def test_the_share_grows_with_the_digits_that_are_known():
    words = narrowing(1e-6)
    shares = [words(i, gap)[1] for i, gap in enumerate((1.0, 1e-3, 1e-6, 0.0))]
    np.testing.assert_allclose(shares, [0, 0.5, 1, 1])
    assert narrowing(1.0)(1, 0.5) == ("backup 1: interval 5.0e-01 → 1e+00", 1.0)
