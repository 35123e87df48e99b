"""
A frozen lake
=============

Solved.
"""

import mdvi

lake = mdvi.mdp.lake(8)
lake
