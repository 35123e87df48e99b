"""Training: train members side by side, in one compiled program or with environments on the host."""
