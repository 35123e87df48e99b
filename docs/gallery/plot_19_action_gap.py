"""
The action gap
==============

Munchausen and Advantage Learning push the values of actions that are not the best further down: the gap between the
best action and the second best grows by 1 / (1 − β).
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model, kappa = mdvi.mdp.garnet(seed=0), 0.01
betas = np.linspace(0, 0.95, 12)
trace = mdvi.iterate(model, [mdvi.Scheme(kappa, beta) for beta in betas], 400, record=("log_policy",))

# %%
# Munchausen's action values are x = q + βs, and x differs from s = κ log π by one number for each state. The gap can
# therefore be read off the policy.

scaled = np.sort(kappa * trace.log_policy[:, -1], axis=-1)
gap = np.median(scaled[..., -1] - scaled[..., -2], axis=-1)

figure, axes = plt.subplots()
axes.plot(betas, gap / gap[0], "o-", ms=4, label="measured, median over states")
axes.plot(betas, 1 / (1 - betas), ":", color="0.4", label="1 / (1 − β)")
axes.set_xlabel("β")
axes.set_ylabel("action gap, relative to β = 0")
axes.set_title("The gap between the best and the second best action")
axes.legend()
plt.show()
