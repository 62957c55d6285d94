"""After the search: who is confirmed, who wins, and what may be said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from spaces import space

from ppo_sweep.sweep.study import confirmation, intervals
from ppo_sweep.sweep.study.confirmation import DEFAULT, TrialResult, pareto, pooled_standard_error, report, winner
from ppo_sweep.sweep.study.objective import Objective

MEAN = Objective("mean")


def trial(
    number: int, *scores: float, state: str = "COMPLETE", values: tuple[float, ...] | None = None, **overrides: object
) -> TrialResult:
    worth = values if values is not None else (sum(scores) / len(scores),) if scores else None
    return TrialResult(number, state, worth, scores, overrides or {"algo.lr": number}, 1000)


def candidates(results: Sequence[TrialResult], objectives: Sequence[Objective], limit: int) -> tuple[int, ...]:
    """With overrides that are configurations themselves."""
    return confirmation.candidates(results, objectives, limit, lambda overrides: tuple(overrides.items()))


def test_the_pooled_standard_error_is_of_a_trial_s_mean() -> None:
    # variances 1 and 4, two degrees of freedom each: pooled 2.5; of a mean of 3 seeds √(2.5 / 3)
    trials = [trial(0, 0, 1, 2), trial(1, 0, 2, 4), trial(2, 0, 100, 200, state="PRUNED")]
    assert pooled_standard_error(trials) == pytest.approx((2.5 / 3) ** 0.5)
    assert pooled_standard_error([trial(0, 1)]) is None


def test_configurations_within_one_standard_error_of_the_best_are_confirmed_best_first() -> None:
    spread = (-1, 0, 1)  # variance 1, standard error √(1/3) = 0.577
    trials = [trial(number, *(mean + one for one in spread)) for number, mean in enumerate([10.0, 9.4, 10.3, 9.7, 9.8, 2.0])]
    assert candidates(trials, [MEAN], 8) == (2, 4)  # 9.7 is 0.6 below; trial 0, the default, is confirmed in any case
    assert candidates(trials, [MEAN], 1) == (2,)
    worst_first = [trial(number, *(-mean + one for one in spread)) for number, mean in enumerate([10.0, 9.4, 10.3, 9.7, 9.8, 2.0])]
    assert candidates(worst_first, [Objective("mean", maximize=False)], 8) == (2, 4)


def test_pruned_and_failed_trials_and_repeated_configurations_are_not_confirmed() -> None:
    trials = [trial(0, 1, 2, 3), trial(1, 9, 10, 11, state="PRUNED"), trial(2, state="FAIL"), trial(3, 4, 5, 6), trial(4, 4, 5, 6)]
    same = [*trials[:4], TrialResult(4, "COMPLETE", (5.0,), (4.0, 5.0, 6.0), {"algo.lr": 3}, 1000)]
    assert candidates(trials, [MEAN], 8) == (3, 4)
    assert candidates(same, [MEAN], 8) == (3,)
    assert candidates([trial(0, state="FAIL"), trial(1, 1, 1, 1, state="PRUNED")], [MEAN], 8) == ()
    assert candidates([], [MEAN], 8) == ()


def test_a_trial_that_amounts_to_the_default_configuration_is_not_confirmed_beside_it() -> None:
    made = space({"algo.gamma": {"choices": [0.9, 0.99]}, "algo": {"choices": ["clip", "no_clip"]}})
    default = made.config({})
    assert default.algo.gamma == 0.99
    chosen = [{}, {"algo.gamma": 0.99}, {"algo": "clip", "algo.gamma": 0.9}, {"algo.gamma": 0.9}]
    trials = [TrialResult(number, "COMPLETE", (1.0,), (1.0,), overrides, 1000) for number, overrides in enumerate(chosen)]
    assert confirmation.candidates(trials, [MEAN], 8, lambda overrides: made.config(overrides).hash) == (2,)


def test_one_seed_per_trial_has_no_standard_error_so_the_best_ones_are_confirmed() -> None:
    assert candidates([trial(number, float(number)) for number in range(20)], [MEAN], 8) == tuple(range(19, 11, -1))


def test_several_objectives_confirm_the_pareto_set() -> None:
    objectives = [MEAN, Objective("std", maximize=False)]
    points = [(1, 1), (3, 3), (2, 1), (3, 4), (0, 0.5), (2, 2)]
    trials = [trial(number, 1, 2, values=tuple(map(float, point))) for number, point in enumerate(points)]
    assert [result.number for result in pareto(trials, objectives)] == [1, 2, 4]
    assert candidates(trials, objectives, 8) == (1, 2, 4)
    assert candidates([*trials, trial(9, 1, 2, values=(4.0, 4.0))], objectives, 2) == (9, 1), "the limit cuts by the first objective"


def one_environment(**scores: list[float]) -> dict[str, dict[str, list[float]]]:
    """``rank_1=…`` for ``rank=1``."""
    return {name.replace("_", "="): {"hopper": values} for name, values in scores.items()}


def test_the_confirmation_seeds_choose_the_winner() -> None:
    assert winner(one_environment(rank_1=[1, 2], rank_2=[5, 5], default=[4, 4]), MEAN) == "rank=2"
    assert winner(one_environment(rank_1=[4, 4], rank_2=[4, 4], default=[4, 4]), MEAN) == DEFAULT
    assert winner(one_environment(rank_2=[4, 4], rank_1=[4, 4], default=[1, 1]), MEAN) == "rank=1"
    assert winner(one_environment(rank_1=[1, 2], default=[4, 4]), Objective("mean", maximize=False)) == "rank=1"
    assert winner(one_environment(rank_1=[]), MEAN) is None
    assert winner({"rank=1": {}}, MEAN) is None
    failed = one_environment(rank_1=[9], rank_2=[5, 5], default=[4, 4])
    assert winner(failed, MEAN) == "rank=2", "it failed on a seed that the others have"


def test_the_winner_is_chosen_by_the_number_that_the_search_went_by() -> None:
    # Worst seeds: 0 and 0 against 0.2 and 0.2. Of the means over environments the worst are 0.5 and 0.2.
    confirmed = {"rank=1": {"hopper": [0.0, 1.0], "walker2d": [1.0, 0.0]}, DEFAULT: {"hopper": [0.2, 0.2], "walker2d": [0.2, 0.2]}}
    assert winner(confirmed, Objective("min")) == DEFAULT


def scores(mean: float, n: int = 10, seed: int = 0) -> dict[int, float]:
    return {2000 + index: mean + value for index, value in enumerate(np.random.default_rng(seed).normal(size=n).tolist())}


def test_a_clear_winner_is_called_better_and_its_selection_bias_is_told() -> None:
    trials = [trial(0, 1, 2, 3), trial(7, 9, 10, 11)]
    made = report(7, scores(8), scores(2, seed=1), trials, MEAN)
    assert made.beaten
    assert made.selection_bias == pytest.approx(10 - made.best.mean)
    assert made.control_bias == pytest.approx(2 - made.default.mean)
    first, second, third = made.lines()
    assert first.startswith("Trial 7 is better than the default configuration: ")
    assert "On report seeds: " in second
    assert f"difference, seed by seed, {made.difference}; without pairing (Welch), {made.welch}." in second
    assert "(10 seeds)" in second
    assert "Selection bias" in third


def test_a_winner_that_is_not_separated_is_not_called_better() -> None:
    made = report(7, scores(2.1), scores(2, seed=1), [], MEAN)
    assert not made.beaten
    assert made.word == "not separated"
    assert "is not separated from the default configuration" in made.lines()[0]
    assert "does not show that it beats it" in made.lines()[0]


def test_too_few_report_seeds_are_said_to_be_too_few() -> None:
    made = report(7, scores(9, 2), scores(0, 2), [], MEAN)
    assert made.word == "too few seeds"
    assert made.lines()[0] == "Trial 7 led on the confirmation seeds; there are too few report seeds to say how sure that is."


def test_a_winner_that_is_worse_on_the_report_seeds_is_called_worse() -> None:
    worse = report(7, scores(0), scores(9, seed=1), [], MEAN)
    assert not worse.beaten and worse.word == "worse"
    led = "Trial 7 led on the confirmation seeds and is worse than the default configuration on the report seeds."
    assert worse.lines()[0] == led
    assert report(7, scores(9), scores(0, seed=1), [], Objective("mean", maximize=False)).lines()[0] == led
    assert report(7, scores(0), scores(9, seed=1), [], Objective("mean", maximize=False)).beaten


def test_a_default_that_wins_is_said_so() -> None:
    made = report(0, scores(2), scores(2), [trial(0, 1, 2, 3)], MEAN)
    assert not made.beaten and made.word == ""
    first, second = made.lines()
    assert first.startswith("The default configuration leads on the confirmation seeds")
    assert second == f"On report seeds: {made.default}."


def test_pairing_by_seed_sees_a_difference_that_welch_does_not() -> None:
    hard = np.random.default_rng(0).normal(scale=10, size=10)
    best = {index: float(value + 1 + 0.1 * index) for index, value in enumerate(hard)}
    default = {index: float(value) for index, value in enumerate(hard)}
    made = report(3, best, default, [], MEAN)
    assert made.beaten
    assert not made.welch.excludes_zero


def test_intervals_are_student_s_t_below_ten_seeds_and_bca_from_ten_on() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    made = intervals.mean(values)
    expected = stats.t.interval(0.95, 3, loc=3.75, scale=stats.sem(values))
    assert (made.low, made.high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert "interval only indicative" in str(made)
    ten = intervals.mean([*map(float, range(10))])
    assert ten == intervals.mean([*map(float, range(10))])
    assert ten.low is not None
    assert ten.high is not None
    assert 2.5 < ten.low < 3.2
    assert 5.8 < ten.high < 6.5
    two = intervals.mean([1.0, 2.0])
    assert two.low is None
    assert str(two) == "1.5 (2 seeds, too few for an interval)"
    assert intervals.mean([3.0] * 12).low == 3.0


def test_welch_s_interval_is_scipy_s() -> None:
    one, other = [1.0, 2.0, 4.0, 8.0], [0.0, 0.5, 1.0]
    made = intervals.welch(one, other)
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (made.low, made.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert made.mean == pytest.approx(3.25)
    assert intervals.welch([1.0, 2.0], [3.0, 4.0]).low is None


def test_the_t_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = [
        made.low is not None and made.high is not None and made.low <= 0 <= made.high
        for made in (intervals.mean(random.normal(size=5).tolist()) for _ in range(2000))
    ]
    assert 0.93 < sum(covered) / len(covered) < 0.97
