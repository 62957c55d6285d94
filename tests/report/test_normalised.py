"""Across environments: how often a setting beats the reference, and what may be said of the highest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ppo_sweep.report import load
from ppo_sweep.report.normalised import across, improvements
from tests.report.result_trees import make_grid, make_run


def test_improvement_is_the_share_of_pairs_won_against_each_environments_own_reference(tmp_path: Path) -> None:
    # The default lr is 0.001 on Pendulum (tuned) and 0.0003 on Walker2d.
    scores = {
        ("pendulum", 0.0003): (-900.0, -200.0),
        ("pendulum", 0.001): (-800.0, -300.0),
        ("pendulum", 0.01): (-100.0, -90.0),
        ("walker2d", 0.0003): (10.0, 20.0),
        ("walker2d", 0.001): (30.0, 5.0),
        ("walker2d", 0.01): (1.0, 2.0),
    }
    for (env, lr), values in scores.items():
        for seed, value in enumerate(values):
            make_run(tmp_path, [value], env=env, seed=seed, overrides={"algo.lr": lr})
    made = improvements(load(tmp_path))
    # 0.0003 on Pendulum: −900 beats neither, −200 both. 0.001 on Walker2d: 30 beats both, 5 neither. 0.01: all pairs, and none.
    assert {label: (item.probability, item.environments) for label, item in made.items()} == {
        "lr=0.0003": (0.5, ("pendulum",)),
        "lr=0.001": (0.5, ("walker2d",)),
        "lr=0.01": (0.5, ("pendulum", "walker2d")),
    }
    assert all(np.isnan(item.low) for item in made.values())  # two runs a side are too few for an interval


def test_without_a_score_of_the_reference_there_is_no_improvement(tmp_path: Path) -> None:
    for env in ("hopper", "walker2d"):
        make_run(tmp_path, [100.0], env=env, overrides={"algo.clip_eps": 0.1})
        make_run(tmp_path, [200.0], env=env, overrides={"algo.clip_eps": 0.3})
        make_run(tmp_path, [50.0], env=env, state="running", overrides={"algo.clip_eps": 0.2})
    assert improvements(load(tmp_path)) == {}


def test_the_highest_across_environments_is_named_with_its_interval(tmp_path: Path) -> None:
    make_grid(tmp_path, {"algo.clip_eps": [0.2, 0.3]}, envs=["hopper", "walker2d"], seeds=4)
    said = across(load(tmp_path), {"clip_eps=0.3": "ours"})
    assert said.startswith("2 environments together: ours has the highest IQM of normalised scores of 2 settings (")
    assert "95 % interval [" in said and "higher than one of the reference with probability" in said and "better" not in said


def test_settings_that_are_equal_in_every_environment_have_no_highest(tmp_path: Path) -> None:
    for env in ("hopper", "walker2d"):
        for clip in (0.2, 0.3):
            for seed in range(2):
                make_run(tmp_path, [100.0 + seed], env=env, seed=seed, overrides={"algo.clip_eps": clip})
    assert across(load(tmp_path), {}) == "2 environments together: all 2 settings have identical normalised scores."


@pytest.mark.parametrize("envs", [["hopper"], ["hopper", "unknown"]])
def test_one_environment_with_normalised_scores_is_no_across(tmp_path: Path, envs: list[str]) -> None:
    make_grid(tmp_path, {"algo.clip_eps": [0.2, 0.3]}, envs=envs)
    assert across(load(tmp_path), {}) == ""
