"""
A schedule for λ
================

A coefficient may have one number for each iteration. A λ that grows starts as fast as a small one and averages as
long as a large one.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

models = [mdvi.mdp.garnet(seed=seed) for seed in range(10)]
K = 300
weights = {
    "λ = 0.01": np.full(K, 0.01),
    "λ = 10": np.full(K, 10.0),
    "λ from 0.01 to 10": np.geomspace(0.01, 10, K),
}
schemes = [mdvi.Scheme.of(kl=mdvi.schedule(values)) for values in weights.values()]
trace = mdvi.iterate(models, schemes, K, mdvi.errors.sampled(1), record=("normalized_loss",))

figure, axes = plt.subplots()
for name, losses in zip(weights, trace.normalized_loss.mean(1), strict=True):
    axes.loglog(np.arange(1, K + 1), losses[1:], label=name)
axes.set_xlabel("iteration k")
axes.set_ylabel("relative loss of π_k")
axes.set_title("Mean over ten Garnets")
axes.legend()
plt.show()
