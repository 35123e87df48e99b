"""
The half-strip, with sampling errors
====================================

The loss after 200 iterations at every point (κ, β): one compiled program for the whole grid.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

kappas, betas = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3), (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
schemes = [mdvi.Scheme(kappa, beta) for beta in betas for kappa in kappas]
models = [mdvi.mdp.garnet(seed=seed) for seed in range(5)]
trace = mdvi.iterate(models, schemes, 200, mdvi.errors.sampled(1), record=("normalized_loss",))
loss = trace.normalized_loss[..., -50:].mean((-1, -2)).reshape(len(betas), len(kappas))

figure, axes = plt.subplots(figsize=(6.4, 4.2))
image = axes.imshow(np.log10(loss), cmap="viridis_r", origin="lower", aspect="auto")
middle = (np.log10(loss).min() + np.log10(loss).max()) / 2
for (row, column), value in np.ndenumerate(loss):
    ink = "white" if np.log10(value) > middle else "black"
    axes.text(column, row, f"{value:.2g}", ha="center", va="center", color=ink, fontsize=8)
axes.set_xticks(range(len(kappas)), [f"{kappa:g}" for kappa in kappas])
axes.set_yticks(range(len(betas)), [f"{beta:g}" for beta in betas])
axes.set_xlabel("temperature κ")
axes.set_ylabel("β")
axes.set_title("Relative loss of the schemes (κ, β)")
plt.show()
