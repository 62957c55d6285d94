"""What a run is worth: one number from its own files, or null with the reason (PROTOCOL §1)."""

from __future__ import annotations

import csv
from pathlib import Path

from ppo_sweep.config import Config

#: ``score=window``: episodes that ended in this last share of the steps done.
WINDOW_SHARE = 0.1


def score(config: Config, run: Path) -> tuple[float | None, str | None]:
    """The score of a run had it ended with its last row, and why there is none if there is none.

    ``return_100`` and ``return_all`` are the last row's; ``window`` is the mean return of whole episodes
    that ended in the last 10 % of the steps; ``eval`` is the last deterministic evaluation's mean;
    ``auc`` is the mean height of ``return_100`` over the steps (trapezoids, divided by the steps), with the
    random policy's score where it is blank.
    """
    rows = _read(run / "metrics.csv")
    if not rows:
        return None, "no iteration was finished"
    if config.score == "eval":
        evaluations = [row for row in _read(run / "eval.csv") if row["mode"] == "deterministic"]
        return (float(evaluations[-1]["return_mean"]), None) if evaluations else (None, "no evaluation was made")
    if config.score == "window":
        return _window(rows, run)
    if config.score == "auc":
        return _auc(rows, config.env.score_random)
    value = rows[-1][config.score]
    return (float(value), None) if value else (None, "no training episode was finished")


def _window(rows: list[dict[str, str]], run: Path) -> tuple[float | None, str | None]:
    start = (1 - WINDOW_SHARE) * int(rows[-1]["env_steps"])
    episodes = [row for row in _read(run / "episodes.csv") if row["partial"] == "0" and int(row["env_steps"]) > start]
    if not episodes:
        return None, "no training episode ended in the last 10 % of the steps"
    return sum(float(row["return"]) for row in episodes) / len(episodes), None


def _auc(rows: list[dict[str, str]], score_random: float | None) -> tuple[float | None, str | None]:
    steps = [int(row["env_steps"]) for row in rows]
    if score_random is None and not all(row["return_100"] for row in rows):
        return None, "return_100 is blank in the first rows and env.score_random is not set"
    heights = [float(row["return_100"] or score_random or 0.0) for row in rows]
    if len(rows) == 1:
        return heights[0], None
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(steps, steps[1:], heights, heights[1:], strict=False))
    return area / (steps[-1] - steps[0]), None


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
