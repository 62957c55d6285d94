"""Where every run of a sweep stands: what is finished, what waits, what came of it, and which may have killed a worker.

The sweep's memory, mirrored to ``study.json`` and, for runs that wait, to their ``status.json``. A job
is a number here: its place among the jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory, look
from ppo_sweep.runs.errors import DirectoryBusy, DirectoryMismatch, StorageError
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.places import make_directory
from ppo_sweep.runs.status import Status, read_status, write_status
from ppo_sweep.runs.stored_config import check_config, write_config
from ppo_sweep.runs.study_file import StudyFile, StudyMember
from ppo_sweep.runs.trainer import EXIT_CODES, RunResult
from ppo_sweep.sweep.board import MemberLine
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.messages import Assignment, Report
from ppo_sweep.sweep.pool import Lost
from ppo_sweep.sweep.queue import Waiting


class Ledger:
    """The runs of one sweep; its writer holds the study's lock.

    Args:
        jobs: with different paths below ``study``.
        command: as typed.
        max_restarts: how often a run is taken up again after its worker was lost.
        ended: called with every job that ends, and what came of it.
        note: called with what people should know.
        other: what else ``study.json`` is to hold.
        listed: whether the runs are listed in ``study.json``; not where another process writes it.

    Attributes:
        jobs: by number.
        results: what came of the jobs that have ended.
        steps: environment steps done, by job.

    Raises:
        DirectoryMismatch, StorageError: as :func:`ppo_sweep.runs.directory.look`.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        study: Path,
        *,
        command: Sequence[str],
        max_restarts: int,
        ended: Callable[[int, RunResult], None],
        note: Callable[[str], None],
        other: Mapping[str, Any] | None = None,
        listed: bool = True,
    ) -> None:
        self.jobs: list[Job] = []
        self._study, self._max_restarts = study, max_restarts
        self._on_ended, self._note = ended, note
        self.results: dict[int, RunResult] = {}
        self.steps: dict[int, int] = {}
        self._latest: dict[int, Mapping[str, Any]] = {}
        #: Opened by a worker at least once: ``force`` has done its work.
        self._opened: set[int] = set()
        self._suspicion = _Suspicion(max_restarts)
        self._study_writes = True
        members = [self._member(self._enter(job)) for job in jobs]
        self._file = StudyFile.open(study, command=command, members=members, other=other) if listed else None
        self.notes = tuple(self._file.notes) if self._file is not None else ()

    def add(self, job: Job) -> int:
        """One more job; its number.

        Raises:
            DirectoryMismatch, StorageError: as :func:`ppo_sweep.runs.directory.look`.
        """
        number = self._enter(job)
        self._guarded(lambda file: file.add(self._member(number)))
        return number

    def _enter(self, job: Job) -> int:
        number = len(self.jobs)
        self.jobs.append(job)
        found = look(job.config, job.path)
        if found is not None:
            self.results[number] = RunResult.of(job.path, found)
        self.steps[number] = job.config.budget if found is not None else self._steps_on_disk(number)
        return number

    # ------------------------------------------------------------------ what is left

    def waiting(self, number: int) -> Waiting:
        """A job as the queue takes it."""
        return Waiting(number, self.jobs[number].config.signature, self.left(number), self.alone(number))

    def left(self, number: int) -> int:
        """Environment steps left, at least 1."""
        return max(1, self.jobs[number].config.budget - self.steps[number])

    def alone(self, number: int) -> bool:
        """Whether the job must have no neighbours."""
        return self._suspicion.alone(number)

    def assignment(self, number: int) -> Assignment:
        """A job as a worker takes it."""
        job = self.jobs[number]
        return Assignment(number, self._config(number), job.path, job.words)

    def _config(self, number: int) -> Config:
        """What a lost worker has begun is continued, also under ``force=true``, which asked for one new beginning."""
        config = self.jobs[number].config
        return config.replace(force=False) if number in self._opened else config

    def announce(self, number: int) -> None:
        """Give a run not begun yet a directory that says it is queued."""
        job = self.jobs[number]
        if read_status(job.path).state != "absent":
            return
        with ExitStack() as stack, suppress(DirectoryBusy, DirectoryMismatch):  # whoever has it will say where it stands
            make_directory(job.path)
            lock = RunLock(job.path)
            stack.callback(lock.release)
            if not check_config(job.path, job.config):
                write_config(job.path, job.config)
            if read_status(job.path).state == "absent":
                write_status(job.path, Status("queued", overrides=job.words), durably=False)

    # ------------------------------------------------------------------ what happens

    def digest(self, report: Report, *, requeue: bool) -> list[int]:
        """Take note of what a worker reports.

        Args:
            requeue: runs that it has stopped wait again; otherwise that is their end.

        Returns:
            Jobs that are to be queued again.
        """
        for note in report.notes:
            self._note(note)
        if report.begun is not None:
            self._opened.add(report.begun)
            self._write(report.begun, state="running")
        for number, progress in report.progress.items():
            self.steps[number], self._latest[number] = progress.env_steps, progress.row
        handed_back = []
        for number, result in report.ended.items():
            if result.state == "stopped" and requeue:
                self._suspicion.acquit(number)
                handed_back.append(number)
                self._requeue(number)
            else:
                self.end(number, result)
        return handed_back

    def acquittal_due(self, number: int) -> bool:
        """Whether a suspect has got past the place where its worker was lost: it can stop and be queued among the others."""
        return self._suspicion.outlived(number, self.steps[number])

    def end(self, number: int, result: RunResult) -> None:
        """Take note of what came of a job."""
        self.results[number] = result
        self._opened.add(number)
        self._latest.pop(number, None)
        if result.state in ("done", "pruned", "diverged", "failed"):
            self.steps[number] = self.jobs[number].config.budget
        self._write(number, state=result.state, score=result.score, reason=result.reason)
        self._on_ended(number, result)

    def lose(self, held: set[int], suspects: set[int], lost: Lost) -> list[int]:
        """A worker was lost with ``held``; any of ``suspects`` may have been the reason.

        Returns:
            Jobs that are to be queued again; the others have failed.
        """
        again = []
        for number in sorted(held):
            self._latest.pop(number, None)
            if number in suspects and self._suspicion.lost(number, self.steps[number], by_itself=len(suspects) == 1):
                self._give_up(number, lost)
            else:
                self._requeue(number)
                again.append(number)
        return again

    def _requeue(self, number: int) -> None:
        job = self.jobs[number]
        found = read_status(job.path)
        self.steps[number] = self._steps_on_disk(number)
        if found.state in ("interrupted", "stopped"):
            # For people; a disk that refuses will say so to the run itself.
            with ExitStack() as stack, suppress(DirectoryBusy, StorageError):
                lock = RunLock(job.path)
                stack.callback(lock.release)
                write_status(job.path, replace(found, state="queued", reason=None, score=None), durably=False)
        self._write(number, state="queued")

    def _steps_on_disk(self, number: int) -> int:
        job = self.jobs[number]
        return 0 if self._config(number).force else min(read_status(job.path).env_steps, job.config.budget)

    def _give_up(self, number: int, lost: Lost) -> None:
        """A run that has lost its worker too often has failed."""
        job = self.jobs[number]
        times = self._suspicion.losses[number]
        reason = f"its worker was lost {times} times, the last time: {lost}" if times > 1 else f"its worker was lost: {lost}"
        result = RunResult(job.path, "failed", None, reason, EXIT_CODES["failed"])
        try:
            with RunDirectory.open(self._config(number), job.path, overrides=job.words) as directory:
                found = directory.finished
                if found is not None:  # the worker was lost after all was done
                    result = RunResult.of(job.path, found, already=False)
                else:
                    directory.log(f"failed: {reason}\n{lost.output}".rstrip())
                    directory.finish("failed", score=None, reason=reason, error=lost.output or reason)
        except (DirectoryBusy, DirectoryMismatch, StorageError) as error:
            result = replace(result, reason=f"{reason}; and {error}")
        self.end(number, result)

    # ------------------------------------------------------------------ what is shown and written

    def counts(self, running: int) -> dict[str, int]:
        """Runs by state, of which so many are in training."""
        counts = Counter(result.state for result in self.results.values())
        counts["running"] = running
        counts["queued"] = len(self.jobs) - len(self.results) - running
        return dict(counts)

    def line(self, number: int) -> MemberLine:
        """A running job for the screen."""
        return MemberLine(self._name(number), self.steps[number], self.jobs[number].config.budget, self._latest.get(number, {}))

    def write_due(self) -> None:
        """Bring ``study.json`` up to date if that was last done some time ago."""
        self._guarded(StudyFile.write_due)

    def close(self) -> None:
        """The last writing."""
        self._guarded(StudyFile.flush)

    def _write(self, number: int, *, state: str, score: float | None = None, reason: str | None = None) -> None:
        self._guarded(lambda file: file.update(self._name(number), state=state, score=score, reason=reason))

    def _guarded(self, write: Callable[[StudyFile], None]) -> None:
        """``study.json`` is an index: that it cannot be written keeps no run from going on."""
        if self._file is None:
            return
        try:
            write(self._file)
        except StorageError as error:
            if self._study_writes:
                self._note(f"warning: {error}")
            self._study_writes = False

    def _member(self, number: int) -> StudyMember:
        job, result = self.jobs[number], self.results.get(number)
        return StudyMember(
            path=self._name(number),
            seed=job.config.seed,
            overrides=dict(job.overrides),
            config_hash=job.config.hash,
            total_steps=job.config.total_steps,
            state="queued" if result is None else result.state,
            score=None if result is None else result.score,
            reason=None if result is None else result.reason,
        )

    def _name(self, number: int) -> str:
        return self.jobs[number].path.relative_to(self._study).as_posix()


