"""Runs: training in a folder, which can be interrupted and resumed at any time."""
