"""What a run is worth: one number from its own files, or null with the reason (docs/numbers.md §1)."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path

from ppo_sweep.config import Config, EnvConfig
from ppo_sweep.runs.evaluation import evaluate_random

#: ``score=window``: episodes that ended in this last share of the steps done.
WINDOW_SHARE = 0.1


def score(config: Config, run: Path, *, at: int | None = None) -> tuple[float | None, str | None]:
    """The score of a run had it ended with its last row, and why there is none if there is none.

    Args:
        at: what it was after so many environment steps, the end of an iteration, whatever came later.

    ``return_100`` and ``return_all`` are the last row's; ``window`` is the mean return of whole episodes
    that ended in the last 10 % of the steps; ``eval`` is the last deterministic evaluation's mean;
    ``auc`` is the mean height of ``return_100`` from step 0 on (trapezoids, divided by the steps), with the
    random policy's score where it is blank.
    """
    rows = _read(run / "metrics.csv", at)
    if not rows:
        return None, "no iteration was finished"
    if config.score == "eval":
        evaluations = [row for row in _read(run / "eval.csv", at) if row["mode"] == "deterministic"]
        if not evaluations:
            return None, "no evaluation was made"
        last = evaluations[-1]["return_mean"]
        return (float(last), None) if last else (None, "an episode of the last evaluation diverged (train.log says how)")
    if config.score == "window":
        return _window(rows, _read(run / "episodes.csv", at))
    if config.score == "auc":
        return _auc(rows, config.env)
    value = rows[-1][config.score]
    return (float(value), None) if value else (None, "no training episode was finished")


def diverged_score(config: Config, run: Path, *, worse: Callable[[float, float], float] = min) -> float | None:
    """What a diverged run counts as: the worse of its last finite score and the random policy's (docs/numbers.md §2).

    Args:
        worse: of two; the lower one, unless scores are costs.
    """
    last, _ = score(config, run)
    try:
        random: float | None = random_score(config.env)
    except ValueError:
        random = None
    known = [value for value in (last, random) if value is not None]
    return reduce(worse, known) if known else None


def _window(rows: list[dict[str, str]], ended: list[dict[str, str]]) -> tuple[float | None, str | None]:
    start = (1 - WINDOW_SHARE) * int(rows[-1]["env_steps"])
    episodes = [row for row in ended if row["partial"] == "0" and int(row["env_steps"]) > start]
    if not episodes:
        return None, "no training episode ended in the last 10 % of the steps"
    return sum(float(row["return"]) for row in episodes) / len(episodes), None


def _auc(rows: list[dict[str, str]], env: EnvConfig) -> tuple[float | None, str | None]:
    try:
        start = random_score(env)
    except ValueError as error:
        return None, f"env.score_random is not set, and {error}"
    # At step 0 no episode is finished either.
    steps = [0, *(int(row["env_steps"]) for row in rows)]
    heights = [start, *(float(row["return_100"]) if row["return_100"] else start for row in rows)]
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(steps, steps[1:], heights, heights[1:], strict=False))
    return area / steps[-1], None


def random_score(env: EnvConfig) -> float:
    """``env.score_random``, or where that is null its measurement: mean of 100 episodes of uniform actions, seed 0.

    Raises:
        ValueError: if it cannot be measured: the environment has no uniform actions, or raises something, or gives no finite return.
    """
    if env.score_random is not None:
        return env.score_random
    key = repr(env)
    if key not in _measured:
        _measured[key] = _measure(env)
    return _measured[key]


_measured: dict[str, float] = {}


def _measure(env: EnvConfig) -> float:
    try:
        mean = float(evaluate_random(env, episodes=100, seed=0).returns.mean())
    except Exception as error:  # an environment may raise anything, long after the runs in it have ended
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not math.isfinite(mean):
        raise ValueError("a random episode's return is not finite")
    return mean


def _read(path: Path, at: int | None) -> list[dict[str, str]]:
    """Rows of a table that hold what came up to ``at`` environment steps."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if at is None or int(row["env_steps"]) <= at]
