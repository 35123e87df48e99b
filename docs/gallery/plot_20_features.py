"""
Linear features
===============

Values that are fitted to random features: the error of the fit does not vanish, and what is left of the loss depends
on how many features there are.
"""

import matplotlib.pyplot as plt

import mdvi

model = mdvi.mdp.garnet(seed=0)
dimensions = (20, 40, 60, 80, 100, 120)
figure, axes = plt.subplots()
for kl in (0.0, 0.1):
    losses = []
    for dimension in dimensions:
        features = mdvi.errors.random_features(model, dimension, seed=1)
        trace = mdvi.iterate(model, mdvi.Scheme.of(kl=kl), 100, mdvi.errors.projection(features), record=("loss",))
        losses.append(trace.loss[-20:].mean())
    axes.plot(dimensions, losses, "o-", ms=4, label=f"λ = {kl:g}")
axes.set_xlabel("features, of 120 pairs (s, a)")
axes.set_ylabel("loss, mean of the last 20 iterations")
axes.set_title("Least squares on random features")
axes.legend()
plt.show()
