"""
β: how long the average is
==========================

With KL and entropy, errors are averaged over about 1 / (1 − β) iterations. A larger β ends lower and starts later.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

tau, betas = 1e-3, (0.0, 0.5, 0.9, 0.99)
models = [mdvi.mdp.garnet(seed=seed) for seed in range(10)]
schemes = [mdvi.Scheme.of(kl=beta * tau / (1 - beta), entropy=tau) for beta in betas]
trace = mdvi.iterate(models, schemes, 300, mdvi.errors.sampled(1), record=("normalized_loss",))

figure, axes = plt.subplots()
for beta, losses in zip(betas, trace.normalized_loss.mean(1), strict=True):
    axes.loglog(np.arange(1, 301), losses[1:], label=f"β = {beta:g}")
axes.set_xlabel("iteration k")
axes.set_ylabel("relative loss of π_k")
axes.set_title("Entropy τ = 0.001, mean over ten Garnets")
axes.legend()
plt.show()
