"""
A store: when to order, and how much
====================================

The optimal order against the stock of the evening. Below a threshold the store orders up to a level, above it
nothing: the (s, S) policy of the textbooks.
"""

import matplotlib.pyplot as plt
import numpy as np

import mdvi

store = mdvi.mdp.inventory()
solution = mdvi.solve(store)
stock = np.arange(store.states)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6))
left.step(stock, 5 * solution.action, where="mid")  # an action is a number of batches of five
left.set_xlabel("stock in the evening")
left.set_ylabel("order")
left.set_title("How much to order")
right.plot(stock, solution.value, color="C1")
right.set_xlabel("stock in the evening")
right.set_ylabel("value")
right.set_title("What the stock is worth")
plt.show()
