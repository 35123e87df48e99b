"""Progress bars appear where somebody sees them, and nowhere else."""

import io
import itertools
import sys
import types

import pytest

import mdvi
from mdvi import progress

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 200, "steps": 400}


class Page:
    """What `IPython.display` offers, with a list of what was shown."""

    def __init__(self):
        self.shown = []

    def HTML(self, text):  # noqa: N802
        return text

    def display(self, text, display_id):
        assert display_id
        self.update(text)
        return self

    def update(self, text):
        self.shown.append(text)


@pytest.fixture
def notebook(monkeypatch):
    """A process that looks like the kernel of a notebook."""
    page, ipython = Page(), types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = page
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    return page


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_training_is_silent_in_a_pipe(capsys):
    mdvi.train("probe-matched", **SMALL)
    assert capsys.readouterr() == ("", "")


def test_training_draws_a_bar_in_a_terminal_unless_a_report_is_given(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    mdvi.train("probe-matched", seeds=2, **SMALL)
    assert "training" in terminal.getvalue()
    said = Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    mdvi.train("probe-matched", report=mdvi.Report(), **SMALL)
    assert said.getvalue() == ""


def test_training_draws_a_bar_in_a_notebook_and_takes_it_away(notebook, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", itertools.count().__next__)
    mdvi.train("probe-matched", seeds=2, **SMALL)
    first, *between, last = notebook.shown
    assert (first, last) == ("", "")
    assert "training (compiling)" in between[0]
    assert "<progress value='0' max='4'>" in between[0]
    assert "<div>training <progress value='4' max='4'></progress> 4/4</div>" in between[-1]


def test_a_notebook_is_not_redrawn_all_the_time(notebook, monkeypatch):
    moments = iter([1.0, 1.0, 1.1, 1.15])
    monkeypatch.setattr(progress.time, "monotonic", moments.__next__)
    with progress.bars_in_notebook() as track:
        update = track("<b>", 9)
        for done in range(1, 4):
            update(done)
    assert not any("<b>" in text for text in notebook.shown)
    assert sum("&lt;b&gt;" in text for text in notebook.shown) == 1


def test_a_shell_in_a_terminal_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not progress.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not progress.in_notebook()


def test_there_are_no_bars_in_a_pipe(capsys):
    with progress.bars() as track:
        assert track is None
