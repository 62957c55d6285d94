"""Results trees as training leaves them, with rows of which everything is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppo_sweep.config import Config
from ppo_sweep.runs.naming import run_name
from ppo_sweep.runs.status import Status, write_status
from ppo_sweep.runs.stored_config import write_config
from ppo_sweep.runs.study_file import StudyFile, StudyMember
from ppo_sweep.runs.tables import EVAL_COLUMNS, METRIC_COLUMNS, TIMING_COLUMNS, format_cell

STEPS = 2048

#: What the choice of an environment sets, as conf/env does.
ENVIRONMENTS: Mapping[str, Mapping[str, Any]] = {
    "pendulum": {"env.id": "Pendulum-v1", "env.score_random": -1200.0, "env.score_reference": -150.0},
    "hopper": {"env.id": "Hopper-v5", "env.score_random": 17.0, "env.score_reference": 3450.0},
    "walker2d": {"env.id": "Walker2d-v5", "env.score_random": 1.0, "env.score_reference": 4318.0},
    "unknown": {"env.id": "Any-v0"},
}


def make_run(
    study: Path,
    returns: Sequence[float | None] = (-900.0, -500.0, -200.0),
    *,
    env: str = "pendulum",
    seed: int = 0,
    state: str = "done",
    score: float | None = None,
    overrides: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    n_steps: int = STEPS,
    iterations: int = 0,
    columns: Mapping[str, Sequence[float]] | None = None,
    seconds: float = 2.0,
    evaluation: float | None = None,
) -> Path:
    """One run directory below ``study``: ``return_100`` as given, the other columns as told or plain.

    Args:
        overrides: what was typed beside ``env`` and ``seed``. config: of it and beyond, full key → value.
        score: by default the last return of a run that is done.
        iterations: of the budget, if it is longer than ``returns``.
    """
    typed = {"env": env, **(overrides or {})}
    values = {key: value for key, value in typed.items() if "." in key} | dict(config or {})
    budget = max(iterations, len(returns), 1) * n_steps
    made = Config().replace(**{**ENVIRONMENTS[env], "seed": seed, "total_steps": budget, "algo.n_steps": n_steps, **values})
    directory = study / run_name(typed) / f"seed={seed}"
    directory.mkdir(parents=True)
    write_config(directory, made)
    rows = []
    for index, value in enumerate(returns):
        row = dict.fromkeys(METRIC_COLUMNS, 0.1) | {
            "iteration": index + 1,
            "env_steps": (index + 1) * n_steps,
            "episodes": 20 * (index + 1),
        }
        rows.append(row | {"return_100": value, "epochs": 10} | {name: item[index] for name, item in (columns or {}).items()})
    write_table(directory / "metrics.csv", METRIC_COLUMNS, rows)
    timing = {"seconds": seconds, "members": 2, "simulator": 1.0, "policy": 0.25, "normalise": 0.25, "update": 0.4, "write": 0.0}
    timings = [
        timing | {"iteration": i, "env_steps": i * n_steps, "steps_per_s": 2 * n_steps / seconds} for i in range(1, len(returns) + 1)
    ]
    write_table(directory / "timing.csv", TIMING_COLUMNS, timings)
    evaluated = {"env_steps": budget, "mode": "deterministic", "episodes": 100, "return_mean": evaluation}
    write_table(directory / "eval.csv", EVAL_COLUMNS, [] if evaluation is None else [evaluated])
    if score is None and state == "done" and len(returns):
        score = returns[-1]
    words = tuple(f"{key}={'null' if value is None else value}" for key, value in typed.items())
    status = Status(
        state, len(returns), len(returns) * n_steps, score, overrides=words, error="ValueError: no" if state == "failed" else None
    )
    write_status(directory, status, durably=False)
    return directory


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [",".join(format_cell(row.get(name)) for name in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")


def list_study(study: Path, order: Sequence[tuple[Mapping[str, Any], int]]) -> None:
    """``study.json`` that lists runs (overrides and seed) in an order."""
    members = []
    for overrides, seed in order:
        path = f"{run_name(overrides)}/seed={seed}"
        members.append(StudyMember(path, seed, dict(overrides), "0" * 64, 2048, "done"))
    StudyFile.open(study, command=("-m",), members=members).flush()


def make_settings(root: Path, settings: Mapping[float | None, Sequence[float]], env: str = "pendulum") -> None:
    """``max_kl`` → the scores of seeds 0, 1, 2 …"""
    for kl, values in settings.items():
        for seed, value in enumerate(values):
            make_run(root, [-1000.0, value], env=env, seed=seed, overrides={"algo.max_kl": kl})


def make_grid(
    study: Path,
    knobs: Mapping[str, Sequence[Any]],
    *,
    seeds: int = 3,
    envs: Sequence[str] = ("pendulum",),
    rows: int = 12,
    spread: float = 20.0,
) -> None:
    """A full grid: every further value of a knob ends higher by 50, seeds differ by noise; returns rise in a straight line."""
    random = np.random.default_rng(5)
    settings: list[dict[str, Any]] = [{}]
    for key, values in knobs.items():
        settings = [{**setting, key: value} for setting in settings for value in values]
    for env in envs:
        for setting in settings:
            level = sum(50.0 * list(knobs[key]).index(value) for key, value in setting.items())
            for seed in range(seeds):
                end = -400 + level + random.normal(0, spread)
                make_run(study, list(np.linspace(-1200, end, rows)), env=env, seed=seed, overrides=setting)
