"""
Which errors average out
========================

Errors that change sign cancel under a KL term. Errors that are the same in every iteration do not, and neither do
those of an adversary.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(seed=0)
scale = 0.05
kinds = {
    "gaussian": mdvi.errors.gaussian(scale),
    "alternating": mdvi.errors.alternating(scale),
    "constant": mdvi.errors.constant(scale),
    "worst sign": mdvi.errors.worst_sign(scale),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), sharey=True)
for axes, kl in ((left, 0.0), (right, 0.1)):
    for name, kind in kinds.items():
        loss = mdvi.iterate(model, mdvi.Scheme.of(kl=kl), 300, kind, record=("loss",)).loss
        axes.loglog(np.arange(1, 301), np.maximum(loss[1:], 1e-5), label=name)
    axes.set_xlabel("iteration k")
    axes.set_title(f"λ = {kl:g}")
left.set_ylabel("loss of π_k")
right.legend(fontsize=9)
plt.show()
