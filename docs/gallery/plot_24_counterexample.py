"""
A theorem, and how it was printed
=================================

Theorem 2 was printed without a factor of 2 in its initial term. On a small model that starts as badly as the
assumptions allow, the true loss exceeds the printed bound; it stays below the derived one.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model, initial_q, k = mdvi.mdp.late_start(discount=0.9)
trace = mdvi.iterate(model, mdvi.Scheme.of(entropy=1e-5), k + 1, initial_q=initial_q)
printed = mdvi.bounds.theorem2_norm(trace, printed=True)
derived = mdvi.bounds.theorem2_norm(trace)
print(f"loss / printed bound at the end: {trace.loss[-1] / printed[-1]:.2f}")
print(f"loss / derived bound at the end: {trace.loss[-1] / derived[-1]:.2f}")

# %%
# The model is made so that the policy is still wrong at one chosen iteration, the last one here.

figure, axes = plt.subplots()
k = np.arange(1, len(trace.loss))
axes.semilogy(k, trace.loss[1:], label="true loss")
axes.semilogy(k, printed[1:], "--", label="bound as printed")
axes.semilogy(k, derived[1:], ":", label="bound as derived")
axes.set_xlabel("iteration k")
axes.set_title("The printed bound is exceeded")
axes.legend()
plt.show()
