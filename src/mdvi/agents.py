"""`mdvi.agents` where an import statement names it: `from mdvi.agents import …`. It lies in `mdvi.learning.agents`."""

import sys

from mdvi.extras import explained

with explained():
    from mdvi.learning.agents import catalogue
    from mdvi.learning.agents.catalogue import *  # noqa: F403 (type checkers look for the names here)

sys.modules[__name__] = catalogue
