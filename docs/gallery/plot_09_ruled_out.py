"""
Actions that are proved to be worse
===================================

From the interval alone, before it is narrow, some actions can be ruled out for good. The looser the tolerance, the
fewer.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(states=200, actions=8, branching=5, discount=0.95, seed=2)
tolerances = np.geomspace(10, 1e-6, 16)
left = [mdvi.optimal_actions(mdvi.solve(model, tolerance=tolerance)).sum(-1).mean() for tolerance in tolerances]

figure, axes = plt.subplots()
axes.semilogx(tolerances, left, "o-", ms=4)
axes.axhline(1, color="0.5", ls=":")
axes.invert_xaxis()
axes.set_xlabel("tolerance")
axes.set_ylabel("actions that are left in a state")
axes.set_title("Of eight actions, how many may still be optimal")
plt.show()
