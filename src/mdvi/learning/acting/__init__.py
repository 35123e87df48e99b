"""Acting: play, evaluate, film and export policies."""

import mdvi.learning.acting.host_play  # noqa: F401  registers its functions with `play`, by type of environment
