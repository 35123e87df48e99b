"""
Learning curves with their seeds
================================

Two agents on CartPole, four seeds each: every seed is a thin line, the mean a thick one. All members of a run train
side by side.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

figure, axes = plt.subplots()
for color, agent in (("C0", "munchausen"), ("C1", "dqn")):
    run = mdvi.train("CartPole-v1", agent, seeds=4, steps=16_000, hidden=(32, 32), log_period=1000)
    member, steps, score = (run.metrics[name] for name in ("member", "env_steps", "last_100"))
    curves = np.array([score[member == number] for number in range(len(run))])
    at = steps[member == 0]
    axes.plot(at, curves.T, color=color, lw=0.7, alpha=0.6)
    axes.plot(at, curves.mean(0), color=color, lw=2.2, label=agent)
axes.set_xlabel("environment steps")
axes.set_ylabel("return, mean of the last 100 episodes")
axes.set_title("CartPole, four seeds, 32–32 units")
axes.legend()
plt.show()
