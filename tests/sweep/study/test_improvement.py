"""When a study says that it no longer improves."""

from __future__ import annotations

import pytest

from ppo_sweep.sweep.study.improvement import no_improvement

#: Trials of 4 seeds with a standard deviation of 2: one standard error is 1, so 2 of them are 2.
SEEDS = 4


def stds(values: list[float | None]) -> list[float | None]:
    return [2.0 if value is not None else None for value in values]


def test_twenty_trials_that_raise_the_best_by_less_than_two_standard_errors_are_no_improvement() -> None:
    values: list[float | None] = [0.0, 10.0, *[5.0] * 19, 11.9]
    found = no_improvement(values, stds(values), SEEDS)
    assert found is not None
    assert (found.trials, found.raised, found.noise) == (20, pytest.approx(1.9), pytest.approx(2.0))
    assert "the last 20 trials raised the best by 1.9, and 2 standard errors of a trial are 2" in str(found)
    values[-1] = 12.0
    assert no_improvement(values, stds(values), SEEDS) is None


def test_a_quarter_of_the_trials_is_looked_at_where_that_is_more_than_twenty() -> None:
    values: list[float | None] = [0.0] * 74 + [50.0] + [1.0] * 25
    found = no_improvement(values, stds(values), SEEDS)
    assert found is not None and (found.trials, found.raised) == (25, 0.0)
    assert no_improvement(values[:-1], stds(values[:-1]), SEEDS) is None, "of 99 trials, the last 25 hold the best"


def test_pruned_trials_count_as_trials_and_not_as_values() -> None:
    values = [10.0, *[None] * 20]
    assert no_improvement(values, stds(values), SEEDS) is not None
    assert no_improvement(values[:-1], stds(values[:-1]), SEEDS) is None, "there is nothing before the last 20"
    nothing: list[float | None] = [None] * 30
    assert no_improvement(nothing, nothing, SEEDS) is None


def test_a_minimised_objective_improves_downwards() -> None:
    values: list[float | None] = [10.0] + [9.0] * 19 + [7.0]
    assert no_improvement(values, stds(values), SEEDS, maximize=False) is None
    assert no_improvement(values, stds(values), SEEDS) is not None


def test_nothing_is_said_of_single_seeds_and_without_any_noise_only_of_no_rise_at_all() -> None:
    values: list[float | None] = [1.0] * 21
    assert no_improvement(values, [None] * 21, 1) is None
    assert no_improvement(values, [0.0] * 21, SEEDS) is not None
    assert no_improvement([*values[:-1], 1.1], [0.0] * 21, SEEDS) is None
