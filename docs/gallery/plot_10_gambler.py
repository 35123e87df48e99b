"""
The gambler's problem
=====================

Stakes that reach 100 from a given capital with the largest probability, when the coin is unfair. Many stakes are
tied; ``optimal_actions`` shows all that are not proved to be worse.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

gambler = mdvi.mdp.gambler()
solution = mdvi.solve(gambler, tolerance=1e-9)
state, stake = np.nonzero(mdvi.optimal_actions(solution))

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6))
left.plot(solution.value[: gambler.states - 1])
left.set_xlabel("capital")
left.set_ylabel("value")
left.set_title("How likely the goal is")
right.plot(state, stake + 1, ".", ms=3)
right.set_xlabel("capital")
right.set_ylabel("stake")
right.set_title("All stakes that may be optimal")
plt.show()
