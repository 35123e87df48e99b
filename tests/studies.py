"""A small study, and its tables."""

from mdvi.report.export import curves_csv, runs_csv
from mdvi.study.spec import read
from mdvi.study.store import NAME, Store

HEAD = """
title = "A small study"
about = "Of nothing."
env = "CartPole-v1"
steps = 600
seeds = 3
settings = { hidden = [4], warmup = 100, batch = 8, target_period = 20, log_period = 100, replay = 1000 }
"""
GRID = """
[[grid]]
agent = ["md-direct", "da"]
evaluation = ["w/", "w/o"]
beta = [0.5, 0.9]
entropy = [0.1, 1.0]
[[grid]]
agent = "md-direct"
kl = [0.1, 1.0]
entropy = 0.0
[[grid]]
agent = "modqn"
beta = [0.5, 0.9]
[[grid]]
agent = "dqn"
"""


def study_in(folder, text=HEAD + GRID, name="small.toml"):
    (folder / name).write_text(text)
    return read(folder / name)


def tables(study, folder):
    """What is exported, without the seconds."""
    store, wanted = Store(folder / NAME), [run.id for run in study.runs]
    rows, curves = store.runs(wanted), store.curves(wanted)
    store.close()
    return runs_csv(row | {"seconds": 0.0} for row in rows), curves_csv(curves)
