"""Environments as JAX programs."""

import mdvi.pytrees  # noqa: F401  registers models as pytrees, for arguments of compiled programs
