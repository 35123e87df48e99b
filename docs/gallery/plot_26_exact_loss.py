"""
The exact loss of a network
===========================

In a finite model the loss of a trained policy is known exactly. Here an agent learns in a Garnet from samples, and
the loss ‖q* − q_π‖ is computed at every line of its metrics.
"""

import matplotlib.pyplot as plt

import mdvi

run = mdvi.train(
    "garnet:states=20,discount=0.9,limit=50",
    "munchausen",
    seeds=3,
    steps=12_000,
    hidden=(32,),
    log_period=1000,
    diagnostics=True,
)
member, steps, loss = (run.metrics[name] for name in ("member", "env_steps", "exact_loss"))

figure, axes = plt.subplots()
for number in range(len(run)):
    axes.semilogy(steps[member == number], loss[member == number], label=f"seed {number}")
axes.set_xlabel("environment steps")
axes.set_ylabel("‖q* − q_π‖")
axes.set_title("M-DQN in a Garnet of 20 states")
axes.legend()
plt.show()
