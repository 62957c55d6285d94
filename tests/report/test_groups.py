"""Runs that differ in their seed only, and the one that the others are compared with."""

from __future__ import annotations

from pathlib import Path

from ppo_sweep.report import load
from ppo_sweep.report.groups import groups, names, references
from tests.report.result_trees import list_study, make_grid, make_run


def test_a_group_is_a_setting_in_an_environment(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.lr": [0.0001, 0.0003], "algo.max_kl": [0.02, None]}, seeds=3, envs=["pendulum", "hopper"])
    results = load(tmp_path)
    found = groups(results)
    assert len(found) == 8
    assert {group.label for group in found} == {f"max_kl={kl}, lr={lr}" for lr in ("0.0001", "0.0003") for kl in ("0.02", "null")}
    assert all(list(group.runs["seed"]) == [0, 1, 2] for group in found)
    assert found[0].setting.keys() == {"algo.lr", "algo.max_kl"}


def test_the_reference_is_the_default_configuration_where_it_is_present(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.max_kl": [0.02, None]}, seeds=1)  # null is the default
    reference = references(load(tmp_path))["pendulum"]
    assert (reference.label, reference.why) == ("max_kl=null", "the default configuration")


def test_a_knob_that_was_fixed_for_all_does_not_keep_the_default_from_being_found(tmp_path: Path) -> None:
    for lr in (0.0005, 0.0003):
        make_run(tmp_path / "s", overrides={"algo.lr": lr, "algo.epochs": 3})
    assert references(load(tmp_path))["pendulum"].label == "lr=0.0003"


def test_without_the_default_the_reference_is_the_first_in_command_order(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.max_kl": [0.01, 0.05]}, seeds=1)
    list_study(tmp_path / "s", [({"env": "pendulum", "algo.max_kl": kl}, 0) for kl in (0.05, 0.01)])
    reference = references(load(tmp_path))["pendulum"]
    assert (reference.label, reference.why) == ("max_kl=0.05", "the first group in command order")


def test_the_default_of_a_recipe_is_what_the_recipe_says(tmp_path: Path) -> None:
    # recipe=strong starts with log_std_init −0.5: there, 0 is the variation.
    for start in (0.0, -0.5):
        make_run(tmp_path / "s", env="walker2d", overrides={"recipe": "strong", "network.log_std_init": start})
    assert references(load(tmp_path))["walker2d"].label == "log_std_init=-0.5"


def test_the_default_of_a_task_includes_its_tuned_values(tmp_path: Path) -> None:
    for env in ("pendulum", "hopper"):
        make_grid(tmp_path / "s", {"algo.gamma": [0.9, 0.99]}, seeds=1, envs=[env])
    found = references(load(tmp_path))
    assert (found["pendulum"].label, found["hopper"].label) == ("gamma=0.9", "gamma=0.99")  # conf/tuned/standard_pendulum.yaml


def test_one_group_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    make_run(tmp_path / "s", seed=0)
    make_run(tmp_path / "s", seed=1)
    assert references(load(tmp_path)) == {}


def test_names_of_many_knobs_leave_out_what_is_as_in_the_reference(tmp_path: Path) -> None:
    plain = {"algo.lr": 0.0003, "algo.epochs": 10, "algo.ent_coef": 0.0}
    for change in ({}, {"algo.lr": 0.001}, {"algo.epochs": 5}, {"algo.ent_coef": 0.01, "algo.lr": 0.001}):
        make_run(tmp_path / "s", env="hopper", overrides={**plain, **change})
    assert set(names(load(tmp_path)).values()) == {"reference", "lr=0.001", "epochs=5", "lr=0.001, ent_coef=0.01"}


def test_knobs_that_end_alike_are_named_in_full(tmp_path: Path) -> None:
    for env_steps, every in ((100, 1), (200, 2)):
        make_run(tmp_path / "s", overrides={"env.max_episode_steps": env_steps, "eval.every": every, "eval.episodes": every})
    (label, *_) = load(tmp_path).group_labels
    assert label == "max_episode_steps=100, every=1, episodes=1"
