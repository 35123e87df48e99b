"""The laboratory: what errors do to a scheme, with the theorems' bounds beside the true loss."""
