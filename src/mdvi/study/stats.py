"""`mdvi.report.stats` under its name in version 0.1.0."""

import sys

from mdvi.report import stats

sys.modules[__name__] = stats
