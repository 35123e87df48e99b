"""
Staying near a reference policy
===============================

A KL term with a fixed prior μ trades value against the distance from μ. Here μ walks to the right with probability
0.7, and λ says how dear it is to leave it.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi
from mdvi.regularizers import kl_divergence

grid = mdvi.mdp.grid(6, 6)
prior = np.full((grid.states, 4), 0.1)
prior[:, 1] = 0.7
kls = np.geomspace(1e-3, 10, 25)
value, distance = [], []
for kl in kls:
    log_policy = mdvi.solve(grid, kl=kl, prior=prior).log_policy
    value.append(mdvi.certify(grid, np.exp(log_policy)).lower[0])
    distance.append(kl_divergence(log_policy, np.log(prior))[~grid.terminal].mean())

figure, axes = plt.subplots()
axes.plot(distance, value, "o-", ms=4)
for i in (0, 12, 18, 24):
    axes.annotate(f"λ = {kls[i]:.2g}", (distance[i], value[i]), xytext=(8, -12), textcoords="offset points")
axes.set_xlabel("mean KL divergence from the reference, nats")
axes.set_ylabel("value of the first state")
axes.set_title("Value against distance from the reference")
plt.show()
