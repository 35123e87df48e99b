"""The laboratory: what errors do to a scheme, with the theorems' bounds beside the true loss."""

import mdvi.pytrees  # noqa: F401  models are arguments of compiled programs here
