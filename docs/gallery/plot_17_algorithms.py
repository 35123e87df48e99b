"""
Named algorithms on one model
=============================

Every named algorithm is a point of the scheme, so one loop runs them all. The picture shows the loss at the end, with
sampled backups.
"""

import matplotlib.pyplot as plt

import mdvi

model = mdvi.mdp.garnet(seed=0)
names = ("vi", "soft_q", "munchausen", "advantage_learning", "speedy_q", "cvi", "dpp", "softmax_dqn", "movi")
losses = {}
for name in names:
    scheme = mdvi.algorithms.find(name).scheme()
    loss = mdvi.iterate(model, scheme, 300, mdvi.errors.sampled(1), seed=range(5), record=("loss",)).loss
    losses[name] = loss[:, -50:].mean()

figure, axes = plt.subplots()
order = sorted(losses, key=losses.get)
bars = axes.barh([name.replace("_", " ") for name in order], [losses[name] for name in order])
axes.bar_label(bars, fmt="%.2g", padding=3)
axes.invert_yaxis()
axes.set_xlabel("loss, mean of the last 50 iterations and five seeds")
axes.set_title("Default parameters, one sample for each (s, a)")
plt.show()
