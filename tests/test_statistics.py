"""Intervals, differences and corrections against scipy and statsmodels, on fixed data.

The numbers of statsmodels 0.15.0 were computed once by the calls named beside them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ppo_sweep import statistics

# Scores of Hopper runs, and made-up ones with a long tail.
FIRST = np.array([2471.8, 2445.3, 2242.7, 1090.5, 1624.2])
SECOND = np.array([2774.6, 2419.5, 2921.6, 2419.7, 3000.2, 1810.4])
TWELVE = np.array([812.0, 1011, 1430, 655, 903, 2210, 1187, 740, 1302, 968, 1550, 880])


def test_below_ten_values_the_interval_is_students() -> None:
    # statsmodels.stats.weightstats.DescrStatsW(FIRST).tconfint_mean()
    interval = statistics.mean_interval(FIRST)
    assert interval.method == "t"
    assert (interval.low, interval.high) == pytest.approx((1228.594742237504, 2721.2052577624963), rel=1e-12)


def test_from_ten_values_on_the_interval_is_the_bca_bootstrap_of_scipy() -> None:
    # The same generator draws the same resamples.
    theirs = stats.bootstrap((TWELVE,), np.mean, method="BCa", n_resamples=9_999, rng=np.random.default_rng(7)).confidence_interval
    ours = statistics.mean_interval(TWELVE, rng=np.random.default_rng(7))
    assert ours.method == "BCa"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((950.3774791002187, 1446.484099123046), rel=1e-6)


def test_many_intervals_at_once_equal_one_at_a_time() -> None:
    columns = np.stack([TWELVE, TWELVE[::-1] ** 0.5, np.full(12, 3.0)], axis=1)
    low, high, _ = statistics.mean_intervals(columns)
    for index in range(2):
        alone = statistics.mean_interval(columns[:, index])
        assert (low[index], high[index]) == pytest.approx((alone.low, alone.high), rel=1e-12)
    assert (low[2], high[2]) == (3.0, 3.0)  # no spread: no division by it


@pytest.mark.parametrize("n", [0, 1, 2])
def test_below_three_values_there_is_no_interval(n: int) -> None:
    interval = statistics.mean_interval(FIRST[:n])
    assert math.isnan(interval.low) and math.isnan(interval.high) and interval.method == ""


def test_the_same_values_give_the_same_interval_every_time() -> None:
    assert statistics.mean_interval(TWELVE) == statistics.mean_interval(TWELVE)


def test_at_three_seeds_students_interval_covers_what_it_says() -> None:
    samples = np.random.default_rng(0).normal(0, 1, (3, 4000))
    low, high, _ = statistics.mean_intervals(samples)
    assert ((low < 0) & (high > 0)).mean() == pytest.approx(0.95, abs=0.01)


def test_welchs_difference_is_that_of_statsmodels() -> None:
    # CompareMeans(DescrStatsW(SECOND), DescrStatsW(FIRST)): ttest_ind(usevar="unequal"), tconfint_diff(usevar="unequal"), and alpha=0.01
    found = statistics.welch(SECOND, FIRST)
    assert found.value == pytest.approx(SECOND.mean() - FIRST.mean())
    assert found.p == pytest.approx(0.11329107972312587, rel=1e-10)
    assert found.df == pytest.approx(7.2285351235059565, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((-177.30084118865636, 1342.83417452199), rel=1e-10)
    wider = found.at(0.99)
    assert (wider.low, wider.high) == pytest.approx((-537.207881908826, 1702.7412152421598), rel=1e-10)


def test_the_paired_difference_is_over_the_seeds_that_both_have() -> None:
    # DescrStatsW(SECOND[:5] - FIRST).tconfint_mean(); seed 9 has no partner
    first = dict(enumerate(FIRST))
    second = dict(enumerate(SECOND[:5])) | {9: SECOND[5]}
    found = statistics.paired(second, first)
    assert found.n == 5
    assert found.value == pytest.approx(732.22)
    assert (found.low, found.high) == pytest.approx((-36.37821103036845, 1500.8182110303683), rel=1e-9)


def test_the_interval_of_a_paired_difference_is_that_of_a_mean() -> None:
    random = np.random.default_rng(5)
    first, second = (dict(enumerate(random.normal(size=12).tolist())) for _ in range(2))
    found = statistics.paired(first, second)
    expected = statistics.mean_interval([first[seed] - second[seed] for seed in first])
    assert expected.method == "BCa" and (found.low, found.high) == (expected.low, expected.high)


def test_too_few_values_have_a_difference_and_no_interval() -> None:
    found = statistics.welch(FIRST[:2], SECOND)
    assert found.value == pytest.approx(FIRST[:2].mean() - SECOND.mean())
    assert math.isnan(found.low) and math.isnan(found.p)
    assert math.isnan(statistics.welch([], SECOND).value)
    assert math.isnan(statistics.paired({1: 2.0}, {2: 3.0}).value)


def test_values_without_spread_are_certain() -> None:
    found = statistics.welch([1.0, 1, 1], [3.0, 3, 3])
    assert (found.low, found.value, found.high, found.p) == (-2.0, -2.0, -2.0, 0.0)
    assert statistics.welch([1.0, 1, 1], [1.0, 1, 1]).p == 1.0


def test_holms_p_values_are_those_of_statsmodels() -> None:
    # statsmodels.stats.multitest.multipletests(p, method="holm")
    adjusted = statistics.holm([0.01, 0.04, 0.03, 0.005, 0.2])
    assert adjusted == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.2])
    with_blank = statistics.holm([0.01, math.nan, 0.04, 0.03, 0.005, 0.2])
    assert math.isnan(with_blank[1]) and np.delete(with_blank, 1) == pytest.approx(adjusted)


def test_an_adjusted_interval_excludes_zero_exactly_where_holm_rejects() -> None:
    random = np.random.default_rng(1)
    rejections = 0
    for _ in range(200):
        compared = [statistics.welch(random.normal(shift, 1, 6), random.normal(0, 1, 6)) for shift in (0, 1, 2, 3)]
        p_values = [difference.p for difference in compared]
        levels = statistics.holm_levels(p_values)
        for difference, adjusted, level in zip(compared, statistics.holm(p_values), levels, strict=True):
            interval = difference.at(float(level))
            assert (interval.low > 0 or interval.high < 0) == (adjusted < 0.05)
            rejections += adjusted < 0.05
    assert 100 < rejections < 700  # both happened


def test_three_against_three_reach_no_rank_test_below_a_tenth() -> None:
    smallest = stats.mannwhitneyu([4, 5, 6], [1, 2, 3], method="exact").pvalue
    assert statistics.smallest_rank_p(3, 3) == pytest.approx(smallest) == pytest.approx(0.1)
    assert statistics.smallest_rank_p(5, 5) == pytest.approx(2 / 252)
