"""Agents: a scheme, a construction and networks, and the table of their names."""
