"""What each rung knows of the end: the trials that are never pruned show what the others were pruned for (docs/studies.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ppo_sweep.report.study.searched import Search, Trial
from ppo_sweep.sweep.study.confirmation import COMPLETE, PRUNED
from ppo_sweep.sweep.study.pruners import Course, Judge

#: Fewer trials have no rank correlation.
LEAST = 3
#: Share of the audited trials that counts as their top.
TOP = 0.1


@dataclass(frozen=True)
class RungAudit:
    """One rung.

    Attributes:
        steps: where it is, in environment steps.
        reached: trials that reported there.
        pruned: trials that were pruned there.
        audited: never-pruned trials that reported there and are complete.
        correlation: Spearman's, of their values there with their values at the end; NaN below three, or without spread.
        top: how many of them are the final top tenth of the audited trials (one at least).
        killed: how many of those this rung would have pruned.
    """

    steps: int
    reached: int
    pruned: int
    audited: int
    correlation: float
    top: int
    killed: int


def audit(search: Search) -> list[RungAudit]:
    """Every rung that was reported at, first to last; none with several objectives."""
    if len(search.objectives) > 1:
        return []
    rungs = search.rungs
    trials = [trial for trial in search.trials if trial.result.same_as is None]
    audited = [trial for trial in trials if trial.audited and trial.state == COMPLETE and trial.result.values is not None]
    top = _top(audited, search)
    judge = Judge(str(search.options.get("pruner", "none")), search.objectives[0], search.seed, max(len(rungs), search.judged_at))
    courses = {trial.number: _course(trial, rungs) for trial in trials}
    found = []
    for place, steps in enumerate(rungs):
        there = [trial for trial in audited if steps in trial.reported]
        killed = [trial for trial in top if steps in trial.reported and _would_prune(judge, trial, place, trials, courses)]
        found.append(
            RungAudit(
                steps,
                reached=sum(steps in trial.reported for trial in trials),
                pruned=sum(trial.state == PRUNED and max(trial.reported, default=None) == steps for trial in trials),
                audited=len(there),
                correlation=rank_correlation([trial.reported[steps] for trial in there], [trial.value() for trial in there]),
                top=len(top),
                killed=len(killed),
            )
        )
    return found


def rank_correlation(early: Sequence[float], late: Sequence[float]) -> float:
    """Spearman's ρ; NaN for fewer than three pairs, or where one side has no spread."""
    if len(early) < LEAST or len(set(early)) < 2 or len(set(late)) < 2:
        return math.nan
    return float(np.asarray(stats.spearmanr(early, late).statistic))


def _top(audited: Sequence[Trial], search: Search) -> list[Trial]:
    """The final top tenth of the audited trials, one at least."""
    sign = 1.0 if search.objectives[0].maximize else -1.0
    ranked = sorted(audited, key=lambda trial: (-sign * trial.value(), trial.number))
    return ranked[: max(1, math.ceil(round(TOP * len(ranked), 9)))]


def _would_prune(judge: Judge, trial: Trial, rung: int, trials: Sequence[Trial], courses: dict[int, Course]) -> bool:
    """The study's own rule at a rung, against the trials before this one."""
    own = courses[trial.number]
    until = Course(own.number, {at: value for at, value in own.values.items() if at <= rung}, own.seeds, None)
    others = [courses[other.number] for other in trials if other.number < trial.number and other.reported]
    return judge.reason(until, rung, others) is not None


def _course(trial: Trial, rungs: Sequence[int]) -> Course:
    values = {place: trial.reported[steps] for place, steps in enumerate(rungs) if steps in trial.reported}
    return Course(trial.number, values, trial.seeds_at, trial.value() if trial.state == COMPLETE else None)
