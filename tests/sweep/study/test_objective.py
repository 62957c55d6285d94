"""What a trial is worth."""

from __future__ import annotations

import pytest

from ppo_sweep.sweep.study.objective import Objective, interquartile_mean, normalised


def test_statistics_of_seeds() -> None:
    scores = [1.0, 2.0, 3.0, 10.0]
    assert Objective("mean").value(scores) == 4.0
    assert Objective("iqm").value(scores) == 2.5  # a quarter of four is one value at either end
    # sd (ddof = 1): deviations −3, −2, −1, 6; 50 / 3
    assert Objective("std").value(scores) == pytest.approx((50 / 3) ** 0.5)
    assert Objective("mean_minus_std", std_weight=2).value(scores) == pytest.approx(4 - 2 * (50 / 3) ** 0.5)
    assert Objective("min").value(scores) == 1.0
    costs = Objective("mean_minus_std", std_weight=2, maximize=False)
    assert costs.value(scores) == pytest.approx(4 + 2 * (50 / 3) ** 0.5), "spread is bad both ways"


def test_the_interquartile_mean_counts_the_outermost_values_in_part() -> None:
    # n = 5: 1.25 values are cut at either end, so the second and fourth count 0.75: (0.75·2 + 3 + 0.75·4) / 2.5
    assert interquartile_mean([5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(3.0)
    assert interquartile_mean([0.0, 2.0, 3.0, 6.0, 100.0]) == pytest.approx((2 + 3 + 6) / 3)
    assert interquartile_mean(list(range(8))) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_an_entry_may_name_another_score() -> None:
    assert Objective.of("auc.mean", "minimize") == Objective("mean", "auc", maximize=False)
    assert Objective.of("iqm", "maximize") == Objective("iqm", None, maximize=True)


def test_too_few_seeds_have_no_value() -> None:
    with pytest.raises(ValueError, match="iqm of 3 scores"):
        Objective("iqm").value([1.0, 2.0, 3.0])


def test_better_follows_the_direction() -> None:
    assert Objective("mean").better(2, 1)
    assert not Objective("mean").better(1, 1)
    assert Objective("mean", maximize=False).better(1, 2)


def test_environments_count_alike_whatever_their_scales() -> None:
    scores = {"hopper": [normalised(1750, 0, 3500), normalised(3500, 0, 3500)], "pendulum": [normalised(-675, -1200, -150)] * 2}
    assert Objective("mean").over_environments(scores) == pytest.approx((0.75 + 0.5) / 2)
    assert normalised(7000, 0, 3500) == 2.0  # never clipped


def test_the_worse_of_two_scores_is_the_higher_one_only_where_scores_are_costs() -> None:
    assert Objective("mean").worse_score(1, 2) == 1
    assert Objective("mean", maximize=False).worse_score(1, 2) == 2
    assert Objective("std", maximize=False).worse_score(1, 2) == 1, "a spread says nothing of which scores are good"
