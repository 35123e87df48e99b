"""
Inverse reinforcement learning with maximum entropy
===================================================

A reward is found whose soft-optimal policy visits states as often as an expert does. Each step solves a soft problem
and compares occupancies.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse

import mdvi

rows = 5
room = mdvi.mdp.grid(rows, rows, slip=0.1, discount=0.9)
start = np.eye(room.states)[0]
alive = (~room.terminal).astype(float)


def occupancy(policy):
    """The discounted visits of a policy: d = (I − γ P_πᵀ)⁻¹ of the start."""
    chain = scipy.sparse.csr_array(room.dense().induced(policy))
    return scipy.sparse.linalg.spsolve(scipy.sparse.eye_array(room.states) - 0.9 * chain.T, start) * alive


def soft_policy(reward):
    model = mdvi.FiniteMDP(room.kernel, np.repeat(reward[:, None], 4, axis=1), 0.9, terminal=room.terminal)
    return np.exp(mdvi.solve(model, entropy=0.1).log_policy)


# %%
# The expert likes one cell and dislikes another one.

truth = np.zeros(room.states)
truth[[7, 18]] = 1.0, -1.0
expert = occupancy(soft_policy(truth))

guess, distances = np.zeros(room.states), []
for _ in range(150):
    difference = expert - occupancy(soft_policy(guess))
    distances.append(np.abs(difference).sum())
    guess += 0.2 * difference

figure, axes = plt.subplots(1, 3, figsize=(9, 3))
for place, values, name in ((axes[0], truth, "the expert's reward"), (axes[1], guess, "the reward that was found")):
    shown = np.where(room.terminal, np.nan, values).reshape(rows, rows)
    place.imshow(shown, cmap="PuOr", vmin=-1, vmax=1)
    place.set_axis_off()
    place.set_title(name)
axes[2].semilogy(distances)
axes[2].set_xlabel("step")
axes[2].set_title("distance of the occupancies")
plt.show()
