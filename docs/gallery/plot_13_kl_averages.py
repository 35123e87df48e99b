"""
A KL term averages errors
=========================

The left panel of the paper's Figure 1, in small: value iteration with one sampled next state for each (s, a) stays
where sampling puts it; with any λ > 0 the errors of all iterations average out.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

kls = (0.0, 0.01, 0.1, 1.0, 10.0)
models = [mdvi.mdp.garnet(seed=seed) for seed in range(10)]
schemes = [mdvi.Scheme.of(kl=kl) for kl in kls]
trace = mdvi.iterate(models, schemes, 300, mdvi.errors.sampled(1), record=("normalized_loss",))

figure, axes = plt.subplots()
for kl, losses in zip(kls, trace.normalized_loss.mean(1), strict=True):
    axes.loglog(np.arange(1, 301), losses[1:], label=f"λ = {kl:g}")
axes.set_xlabel("iteration k")
axes.set_ylabel("relative loss of π_k")
axes.set_title("Mean over ten Garnets")
axes.legend()
plt.show()
