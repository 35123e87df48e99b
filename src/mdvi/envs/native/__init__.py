"""Environments as JAX programs."""
