"""Environments on the host: Gymnasium's and one's own, behind checks."""
