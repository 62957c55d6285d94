"""Kaplan–Meier against statsmodels 0.15.0 and lifelines 0.30.3, computed once on the data below."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ppo_sweep.report.survival import first_crossing, kaplan_meier

STEPS = [120, 200, 200, 310, 350, 400, 400, 500]
REACHED = [True, True, False, True, True, True, False, False]


def test_the_share_that_has_reached_it_is_one_minus_kaplan_meier() -> None:
    # statsmodels.duration.survfunc.SurvfuncRight(STEPS, REACHED): surv_times, surv_prob, quantile(0.5)
    found = kaplan_meier(STEPS, REACHED)
    assert found.steps == pytest.approx([120, 200, 310, 350, 400])
    assert 1 - found.share == pytest.approx([0.875, 0.75, 0.6, 0.45, 0.3])
    assert found.median == 350.0
    assert (found.n, found.events) == (8, 5)


def test_its_interval_is_that_of_lifelines() -> None:
    # lifelines.KaplanMeierFitter().fit(STEPS, REACHED).confidence_interval_
    found = kaplan_meier(STEPS, REACHED)
    assert 1 - found.high == pytest.approx([0.387000, 0.314807, 0.195496, 0.107578, 0.044247], abs=1e-6)
    assert 1 - found.low == pytest.approx([0.981393, 0.930898, 0.852254, 0.751274, 0.628196], abs=1e-6)


def test_there_is_no_median_until_half_have_reached_it() -> None:
    assert math.isnan(kaplan_meier([10, 20, 30, 40], [True, False, False, False]).median)
    assert kaplan_meier([10, 20, 30, 40], [True, True, False, False]).median == 20


def test_nobody_and_everybody() -> None:
    nobody = kaplan_meier([5, 6], [False, False])
    assert len(nobody.steps) == 0 and math.isnan(nobody.median) and nobody.events == 0
    everybody = kaplan_meier([5, 5], [True, True])
    assert everybody.share == pytest.approx([1.0]) and everybody.median == 5


def test_a_run_is_followed_to_its_end_or_to_its_first_crossing() -> None:
    steps, returns = np.array([10.0, 20, 30, 40]), np.array([math.nan, 1.0, 3.0, 2.0])
    assert first_crossing(steps, returns, 3.0) == (30.0, True)
    assert first_crossing(steps, returns, 3.1) == (40.0, False)
    assert first_crossing(steps[:0], returns[:0], 0.0) == (0.0, False)
