"""
A season with an end
====================

With a finite number of decisions the best action depends on how many are left: near the end a store orders less.
"""

import matplotlib.pyplot as plt

import mdvi

store = mdvi.mdp.inventory(capacity=20)
season = mdvi.backward_induction(store, horizon=30)

figure, axes = plt.subplots()
image = axes.imshow(5 * season.action.T, aspect="auto", origin="lower", cmap="viridis")
figure.colorbar(image, label="order")
axes.set_xlabel("day")
axes.set_ylabel("stock in the evening")
axes.set_title("Orders over a season of 30 days")
plt.show()
