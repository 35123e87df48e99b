"""
4. Three agents in an environment of your own
=============================================

This tutorial writes a Gymnasium environment, trains three agents in it with five seeds each, and compares them with
intervals.
"""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from gymnasium.utils.env_checker import check_env

import mdvi
from mdvi.report.stats import averaged, better

# %%
# The environment
# ---------------
#
# A thermostat: the room cools, heating costs, and comfort is a temperature near 20 °C.


class Thermostat(gymnasium.Env):
    """A room with a heater; the agent sees the temperature inside and outside."""

    observation_space = gymnasium.spaces.Box(-10, 10, (2,))
    action_space = gymnasium.spaces.Discrete(3)  # off, half, full

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.inside, self.outside = 15.0, float(self.np_random.uniform(-5, 10))
        return self.seen(), {}

    def step(self, action):
        self.outside += float(self.np_random.normal(0, 0.5))
        self.inside += 0.1 * (self.outside - self.inside) + 1.5 * action
        reward = 1 - min(abs(self.inside - 20) / 5, 1) - 0.1 * action
        return self.seen(), reward, False, False, {}

    def seen(self):
        return np.array([(self.inside - 20) / 5, (self.outside - 5) / 10], np.float32)


check_env(Thermostat(), skip_render_check=True)  # Gymnasium's own check finds most mistakes
env = mdvi.envs.made(Thermostat, discount=0.95, limit=100)

# %%
# Training
# --------
#
# ``train`` takes all seeds at once. Each seed is a member of the run, with networks, replay and environments of its
# own.

runs = {
    name: mdvi.train(env, agent, seeds=5, steps=10_000, hidden=(32, 32), log_period=1000, **weights)
    for name, agent, weights in (
        ("DQN", "dqn", {}),
        ("M-DQN", "munchausen", {}),
        ("MD-direct", "md-direct", {"kl": 0.1, "entropy": 0.01}),
    )
}
runs["M-DQN"]

# %%
# Side by side
# ------------
#
# ``compare`` has the means over seeds with 95 % intervals, and how each run differs from the first one, paired by
# seed.

comparison = mdvi.compare(runs)
comparison

# %%
# Its curves: means and intervals over seeds.

comparison.plot(title="A thermostat: three agents, five seeds each")

# %%
# Evaluation
# ----------
#
# Training returns contain random actions. ``evaluate`` plays the learned policies without any. The mean over the
# episodes of a member is one number; the interval is over members, because the seed is the unit that would be
# repeated.

scores = {}
for name, run in runs.items():
    scores[name] = np.array([run.evaluate(20, member)[0].mean() for member in range(len(run))])
    mean, reach = averaged(scores[name])
    print(f"{name:<10} {mean:6.1f} ± {reach:.1f}   seeds: {np.sort(scores[name]).round(1)}")

# %%
# A test paired by seed, against DQN:

for name in ("M-DQN", "MD-direct"):
    print(f"{name} better than DQN: p = {float(better(scores[name], scores['DQN'])):.3f}")

# %%
# What the policy does
# --------------------

inside, outside = np.meshgrid(np.linspace(10, 26, 60), np.linspace(-10, 20, 60))
observations = np.stack([(inside - 20) / 5, (outside - 5) / 10], -1).reshape(-1, 2).astype(np.float32)
action = runs["M-DQN"].policy(observations).reshape(inside.shape)
figure, axes = plt.subplots(figsize=(5.6, 4))
filled = axes.contourf(inside, outside, action, levels=[-0.5, 0.5, 1.5, 2.5], cmap="OrRd")
figure.colorbar(filled, ticks=[0, 1, 2]).ax.set_yticklabels(["off", "half", "full"])
axes.set_xlabel("inside, °C")
axes.set_ylabel("outside, °C")
axes.set_title("What M-DQN does")
plt.show()

# %%
# What to do next
# ---------------
#
# - Keep a run in a folder, stop it, resume it: ``out="runs/thermostat"``, :doc:`/howto/resume`.
# - Search λ and τ: :doc:`/choose` and the next tutorial.
