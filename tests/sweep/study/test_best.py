"""``best.yaml``: the winner as a config that runs it again; ``trials.csv``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from spaces import read, space

from ppo_sweep.config import Config
from ppo_sweep.sweep.composition import CONF, VERSION_BASE, register
from ppo_sweep.sweep.study import best, trials_table
from ppo_sweep.sweep.study.confirmation import TrialResult

SPACE: dict[str, Any] = {
    "algo": {"choices": ["clip", "adaptive_kl"]},
    "algo.lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "algo.gamma": {"low": 1e-4, "high": 0.1, "log": True, "one_minus": True},
    "algo.norm_adv": {"choices": ["batch", "off"]},
    "algo.max_kl": {"choices": [None, 0.02]},
    "network.hidden": {"choices": [[64, 64], [32]]},
}
WON = {
    "algo": "adaptive_kl",
    "algo.lr": 1.2345678901234567e-05,
    "algo.gamma": 1 - 0.0123456789,
    "algo.norm_adv": "off",
    "algo.max_kl": None,
    "network.hidden": (32,),
}


def composed(directory: Path, *words: str) -> Config:
    """What ``--config-dir … --config-name best`` amounts to."""
    register()
    with initialize_config_dir(str(directory), job_name="train", **VERSION_BASE):
        made = compose("best", [f"hydra.searchpath=['file://{CONF}']", *words])
        values = OmegaConf.to_container(made, resolve=True)
    assert isinstance(values, dict)
    values.pop("sweep", None)
    return Config.from_dict(values)  # type: ignore[arg-type]


def test_best_yaml_composes_to_the_winner_s_configuration(tmp_path: Path) -> None:
    study = tmp_path / "hopper-tpe"
    study.mkdir()
    made = space(SPACE, recipe="strong", algo__n_steps=64)
    fixed = {"env": "hopper", "recipe": "strong", "algo.n_steps": 64, "sweep": "tpe", "sweep.n_trials": 40, "hydra.launcher.workers": 2}
    best.write(study, {**fixed, **WON}, ("env", "recipe", "algo", "sweep"), 3, ["Trial 7 is better than the default configuration."])
    found = composed(study)
    assert found.hash == made.config(WON).hash
    assert found.study == "hopper-tpe-best"
    assert composed(study, "seed=4", "algo.lr=1e-3").algo.lr == 1e-3


def test_best_yaml_begins_with_the_command_that_runs_it_and_what_may_be_said(tmp_path: Path) -> None:
    study = tmp_path / "a study"
    study.mkdir()
    best.write(study, {"env": "hopper"}, ("env",), 4, ["The default configuration is the best one.", "On report seeds: 5."])
    first, second, third, *_ = (study / "best.yaml").read_text().splitlines()
    assert first == f"# python train.py --config-dir '{study}' --config-name best -m 'seed=range(4,9)'"
    assert (second, third) == ("# The default configuration is the best one.", "# On report seeds: 5.")
    assert yaml.safe_load((study / "best.yaml").read_text()) == {
        "defaults": ["config", {"override env": "hopper"}, "_self_"],
        "study": "a study-best",
    }


def test_the_winner_of_several_environments_is_run_in_all_of_them(tmp_path: Path) -> None:
    study = tmp_path / "both"
    study.mkdir()
    best.write(study, {"env": "pendulum", "algo.lr": 1e-3}, ("env",), 3, [], ("hopper", "walker2d"))
    assert (study / "best.yaml").read_text().splitlines()[0].endswith("-m 'seed=range(3,8)' env=hopper,walker2d")
    assert composed(study).env.id == "Hopper-v5" and composed(study, "env=walker2d").env.id == "Walker2d-v5"


@pytest.mark.parametrize("words", [(), ("sweep.env=[hopper,walker2d]",)])
def test_a_study_that_begins_at_the_winner_of_another_exports_all_that_it_was(words: tuple[str, ...], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    before = {"env": "hopper", "recipe": "standard", "algo": "no_clip", "total_steps": 200_000, "algo.gamma": 0.97, "network.hidden": (32,)}
    best.write(first, before, ("env", "recipe", "algo"), 3, [])
    made = read("sweep=random", "sweep/space=none", "algo.lr=interval(1e-4, 1e-3)", "algo.epochs=3", *words, further=(first, "best"))
    won = {"algo.lr": 5e-4}
    best.write(second, made.written(won), made.groups, 3, [], made.options.env)
    wanted = made.space.config(won, "hopper" if words else None)
    assert (wanted.algo.gamma, wanted.algo.epochs, wanted.algo.lr, wanted.total_steps) == (0.97, 3, 5e-4, 200_000)
    assert composed(second).hash == wanted.hash
    if words:
        assert composed(second, "env=walker2d").hash == made.space.config(won, "walker2d").hash


def test_trials_csv_has_a_row_per_trial_and_a_column_per_knob(tmp_path: Path) -> None:
    results = [
        TrialResult(1, "PRUNED", (1.5,), (1.0, 2.0), {"algo.lr": 2e-5, "network.hidden": (32,)}, 4096, reason="1.5 is place 3 of 3"),
        TrialResult(0, "COMPLETE", (2.0,), (1.0, 3.0), {}, 8192, diverged=1),
        TrialResult(2, "FAIL", None, (), {"algo.lr": 1e-3, "algo.max_kl": None}, 0, reason='boom, "quoted"'),
    ]
    trials_table.write(tmp_path, results, ["algo.lr", "algo.max_kl", "network.hidden"], {"algo.lr": 3e-4, "network.hidden": (64, 64)})
    text = (tmp_path / "trials.csv").read_text()
    assert text.startswith("number,state,value,value_std,seeds,env_steps,diverged,reason,algo.lr,algo.max_kl,network.hidden\n")
    rows = list(csv.reader(text.splitlines()))[1:]
    assert rows == [
        ["0", "COMPLETE", "2.0", repr(2**0.5), "2", "8192", "1", "", "0.0003", "", "[64,64]"],
        ["1", "PRUNED", "1.5", repr(0.5**0.5), "2", "4096", "0", "1.5 is place 3 of 3", "2e-5", "", "[32]"],
        ["2", "FAIL", "", "", "0", "0", "0", 'boom, "quoted"', "0.001", "null", ""],
    ]


@pytest.mark.parametrize("count", [0, 2])
def test_trials_csv_of_several_objectives_has_a_column_for_each(count: int, tmp_path: Path) -> None:
    results = [TrialResult(number, "COMPLETE", (1.0, 2.0), (1.0,), {}, 1) for number in range(count)]
    trials_table.write(tmp_path, results, [], {})
    header = (tmp_path / "trials.csv").read_text().splitlines()[0]
    assert header.endswith(",reason,value_2" if count else ",reason")
