"""
2. A store, from a table
========================

Models often begin as a table: a row for each transition, with names for states and actions. This tutorial makes such
a table with pandas, solves the model, and keeps the names to the end.
"""

import pandas as pd
import scipy.stats

import mdvi

# %%
# The table
# ---------
#
# The store has room for six items. In the evening it orders some, for 2 each and 3 for the delivery; by day a Poisson
# number of customers, three on average, pay 5 each.

room, price, cost, delivery = 6, 5.0, 2.0, 3.0
rows = []
for stock in range(room + 1):
    for order in range(room + 1 - stock):
        ready = stock + order
        for sold in range(ready + 1):
            chance = scipy.stats.poisson.pmf(sold, 3.0) if sold < ready else scipy.stats.poisson.sf(ready - 1, 3.0)
            reward = price * sold - cost * order - delivery * (order > 0)
            rows.append((f"{stock} left", f"order {order}", f"{ready - sold} left", chance, reward))
table = pd.DataFrame(rows, columns=["stock", "order", "tomorrow", "probability", "profit"])
table.head()

# %%
# The model
# ---------
#
# ``from_frame`` is told which column is what. Orders that are not in the table for some stock are illegal there.

model = mdvi.FiniteMDP.from_frame(table, discount=0.98, state="stock", action="order", next="tomorrow", reward="profit")
model

# %%
# A mistake is named by its place, and with the names of the table:

try:
    mdvi.FiniteMDP.from_frame(
        table.drop(index=7), 0.98, state="stock", action="order", next="tomorrow", reward="profit"
    )
except ValueError as error:
    print(error)

# %%
# The plan
# --------

plan = mdvi.solve(model)
plan

# %%
# The answer as a table, with the interval that is proved:

plan.to_frame()

# %%
plan.plot()

# %%
# What does another rule lose?
# ----------------------------
#
# A simple rule: order up to four. ``certify`` says what it costs, ``evaluate`` what it is worth.

names = model.names
rule = [names.actions.index(f"order {max(4 - stock, 0)}") for stock in range(room + 1)]
print(mdvi.certify(model, rule).message)
mdvi.evaluate(model, rule)

# %%
# How often is the store empty?
# -----------------------------
#
# ``occupancy`` counts the visits of each state under a policy, discounted.

mdvi.occupancy(model, plan.policy)

# %%
# Another price
# -------------
#
# ``replace`` changes a part of the model. From which price of the delivery on does it order less often?

for dearer in (3.0, 6.0, 12.0):
    extra = model.reward - (dearer - delivery) * (model.legal & [name != "order 0" for name in names.actions])
    action = mdvi.solve(model.replace(reward=extra)).action
    print(f"a delivery costs {dearer:4.0f}: {[names.actions[a].removeprefix('order ') for a in action]}")

# %%
# What to do next
# ---------------
#
# - Write the model to a file, with its names: ``mdvi.mdp.write(model, "store.csv")``.
# - A season with an end: :doc:`/planning`.
