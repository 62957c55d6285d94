"""Which trials are stopped at a rung: pure functions of what trials reported there.

The rules are those of Optuna's pruners of the same names (tests compare them); its own keep notes in
the storage while they judge, so that a judgement that a kill interrupted would come out differently
the second time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ppo_sweep import randomness
from ppo_sweep.sweep.study.objective import Objective
from ppo_sweep.sweep.study.options import WILCOXON_SEEDS
from ppo_sweep.sweep.study.rungs import REDUCTION

#: ``median`` and ``percentile`` prune nothing before so many trials are complete (Optuna's default).
STARTUP_TRIALS = 5

#: ``percentile`` prunes the worst quarter.
KEPT_PERCENT = 75.0

#: ``wilcoxon`` prunes below this p (Optuna's default).
WILCOXON_P = 0.1


@dataclass(frozen=True)
class Course:
    """What a trial has reported so far.

    Attributes:
        number: of the trial.
        values: rung → its value there (the objective over its seeds), rungs counted from 0.
        seeds: rung → its seeds' scores there, by seed (and environment).
        final: its value at the end; None unless it is complete.
    """

    number: int
    values: Mapping[int, float]
    seeds: Mapping[int, Mapping[object, float]] = field(default_factory=dict)
    final: float | None = None


@dataclass(frozen=True)
class Judge:
    """A pruner.

    Attributes:
        name: one of ``options.PRUNERS``.
        objective: what trials are compared by.
        seed: of the study.
        rungs: how many there are.
    """

    name: str
    objective: Objective
    seed: int
    rungs: int

    def reason(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        """Why ``trial`` is stopped at ``rung``, in words; None = it goes on.

        Args:
            trial: with its value at that rung.
            others: every other trial, as far as it is known at this moment of the study.
        """
        # Order must not matter: everything below is of sets.
        return _RULES[self.name](self, trial, rung, others)

    def _percentile(self, trial: Course, rung: int, others: Sequence[Course], kept: float) -> str | None:
        complete = [other for other in others if other.final is not None]
        reached = [other.values[rung] for other in complete if rung in other.values]
        if len(complete) < STARTUP_TRIALS or not reached:
            return None
        best = self._best([value for at, value in trial.values.items() if at <= rung])
        limit = float(np.percentile(reached, 100 - kept if self.objective.maximize else kept))
        if not self.objective.better(limit, best):
            return None
        return f"{best:.4g} at its best is behind {'the median' if kept == 50 else 'three quarters'} ({limit:.4g}) of {len(reached)} trials"

    def _median(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        return self._percentile(trial, rung, others, 50.0)

    def _three_quarters(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        return self._percentile(trial, rung, others, KEPT_PERCENT)

    def _asha(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        own = trial.values[rung]
        reached = [other.values[rung] for other in others if rung in other.values]
        ahead = sum(self.objective.better(value, own) for value in reached)
        places = max(1, (len(reached) + 1) // REDUCTION)
        if ahead < places:
            return None
        return f"{own:.4g} is place {ahead + 1} of {len(reached) + 1} that came here, and {places} go{'es' * (places == 1)} on"

    def _hyperband(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        bracket = self.bracket(trial.number)
        if rung < bracket:
            return None
        return self._asha(trial, rung, [other for other in others if self.bracket(other.number) == bracket])

    def bracket(self, number: int) -> int:
        """The bracket of a trial under ``hyperband``: how many rungs it passes unjudged.

        Drawn with probabilities that give every bracket about the same budget (Li et al. 2018, arXiv 1603.06560):
        of those that are judged later, fewer.
        """
        brackets = self.rungs + 1  # the last one is never judged
        judged = brackets - 1 - np.arange(brackets)
        weights = REDUCTION**judged / (judged + 1.0)
        return int(randomness.generator(self.seed, "bracket", number).choice(brackets, p=weights / weights.sum()))

    def _wilcoxon(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        from scipy.stats import wilcoxon

        complete = [other for other in others if other.final is not None]
        if not complete:
            return None
        value = self._best([other.final for other in complete if other.final is not None])
        best = min((other for other in complete if other.final == value), key=lambda other: other.number)
        own, its = trial.seeds.get(rung, {}), best.seeds.get(rung, {})
        pairs = [(own[seed], its[seed]) for seed in own if seed in its]
        if len(pairs) < WILCOXON_SEEDS:
            return None
        behind = [(b - a if self.objective.maximize else a - b) for a, b in pairs]
        if statistics.fmean(behind) <= 0:
            return None
        p = float(wilcoxon(behind, alternative="greater", zero_method="zsplit").pvalue)
        return f"behind trial {best.number}, the best, seed by seed (p = {p:.3g}, {len(pairs)} pairs)" if p < WILCOXON_P else None

    def _never(self, trial: Course, rung: int, others: Sequence[Course]) -> str | None:
        return None

    def _best(self, values: Sequence[float]) -> float:
        return max(values) if self.objective.maximize else min(values)


_RULES: Mapping[str, Callable[[Judge, Course, int, Sequence[Course]], str | None]] = {
    "median": Judge._median,
    "percentile": Judge._three_quarters,
    "asha": Judge._asha,
    "hyperband": Judge._hyperband,
    "wilcoxon": Judge._wilcoxon,
    "none": Judge._never,
}
