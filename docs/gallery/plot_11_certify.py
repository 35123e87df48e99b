"""
How much an ε-greedy policy loses
=================================

``mdvi.certify`` bounds the loss of any policy. Here the optimal policy of a cliff acts at random with probability ε.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

cliff = mdvi.mdp.cliff()
best = np.exp(mdvi.solve(cliff).log_policy)
epsilons = np.linspace(0, 0.5, 16)
losses = [mdvi.certify(cliff, (1 - epsilon) * best + epsilon / 4).gap for epsilon in epsilons]

figure, axes = plt.subplots()
axes.plot(epsilons, losses, "o-", ms=4)
axes.set_xlabel("ε")
axes.set_ylabel("loss in the worst state")
axes.set_title("Exploring beside a cliff is dear")
plt.show()
