"""
A maze
======

Values of a maze, from the goal at the bottom right outwards. The same call solves a million cells.
"""

import matplotlib.pyplot as plt

import mdvi

rows = 60
maze = mdvi.mdp.maze(rows, rows, slip=0.1, discount=0.995, seed=1)
solution = mdvi.solve(maze)
print(solution)

figure, axes = plt.subplots(figsize=(5.4, 4.6))
image = axes.imshow(solution.value.reshape(rows, rows), cmap="viridis")
figure.colorbar(image, label="value")
axes.set_axis_off()
axes.set_title("Certified values of a maze of 60 × 60")
plt.show()