class _Suspicion:
    """Which runs may be the reason why workers are lost.

    A worker takes all its members along, and which of them was the reason cannot be told. So after some losses
    they go on alone, one worker each. What then loses its worker again has done it by itself; what gets past the
    place where it was lost has not, and joins the others again. That is believed once: what is lost in company
    again stays alone (several that need too much memory together look like this).

    Attributes:
        losses: workers lost, by job, since it was last cleared.
    """

    def __init__(self, max_restarts: int) -> None:
        self._max_restarts = max_restarts
        self.losses: Counter[int] = Counter()
        self._lost_at: dict[int, int] = {}
        self._acquitted: set[int] = set()

    def alone(self, job: int) -> bool:
        """Whether it must have no neighbours: its last try is one of its own."""
        return self.losses[job] >= max(1, self._max_restarts - 1)

    def lost(self, job: int, steps: int, *, by_itself: bool) -> bool:
        """Its worker was lost at ``steps``; whether the run has thereby failed."""
        self.losses[job] += 1
        self._lost_at[job] = max(steps, self._lost_at.get(job, 0))
        return by_itself and self.losses[job] > self._max_restarts

    def outlived(self, job: int, steps: int) -> bool:
        """Whether a job that goes on alone has got past the place where it was lost."""
        return self.alone(job) and job not in self._acquitted and steps > self._lost_at.get(job, steps)

    def acquit(self, job: int) -> None:
        """It was not the reason."""
        self._acquitted.add(job)
        self.losses[job] = 0
