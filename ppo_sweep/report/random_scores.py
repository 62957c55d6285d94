"""The random policy's score where a configuration sets none: kept in ``study.json``, else measured (``env.score_random``).

Only what is needed is measured, because it takes a hundred episodes: of environments in which a run diverged, and of
those that have a reference score to normalise by beside other environments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ppo_sweep.runs import stored_config
from ppo_sweep.runs.errors import DirectoryBusy, StorageError
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.naming import shortest
from ppo_sweep.runs.study_file import StudyFile, read_study

#: In ``study.json``: environment in words → mean return of 100 episodes of uniform actions.
KEY = "score_random"

#: Knobs that change what uniform actions are worth, beside ``kwargs``, and what they are without being set.
_MATTERS = {"max_episode_steps": None, "action_repeat": 1}

#: Study → environment in words → score.
Measured = Mapping[Path, Mapping[str, float]]


def environment(config: Mapping[str, Any]) -> str:
    """An environment in words, under which its random score is kept: ``Any-v0``, ``Any-v0, action_repeat=2``.

    Args:
        config: full key → value.
    """
    changed = {name: value for name, plain in _MATTERS.items() if (value := config.get(f"env.{name}", plain)) != plain}
    changed |= {key.removeprefix("env."): value for key, value in config.items() if key.startswith("env.kwargs.")}
    return ", ".join([str(config.get("env.id", "")), *(f"{name}={shortest(value)}" for name, value in sorted(changed.items()))])


def complete(runs: pd.DataFrame, studies: Mapping[str, Path], configs: Mapping[str, Mapping[str, Any]]) -> tuple[Measured, dict[str, str]]:
    """Fill the blanks of ``runs["random"]`` as far as they are kept, or needed and can be measured.

    Args:
        runs: as ``Results.runs``, changed in place. studies, configs: of each run.

    Returns:
        What was measured, and run → why its score could not be.
    """
    blank = {str(run): (studies[run], environment(configs[run])) for run in runs.index[runs["random"].isna()]}
    known = {(study, name): score for study in {study for study, _ in blank.values()} for name, score in _kept(study).items()}
    several = runs["env"].nunique() > 1
    measured: dict[Path, dict[str, float]] = {}
    why: dict[str, str] = {}
    for run, place in blank.items():
        needed = runs.at[run, "state"] == "diverged" or (several and math.isfinite(runs.at[run, "reference"]))
        if place in known or not needed:
            continue
        try:
            known[place] = _measure(Path(runs.at[run, "path"]))
            measured.setdefault(place[0], {})[place[1]] = known[place]
        except Exception as error:  # an environment that is not installed here, a damaged file: whatever keeps it from being measured
            why[run] = " ".join(str(error).split())[:120]
    for run, place in blank.items():
        runs.at[run, "random"] = known.get(place, math.nan)
    return measured, why


def keep(measured: Measured) -> None:
    """Write what was measured into ``study.json``; a study that is in use, or cannot be written, is left as it is."""
    for study, scores in measured.items():
        with suppress(DirectoryBusy, StorageError):
            lock = RunLock(study)
            try:
                before = read_study(study)
                if before is not None:
                    StudyFile.open(study, command=before.command, members=[], other={KEY: {**_kept(study), **scores}})
            finally:
                lock.release()


def _kept(study: Path) -> dict[str, float]:
    """What ``study.json`` holds; nothing if it is damaged, which :func:`places.find` has said."""
    try:
        found = read_study(study)
    except StorageError:
        return {}
    scores = {} if found is None else found.other.get(KEY)
    if not isinstance(scores, dict):
        return {}
    return {name: float(score) for name, score in scores.items() if isinstance(score, (int, float)) and math.isfinite(score)}


def _measure(run: Path) -> float:
    # The environment, and with it torch, is behind this import.
    from ppo_sweep.runs.score import random_score

    return random_score(stored_config.read_config(run).env)
