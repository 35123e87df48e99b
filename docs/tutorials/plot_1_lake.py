"""
1. A lake, solved with proof
============================

This tutorial solves a small model, looks at the proof, asks what a policy loses, and adds an entropy. It takes a
minute.

The model is a frozen lake of 8 × 8 cells: the agent starts at the top left, slips to the side two times in three,
falls into holes, and earns 1 for reaching the bottom right.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

lake = mdvi.mdp.lake(8)
lake

# %%
# Solve it
# --------
#
# ``tolerance`` is the width of the interval that is proved to contain the true value, in every state.

solution = mdvi.solve(lake, tolerance=1e-6)
solution

# %%
# ``lower`` and ``upper`` are the interval, ``value`` is its middle. The proof counts the rounding of every operation.

print(f"{solution.lower[0]:.9f} ≤ v*(start) ≤ {solution.upper[0]:.9f}")

# %%
# The width of the interval after each sweep:

figure, axes = plt.subplots()
axes.semilogy(np.arange(1, len(solution.trace) + 1), solution.trace, "o-", ms=4)
axes.axhline(1e-6, color="0.5", ls=":", label="tolerance")
axes.set_xlabel("backup")
axes.set_ylabel("width of the interval")
axes.set_title("The proved interval becomes narrow")
axes.legend()
plt.show()

# %%
# The policy
# ----------
#
# ``action`` is an optimal action for each state, and ``plot`` draws values and actions on the map.


solution.plot()

# %%
# Several actions may be tied. ``optimal_actions`` marks all that are not proved to be worse than the best:

counts = mdvi.optimal_actions(solution)[~lake.terminal].sum(-1)
print(f"{(counts == 1).sum()} states have one optimal action, {(counts > 1).sum()} may have several")

# %%
# What does a policy lose?
# ------------------------
#
# ``certify`` bounds the loss of any policy: here one that always goes down, and one that acts at random one time in
# ten.

down = np.full(lake.states, 2)
print(mdvi.certify(lake, down).message)

nearly = 0.9 * solution.policy + 0.1 / lake.actions
print(mdvi.certify(lake, nearly).message)

# %%
# An entropy
# ----------
#
# With an entropy of weight τ the optimal policy is a softmax of q / τ. The problem is solved, and proved, by the same
# call.

soft = mdvi.solve(lake, entropy=0.01)
print("the first state:", soft.policy[0].round(2))
print("without entropy it loses", mdvi.certify(lake, soft.policy).message)

# %%
# What to do next
# ---------------
#
# - Solve your own model: :doc:`/howto/model`.
# - Write the certificate for others to check: ``mdvi solve lake.npz --certificate proof.npz``.
# - Choose τ: :doc:`/choose`.
