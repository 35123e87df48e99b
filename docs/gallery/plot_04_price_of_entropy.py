"""
What entropy costs
==================

The policy that is optimal under an entropy of weight τ loses at most τ log n / (1 − γ) without it, with n actions.
``mdvi.certify`` gives the true loss.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

model = mdvi.mdp.garnet(seed=3)
taus = np.geomspace(1e-4, 1, 20)
losses = [mdvi.certify(model, np.exp(mdvi.solve(model, entropy=tau).log_policy)).gap for tau in taus]

figure, axes = plt.subplots()
axes.loglog(taus, losses, "o-", ms=3, label="true loss, certified")
axes.loglog(taus, taus * model.log_actions / (1 - model.discount), "--", label="τ log n / (1 − γ)")
axes.set_xlabel("τ")
axes.set_ylabel("loss of the policy")
axes.set_ylim(bottom=1e-7)
axes.set_title("The bound is safe, and far from the truth at small τ")
axes.legend()
plt.show()
