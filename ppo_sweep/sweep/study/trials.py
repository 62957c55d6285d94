"""The trials of a study: those of this process, those of others as the storage holds them, and the table of both."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo_sweep.runs.status import read_status
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.study import asking, stored_trials, trials_table
from ppo_sweep.sweep.study.claims import trial_directory
from ppo_sweep.sweep.study.confirmation import COMPLETE, TrialResult
from ppo_sweep.sweep.study.pieces import Piece, TrialRuns
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest


class Trials:
    """See the module.

    Args:
        study: its directory.
        note: called with what people should know.

    Attributes:
        own: of this process, by number, in the order in which they were asked for.
        best: number and value of the best complete trial so far, by the first objective.
    """

    def __init__(self, request: StudyRequest, study: Path, record: Record, note: Callable[[str], None]) -> None:
        self._request, self._study, self._record, self._note = request, study, record, note
        self.own: dict[int, TrialRuns] = {}
        self.best: tuple[int, float] | None = None
        self._complete: dict[int, TrialResult] = {}
        self._configurations: dict[int, tuple[str, ...]] = {}

    def names(self) -> list[tuple[str, int, str | None]]:
        """Of the runs of every trial: path below the trial's directory, seed, environment."""
        options = self._request.options
        return [
            (f"seed={seed}" if environment is None else f"env={environment}/seed={seed}", seed, environment)
            for seed in options.tuning_seeds
            for environment in options.env or (None,)
        ]

    def runs(self, number: int, overrides: Mapping[str, Any]) -> Iterator[Piece]:
        """The runs of a trial, seed by seed."""
        request = self._request
        for index, (name, seed, environment) in enumerate(self.names()):
            made = request.space.config(overrides, environment)
            config = made.replace(seed=seed, study=request.name, force=False, retry_failed=False)
            yield Piece(number, index, name, environment, config, trial_directory(self._study, number) / name)

    def job(self, piece: Piece, overrides: Mapping[str, Any]) -> Job:
        """A run of a trial as the ledger takes it."""
        env = {"env": piece.environment} if piece.environment else {}
        return Job(piece.config, piece.path, {**self._request.fixed, **env, **overrides, "seed": piece.config.seed})

    def same_as(self, trial: TrialRuns) -> TrialResult | None:
        """The complete trial of the same configuration, whose runs this one's would repeat to the last bit; None if there is none.

        A failed one is not it: what failed may have been the machine. Nor is a pruned one: what it was compared with has changed.
        """
        others = (ended for other in self._record.others() if (ended := stored_trials.result(other)) is not None)
        known = [*self._complete.values(), *(result for result in others if result.state == COMPLETE and result.same_as is None)]
        wanted = self._configuration(trial.number, trial.overrides)
        same = [result for result in known if self._configuration(result.number, result.overrides) == wanted]
        return min(same, key=lambda result: result.number, default=None)

    def _configuration(self, number: int, overrides: Mapping[str, Any]) -> tuple[str, ...]:
        if number not in self._configurations:
            self._configurations[number] = self._request.configuration(overrides)
        return self._configurations[number]

    def repeat(self, trial: TrialRuns, earlier: TrialResult) -> None:
        """Tell of a trial what an earlier one of the same configuration came to; its runs are not trained again."""
        self._record.note(trial.number, stored_trials.SAME_AS, earlier.number)
        for step, value in self._record.reports(earlier.number).items():
            self._record.report(trial.number, step, value)
        trial.same_as, trial.pieces = earlier, []
        trial.final, trial.scores = earlier.values, earlier.scores
        self.tell(trial, earlier.state, f"the same configuration as trial {earlier.number}")

    def steps(self) -> int:
        """Environment steps that all trials have taken, or will."""
        others = 0
        for trial in self._record.others():
            ended = stored_trials.result(trial)
            overrides = trial.user_attrs.get(asking.OVERRIDES, {})
            others += ended.env_steps if ended is not None else sum(_budget(piece) for piece in self.runs(trial.number, overrides))
        return others + sum(self._steps_of(trial) for trial in self.own.values())

    def _steps_of(self, trial: TrialRuns) -> int:
        return trial.env_steps if trial.state else sum(map(_budget, trial.pieces))

    def tell(self, trial: TrialRuns, state: str, reason: str | None) -> None:
        """One of its own has ended."""
        trial.state, trial.reason = state, reason
        if state == COMPLETE and trial.same_as is None:
            self._complete[trial.number] = _result(trial)
        number, diverged = trial.number, trial.diverged
        self._record.note(number, stored_trials.SCORES, list(trial.scores))
        self._record.note(number, stored_trials.ENV_STEPS, trial.env_steps)
        if diverged:
            self._record.note(number, stored_trials.DIVERGED, diverged)
        if reason is not None:
            self._record.note(number, stored_trials.REASON, reason)
        self._record.tell(number, state, trial.final)
        self._consider(number, state, trial.final)
        if not self._record.is_told(number):
            self._note(self._sentence(trial))
            self.write_table()

    def write_table(self) -> None:
        """``trials.csv``, anew."""
        with self._record.alone():
            results = self.results()
            space = self._request.space
            trials_table.write(self._study, results, [searched.key for searched in space.searched], space.default_values())
        for result in results:
            self._consider(result.number, result.state, result.values)

    def _consider(self, number: int, state: str, values: Sequence[float] | None) -> None:
        """Keep the best; of equal ones the first by number, as ``trials.csv`` and ``best.yaml`` have it."""
        if state != COMPLETE or not values:
            return
        better = self._request.options.objectives[0].better
        if self.best is None or better(values[0], self.best[1]) or (values[0] == self.best[1] and number < self.best[0]):
            self.best = number, values[0]

    def _sentence(self, trial: TrialRuns) -> str:
        worth = ", ".join(f"{value:.5g}" for value in trial.final or ()) or "no value"
        if trial.state == COMPLETE:
            spread = f" ± {statistics.stdev(trial.scores):.3g}" if len(trial.scores) > 1 else ""
            same = f", {trial.reason}" if trial.reason else ""
            return f"trial {trial.number}: {worth}{spread}{same}"
        return f"trial {trial.number}: {str(trial.state).lower()}, {worth}: {trial.reason}"

    def jobs(self) -> list[Job]:
        """The runs of all trials that have ended."""
        return [
            self.job(piece, result.overrides)
            for result in self.results()
            for piece in self.runs(result.number, result.overrides)
            if read_status(piece.path).state != "absent"
        ]

    def results(self) -> list[TrialResult]:
        """The trials that have ended, those of other processes as well, by number."""
        own = [_result(trial) for trial in self.own.values() if trial.state is not None]
        others = [ended for trial in self._record.others() if (ended := stored_trials.result(trial)) is not None]
        return sorted([*own, *others], key=lambda result: result.number)


def _result(trial: TrialRuns) -> TrialResult:
    assert trial.state is not None
    return TrialResult(
        number=trial.number,
        state=trial.state,
        values=trial.final,
        scores=trial.scores,
        overrides=trial.overrides,
        env_steps=trial.env_steps,
        diverged=trial.diverged,
        reason=trial.reason,
        same_as=None if trial.same_as is None else trial.same_as.number,
    )


def _budget(piece: Piece) -> int:
    """Environment steps of a whole run."""
    return piece.config.iterations * piece.config.steps_per_iteration
