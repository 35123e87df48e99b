"""Acting: policies that are played, evaluated, filmed and exported."""

import mdvi.learning.acting.host_play  # noqa: F401  which `play` finds by the kind of environment
