"""Environments as JAX programs."""

import mdvi.pytrees  # noqa: F401  models are arguments of compiled programs here
