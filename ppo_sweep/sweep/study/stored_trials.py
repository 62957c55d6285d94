"""Trials as the storage holds them, for whoever did not conduct them: another process, ``status``, ``fsck``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial

from ppo_sweep.sweep.study.asking import OVERRIDES
from ppo_sweep.sweep.study.confirmation import COMPLETE, TrialResult
from ppo_sweep.sweep.study.pruners import Course
from ppo_sweep.sweep.study.rungs import Rungs

#: Trial attributes that are written before a trial is told.
SCORES, ENV_STEPS, DIVERGED, REASON = "scores", "env_steps", "diverged", "reason"
#: Trial attribute that is written when a trial is asked for: the earlier trial of the same configuration.
SAME_AS = "same_as"


def rung_key(rung: int, run: str) -> str:
    """The trial attribute that holds what a run was worth at a rung."""
    return f"rung {rung} {run}"


def result(trial: FrozenTrial) -> TrialResult | None:
    """A trial that has ended; None if it has not."""
    if not trial.state.is_finished():
        return None
    kept = trial.user_attrs
    return TrialResult(
        number=trial.number,
        state=trial.state.name,
        values=None if trial.values is None else tuple(trial.values),
        scores=tuple(kept.get(SCORES, ())),
        overrides=kept.get(OVERRIDES, {}),
        env_steps=int(kept.get(ENV_STEPS, 0)),
        diverged=int(kept.get(DIVERGED, 0)),
        reason=kept.get(REASON),
        same_as=kept.get(SAME_AS),
    )


def course(trial: FrozenTrial, rungs: Rungs, runs: Sequence[tuple[str, object]]) -> Course:
    """A trial as pruners compare with it.

    Args:
        runs: name and seed (with environment) of each of its runs.
    """
    seeds: dict[int, Mapping[object, float]] = {}
    values: dict[int, float] = {}
    for index, rung in enumerate(rungs):
        if rung.steps in trial.intermediate_values:
            values[index] = trial.intermediate_values[rung.steps]
            at = {seed: trial.user_attrs.get(rung_key(index, name)) for name, seed in runs}
            seeds[index] = {seed: value for seed, value in at.items() if value is not None}
    return Course(trial.number, values, seeds, trial.values[0] if trial.state.name == COMPLETE and trial.values else None)
