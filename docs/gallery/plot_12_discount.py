"""
What the discount decides
=========================

A small reward near by, or a large one far away: the action in each state of a chain, as γ grows.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

states = 15
here = np.arange(states)
step = np.stack([np.maximum(here - 1, 0), np.minimum(here + 1, states - 1)], axis=1)[..., None]
reward = np.where(here == 0, 0.3, np.where(here == states - 1, 1.0, 0.0))
discounts = np.linspace(0.5, 0.98, 25)
actions = []
for discount in discounts:
    model = mdvi.FiniteMDP((step, np.ones(step.shape)), reward, discount)
    actions.append(mdvi.solve(model).action)

figure, axes = plt.subplots()
axes.pcolormesh(here, discounts, actions, cmap="PuOr", vmin=-0.5, vmax=1.5, shading="nearest")
axes.set_xlabel("state; 0 pays 0.3, the last one pays 1")
axes.set_ylabel("discount γ")
axes.set_title("Left (orange) or right (purple)")
plt.show()
