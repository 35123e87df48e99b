"""Means and their intervals; the seed, or the model, is the unit of replication."""

import warnings

import numpy as np
from scipy.special import stdtrit


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis, and the half-width of its 95 % interval by Student's t; NaN counts as missing."""
    count = np.isfinite(samples).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of NaN alone, and single samples
        mean, spread = np.nanmean(samples, -1), np.nanstd(samples, -1, ddof=1)
        reach = stdtrit(np.maximum(count - 1, 1), 0.975) * spread / np.sqrt(count)
    return mean, np.where(count > 1, reach, 0.0)
