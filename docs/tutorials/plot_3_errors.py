"""
3. The error laboratory
=======================

Approximate algorithms make errors. This tutorial makes them on purpose, looks at what they do to value iteration,
adds a KL term, and compares the true loss with the bound of the theorem.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(states=30, actions=4, branching=4, discount=0.9, seed=0)
model

# %%
# Value iteration with samples
# ----------------------------
#
# ``errors.sampled(1)`` draws one next state for each (s, a) in every iteration, as a simulator would. The scheme
# without weights is value iteration.

plain = mdvi.iterate(model, mdvi.Scheme.of(), 400, mdvi.errors.sampled(1))
plain

# %%
# ``loss`` is ‖q* − q_π‖, where q_π is computed exactly: it is the truth, not an estimate. It stays where sampling
# puts it.

k = np.arange(1, 401)
figure, axes = plt.subplots()
axes.loglog(k, plain.loss[1:])
axes.set_xlabel("iteration k")
axes.set_ylabel("loss of π_k")
axes.set_title("Value iteration with one sample for each (s, a)")
plt.show()

# %%
# A KL term
# ---------
#
# λ = 0.1 keeps each policy near the previous one. Policies then follow the average of all q, and errors cancel.

averaged = mdvi.iterate(model, mdvi.Scheme.of(kl=0.1), 400, mdvi.errors.sampled(1))
print(averaged.theorem)

figure, axes = plt.subplots()
axes.loglog(k, plain.loss[1:], label="λ = 0")
axes.loglog(k, averaged.loss[1:], label="λ = 0.1")
axes.loglog(k, averaged.bound[1:], "--", color="C1", label="its bound, theorem 1")
axes.set_xlabel("iteration k")
axes.set_ylabel("loss of π_k")
axes.set_title("The errors average out")
axes.legend()
plt.show()

# %%
# Why: the errors themselves
# --------------------------
#
# ``trace.errors`` holds ε_k, the difference from the exact backup. The theorem bounds the loss by the norm of their
# *average*.

figure, axes = plt.subplots()
axes.loglog(k, averaged.error_norm[1:], lw=0.8, label="‖ε_k‖, the last error")
axes.loglog(k, averaged.average_error_norm[1:], label="‖(ε_1 + … + ε_k) / k‖, their average")
axes.loglog(k, 2 / np.sqrt(k), ":", color="0.4", label="slope of 1/√k")
axes.set_xlabel("iteration k")
axes.set_title("Single errors stay large, their average shrinks")
axes.legend()
plt.show()

# %%
# A grid
# ------
#
# Models, schemes and seeds may be lists. Their product is one compiled program, and every scheme sees the same random
# numbers.

kls = (0.0, 0.01, 0.1, 1.0, 10.0)
grid = mdvi.iterate(
    [mdvi.mdp.garnet(seed=seed) for seed in range(10)],
    [mdvi.Scheme.of(kl=kl) for kl in kls],
    400,
    mdvi.errors.sampled(1),
    record=("normalized_loss",),
)
grid

# %%
# The mean over models, early and late. Every λ above 0 is far better in the end; a very large one starts late.

for kl, losses in zip(kls, grid.normalized_loss.mean(1), strict=True):
    print(f"λ = {kl:<5g}  iterations 21–40: {losses[21:41].mean():.3f}   351–400: {losses[351:].mean():.3f}")

# %%
# Errors that do not cancel
# -------------------------
#
# Averaging helps against noise, and not against errors that are the same every time.

figure, axes = plt.subplots()
for name, errors in (("gaussian", mdvi.errors.gaussian(0.1)), ("constant", mdvi.errors.constant(0.1))):
    loss = mdvi.iterate(model, mdvi.Scheme.of(kl=0.1), 400, errors, record=("loss",)).loss
    axes.loglog(k, np.maximum(loss[1:], 1e-4), label=name)
axes.set_xlabel("iteration k")
axes.set_ylabel("loss of π_k")
axes.set_title("λ = 0.1, errors of size 0.1")
axes.legend()
plt.show()

# %%
# What to do next
# ---------------
#
# - :doc:`/theory` states the theorems and where the printed ones differ.
# - Your own errors are a function: :doc:`/reference/laboratory`.
