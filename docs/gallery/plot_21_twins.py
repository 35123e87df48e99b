"""
Two forms, one algorithm
========================

Mirror descent (a KL to the previous policy) and dual averaging (an average of past q) choose the same policies,
whatever errors the evaluation makes.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(seed=0)
figure, axes = plt.subplots()
for kl, entropy in ((0.1, 0.0), (0.09, 0.01), (1.0, 0.1)):
    scheme = mdvi.Scheme.of(kl=kl, entropy=entropy)
    errors = mdvi.errors.gaussian(0.1)
    one = mdvi.iterate(model, scheme, 100, errors, record=("log_policy",))
    two = mdvi.iterate(model, mdvi.DualAveraging(scheme), 100, errors, record=("log_policy",))
    apart = np.abs(np.exp(one.log_policy) - np.exp(two.log_policy)).max((-1, -2))
    axes.semilogy(np.maximum(apart, 1e-17), label=f"λ = {kl:g}, τ = {entropy:g}")
axes.set_ylim(1e-17, 1)
axes.set_xlabel("iteration k")
axes.set_ylabel("largest difference of a probability")
axes.set_title("Mirror descent against dual averaging")
axes.legend()
plt.show()
