"""
5. A study
==========

A study is a grid of runs in one file. This tutorial runs a small one in Python, reads its tables and draws its cells.
The shell does the same with ``mdvi study run`` and ``mdvi study report``.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import mdvi

folder = Path(tempfile.mkdtemp())
file = folder / "study.toml"
file.write_text("""
title = "CartPole in very small"
env = "CartPole-v1"
steps = 6_000
seeds = 3
settings = { hidden = [16, 16], log_period = 1000 }

[[grid]]
agent = "md-direct"
beta = [0.0, 0.5, 0.9]
entropy = [0.01, 0.1, 1.0]

[[grid]]
agent = "dqn"
""")

# %%
# The plan
# --------
#
# ``read`` checks the file. The runs of a grid that are the same program with other numbers are one batch.

study = mdvi.study.read(file)
print(len(study.runs), "runs")

# %%
# Run it
# ------
#
# ``run`` trains what is missing. Stopping it loses nothing: the same call continues.

mdvi.study.run(study, folder / "results")

# %%
# Running it again has nothing left to do:

mdvi.study.run(study, folder / "results")

# %%
# Tables
# ------
#
# ``mdvi study export`` writes ``runs.csv``, one row for each run, and ``curves.csv``.

mdvi_command = [sys.executable, "-m", "mdvi"]
subprocess.run([*mdvi_command, "study", "export", str(file), "--out", str(folder / "results")], check=True)
with next((folder / "results").rglob("runs.csv")).open() as lines:
    rows = list(csv.DictReader(lines))
print(list(rows[0]))

# %%
# The cells: the mean over seeds of the mean return over training.

betas, taus = (0.0, 0.5, 0.9), (0.01, 0.1, 1.0)
score = np.full((3, 3), np.nan)
for (i, beta), (j, tau) in ((a, b) for a in enumerate(betas) for b in enumerate(taus)):
    chosen = [
        float(row["score_mean_training"])
        for row in rows
        if row["agent"] == "md-direct"
        and np.isclose(float(row["beta"]), beta)
        and np.isclose(float(row["entropy"]), tau)
    ]
    score[i, j] = np.mean(chosen)
dqn = np.mean([float(row["score_mean_training"]) for row in rows if row["agent"] == "dqn"])

figure, axes = plt.subplots(figsize=(5, 3.8))
axes.imshow(score, cmap="viridis")
for (i, j), value in np.ndenumerate(score):
    ink = "white" if value < np.nanmean(score) else "black"
    axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=ink)
axes.set_xticks(range(3), [f"{tau:g}" for tau in taus])
axes.set_yticks(range(3), [f"{beta:g}" for beta in betas])
axes.set_xlabel("τ")
axes.set_ylabel("β")
axes.set_title(f"Return over training; DQN has {dqn:.0f}")
plt.show()

# %%
# What to do next
# ---------------
#
# Six thousand steps and three seeds decide nothing: see :doc:`/choose` for sizes that do, and :doc:`/pitfalls` for
# what few seeds hide. ``mdvi study report study.toml`` writes a page with intervals, tests and pictures.
