"""`mdvi.errors` where an import statement names it: `from mdvi.errors import …`. It lies in `mdvi.laboratory`."""

import sys

from mdvi.extras import explained

with explained():
    from mdvi.laboratory import errors
    from mdvi.laboratory.errors import *  # noqa: F403 (type checkers look for the names here)

sys.modules[__name__] = errors
