"""
What an agent does
==================

The policy of a trained CartPole agent over the angle of the pole and its angular velocity, with the cart at rest in
the middle.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

run = mdvi.train("CartPole-v1", "munchausen", steps=20_000, hidden=(32, 32))
angle, velocity = np.meshgrid(np.linspace(-0.2, 0.2, 60), np.linspace(-2, 2, 60))
observations = np.stack([0 * angle, 0 * angle, angle, velocity], axis=-1).reshape(-1, 4)
action = run.policy(observations).reshape(angle.shape)

figure, axes = plt.subplots(figsize=(5.4, 4))
axes.contourf(angle, velocity, action, levels=[-0.5, 0.5, 1.5], cmap="PuOr")
axes.set_xlabel("angle of the pole, rad")
axes.set_ylabel("angular velocity, rad/s")
axes.set_title("Push left (orange) or right (purple)")
plt.show()
