"""
Entropy smooths a policy
========================

The probabilities of the four actions in the first state of a lake, as the weight τ of the entropy grows.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

lake = mdvi.mdp.lake(8)
taus = np.geomspace(1e-4, 1, 30)
policies = np.array([np.exp(mdvi.solve(lake, entropy=tau).log_policy[0]) for tau in taus])

figure, axes = plt.subplots()
for action, name in enumerate(("up", "right", "down", "left")):
    axes.semilogx(taus, policies[:, action], label=name)
axes.set_xlabel("τ, in units of reward")
axes.set_ylabel("probability")
axes.set_ylim(0, 1)
axes.set_title("From the greedy policy to the uniform one")
axes.legend()
plt.show()
