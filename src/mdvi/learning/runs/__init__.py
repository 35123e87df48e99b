"""Runs: training in a folder that it can be stopped in and taken up from at any time."""
