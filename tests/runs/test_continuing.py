"""A run that is killed at any moment and started again ends with the bytes of one that never stopped."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import load_state
from tests.runs.training_processes import assert_same_bytes, contents, kill_when, rows, start, train_to_the_end

ITERATIONS = 32
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "pendulum": {"env.id": "Pendulum-v1"},
    "halfcheetah": {"env.id": "HalfCheetah-v5"},
    "hopper": {"env.id": "Hopper-v5"},
    "walker2d": {"env.id": "Walker2d-v5"},
    "dmc_cheetah_run": {"env.id": "dm_control/cheetah-run-v0", "env.max_episode_steps": 1000},
}
#: What else must survive a kill, spread over the environments.
KNOBS: dict[str, dict[str, Any]] = {
    "pendulum": {"algo.surrogate": "adaptive_kl", "algo.max_kl": 0.02},
    "halfcheetah": {"algo.max_kl": 0.005, "algo.max_kl_stops": "policy", "eval.mode": "both"},
    "hopper": {"algo.norm_obs_update": "rollout", "algo.norm_adv": "batch", "algo.vf_clip": None},
    "walker2d": {"algo.recompute_adv": True, "score": "eval", "eval.every": 0},
    "dmc_cheetah_run": {"env.action_repeat": 2, "algo.grad_clip": "separate"},
}


def short_run(env: str, n_envs: int, **more: Any) -> Config:
    steps = 150 if n_envs == 1 else 25
    values = {
        "algo.n_envs": n_envs,
        "algo.n_steps": steps,
        "algo.epochs": 4,
        "total_steps": ITERATIONS * steps * n_envs * more.get("env.action_repeat", 1),
    }
    return Config().replace(**(ENVIRONMENTS[env] | values | {"checkpoint_every": 2, "eval.every": 7, "eval.episodes": 1} | more))


def kill_repeatedly(config: Config, path: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill and continue; how many kills hit between the first checkpoint and the last row, and how many of those in mid-episode."""
    rng = random.Random(seed)
    hits = in_episode = 0
    for moment in sorted(rng.randint(3, config.iterations - 4) for _ in range(kills)):
        process = start(config, path)
        begun = rows(path)
        target = max(moment, begun + 1)
        if kill_when(process, lambda target=target: rows(path) >= target, rng.uniform(0, 0.03)):  # type: ignore[misc]
            state = load_state(path)
            hits += state is not None and rows(path) < config.iterations
            in_episode += state is not None and bool((state.arrays["episode_steps"] > 0).any())
    return hits, in_episode


@pytest.mark.parametrize(("env", "n_envs"), [("pendulum", 1), ("hopper", 4)])
def test_three_kills_leave_the_bytes_of_an_undisturbed_run(env: str, n_envs: int, tmp_path: Path) -> None:
    config = short_run(env, n_envs)
    assert train_to_the_end(config, tmp_path / "undisturbed") == 0
    hits, _ = kill_repeatedly(config, tmp_path / "killed", 3, seed=1)
    assert hits >= 1
    assert train_to_the_end(config, tmp_path / "killed") == 0
    assert len(contents(tmp_path / "undisturbed")) == 6
    assert_same_bytes(tmp_path / "undisturbed", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize(("env", "n_envs"), itertools.product(ENVIRONMENTS, (1, 16)))
def test_ten_kills_leave_the_bytes_of_an_undisturbed_run(env: str, n_envs: int, tmp_path: Path) -> None:
    config = short_run(env, n_envs, **KNOBS[env])
    assert train_to_the_end(config, tmp_path / "undisturbed") == 0
    hits = in_episode = 0
    for attempt in range(3):  # a machine that stalls may let a run end before it is killed
        path = tmp_path / f"killed{attempt}"
        more_hits, more_in_episode = kill_repeatedly(config, path, 10, seed=attempt)
        assert train_to_the_end(config, path) == 0
        assert_same_bytes(tmp_path / "undisturbed", path)
        hits, in_episode = hits + more_hits, in_episode + more_in_episode
        if hits >= 8 and in_episode >= 3:
            break
    assert hits >= 8
    assert in_episode >= 3
