"""Means, their intervals and comparisons; the seed, or the model, is the unit of replication."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEAST = 3  # seeds, or models, below which nothing is said about how sure a mean is
ENOUGH = 5  # seeds below which nothing is said about how sure an interquartile mean is: too few to be drawn from


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis, and the half-width of its 95 % interval by Student's t.

    NaN counts as missing. The half-width is NaN where fewer than three samples are there: with two, Student's t has one
    degree of freedom, and 12.7 standard errors say nothing.
    """
    count = np.isfinite(samples).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of NaN alone, and single samples
        mean, spread = np.nanmean(samples, -1), np.nanstd(samples, -1, ddof=1)
        reach = stdtrit(np.maximum(count - 1, 1), 0.975) * spread / np.sqrt(count)
    return mean, np.where(count >= LEAST, reach, np.nan)


def averaged(scores: Sequence[float | None] | np.ndarray) -> tuple[float, float]:
    """Mean and half-width of single scores, one for each seed, or for each episode of one policy.

    None counts as missing as well; the mean of nothing is NaN.
    """
    mean, reach = interval(np.array([scores], float))
    return float(mean[0]), float(reach[0])


def in_words(mean: float, reach: float) -> str:
    """A mean with its half-width, as all tables show it; without one where there is none, and a dash for no mean.

    The half-width has two digits, and the mean ends at the same place: further digits would say nothing.

    >>> in_words(93.06, 22.3), in_words(12.5, float("nan")), in_words(float("nan"), float("nan"))
    ('93 ± 22', '12.5', '–')
    """
    if np.isfinite(mean) and reach == 0:
        return f"{short(mean)} ± 0"
    if np.isfinite(mean) and np.isfinite(reach):
        return f"{mean_in_words(mean, reach)} ± {_ending_at(_place(reach), reach)}"
    return mean_in_words(mean, reach)


def mean_in_words(mean: float, reach: float) -> str:
    """A mean to the digit that its half-width supports; to three digits where there is no half-width.

    >>> mean_in_words(93.06, 22.3), mean_in_words(1234.5, 250.4), mean_in_words(0.123456, 0.0)
    ('93', '1230', '0.123')
    """
    if not np.isfinite(mean):
        return "–"
    return _ending_at(_place(reach), mean) if np.isfinite(reach) and reach > 0 else short(mean)


def interval_in_words(low: float, high: float) -> str:
    """Both ends of an interval in brackets, to the digit that half of its width supports.

    >>> interval_in_words(81.234, 104.5)
    '[81, 104]'
    """
    place = _place((high - low) / 2)
    return f"[{_ending_at(place, low)}, {_ending_at(place, high)}]"


def short(number: float) -> str:
    """A number to three digits, those before the point always; as a power of ten where it is very small or large.

    >>> short(1234.5), short(0.123456), short(2e-5), short(0.0)
    ('1234', '0.123', '2e-05', '0')
    """
    if not np.isfinite(number):
        return "–" if np.isnan(number) else "∞" if number > 0 else "−∞"
    size = abs(number)
    return f"{number:.0f}" if 1000 <= size < 1e6 else f"{number:.3g}"


def _place(reach: float) -> int:
    """The decimal place at which a half-width has its second digit; negative before the point."""
    return 2 if not reach > 0 else 1 - int(np.floor(np.log10(float(f"{reach:.1e}"))))


def _ending_at(place: int, number: float) -> str:
    """A number that ends at a decimal place; −0 is 0."""
    rounded = round(number, place) + 0.0
    return f"{rounded:.{max(place, 0)}f}" if place < 9 else f"{rounded:.2g}"


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean: of what is left without the lowest and the highest quarter, shape (…, tasks, seeds).

    Source: Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), -1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(-1))


def iqm_interval(scores: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """The interquartile mean of (tasks, seeds), and its 95 % interval by a bootstrap that draws the seeds of each task.

    Raises:
        ValueError: below five seeds.
    """
    tasks, seeds = scores.shape
    if seeds < ENOUGH:
        raise ValueError(f"an interval of drawn seeds needs at least {ENOUGH} of them, got {seeds}")
    chosen = np.random.default_rng(seed).integers(seeds, size=(draws, tasks, seeds))
    low, high = np.percentile(iqm(scores[np.arange(tasks)[:, None], chosen]), [2.5, 97.5])
    return float(iqm(scores)), float(low), float(high)


def improvement(ours: np.ndarray, others: np.ndarray) -> float:
    """The probability that a run of ours scores above a run of the others, ties counting half (Mann and Whitney)."""
    above = ours[:, None] - others[None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def better(ours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One-sided p-values of "ours is better", paired by seed, shape (…, seeds); 1 where nothing varies.

    Raises:
        ValueError: below three seeds.
    """
    ours, others = np.broadcast_arrays(ours, others)
    if ours.shape[-1] < LEAST:
        raise ValueError(f"a comparison needs at least {LEAST} seeds, got {ours.shape[-1]}")
    from scipy.stats import ttest_rel  # takes longer to import than everything else that a command needs

    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of differences that are all the same
        found = ttest_rel(ours, others, axis=-1, alternative="greater").pvalue
    return np.where(np.isfinite(found), found, 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number: the chance of one false discovery among all stays at its level (Holm)."""
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(raised)
    corrected[order] = np.minimum(raised, 1.0)
    return corrected
