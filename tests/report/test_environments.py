"""Numbers across environments against rliable 1.2.0 (arch 7.2.0), computed once on the data below."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ppo_sweep.report import environments

# Rows are runs, columns environments, as rliable has them.
_X = np.array([[0.91, 0.55, 1.20], [0.83, 0.61, 0.95], [1.02, 0.12, 1.31], [0.40, 0.70, 1.05], [0.77, 0.66, 0.88]])
_Y = np.array([[0.70, 0.60, 0.99], [0.81, 0.35, 0.95], [0.62, 0.52, 1.01], [0.58, 0.47, 0.70], [0.90, 0.41, 0.93]])
X = dict(zip("abc", _X.T, strict=True))
Y = dict(zip("abc", _Y.T, strict=True))


def test_the_interquartile_mean_is_rliables() -> None:
    # rliable.metrics.aggregate_iqm
    assert environments.iqm(X) == pytest.approx(0.8144444444444444, rel=1e-12)
    assert environments.iqm(Y) == pytest.approx(0.7066666666666666, rel=1e-12)


def test_the_interval_of_the_interquartile_mean_is_rliables_but_for_the_draw() -> None:
    # rliable.library.get_interval_estimates({"X": X}, aggregate_iqm, reps=50000): 0.71108, 0.89222
    interval = environments.iqm_interval(X, resamples=50_000)
    assert (interval.low, interval.high) == pytest.approx((0.71108333, 0.89222222), abs=0.004)


def test_the_probability_of_improvement_is_rliables() -> None:
    # rliable.metrics.probability_of_improvement, and get_interval_estimates of it with reps=50000: 0.50667, 0.91333
    assert environments.probability_of_improvement(X, Y) == pytest.approx(0.7266666666666666, rel=1e-12)
    interval = environments.probability_interval(X, Y, resamples=50_000)
    assert (interval.low, interval.high) == pytest.approx((0.50666667, 0.91333333), abs=0.008)


def test_the_probability_of_improvement_is_mann_whitneys_u_with_ties_halved() -> None:
    a, b = np.array([1.0, 2, 2, 5]), np.array([2.0, 0, 5])
    expected = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert environments.probability_of_improvement({"e": a}, {"e": b}) == pytest.approx(expected)
    assert environments.probability_of_improvement({"e": b}, {"e": a}) == pytest.approx(1 - expected)


def test_the_performance_profile_is_rliables() -> None:
    # rliable.library.create_performance_profile({"X": X}, [0, 0.5, 0.7, 0.9, 1.1], reps=20000)
    thresholds = np.array([0.0, 0.5, 0.7, 0.9, 1.1])
    expected = [1.0, 0.86666667, 0.6, 0.4, 0.13333333]
    assert environments.performance_profile(X, thresholds) == pytest.approx(expected)
    low, high = environments.profile_band(X, thresholds, resamples=20_000)
    assert low == pytest.approx([1.0, 0.66666667, 0.46666667, 0.2, 0.0], abs=0.07)  # they step by 1/15
    assert high == pytest.approx([1.0, 1.0, 0.66666667, 0.6, 0.26666667], abs=0.07)


def test_environments_count_alike_however_many_runs_they_have() -> None:
    scores = {"many": np.full(9, 1.0), "few": np.full(1, 0.0)}
    assert environments.mean(scores) == pytest.approx(0.5)
    assert environments.performance_profile(scores, [0.5]) == pytest.approx([0.5])


def test_below_four_runs_there_is_no_interquartile_mean() -> None:
    assert math.isnan(environments.iqm({"a": np.array([1.0, 2.0, 3.0])}))
    assert math.isnan(environments.iqm_interval({"a": np.array([1.0, 2.0, 3.0])}).low)
    assert environments.iqm({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 10.0])}) == pytest.approx(2.5)


def test_two_runs_in_one_environment_are_too_few_to_resample() -> None:
    scores = {"a": np.array([0.1, 0.5, 0.9]), "b": np.array([0.2, 0.3])}
    assert math.isnan(environments.iqm_interval(scores).low)
    assert np.isnan(environments.profile_band(scores, [0.5])[0]).all()


def test_normalised_scores_are_not_clipped() -> None:
    assert environments.normalised([-250.0, -150, -50], -150.0, -50.0) == pytest.approx([-1.0, 0.0, 1.0])
    assert environments.normalised([100.0], 0.0, 50.0) == pytest.approx([2.0])
    assert np.isnan(environments.normalised([1.0], math.nan, 2.0)).all() and np.isnan(environments.normalised([1.0], 2.0, 2.0)).all()


def test_equal_means_share_a_rank() -> None:
    assert environments.ranks({"a": 3.0, "b": 1.0, "c": 3.0, "d": 9.0, "e": math.nan}) == {"a": 2.5, "b": 4.0, "c": 2.5, "d": 1.0}
