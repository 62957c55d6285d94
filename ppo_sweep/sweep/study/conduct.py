"""The conductor: which trials are asked for, where their runs go, and what becomes of them, event by event.

Its decisions are a function of the study's definition and of what runs came to, not of when anything
happened: events come in the order of :mod:`~ppo_sweep.sweep.study.timeline`. So a study is taken up again by going
through it from its first event on. Trials that the storage holds are not asked for again, and iterations
that a run has on disk are not trained again, so this takes a moment, and ends in the state in which the
process before was killed, whatever instruction it was at: nothing has to be kept of that state itself.

In a storage that several processes share, each has its own trials and its own events; those of the others are known
as the storage holds them at the moment.

A trial is bound to the worker of the slot that asked for it. Its runs take slots of that worker as they
become free, so that a worker depends on the others only through the history that the sampler and the pruner see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.trainer import RunResult
from ppo_sweep.sweep.directories import wait_until_free
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.study import asking, stored_trials
from ppo_sweep.sweep.study.comparing import Comparison
from ppo_sweep.sweep.study.confirmation import COMPLETE, FAIL, PRUNED
from ppo_sweep.sweep.study.pieces import NoWorth, Piece, TrialRuns
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.timeline import Event, Timeline
from ppo_sweep.sweep.study.trials import Trials

#: A run that is found in use waits so long for its writer to go: workers of a killed process take a moment.
_ORPHANS_SECONDS = 30.0

#: After so many trials in a row that repeat earlier ones no other is asked for.
REPEATS = 50


class Conductor:
    """See the module.

    Args:
        workers: the worker of each slot.
        begins: whether a trial that the storage does not hold may be asked for now (time limits).
        stopped: whether the process is to end: then nothing more is decided. A slot that was refused a trial would let later events
            pass, and whoever goes through the study again would meet others.
        note: called with what people should know.

    Attributes:
        trials: as far as the timeline has come.
        training: workers that are at an iteration, which they say with :meth:`passed`.
        evictions: worker → runs of pruned trials that it has to end where they stand.
    """

    def __init__(
        self,
        request: StudyRequest,
        study: Path,
        record: Record,
        ledger: Ledger,
        workers: Sequence[int],
        *,
        begins: Callable[[], bool] = lambda: True,
        stopped: Callable[[], bool] = lambda: False,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        options = request.options
        self._request, self._record, self._ledger, self._begins, self._note = request, record, ledger, begins, note
        self._stopped = stopped
        self._said = self._refused = False
        self._timeline = Timeline(workers)
        self._objective = options.objectives[0]
        self._pieces: dict[int, Piece] = {}
        self.trials = Trials(request, study, record, note)
        self._comparison = Comparison(request, record, self.trials)
        self.training: set[int] = set()
        self.evictions: dict[int, list[Piece]] = {worker: [] for worker in workers}

    # ------------------------------------------------------------------ for whoever trains

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return all(slot.resting for slot in self._timeline.slots) and not any(self.evictions.values())

    def has_work(self, worker: int) -> bool:
        """Whether there is still something to do for a worker."""
        return any(slot.worker == worker and not slot.resting for slot in self._timeline.slots)

    def advance(self) -> None:
        """Handle every event that can be, and go over iterations that need no training."""
        moved = True
        while moved:
            moved = False
            while not self._stopped() and (event := self._timeline.next()) is not None:
                self._handle(event)
                moved = True
            for worker in self.evictions:
                pieces = self.due(worker) if worker not in self.training else []
                if pieces and not any(piece.must_train for piece in pieces):
                    self.passed(pieces)
                    moved = True

    def due(self, worker: int) -> list[Piece]:
        """Runs that go through their next iteration together now; empty if the worker must wait."""
        return [self._pieces[self._job(slot)] for slot in self._timeline.training(worker)]

    def passed(self, pieces: Sequence[Piece]) -> None:
        """These runs have gone through an iteration, or tried to."""
        for piece in pieces:
            assert piece.slot is not None
            self._timeline.step(piece.slot, piece.config.steps_per_iteration)
            piece.iteration += 1
            if piece.has_ended or any(index not in piece.values for index in self._rungs_behind(piece)):
                self._timeline.report(piece.slot, piece.trial, piece.index)

    def piece(self, job: int) -> Piece:
        """By its number in the ledger."""
        return self._pieces[job]

    def settle(self, piece: Piece, result: RunResult, rungs: Collection[int] | None = None) -> None:
        """What came of a run is known, if not yet on its slot's clock.

        Args:
            rungs: that it is known to have passed; by default those that have been handled.
        """
        piece.result, piece.loaded = result, False
        if result.state == "done":
            piece.length = piece.config.iterations
        else:  # it ended in the iteration after the last one that is on disk
            passed = piece.values if rungs is None else rungs
            handled = [rung.iteration(piece.config) for index, rung in enumerate(self._request.rungs) if index in passed]
            piece.length = max([read_status(piece.path).iteration, *handled]) + 1

    def go_back(self, piece: Piece) -> None:
        """The worker of a run was lost: what is not on disk has to be trained again."""
        piece.loaded = False
        piece.look()
        if piece.slot is not None and not piece.over and piece.iteration > piece.on_disk:
            piece.iteration = piece.on_disk
            self._timeline.back(piece.slot, piece.placed_at + piece.iteration * piece.config.steps_per_iteration)

    def left_behind(self) -> bool:
        """Whether there are trials of a process that has ended in the meantime."""
        return bool(self._record.nobodys())

    # ------------------------------------------------------------------ events

    def _handle(self, event: Event) -> None:
        if event.free:
            self._fill(event.slot)
        else:
            piece = self._pieces[self._job(event.slot)]
            if piece.has_ended:
                self._end(piece)
            else:
                self._pass_rungs(piece)

    def _job(self, slot: int) -> int:
        job = self._timeline.slots[slot].job
        assert job is not None
        return job

    def _fill(self, slot: int) -> None:
        """Give a free slot something to do."""
        worker = self._timeline.slots[slot].worker
        waiting = (piece for trial in self.trials.own.values() if trial.worker == worker for piece in trial.pieces if piece.slot is None)
        piece = next(waiting, None)
        while piece is None:
            if self._stopped():  # trials that repeat others follow each other without a pause
                self._timeline.vacate(slot)
                return
            trial = self._ask(worker)
            if trial is None:
                self._timeline.rest(slot)
                return
            piece = next(iter(trial.pieces), None)  # none where the same configuration was tried before
        self._place(piece, slot)

    def _ask(self, worker: int) -> TrialRuns | None:
        """Another trial, if there is to be one."""
        asked = self._record.next(self._may_begin)
        if asked is None:
            return None
        runs = list(self.trials.runs(asked.number, asked.overrides))
        trial = TrialRuns(asked.number, worker, asked.overrides, runs)
        began = any(self._record.has(trial.number, _placed(piece)) for piece in runs)
        earlier = None if began else self.trials.same_as(trial)
        self.trials.own[asked.number] = trial
        if earlier is not None:
            self.trials.repeat(trial, earlier)
        return trial

    def _may_begin(self, already: int) -> bool:
        """Whether there may be one more trial beside so many.

        The first refusal is the last word, although a trial that is pruned later leaves room below ``max_env_steps``: when the study is
        gone through again, the slot that was refused would get the trial that another slot was given after it.
        """
        options = self._request.options
        self._refused = self._refused or not (
            already < self._request.most_trials
            and not self._exhausted()
            and (options.max_env_steps is None or self.trials.steps() < options.max_env_steps)
            and self._begins()
        )
        return not self._refused

    def _exhausted(self) -> bool:
        """Whether the sampler has come upon nothing new for long: then there is hardly anything left to try."""
        last = list(self.trials.own.values())[-REPEATS:]
        over = len(last) == REPEATS and all(trial.same_as is not None for trial in last)
        if over and not self._said:
            self._said = True
            self._note(f"the last {REPEATS} trials were configurations that had been tried: the search ends here")
        return over

    def end_pruned_runs(self) -> None:
        """Have the runs ended that were left where they stood by a process that was killed when it had pruned their trial."""
        for trial in self._record.pruned_by_others():
            for piece in self.trials.runs(trial.number, trial.user_attrs.get(asking.OVERRIDES, {})):
                wait_until_free([piece.path], _ORPHANS_SECONDS)
                if read_status(piece.path).state in ("interrupted", "stopped") and self._record.take(trial.number):
                    piece.job, piece.over = self._enter(piece, trial.user_attrs.get(asking.OVERRIDES, {})), True
                    piece.look()
                    piece.iteration = piece.on_disk
                    self.evictions[min(self.evictions)].append(piece)

    def _enter(self, piece: Piece, overrides: Mapping[str, Any]) -> int:
        """The number of a run in the ledger, where it is from now on."""
        job = self._ledger.add(self.trials.job(piece, overrides))
        self._pieces[job] = piece
        return job

    def _place(self, piece: Piece, slot: int) -> None:
        wait_until_free([piece.path], _ORPHANS_SECONDS)
        trial = self.trials.own[piece.trial]
        piece.job = self._enter(piece, trial.overrides)
        piece.slot = slot
        piece.placed_at = self._timeline.place(slot, piece.job, piece.config.signature)
        self._record.note(trial.number, _placed(piece), [slot, piece.placed_at])
        result = self._ledger.results.get(piece.job)
        if result is None:
            piece.look()
            return
        # A lost worker's run may have passed rungs before it was given up.
        rungs = range(len(self._request.rungs))
        self.settle(piece, result, [index for index in rungs if self._record.has(trial.number, stored_trials.rung_key(index, piece.name))])

    def _rungs_behind(self, piece: Piece) -> dict[int, int]:
        """Rungs that a run has passed, with the iterations that they come after."""
        iterations = {index: rung.iteration(piece.config) for index, rung in enumerate(self._request.rungs)}
        return {index: iteration for index, iteration in iterations.items() if iteration <= piece.iteration}

    def _pass_rungs(self, piece: Piece) -> None:
        """Note what a run was worth at the rungs that it has passed."""
        for index, iteration in self._rungs_behind(piece).items():
            if index not in piece.values:
                key = stored_trials.rung_key(index, piece.name)
                if not self._record.has(piece.trial, key):
                    self._record.note(piece.trial, key, piece.score_after(iteration, self._objective))
                piece.values[index] = self._record.noted(piece.trial, key)
        self._compare(self.trials.own[piece.trial])

    def _end(self, piece: Piece) -> None:
        assert piece.slot is not None and piece.result is not None
        trial = self.trials.own[piece.trial]
        if piece.result.state == "pruned":  # by a judgement of before that is not repeated
            self._prune(trial, "it was pruned before")
            return
        piece.over = True
        self._record.note(trial.number, f"end {piece.name}", [piece.result.state, piece.iteration])
        self._timeline.vacate(piece.slot)
        if all(other.over for other in trial.pieces):
            self._finish(trial)
        else:
            self._compare(trial)

    # ------------------------------------------------------------------ rungs

    def _compare(self, trial: TrialRuns) -> None:
        """Report a trial at every rung that all its runs have passed, and prune it if it is behind there."""
        for index, rung in enumerate(self._request.rungs):
            if index in trial.judged:
                continue
            if not all(index in piece.values or (piece.over and piece.diverged) for piece in trial.pieces):
                return
            trial.judged.add(index)
            value = self._comparison.worth_at(trial, index)
            if value is None:
                continue
            trial.values[index] = value
            before = self._record.is_reported(trial.number, rung.steps)
            self._record.report(trial.number, rung.steps, value)
            if self._record.is_told(trial.number):
                # Judged by what was known then: trials that a longer study has added since may have reported before this one.
                reason = self._record.pruned_at(trial.number, rung.steps)
            else:
                behind = self._comparison.reason(trial, index, before=before)
                reason = None if behind is None else f"at {rung.steps} steps: {behind}"
            if reason is not None:
                self._prune(trial, reason)
                return
            self._record.judged(trial.number, index)

    def _prune(self, trial: TrialRuns, reason: str) -> None:
        for piece in trial.pieces:
            if not piece.over and piece.slot is not None:
                piece.over = True
                self._timeline.vacate(piece.slot)
                if piece.result is None:
                    self.evictions[trial.worker].append(piece)
        if trial.values:
            rung = max(trial.values)
            trial.final, trial.scores = (trial.values[rung],), self._comparison.seed_scores_at(trial, rung)
        self.trials.tell(trial, PRUNED, reason)

    # ------------------------------------------------------------------ ends

    def _finish(self, trial: TrialRuns) -> None:
        """All runs of a trial have ended."""
        failed = [piece for piece in trial.pieces if piece.result is not None and piece.result.state == "failed"]
        if failed:
            assert failed[0].result is not None
            self.trials.tell(trial, FAIL, f"{failed[0].name}: {failed[0].result.reason}")
            return
        try:
            trial.weigh(self._request.options.objectives)
        except NoWorth as error:
            self.trials.tell(trial, FAIL, str(error))
            return
        self._compare_ended(trial)
        self.trials.tell(trial, COMPLETE, None)

    def _compare_ended(self, trial: TrialRuns) -> None:
        """Rungs that were open because a run of the trial has only now turned out to have diverged: reported, not judged."""
        for index, rung in enumerate(self._request.rungs):
            if index not in trial.judged:
                trial.judged.add(index)
                value = self._comparison.worth_at(trial, index)
                if value is not None:
                    trial.values[index] = value
                    self._record.report(trial.number, rung.steps, value)


def _placed(piece: Piece) -> str:
    """The trial attribute that is written when a run gets its slot."""
    return f"placed {piece.name}"
