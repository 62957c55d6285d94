"""Made runs for the rules of the doctor: a healthy one, of which a test changes what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ppo_sweep.config import Config
from ppo_sweep.report.doctor.record import UNIT_ENTROPY, EnvironmentFacts, RunRecord
from ppo_sweep.runs.naming import flatten
from ppo_sweep.runs.status import Status, write_status
from ppo_sweep.runs.stored_config import write_config
from ppo_sweep.runs.study_file import StudyFile, StudyMember
from ppo_sweep.runs.tables import EPISODE_COLUMNS, METRIC_COLUMNS, TIMING_COLUMNS

#: Environment steps in one iteration of a made run.
STEPS = 2048


def healthy_metrics(iterations: int) -> pd.DataFrame:
    """A run as one would wish: σ falls slowly, the return rises from −1000 to −200 and levels off, KL lies about 0.01."""
    i = np.arange(1, iterations + 1)
    done = i / iterations
    noise = np.random.default_rng(0)
    sigma = np.exp(-1.2 * done)
    constant = {
        "return_std": 50.0, "length_mean": 200.0, "length_100": 200.0, "policy_loss": -0.01, "kl_max": 0.02, "kl_sample": 0.01,
        "ratio_max": 2.0, "clip_fraction": 0.1, "value_clip_fraction": 0.1, "action_saturation": 0.05, "mean_saturation": 0.0,
        "policy_grad_norm": 0.3, "value_grad_norm": 0.4, "grad_clip_fraction": 0.2, "adv_std": 1.0, "value_mean": 0.0, "reward_scale": 1.0,
        "reward_clip_fraction": 0.0, "epochs": 10.0,
    }  # fmt: skip
    columns = {
        **{name: np.full(iterations, value) for name, value in constant.items()},
        "iteration": i,
        "env_steps": i * STEPS,
        "episodes": i * 10.0,
        "return_mean": -1000 + 800 * (1 - np.exp(-6 * done)) + noise.normal(0, 5, iterations),
        "return_100": -1000 + 800 * (1 - np.exp(-6 * done)),
        "value_loss": np.exp(-done),
        "entropy": UNIT_ENTROPY + np.log(sigma),
        "kl": 0.01 + noise.uniform(-0.002, 0.002, iterations),
        "explained_variance": np.minimum(0.9, 0.3 + done),
        "action_std": sigma,
        "action_std_min": sigma,
        "action_std_max": sigma,
        "lr": 3e-4 * (1 - 0.9 * done),
    }
    columns["return_all"] = np.cumsum(columns["return_mean"]) / i
    return pd.DataFrame(columns).reindex(columns=[*METRIC_COLUMNS])


def made_run(iterations: int = 100, *, config: dict[str, Any] | None = None, **changes: Any) -> RunRecord:
    """A healthy run with some columns of its metrics replaced (arrays or numbers), and some knobs; the action range is ±1, the horizon 200.

    Keywords that are fields of :class:`RunRecord` (``state``, ``total_steps`` …) replace those.
    """
    facts = {name: changes.pop(name) for name in list(changes) if name in RunRecord.__dataclass_fields__}
    metrics = healthy_metrics(iterations).assign(**changes)
    return RunRecord(
        **{
            "name": "study/run/seed=0",
            "config": flat_config() | (config or {}),
            "metrics": metrics,
            "random": -1000.0,
            "total_steps": iterations * STEPS,
            "environment": EnvironmentFacts((1.0,), 200),
            **facts,
        }
    )


def flat_config() -> dict[str, Any]:
    """Every knob at its typed default, full key → value."""
    return {name: leaf for key, value in Config().to_dict(operational=False).items() for name, leaf in flatten(key, value).items()}


def made_study(study: Path, settings: Mapping[str, Mapping[str, Any]], *, seeds: Sequence[int] = (0, 1, 2), iterations: int = 60) -> None:
    """A study directory as training leaves it, with made rows: every seed ends a little apart.

    Args:
        settings: name of the runs' directory → changes of the configuration (full keys).
    """
    members = []
    for place, (name, changes) in enumerate(settings.items()):
        for seed in seeds:
            directory = study / name / f"seed={seed}"
            directory.mkdir(parents=True)
            config = Config().replace(**{"seed": seed, "total_steps": iterations * STEPS, "env.score_random": -1237.87, **changes})
            write_config(directory, config)
            metrics = healthy_metrics(iterations)
            metrics[["return_100", "return_mean"]] += 40.0 * place + np.random.default_rng(seed).normal(0, 10)
            metrics.to_csv(directory / "metrics.csv", index=False, lineterminator="\n")
            table(EPISODE_COLUMNS, [[STEPS, 0, -200.0, 200, 0, -1.0, 0]]).to_csv(directory / "episodes.csv", index=False)
            timing = [[i, i * STEPS, 1.0, len(seeds), 0.4, 0.1, 0.1, 0.4, 0.0, 2000.0] for i in range(1, iterations + 1)]
            table(TIMING_COLUMNS, timing).to_csv(directory / "timing.csv", index=False)
            score = float(metrics["return_100"].iloc[-1])
            versions = {"ppo_sweep": "0.1.0", "torch": "2.13.0"}
            write_status(directory, Status("done", iterations, iterations * STEPS, score, versions=versions), durably=False)
            overrides = {"env": "pendulum", **{key: value for key, value in changes.items() if key in name}}
            members.append(StudyMember(f"{name}/seed={seed}", seed, overrides, config.hash, config.total_steps, "done", score))
    StudyFile.open(study, command=["-m", "env=pendulum", *settings], members=members).flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows under the columns of a file."""
    return pd.DataFrame([list(row) for row in rows], columns=list(columns))
