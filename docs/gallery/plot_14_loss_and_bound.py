"""
The true loss beside its bound
==============================

``trace.loss`` is exact, ``trace.bound`` is the theorem evaluated on the same run: Theorem 1 for a KL term alone.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(seed=0)
trace = mdvi.iterate(model, mdvi.Scheme.of(kl=0.1), 400, mdvi.errors.sampled(1))
k = np.arange(1, 401)

figure, axes = plt.subplots()
axes.loglog(k, trace.loss[1:], label="loss ‖q* − q_π‖")
axes.loglog(k, trace.bound[1:], "--", label=f"bound, {trace.theorem}")
axes.loglog(k, trace.average_error_norm[1:], ":", label="norm of the average error")
axes.loglog(k, trace.error_norm[1:], lw=0.8, label="norm of the last error")
axes.set_xlabel("iteration k")
axes.set_title("The average of the errors matters, not the last one")
axes.legend()
plt.show()
