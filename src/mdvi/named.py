"""`mdvi.algorithms` under its name in version 0.1.0."""

import sys

from mdvi import algorithms

sys.modules[__name__] = algorithms
