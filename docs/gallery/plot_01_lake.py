"""
A frozen lake
=============

The values of a lake and the optimal action of every cell, with an interval that is proved.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

lake = mdvi.mdp.lake(8)
solution = mdvi.solve(lake, tolerance=1e-6)
print(solution)

# %%
# Holes are black, the goal is at the bottom right. With slippery ice the best action is often to push against a wall.

value = np.where(lake.terminal, np.nan, solution.value).reshape(8, 8)
figure, axes = plt.subplots(figsize=(5, 4.4))
colors = plt.colormaps["Blues"].with_extremes(bad="0.15")
image = axes.imshow(value, cmap=colors, vmin=-0.3, vmax=1.1)
for cell in np.flatnonzero(~lake.terminal):
    row, column = divmod(int(cell), 8)
    axes.text(column, row, "↑→↓←"[solution.action[cell]], ha="center", va="center", fontsize=14)
figure.colorbar(image, label="value")
axes.set_axis_off()
axes.set_title("Certified values and optimal actions of a lake of 8 × 8")
plt.show()
