"""Every symptom fires on a made run that has it, and not on one that just has not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ppo_sweep.report.doctor.evidence import Evidence
from ppo_sweep.report.doctor.examination import of_group, of_run
from ppo_sweep.report.doctor.record import EnvironmentFacts, RunRecord, SeedGroup
from ppo_sweep.report.doctor.rules import RULES, SEVERITIES, SYMPTOMS
from ppo_sweep.report.doctor.symptoms import learning, policy, seeds, update
from ppo_sweep.report.doctor.thresholds import STANDARD, limits
from tests.report.made_runs import STEPS, healthy_metrics, made_run


def found(record: RunRecord) -> list[str]:
    return [finding.symptom for finding in of_run(record)]


def test_a_healthy_run_has_no_symptom() -> None:
    assert found(made_run()) == []


# --- policy


def test_entropy_collapse_names_the_iterations_in_which_sigma_is_too_small_too_early() -> None:
    sigma = np.r_[np.ones(20), np.full(80, 0.049)]
    evidence = policy.entropy_collapse(made_run(action_std_min=sigma), STANDARD)
    assert evidence is not None and evidence.iterations == (21, 50)
    assert evidence.value == pytest.approx(0.049)
    assert policy.entropy_collapse(made_run(action_std_min=np.r_[np.ones(20), np.full(80, 0.051)]), STANDARD) is None


def test_a_small_sigma_in_the_second_half_of_the_budget_is_no_collapse() -> None:
    assert policy.entropy_collapse(made_run(action_std_min=np.r_[np.ones(50), np.full(50, 0.01)]), STANDARD) is None


def test_half_of_the_budget_is_not_half_of_what_a_stopped_run_has_done() -> None:
    sigma = np.r_[np.ones(60), np.full(40, 0.01)]
    assert policy.entropy_collapse(made_run(action_std_min=sigma, total_steps=200 * STEPS), STANDARD) is not None


def test_entropy_collapse_is_relative_to_the_action_range() -> None:
    narrow, wide = EnvironmentFacts((0.4,), 200), EnvironmentFacts((2.0,), 200)
    sigma = np.full(100, 0.05)
    assert policy.entropy_collapse(made_run(action_std_min=sigma, entropy=1.0, environment=narrow), STANDARD) is None
    assert policy.entropy_collapse(made_run(action_std_min=sigma, entropy=1.0, environment=wide), STANDARD) is not None


def test_a_policy_that_starts_without_noise_is_told_to_start_with_more() -> None:
    sigma = math.exp(-14)
    [finding] = list(of_run(made_run(action_std=sigma, action_std_min=sigma, entropy=1.42 - 14, config={"network.log_std_init": -14.0})))
    assert (finding.symptom, finding.severity, finding.knob) == ("entropy_collapse", "severe", "network.log_std_init")


def test_an_entropy_that_falls_by_more_than_a_nat_per_dimension_at_once_is_a_collapse() -> None:
    # Six dimensions: 8.513 nats at σ = 1. In 5 of 100 iterations down by 6.1 nats: 1.02 per dimension; by 5.9: 0.98.
    def falling(by: float) -> RunRecord:
        return made_run(
            entropy=8.513 - np.r_[np.linspace(0, by, 5), np.full(95, by)], environment=EnvironmentFacts((1.0,) * 6, 200), action_std_min=0.4
        )

    evidence = policy.entropy_collapse(falling(6.1), STANDARD)
    assert evidence is not None and evidence.iterations == (1, 5)
    assert evidence.value == pytest.approx(6.1 / 6)
    assert policy.entropy_collapse(falling(5.9), STANDARD) is None


def test_the_number_of_dimensions_follows_from_the_first_entropy_where_bounds_are_not_known() -> None:
    # σ₀ = exp(−0.5): 0.9189 nats per dimension, 5.514 for six.
    record = made_run(entropy=np.r_[5.5136, np.full(99, -2.0)], environment=EnvironmentFacts(), config={"network.log_std_init": -0.5})
    assert record.action_size == 6
    assert policy.entropy_collapse(record, STANDARD) is not None


def test_a_negative_entropy_by_itself_is_no_symptom() -> None:
    assert found(made_run(entropy=np.linspace(8.5, -8.0, 100), environment=EnvironmentFacts((1.0,) * 6, 200))) == []


def test_entropy_rising_needs_growth_beyond_the_start_a_bonus_and_a_positive_slope() -> None:
    bonus = {"algo.ent_coef": 0.01}
    growing = np.linspace(1.0, 1.4, 100)
    evidence = policy.entropy_rising(made_run(action_std=growing, config=bonus), STANDARD)
    assert evidence is not None and evidence.value == pytest.approx(growing[80:].mean())
    assert policy.entropy_rising(made_run(action_std=np.linspace(1.0, 1.2, 100), config=bonus), STANDARD) is None
    assert policy.entropy_rising(made_run(action_std=growing), STANDARD) is None
    shrinking = np.r_[np.linspace(1.0, 1.6, 50), np.linspace(1.6, 1.3, 50)]
    assert policy.entropy_rising(made_run(action_std=shrinking, config=bonus), STANDARD) is None


def test_action_saturation_is_about_mean_actions_not_sampled_ones() -> None:
    assert found(made_run(mean_saturation=0.61)) == ["action_saturation"]
    assert found(made_run(mean_saturation=0.6)) == []
    assert found(made_run(action_saturation=0.9)) == []


# --- update


def spiking(at: list[int], height: float, returns: np.ndarray | None = None) -> RunRecord:
    kl = np.full(200, 0.01)
    kl[at] = height
    return made_run(200, kl=kl, **({} if returns is None else {"return_100": returns}))


def test_kl_spikes_that_are_frequent_are_a_symptom_and_a_single_one_is_not() -> None:
    # 190 of the 200 iterations have a median to be compared with: 21 are more than a tenth of them, 18 are not.
    evidence = update.kl_spike(spiking(list(range(15, 200, 9)), 0.06), STANDARD)
    assert evidence is not None and evidence.iterations == (16, 196)
    assert evidence.value == pytest.approx(6.0)
    assert update.kl_spike(spiking(list(range(15, 186, 10)), 0.06), STANDARD) is None
    assert update.kl_spike(spiking([100], 0.06), STANDARD) is None


def test_a_kl_below_five_medians_or_below_the_floor_is_no_spike() -> None:
    at = list(range(30, 200, 10))
    assert update.kl_spike(spiking(at, 0.049), STANDARD) is None
    assert update.kl_spike(made_run(200, kl=np.where(np.isin(np.arange(200), at), 0.029, 0.001)), STANDARD) is None


def test_few_spikes_hurt_where_the_return_falls_after_each_and_do_not_where_it_goes_on() -> None:
    # Thresholds that leave the test alone to decide: five spikes are nowhere near frequent.
    strict = STANDARD.changed(kl_spike_share=1.0)
    at = [30, 65, 100, 135, 165]
    steady = np.linspace(-1000, -200, 200)
    hurt = steady.copy()
    for t in at:
        hurt[t + 1 : t + 12] -= 100
    harmful = update.kl_spike(spiking(at, 0.5, hurt), strict)
    assert harmful is not None and "permutation test" in harmful.sentence
    assert update.kl_spike(spiking(at, 0.5, steady), strict) is None
    noisy = steady + np.random.default_rng(1).normal(0, 30, 200)
    assert update.kl_spike(spiking(at, 0.5, noisy), strict) is None


def test_the_test_of_harm_errs_no_more_often_than_it_says() -> None:
    """Under noise without any effect, p < 0.01 in about 1 % of cases: of 400, more than 10 would be 3 standard deviations off."""
    generator = np.random.default_rng(2)
    at = [30, 65, 100, 135, 165]
    wrong = 0
    for _ in range(400):
        returns = np.cumsum(generator.normal(2, 20, 200))
        wrong += update.kl_spike(spiking(at, 0.5, returns), STANDARD.changed(kl_spike_share=1.0)) is not None
    assert wrong <= 10


def test_a_kl_that_is_large_throughout_has_no_spikes_and_is_a_symptom_all_the_same() -> None:
    assert found(made_run(kl=0.11)) == ["kl_spike"]
    assert found(made_run(kl=0.09)) == []


def test_max_kl_too_small_is_one_epoch_in_four_of_five_iterations() -> None:
    stop = {"algo.max_kl": 1e-4}
    assert found(made_run(epochs=np.r_[np.ones(80), np.full(20, 10.0)], config=stop)) == ["max_kl_too_small"]
    assert found(made_run(epochs=np.r_[np.ones(79), np.full(21, 10.0)], config=stop)) == []
    assert found(made_run(epochs=1.0, config={"algo.max_kl": 1e-4, "algo.epochs": 1})) == []


def test_max_kl_no_effect_is_a_note_and_needs_a_stop_that_is_set() -> None:
    [finding] = list(of_run(made_run(epochs=np.r_[9.0, np.full(99, 10.0)], config={"algo.max_kl": 0.5})))
    assert (finding.symptom, finding.severity) == ("max_kl_no_effect", "note")
    assert found(made_run(epochs=np.r_[9.0, 9.0, np.full(98, 10.0)], config={"algo.max_kl": 0.5})) == []
    assert found(made_run(epochs=10.0)) == []


def test_a_stop_of_the_policy_alone_is_not_judged_by_the_critics_epochs() -> None:
    assert found(made_run(epochs=10.0, config={"algo.max_kl": 0.02, "algo.max_kl_stops": "policy"})) == []


def test_a_stop_within_the_last_epoch_is_not_called_one_without_effect() -> None:
    assert found(made_run(epochs=10.0, config={"algo.max_kl": 0.02, "algo.max_kl_on": "minibatch"})) == []


def test_clip_fraction_is_judged_by_its_median_and_only_where_ratios_are_clipped() -> None:
    assert found(made_run(clip_fraction=0.51)) == ["clip_fraction_high"]
    assert found(made_run(clip_fraction=np.r_[np.full(49, 0.9), np.full(51, 0.49)])) == []
    assert found(made_run(clip_fraction=0.9, config={"algo.surrogate": "none"})) == []


def test_gradients_always_clipped_matter_where_the_critic_fills_the_joint_norm() -> None:
    assert found(made_run(grad_clip_fraction=0.96, value_grad_norm=3.1)) == ["grad_clip_always"]
    assert found(made_run(grad_clip_fraction=0.96, value_grad_norm=2.9)) == []
    assert found(made_run(grad_clip_fraction=0.94, value_grad_norm=30.0)) == []
    assert found(made_run(grad_clip_fraction=1.0, value_grad_norm=30.0, config={"algo.grad_clip": "separate"})) == []
    assert found(made_run(grad_clip_fraction=0.0, value_grad_norm=30.0, config={"algo.max_grad_norm": None})) == []


def test_a_kl_off_its_target_says_which_way_to_turn() -> None:
    adaptive = {"algo.surrogate": "adaptive_kl", "algo.kl_target": 0.01}
    above = update.kl_off_target(made_run(kl=np.r_[np.full(51, 0.016), np.full(49, 0.01)], config=adaptive), STANDARD)
    below = update.kl_off_target(made_run(kl=0.006, config=adaptive), STANDARD)
    assert above is not None and above.value == pytest.approx(0.51) and "Raise algo.kl_beta" in str(above.advice)
    assert below is not None and "Lower algo.kl_beta" in str(below.advice)
    assert update.kl_off_target(made_run(kl=np.r_[np.full(50, 0.016), np.full(50, 0.01)], config=adaptive), STANDARD) is None
    assert update.kl_off_target(made_run(kl=0.5), STANDARD) is None


# --- learning


def test_a_critic_that_explains_little_late_or_less_than_nothing_often_does_not_learn() -> None:
    assert found(made_run(explained_variance=np.r_[np.full(80, 0.9), np.full(20, 0.29)])) == ["value_not_learning"]
    assert found(made_run(explained_variance=np.r_[np.full(20, -0.1), np.full(80, 0.9)])) == ["value_not_learning"]
    assert found(made_run(explained_variance=np.r_[np.full(19, -0.1), np.full(81, 0.31)])) == []


def test_the_size_of_the_value_loss_is_no_symptom() -> None:
    assert found(made_run(value_loss=1e6)) == []


def test_return_collapse_counts_the_budget_spent_below_half_of_the_gain_after_the_best() -> None:
    # Best −200 against random −1000: half of the gain is left at −600.
    def lost(iterations: int, level: float) -> RunRecord:
        return made_run(return_100=np.r_[np.linspace(-1000, -200, 50), np.full(iterations, level), np.full(50 - iterations, -300.0)])

    evidence = learning.return_collapse(lost(10, -601.0), STANDARD)
    assert evidence is not None and evidence.iterations == (51, 60)
    assert evidence.value == pytest.approx(0.1) and evidence.line == pytest.approx(-600)
    assert learning.return_collapse(lost(9, -601.0), STANDARD) is None
    assert learning.return_collapse(lost(50, -599.0), STANDARD) is None
    unfinished = replace(lost(10, -601.0), total_steps=200 * STEPS)
    assert learning.return_collapse(unfinished, STANDARD) is None, "a tenth of what is done is not a tenth of the budget"


def test_a_run_that_never_learned_cannot_collapse() -> None:
    # Best −980 against random −1000, in a mean of 20 episodes: 20 is 1.8 standard errors of 50 / √20, but 5.3 of 17 / √20.
    wandering = np.r_[np.full(50, -980.0), np.full(50, -1020.0)]
    assert learning.return_collapse(made_run(return_100=wandering), STANDARD) is None
    assert learning.return_collapse(made_run(return_100=wandering, return_std=17.0), STANDARD) is not None


def test_what_is_lost_must_have_been_a_part_of_the_way_to_the_reference() -> None:
    returns = np.r_[np.linspace(-1000, -801, 50), np.full(50, -1000.0)]
    assert learning.return_collapse(made_run(return_100=returns), STANDARD) is not None
    assert learning.return_collapse(made_run(return_100=returns, reference=-200.0), STANDARD) is None  # 199 of 800 are less than a quarter
    assert learning.return_collapse(made_run(return_100=returns, reference=-210.0), STANDARD) is not None


def test_a_lucky_first_episode_is_not_what_was_learned() -> None:
    returns = np.r_[-300.0, np.full(99, -900.0)]
    assert learning.return_collapse(made_run(return_100=returns, episodes=np.r_[1.0, np.arange(20.0, 119.0)]), STANDARD) is None


def test_return_collapse_measures_from_the_first_return_where_the_random_policy_was_not_measured() -> None:
    returns = np.r_[np.linspace(-1000, -200, 50), np.full(50, -900.0)]
    evidence = learning.return_collapse(made_run(return_100=returns, random=None), STANDARD)
    assert evidence is not None and "gained over its own first mean (" in evidence.sentence
    measured = learning.return_collapse(made_run(return_100=returns), STANDARD)
    assert measured is not None and "gained over the random policy (" in measured.sentence


def test_lr_exhausted_needs_a_spent_rate_and_a_return_that_still_rises() -> None:
    rising = np.linspace(-1000, -200, 100)
    spent, half = np.linspace(3e-4, 1e-6, 100), np.linspace(3e-4, 1.5e-4, 100)
    evidence = learning.lr_exhausted(made_run(return_100=rising, lr=spent), STANDARD)
    # 19 of 99 steps fall into the last 20 iterations.
    assert evidence is not None and evidence.value == pytest.approx(19 / 99)
    assert learning.lr_exhausted(made_run(return_100=rising, lr=half), STANDARD) is None
    assert learning.lr_exhausted(made_run(lr=spent), STANDARD) is None
    noisy = np.linspace(-1000, -900, 100)  # 19 in the last fifth; a mean of 100 episodes with σ = 50 errs by 5
    assert learning.lr_exhausted(made_run(return_100=noisy, lr=spent, episodes=np.arange(100.0, 200.0)), STANDARD) is None
    assert (
        learning.lr_exhausted(made_run(return_100=noisy, lr=spent, episodes=np.arange(100.0, 200.0), return_std=30.0), STANDARD) is not None
    )
    levelled = np.r_[np.full(70, -1000.0), np.linspace(-1000, -200, 20), np.full(10, -200.0)]
    assert learning.lr_exhausted(made_run(return_100=levelled, lr=spent), STANDARD) is None


def test_a_diverged_run_is_severe_and_says_where_and_why() -> None:
    [finding] = list(of_run(made_run(state="diverged", reason="non-finite loss in epoch 3")))
    assert (finding.symptom, finding.severity, finding.evidence.iterations) == ("non_finite", "severe", (101, 101))
    assert "non-finite loss in epoch 3" in finding.evidence.sentence


def test_a_blank_where_every_iteration_has_a_number_was_not_finite() -> None:
    loss = np.full(100, 0.1)
    loss[[30, 31]] = np.nan
    evidence = learning.non_finite(made_run(value_loss=loss), STANDARD)
    assert evidence is not None and evidence.iterations == (31, 32) and "value_loss" in evidence.sentence
    assert learning.non_finite(made_run(value_clip_fraction=np.nan, kl_beta=np.nan, return_100=np.nan), STANDARD) is None


def test_few_episodes_are_a_note_except_while_the_run_goes_on() -> None:
    few = np.linspace(1, 99, 100).round()
    [finding] = list(of_run(made_run(episodes=few)))
    assert (finding.symptom, finding.severity, finding.evidence.value) == ("too_few_episodes", "note", 99)
    assert found(made_run(episodes=few, state="running")) == []
    assert found(made_run(episodes=np.arange(401.0, 501.0))) == ["too_few_episodes"]  # the last hundred are the whole run
    assert found(made_run(episodes=few, config={"score": "eval"})) == []  # which rests on others


def test_a_score_of_old_episodes_is_a_note() -> None:
    # 125 episodes in 100 iterations: the last 100 begin after a fifth of the run.
    evidence = learning.too_few_episodes(made_run(episodes=np.arange(1, 101) * 1.25), STANDARD)
    assert evidence is not None and evidence.value == pytest.approx(0.21)
    assert learning.too_few_episodes(made_run(episodes=np.arange(1, 101) * 1.25, config={"score": "eval"}), STANDARD) is None
    assert learning.too_few_episodes(made_run(episodes=np.arange(1, 101) * 5.0), STANDARD) is None  # begins at 81 %


def test_clipped_rewards_are_a_note_from_one_per_cent() -> None:
    assert found(made_run(reward_clip_fraction=0.011)) == ["reward_clipped"]
    assert found(made_run(reward_clip_fraction=0.009)) == []


def test_timeouts_count_only_where_they_are_terminal_and_partial_episodes_do_not() -> None:
    episodes = pd.DataFrame({"terminated": [0] * 91 + [1] * 9 + [1] * 50, "partial": [0] * 100 + [1] * 50, "length": 200})

    def ended(terminated: int, **config: object) -> list[str]:
        table = episodes.assign(terminated=[0] * (100 - terminated) + [1] * terminated + [1] * 50)
        return found(made_run(read_episodes=lambda: table, config={"env.bootstrap_timeouts": False, **config}))

    assert ended(9) == ["timeouts_terminal"]
    assert ended(10) == []
    assert ended(0, **{"env.bootstrap_timeouts": True}) == []
    assert found(made_run(config={"env.bootstrap_timeouts": False})) == []  # no episodes.csv


# --- seeds


def test_seeds_in_two_camps_are_a_note() -> None:
    def camps(*scores: float) -> Evidence | None:
        return seeds.seeds_bimodal(SeedGroup("hopper", {str(k): score for k, score in enumerate(scores)}), STANDARD)

    evidence = camps(1, 1.1, 1.2, 3, 3.1, 3.2)
    assert evidence is not None and evidence.value == pytest.approx(1.8 / 2.2) and evidence.iterations is None
    assert camps(1, 1.1, 1.2, 3, 3.1) is None  # five seeds
    assert camps(1, 1.1, 1.2, 1.3, 1.4, 3) is None  # one outlier is no camp
    assert camps(1, 1.4, 1.8, 2.2, 2.6, 3) is None
    assert camps(2, 2, 2, 2, 2, 2) is None
    assert camps(1, 1.1, 1.2, 3, 3.1, math.nan) is None
    [finding] = list(of_group(SeedGroup("hopper", dict(zip("abcdef", (1, 1.1, 1.2, 3, 3.1, 3.2), strict=True)))))
    assert finding.severity == "note" and finding.group


# --- all of them


@pytest.mark.parametrize("iterations", [0, 1, 2, 5, 19])
@pytest.mark.parametrize("state", ["running", "queued", "interrupted", "done"])
def test_every_rule_survives_a_run_that_is_short_or_in_progress(iterations: int, state: str) -> None:
    for config in ({}, {"algo.surrogate": "adaptive_kl", "algo.max_kl": 0.01, "algo.ent_coef": 0.1, "env.bootstrap_timeouts": False}):
        record = made_run(config=config)
        for finding in of_run(replace(record, metrics=record.metrics[:iterations], state=state)):
            assert math.isfinite(finding.evidence.value)


@pytest.mark.parametrize("column", healthy_metrics(1).columns.drop(["iteration", "env_steps"]))
def test_every_rule_survives_a_column_that_is_blank_or_missing(column: str) -> None:
    everything = {"algo.max_kl": 0.01, "algo.ent_coef": 0.1, "env.bootstrap_timeouts": False}
    for surrogate in ("clip", "adaptive_kl"):
        record = made_run(config=everything | {"algo.surrogate": surrogate})
        for metrics in (record.metrics.assign(**{column: np.nan}), record.metrics.drop(columns=column)):
            assert "non_finite" not in found(replace(record, metrics=metrics))


def test_every_rule_survives_a_run_whose_configuration_cannot_be_read() -> None:
    record = made_run(environment=EnvironmentFacts(), random=None)
    assert found(replace(record, config={})) == []


def test_every_symptom_of_the_protocol_has_one_rule_with_its_severity() -> None:
    severity = {rule.symptom: rule.severity for rule in RULES}
    names = (
        "entropy_collapse entropy_rising kl_spike max_kl_too_small max_kl_no_effect value_not_learning return_collapse "
        "clip_fraction_high action_saturation grad_clip_always lr_exhausted seeds_bimodal non_finite too_few_episodes "
        "kl_off_target reward_clipped timeouts_terminal"
    )
    assert sorted(SYMPTOMS) == sorted(names.split())
    notes, severe = (
        ("max_kl_no_effect", "too_few_episodes", "reward_clipped", "seeds_bimodal", "lr_exhausted"),
        ("non_finite", "return_collapse", "entropy_collapse"),
    )
    for name in SYMPTOMS:
        assert severity[name] == ("note" if name in notes else "severe" if name in severe else "warning")
        assert severity[name] in SEVERITIES


def test_every_rule_names_a_knob_that_exists_and_a_source() -> None:
    from ppo_sweep.config import knobs

    known = {key for key, _, _ in knobs()}
    for rule in RULES:
        assert rule.knob in known
        assert rule.source and rule.advice.endswith(".") and rule.meaning.endswith(".")


def test_every_threshold_says_what_it_means_and_where_it_comes_from() -> None:
    for name, value, limit in limits():
        assert limit.meaning and limit.provenance, name
        assert math.isfinite(value)
