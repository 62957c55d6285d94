"""A study's command line, checked as a whole."""

from __future__ import annotations

import pytest
from spaces import read

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.command_line import check
from ppo_sweep.sweep.study.options import seed_warnings


def test_a_study_works_out_of_the_box() -> None:
    made = read("sweep=tpe", "env=hopper")
    assert (made.name, made.seed, made.fixed, made.groups) == ("hopper-tpe", 0, {"env": "hopper"}, ("env",))
    assert len(made.space.searched) == 8
    assert [rung.steps for rung in made.rungs] == [98 * 2048, 196 * 2048, 293 * 2048, 391 * 2048]
    assert made.defaults[None].study == "hopper-tpe"
    assert made.notes[1:] == (
        "this space leads to 1 static signature: all of its configurations can train side by side",
        "after the search 65 runs at most confirm and report, as many as 22 trials have",
    )


def test_what_is_typed_is_searched_or_fixed_and_operational_keys_are_neither() -> None:
    made = read("sweep=gp", "algo=clip,adaptive_kl", "algo.lr=3e-4", "seed=7", "total_steps=200000", "study=mine", "sweep.n_trials=9")
    assert (made.name, made.seed, made.options.n_trials, made.options.sampler) == ("mine", 7, 9, "gp")
    assert made.fixed == {"env": "pendulum", "algo.lr": 3e-4, "total_steps": 200_000}
    assert made.groups == ("env", "algo")
    assert {"algo", "algo.kl_target", "algo.clip_eps"} <= {searched.key for searched in made.space.searched}
    assert made.defaults[None].algo.lr == 3e-4


def test_several_environments_name_the_study_and_have_a_default_each() -> None:
    made = read("sweep=random", "sweep.env=[walker2d,hopper]")
    assert made.name == "hopper+walker2d-random"
    assert {env: config.env.id for env, config in made.defaults.items()} == {"walker2d": "Walker2d-v5", "hopper": "Hopper-v5"}


def test_an_id_alone_names_the_study() -> None:
    made = read("sweep=tpe", "env.id=MountainCarContinuous-v0", "total_steps=300000")
    assert made.name == "MountainCarContinuous-v0-tpe"
    assert made.fixed["env"] == "any"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=interval(0,5)"], "seed: interval(0,5): one seed, a whole number, seeds the study's sampler"),
        (
            ["experiment=article"],
            "sweep: a study searches its space, not a grid, and there is one (hydra.sweeper.params: env, algo.max_kl, seed)",
        ),
        (["sweep.metric=eval.mean"], "sweep.metric: eval.mean is of evaluations, and none is made; give score=eval, or eval.every=10"),
        (["sweep.metric=eval.mean", "eval.every=5", "eval.mode=sampled"], "eval.mode=sampled makes none; use eval.mode=both"),
    ],
)
def test_what_does_not_go_together_is_named(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read("sweep=tpe", *words)
    assert said in str(raised.value)


def test_a_metric_of_evaluations_is_fine_where_they_are_made() -> None:
    assert read("sweep=tpe", "sweep.metric=eval.mean", "score=eval").options.metric == ("eval.mean",)
    assert read("sweep=tpe", "sweep.metric=eval.mean", "eval.every=5").options.metric == ("eval.mean",)


def test_the_default_configuration_is_checked_as_a_run_of_a_grid_is() -> None:
    short = "total_steps=50000 is shorter than one episode in each of 64 environments (64000 steps)"
    mistuned = "tuned=strong_walker2d holds values for recipe=strong env=walker2d, but this is recipe=strong env=hopper"
    words = ["-m", "sweep=tpe", "sweep.pruner=none", "env=hopper"]
    found = check([*words, "total_steps=50000"]).warnings
    assert any(warning.startswith(short) for warning in found)
    assert any(warning.startswith(mistuned) for warning in check([*words, "tuned=strong_walker2d"]).warnings)
    assert check(words).warnings == ()
    with pytest.raises(ConfigError, match=r"env\.id: Ant-v5 is another environment than env=hopper"):
        check([*words, "env.id=Ant-v5"])


def test_faults_of_options_space_and_seed_are_named_together() -> None:
    with pytest.raises(ConfigError) as raised:
        read("sweep=tpe", "sweep.n_trial=3", "seed=0,1", "algo.lrr=interval(0,1)", "env=hopper,walker2d")
    assert {fault.key for fault in raised.value.faults} == {"sweep.n_trial", "seed", "algo.lrr", "env"}


def test_a_limit_of_steps_limits_the_search() -> None:
    words = ("sweep=tpe", "env=pendulum", "total_steps=60000", "sweep.seeds=3", "sweep.n_trials=40")
    [config] = read(*words).defaults.values()
    trial = 3 * config.iterations * config.steps_per_iteration
    assert read(*words).most_steps == 40 * trial
    assert read(*words, f"sweep.max_env_steps={2 * trial + 1}").most_steps == 3 * trial, "a trial that has begun is finished"


def test_a_grid_study_says_how_many_trials_it_has() -> None:
    made = read("sweep=grid_study", "algo.epochs=5,10", "algo.max_kl=null,0.02")
    assert "the grid has 4 configurations, the default included: the study ends after as many trials" in made.notes
    assert made.most_trials == 4 and made.most_steps == 4 * 3 * made.defaults[None].iterations * made.defaults[None].steps_per_iteration
    with pytest.raises(ConfigError, match="has no end of values for a grid"):
        read("sweep=grid_study", "algo.lr=interval(1e-5,1e-4)")


def test_environments_without_a_reference_cannot_be_put_on_one_scale() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.env: hopper has no env\.score_reference"):
        read("sweep=tpe", "sweep.env=[hopper,walker2d]", "env.score_reference=null")


def test_a_short_budget_turns_pruning_off_with_a_note() -> None:
    made = read("sweep=tpe", "recipe=strong", "env=hopper", "total_steps=100000")
    assert len(made.rungs) == 0
    assert any(note.startswith("nothing is pruned") for note in made.notes)


def test_a_run_on_a_seed_that_studies_confirm_or_report_with_is_warned_about() -> None:
    assert seed_warnings([0, 19, 999, 3000]) == []
    [one] = seed_warnings([5, 1000])
    assert one == "seed=1000 is one of those that studies confirm configurations with (1000 …): choose knobs on other seeds, 0 … 19"
    confirm, report = seed_warnings([2005, 1999, 1001])
    assert confirm.startswith("seed=1001 and 1 more are of those that studies confirm")
    assert report.startswith("seed=2005 is one of those that studies report configurations with (2000 …)")
    assert any("seed=2000 and 2 more are of those" in warning for warning in check(["-m", "seed=range(2000,2003)"]).warnings)
    assert not any("studies" in warning for warning in check(["-m", "seed=0,1"]).warnings)
