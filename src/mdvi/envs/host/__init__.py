"""Environments on the host: Gymnasium environments, including your own, with checked results."""
