"""Intervals hold what they promise, comparisons do not cry wolf."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from mdvi.report.stats import (
    better,
    holm,
    improvement,
    in_words,
    interval,
    interval_in_words,
    iqm,
    iqm_interval,
    mean_in_words,
    short,
)

SHAPES = {  # scores of a seed, and their mean
    "normal": (lambda g, shape: g.normal(0.0, 1.0, shape), 0.0),
    "skewed": (lambda g, shape: g.gamma(2.0, 1.0, shape), 2.0),
    "one in five fails": (
        lambda g, shape: np.where(g.random(shape) < 0.2, 100.0, 450.0 + g.normal(0, 20, shape)),
        380.0,
    ),
}


def coverage(shape, seeds, studies, seed=0):
    """How often the interval holds the mean."""
    draw, truth = SHAPES[shape]
    mean, reach = interval(draw(np.random.default_rng(seed), (studies, seeds)))
    return float((np.abs(mean - truth) <= reach).mean())


def false_alarms(shape, seeds, studies, seed=0):
    """How often some cell of 5 × 5 is called surely better although none is."""
    draw, _ = SHAPES[shape]
    scores = draw(np.random.default_rng(seed), (studies, 26, seeds))
    p = better(scores[:, :25], scores[:, 25:])
    return float(np.mean([holm(row).min() < 0.05 for row in p]))


@pytest.mark.parametrize("seeds", [5, 10, 30])
def test_intervals_hold_the_mean_of_normal_scores(seeds):
    assert 0.93 <= coverage("normal", seeds, 4000) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10, 30])
def test_a_grid_without_differences_shows_none(seeds):
    assert false_alarms("normal", seeds, 1000) <= 0.06  # .05, and the chance of a thousand studies
    assert false_alarms("one in five fails", seeds, 1000) <= 0.06


def test_a_difference_is_found():
    generator = np.random.default_rng(0)
    theirs = generator.normal(0.0, 1.0, (1, 10))
    p = better(generator.normal(np.linspace(0.0, 4.0, 5)[:, None], 1.0, (5, 10)), theirs)
    assert (holm(p) < 0.05).tolist() == [False, False, True, True, True]
    assert better(np.ones(3), np.ones(3)) == 1.0
    with pytest.raises(ValueError, match="at least 3 seeds, got 2"):
        better(np.ones(2), np.zeros(2))


def test_holms_correction_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.5])), [0.09, 0.04, 0.09, 0.5])


def test_interquartile_means_and_chances_equal_scipys(rng):
    scores = rng.normal(size=(6, 8))
    np.testing.assert_allclose(iqm(scores), trim_mean(scores.ravel(), 0.25))
    ours, theirs = rng.integers(5, size=7).astype(float), rng.integers(5, size=9).astype(float)
    np.testing.assert_allclose(improvement(ours, theirs), mannwhitneyu(ours, theirs).statistic / 63)
    middle, low, high = iqm_interval(scores)
    assert low < middle < high
    with pytest.raises(ValueError, match="at least 5 of them, got 4"):
        iqm_interval(scores[:, :4])


@pytest.mark.parametrize(("seeds", "share"), [(5, 0.90), (10, 0.93), (30, 0.94)])
def test_bootstrapped_intervals_hold_the_mean_as_often_as_is_said(rng, seeds, share):
    held = []
    for study in range(1000):
        _, low, high = iqm_interval(rng.normal(size=(1, seeds)), draws=300, seed=study)
        held.append(low <= 0.0 <= high)
    assert abs(np.mean(held) - share) < 0.03


def test_missing_scores_are_missing():
    mean, reach = interval(
        np.array([[1.0, 3.0, np.nan, 2.0], [np.nan] * 4, [2.0] + [np.nan] * 3, [1, np.nan, 2, np.nan]])
    )
    np.testing.assert_allclose(mean, [2.0, np.nan, 2.0, 1.5])
    np.testing.assert_allclose(reach, [4.302652729749 / np.sqrt(3), np.nan, np.nan, np.nan])


def test_a_mean_is_shown_with_what_is_known_of_it():
    numbers = [(1234.5, 12.34), (1.0, 250.4), (0.123456, 0.0), (5.0, np.nan), (np.nan, np.nan)]
    assert [in_words(*pair) for pair in numbers] == ["1234 ± 12", "0 ± 250", "0.123 ± 0", "5", "–"]


@pytest.mark.parametrize(
    ("mean", "reach", "shown"),
    [
        (93.06, 22.3, "93 ± 22"),
        (93.06, 2.23, "93.1 ± 2.2"),
        (93.06, 9.96, "93 ± 10"),
        (-0.04, 1.0, "0.0 ± 1.0"),
        (0.0052, 0.00123, "0.0052 ± 0.0012"),
        (123456.0, 7890.0, "123500 ± 7900"),
        (1e-7, 3e-8, "1e-07 ± 3e-08"),
    ],
)
def test_a_mean_ends_at_the_digit_that_its_interval_supports(mean, reach, shown):
    assert in_words(mean, reach) == shown
    assert mean_in_words(mean, reach) == shown.split(" ± ")[0]


def test_numbers_without_an_interval_have_three_digits():
    numbers = [93.06, 1234.5, 0.123456, 2e-5, -1.5, 0.0, np.inf, -np.inf, np.nan]
    assert [short(number) for number in numbers] == ["93.1", "1234", "0.123", "2e-05", "-1.5", "0", "∞", "−∞", "–"]
    assert interval_in_words(81.234, 104.5) == "[81, 104]"
