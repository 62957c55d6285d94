"""What trials are compared by at a rung, and why one is stopped there."""

from __future__ import annotations

from contextlib import suppress

from optuna.trial import FrozenTrial

from ppo_sweep.sweep.study import rungs, stored_trials
from ppo_sweep.sweep.study.confirmation import COMPLETE
from ppo_sweep.sweep.study.pieces import NoWorth, Piece, TrialRuns, seed_scores, worth
from ppo_sweep.sweep.study.pruners import Course, Judge
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.trials import Trials


class Comparison:
    """See the module."""

    def __init__(self, request: StudyRequest, record: Record, trials: Trials) -> None:
        self._request, self._record, self._trials = request, record, trials
        self._objective = request.options.objectives[0]
        self._judge = Judge(request.options.pruner, self._objective, request.seed, len(request.rungs))

    def value_at(self, piece: Piece, rung: int) -> float | None:
        """A run's score at a rung; one that diverged before counts with what stands for it."""
        return piece.values[rung] if rung in piece.values else piece.score(self._objective)

    def worth_at(self, trial: TrialRuns, rung: int) -> float | None:
        """What a trial is worth at a rung; None if that is not defined there, as without a finished episode."""
        values = self._values_at(trial, rung)
        with suppress(NoWorth):  # the trial fails for it when its runs have ended
            return worth(self._objective, trial.pieces, values) if values else None
        return None

    def seed_scores_at(self, trial: TrialRuns, rung: int) -> tuple[float, ...]:
        """What its seeds are worth there; empty as :meth:`worth_at` is None."""
        values = self._values_at(trial, rung)
        with suppress(NoWorth):
            return seed_scores(trial.pieces, values) if values else ()
        return ()

    def _values_at(self, trial: TrialRuns, rung: int) -> list[float]:
        """Of all its runs, or none."""
        values = [value for piece in trial.pieces if (value := self.value_at(piece, rung)) is not None]
        return values if len(values) == len(trial.pieces) else []

    def reason(self, trial: TrialRuns, rung: int, *, before: bool) -> str | None:
        """Why a trial is pruned, if it is.

        Args:
            before: it had been reported there before this process took it up.
        """
        if self._record.went_on(trial.number, self._request.rungs.rungs[rung].steps):
            return None  # by what was known then; trials that a longer study has added may have reported before it since
        request = self._request
        if rungs.never_pruned(request.seed, trial.number, request.options.prune_audit):
            return None
        repeated = before and self._record.again
        if not self._record.again and self._record.is_judged(trial.number, rung):
            return None  # by what was known then
        others = [self._course(other) for other in self._trials.own.values() if other is not trial and other.values]
        if not repeated:
            different = [other for other in self._record.others() if stored_trials.SAME_AS not in other.user_attrs]
            others += filter(lambda course: course.values, map(self._course_of_other, different))
        return self._judge.reason(self._course(trial), rung, others)

    def _course_of_other(self, trial: FrozenTrial) -> Course:
        runs = [(name, (environment, seed)) for name, seed, environment in self._trials.names()]
        return stored_trials.course(trial, self._request.rungs, runs)

    def _course(self, trial: TrialRuns) -> Course:
        seeds: dict[int, dict[object, float]] = {
            rung: {
                (piece.environment, piece.config.seed): value for piece in trial.pieces if (value := self.value_at(piece, rung)) is not None
            }
            for rung in trial.values
        }
        final = trial.final[0] if trial.state == COMPLETE and trial.final is not None else None
        return Course(trial.number, dict(trial.values), seeds, final)
