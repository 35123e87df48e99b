"""Agents: each has a scheme, a construction and networks; `catalogue` has the table of named agents."""
