"""
How many seeds
==============

The half-width of a 95 % interval, and how often such an interval holds the true mean, against the number of seeds;
for normal scores, and for scores where one seed in five fails.
"""

import matplotlib.pyplot as plt
import numpy as np

from mdvi.report.stats import interval

rng = np.random.default_rng(0)
counts = (3, 5, 10, 20, 30)


def normal(shape):
    return rng.normal(450, 20, shape)


def failing(shape):
    return np.where(rng.random(shape) < 0.2, 100.0, rng.normal(450, 20, shape))


figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6))
for name, draw, truth in (("normal", normal, 450), ("one in five fails", failing, 380)):
    widths, shares = [], []
    for count in counts:
        mean, reach = interval(draw((4000, count)))
        widths.append(reach.mean())
        shares.append((np.abs(mean - truth) <= reach).mean())
    left.loglog(counts, widths, "o-", ms=4, label=name)
    right.semilogx(counts, shares, "o-", ms=4, label=name)
right.axhline(0.95, color="0.5", ls=":")
for axes in (left, right):
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    axes.set_xlabel("seeds")
left.set_title("half-width of the interval")
right.set_title("how often it holds the mean")
left.legend()
plt.show()
