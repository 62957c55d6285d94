"""Scores from a run's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from ppo_sweep.config import Config
from ppo_sweep.runs.score import diverged_score, random_score, score

CONFIG = Config().replace(**{"env.score_random": -1000.0})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four iterations of 100 steps; the first ends no episode, the last 10 % of the steps begin after step 360."""
    (tmp_path / "metrics.csv").write_text(
        "iteration,env_steps,return_100,return_all\n1,100,,\n2,200,-800.0,-800.0\n3,300,-600.0,-650.0\n4,400,-400.0,-500.0\n"
    )
    (tmp_path / "episodes.csv").write_text(
        "env_steps,env,return,length,terminated,final_reward,partial\n"
        "200,0,-800.0,200,0,-1.0,0\n360,0,-500.0,160,0,-1.0,0\n361,1,-300.0,161,0,-1.0,0\n399,0,-100.0,39,0,-1.0,0\n400,1,0.0,1,0,-1.0,1\n"
    )
    (tmp_path / "eval.csv").write_text("env_steps,mode,return_mean\n200,deterministic,-9.0\n400,deterministic,-7.0\n400,sampled,-8.0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("return_100", -400.0),
        ("return_all", -500.0),
        ("window", (-300.0 - 100.0) / 2),  # after step 360, without the partial episode
        ("eval", -7.0),
        # Heights -1000 (step 0) -1000 (blank) -800 -600 -400: (1000 + 900 + 700 + 500) * 100 / 400
        ("auc", -775.0),
    ],
)
def test_each_score_is_what_its_definition_says(kind: str, value: float, run: Path) -> None:
    assert score(CONFIG.replace(score=kind), run) == (pytest.approx(value), None)


@pytest.mark.parametrize(
    ("kind", "table", "reason"),
    [
        ("return_100", "metrics.csv", "no iteration was finished"),
        ("eval", "eval.csv", "no evaluation was made"),
        ("window", "episodes.csv", "no training episode ended in the last 10 % of the steps"),
    ],
)
def test_a_missing_score_has_a_reason(kind: str, table: str, reason: str, run: Path) -> None:
    (run / table).unlink()
    assert score(CONFIG.replace(score=kind), run) == (None, reason)


def test_a_run_in_which_no_episode_finished_has_no_score(run: Path) -> None:
    (run / "metrics.csv").write_text("iteration,env_steps,return_100,return_all\n1,100,,\n")
    assert score(CONFIG, run) == (None, "no training episode was finished")


def test_the_random_score_is_measured_where_it_is_not_given() -> None:
    measured = random_score(Config().env)
    assert measured == random_score(Config().env)
    assert measured == pytest.approx(-1237.87, abs=0.01)  # conf/env/pendulum.yaml


class Hostile(gymnasium.Env[np.ndarray, np.ndarray]):
    """Goes wrong in the fifth step of its life, which is later than anybody looks before a run begins."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, raises: bool = False) -> None:
        self.raises = raises

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 5 and self.raises:
            raise RuntimeError("the arm\nfell off")
        return np.zeros(1), float("nan") if self.steps == 5 else 1.0, False, False, {}


gymnasium.register("hostile/Hostile-v0", entry_point=Hostile, max_episode_steps=8)


@pytest.mark.parametrize(("raises", "why"), [(False, "a random episode's return is not finite"), (True, "the arm fell off")])
def test_an_environment_that_goes_wrong_has_no_random_score_and_says_why_every_time(raises: bool, why: str, run: Path) -> None:
    config = Config.from_dict({"env": {"id": "hostile/Hostile-v0", "kwargs": {"raises": raises}}})
    for _ in range(2):
        with pytest.raises(ValueError, match=why):
            random_score(config.env)
    assert diverged_score(config, run) == -400.0, "the last one is all that is known"
    assert score(config.replace(score="auc"), run) == (None, f"env.score_random is not set, and {why}")
