"""
How an interval becomes narrow
==============================

Every backup proves an interval around the true values. This is its width, backup by backup, for the methods that
``mdvi.solve`` chooses from.
"""

import matplotlib.pyplot as plt

import mdvi

maze = mdvi.mdp.maze(40, 40, discount=0.99)
figure, axes = plt.subplots()
for method in ("auto", "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration"):
    solution = mdvi.solve(maze, tolerance=1e-9, method=method)
    axes.loglog(range(1, len(solution.trace) + 1), solution.trace, label=f"{method}, {solution.backups} backups")
axes.axhline(1e-9, color="0.5", ls=":", label="tolerance")
axes.set_xlabel("backup")
axes.set_ylabel("width of the proved interval")
axes.set_title("Five methods on a maze of 40 × 40")
axes.legend(fontsize=8)
plt.show()
