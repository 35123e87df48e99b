"""`mdvi.bounds` where an import statement names it: `from mdvi.bounds import …`. It lies in `mdvi.laboratory`."""

import sys

from mdvi.extras import explained

with explained():
    from mdvi.laboratory import bounds
    from mdvi.laboratory.bounds import *  # noqa: F403 (type checkers look for the names here)

sys.modules[__name__] = bounds
