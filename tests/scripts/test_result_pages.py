"""docs/results.md and docs/recipes.md say what docs/scores.csv holds, in the words of the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ppo_sweep.statistics import mean_interval
from ppo_sweep.sweep.composition import CONF
from scripts.result_pages import AIMS, CHANGES, DEFAULT, PEER, Key, of_peer, read, recipes_page, results_page, setting, verdict, write
from scripts.train_peer import STEPS, place


def study(name: str, setting: str, env: str, values: list[float], first: int = 0) -> dict[Key, float]:
    return {(name, setting, env, seed): value for seed, value in enumerate(values, first)}


def test_the_setting_of_a_run_is_its_name_without_environment_and_experiment() -> None:
    assert setting("env=hopper,network.hidden=%5B128%2C128%5D,recipe=strong") == "network.hidden=[128,128],recipe=strong"
    assert setting("env=hopper,experiment=strong_1m") == ""


@pytest.mark.parametrize(
    ("values", "said"), [([5901.0] * 3, "met"), ([5000.0, 5001.0, 5002.0], "missed"), ([3000.0, 5000.0, 9000.0], "open")]
)
def test_an_aim_is_met_missed_or_open(values: list[float], said: str) -> None:
    assert verdict(values, mean_interval(values), 5900.0) == said
    [row] = [
        line for line in results_page(study("strong_1m", "", "halfcheetah", values, 100)).splitlines() if line.startswith("| halfcheetah")
    ]
    assert f"| 5900 | {said} |" in row


def test_only_the_runs_of_the_command_on_the_reporting_seeds_are_results() -> None:
    meant = study("strong_1m", "", "hopper", [1.0, 2.0, 3.0], 107)
    others = study("strong_1m", "total_steps=20000", "hopper", [9.0] * 10, 100) | study("strong_1m", "", "hopper", [9.0] * 5)
    assert results_page(meant | others) == results_page(meant)


def test_a_peer_s_score_is_the_mean_of_its_last_hundred_episodes(tmp_path: Path) -> None:
    run, shorter = (place(tmp_path, "Hopper-v5", steps, 104) for steps in (STEPS, 20_000))
    for path in (run, shorter):
        path.parent.mkdir(parents=True)
    shorter.write_text("env_steps,return,length\n1,1,1\n")
    run.write_text("env_steps,return,length\n" + "".join(f"{index},{index},1\n" for index in range(150)))
    assert dict(of_peer(tmp_path)) == {(PEER, "", "hopper", 104): 99.5}


def test_ours_is_called_better_than_a_peer_only_where_it_is_separated_after_holm() -> None:
    ours = {"hopper": [100.0, 101, 102, 103, 104], "walker2d": [100.0, 140, 60, 120, 80]}
    theirs = {"hopper": [1.0, 2, 3, 4, 5], "walker2d": [90.0, 110, 70, 100, 75]}
    scores = {
        key: score
        for name, found in (("strong_1m", ours), (PEER, theirs))
        for env, values in found.items()
        for key, score in study(name, "", env, values, 100).items()
    }
    page = results_page(scores)
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `strong_1m`")]
    assert [(row[2], row[3], row[4], row[7]) for row in rows] == [
        ("hopper", "5 − 5", "+99", "better"),
        ("walker2d", "5 − 5", "+11", "not separated"),
    ]
    assert "So far 10 of 15 runs have been made." in page and "not been made yet" not in page


def test_runs_of_other_seeds_do_not_make_a_set_of_the_peer_whole() -> None:
    more = study(PEER, "", "halfcheetah", [1.0] * 10, 100) | study(PEER, "", "hopper", [1.0] * 5, 100)
    assert "So far 10 of 15 runs have been made." in results_page(more)
    assert "So far" not in results_page(more | study(PEER, "", "walker2d", [1.0] * 5, 100))


def test_scores_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    scores = study("strong_1m", "", "hopper", [0.1 + 0.2, 1e3]) | study(CHANGES, "algo.lr_end=0,recipe=strong", "hopper", [2.0])
    write(tmp_path / "scores.csv", scores)
    assert read(tmp_path / "scores.csv") == scores


def test_a_change_is_called_worse_only_where_it_is_separated_after_holm() -> None:
    base, change = "recipe=strong,tuned=none", "{},recipe=strong,tuned=none".format
    scores = {
        **study(CHANGES, base, "hopper", [100.0, 101, 102, 103, 104]),
        **study(CHANGES, change("algo.lr=1"), "hopper", [1.0, 2, 3, 4, 5]),
        **study(CHANGES, change("algo.gamma=1"), "hopper", [99.0, 102, 100, 105, 106]),
    }
    rows = [line.split("|") for line in recipes_page(scores).splitlines() if line.startswith("| `algo")]
    assert {row[1].strip(): row[9].strip() for row in rows} == {"`algo.lr=1`": "worse", "`algo.gamma=1`": ""}


def test_the_default_is_chosen_by_the_mean_over_all_environments_of_normalised_scores() -> None:
    bounds = {env: yaml.safe_load((CONF / "env" / f"{env}.yaml").read_text())["env"] for env in AIMS["strong_1m"]}
    standard = [study(DEFAULT, "recipe=standard", env, [scale["score_random"]] * 3, 20) for env, scale in bounds.items()]
    strong = [study(DEFAULT, "recipe=strong", env, [scale["score_reference"]] * 3, 20) for env, scale in bounds.items()]
    other = [
        study(DEFAULT, "recipe=strong,total_steps=20000", "hopper", [9.0] * 3, 20),
        study(DEFAULT, "recipe=strong", "hopper", [9.0] * 3),
    ]
    page = recipes_page({key: score for part in (*standard, *strong, *other) for key, score in part.items()})
    assert "| `recipe=standard` | 0.000 |" in page and "| `recipe=strong` | 1.000 |" in page
    page = recipes_page({key: score for part in (*standard, *strong[1:]) for key, score in part.items()})
    assert "mean normalised score" not in page
