"""The sweep: many runs through a few worker processes, from the queue to the last result.

One process (this one) holds the study's lock, knows where every run stands, and decides; workers
train. Whatever dies, the runs are on disk: a lost worker's members go back into the queue and
continue from their checkpoints, a lost sweep is taken up again by the same command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.places import make_directory
from ppo_sweep.runs.trainer import EXIT_CODES, RunResult
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.crew import Crew
from ppo_sweep.sweep.errors import WorkersDoNotStart
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.messages import Orders, Report
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.pool import WorkerProcess
from ppo_sweep.sweep.queue import Load, Queue


def launch(
    jobs: Sequence[Job],
    study: Path,
    options: LauncherOptions,
    *,
    command: Sequence[str] = (),
    begun: Callable[[int], None] = lambda job: None,
    ended: Callable[[int, RunResult], None] = lambda job, result: None,
    interrupts: Interrupts,
) -> dict[int, RunResult]:
    """Train all jobs side by side; returns when every one has ended, or the sweep was interrupted.

    Args:
        jobs: with different paths; a job's index is its number.
        study: the directory that they are all below.
        command: as typed, kept in ``study.json``.
        begun, ended: called when a job is given to a worker for the first time, and when it has ended.
            An ``OSError`` of ``begun`` ends that run.
        interrupts: after its first signal, every member is checkpointed and the sweep ends.

    Returns:
        What came of each job; jobs that an interrupted sweep had not begun are missing.

    Raises:
        DirectoryBusy: another sweep is at work on this study.
        DirectoryMismatch, StorageError: as :meth:`RunDirectory.open`.
        WorkersDoNotStart: see there.
    """
    with ExitStack() as stack:
        make_directory(study)
        lock = RunLock(study)
        stack.callback(lock.release)
        return train_all(jobs, study, options, command=command, begun=begun, ended=ended, interrupts=interrupts)


def train_all(
    jobs: Sequence[Job],
    study: Path,
    options: LauncherOptions,
    *,
    command: Sequence[str] = (),
    begun: Callable[[int], None] = lambda job: None,
    ended: Callable[[int, RunResult], None] = lambda job, result: None,
    interrupts: Interrupts,
) -> dict[int, RunResult]:
    """The same for a caller that holds the study's lock."""
    with ExitStack() as stack:
        sweep = _Sweep(jobs, study, options, command, begun, ended, interrupts)
        stack.callback(sweep.close)
        return sweep.run()


class _Sweep:
    """Workers, what waits for them, and the screen."""

    def __init__(
        self,
        jobs: Sequence[Job],
        study: Path,
        options: LauncherOptions,
        command: Sequence[str],
        begun: Callable[[int], None],
        ended: Callable[[int, RunResult], None],
        interrupts: Interrupts,
    ) -> None:
        self._options, self._interrupts = options, interrupts
        self._on_begun = begun
        self._ledger = Ledger(jobs, study, command=command, max_restarts=options.max_restarts, ended=ended, note=self._note)
        self._queue = Queue(options.slot_count)
        self._begun: set[int] = set()
        self._crew = Crew(self._ledger, options, note=self._note, received=self._receive, lost=self._lose)
        self._told = False
        for number in range(len(jobs)):
            if number not in self._ledger.results:
                self._queue.put(self._ledger.waiting(number))
        self._board = self._new_board(study)

    def _new_board(self, study: Path) -> Board:
        jobs, workers = self._ledger.jobs, min(self._options.worker_count, max(1, len(self._queue)))
        size = f"{len(jobs)} run{'s' * (len(jobs) != 1)}, {workers} worker{'s' * (workers != 1)} × {self._options.slot_count} slots"
        return Board(
            title=f"{study}: {size}",
            total_steps=sum(job.config.budget for job in jobs),
            counts=self._ledger.counts(running=0),
        )

    def close(self) -> None:
        """Leave no process behind and nothing unwritten."""
        self._crew.close()
        self._ledger.close()

    @property
    def _stopping(self) -> bool:
        return self._interrupts.received is not None

    def _note(self, message: str) -> None:
        self._board.note(message)

    # ------------------------------------------------------------------ the loop

    def run(self) -> dict[int, RunResult]:
        """Until every job has ended or everything has stopped."""
        with self._board:
            for note in self._ledger.notes:
                self._note(note)
            self._staff()
            unannounced = iter([run.job for run in self._queue])
            while self._crew.workers:
                self._acknowledge_signal()
                self._announce(unannounced)
                self._crew.listen()
                self._give_orders()
                self._show()
        return self._ledger.results

    def _acknowledge_signal(self) -> None:
        if self._stopping and not self._told:
            self._told = True
            self._note("stopping: every run is checkpointed when its iteration ends; a second signal stops at once")

    def _staff(self) -> None:
        """Start a worker for every run that waits, as far as there is room."""
        for number in range(self._options.worker_count):
            idle = sum(not worker.holding for worker in self._crew.workers.values())
            if number not in self._crew.workers and idle < len(self._queue) and not self._stopping:
                try:
                    self._crew.start(number)
                except WorkersDoNotStart as error:  # no room for another process; those that are there will do
                    if not self._crew.workers:
                        raise
                    self._note(f"worker {number + 1} cannot start: {error.__cause__}")
                    return

    def _announce(self, jobs: Iterator[int], at_once: int = 50) -> None:
        """Some directories at a time, while workers are starting or training."""
        for _, number in zip(range(at_once), jobs, strict=False):
            if number not in self._begun and not self._stopping:
                self._ledger.announce(number)

    def _receive(self, worker: WorkerProcess, report: Report) -> None:
        self._enqueue(self._ledger.digest(report, requeue=not self._stopping))

    def _lose(self, worker: WorkerProcess, again: Sequence[int]) -> None:
        """What goes on waits its turn; a new worker takes the place of a lost one if there is work."""
        self._enqueue(again)
        self._staff()

    def _give_orders(self) -> None:
        """Orders for every worker that has reported; those that nobody needs any more may go."""
        for worker in list(self._crew.workers.values()):
            if worker.waits:
                self._crew.attend(worker, self._order)
        for worker in list(self._crew.workers.values()):
            if self._superfluous(worker):
                self._crew.dismiss(worker)

    def _superfluous(self, worker: WorkerProcess) -> bool:
        return not worker.holding and (self._stopping or (worker.waits and not self._queue))

    def _order(self, worker: WorkerProcess) -> None:
        if self._stopping or any(map(self._ledger.acquittal_due, worker.members)):
            if worker.members:
                worker.order(Orders(stop=True))
            return
        while (chosen := self._queue.take(worker.number, self._loads())) is not None:
            if self._begin_once(chosen.job):
                worker.order(Orders(begin=self._ledger.assignment(chosen.job)))
                return
        if worker.members:
            worker.order(Orders(train=True))

    def _begin_once(self, number: int) -> bool:
        """Tell whoever wants to know that a run begins, the first time; False if that has ended it."""
        if number not in self._begun:
            self._begun.add(number)
            try:
                self._on_begun(number)
            except OSError as error:
                path, code = self._ledger.jobs[number].path, EXIT_CODES["interrupted"]
                self._ledger.end(number, RunResult(path, "interrupted", None, f"cannot write {path}: {error.strerror}", code))
                return False
        return True

    def _loads(self) -> dict[int, Load]:
        return {number: self._load(worker) for number, worker in self._crew.workers.items()}

    def _load(self, worker: WorkerProcess) -> Load:
        held, ledger = worker.holding, self._ledger
        if not held:
            return Load()
        signature = ledger.jobs[next(iter(held))].config.signature
        return Load(signature, tuple(map(ledger.left, held)), any(map(ledger.alone, held)))

    def _enqueue(self, jobs: Sequence[int]) -> None:
        for number in jobs:
            self._queue.put(self._ledger.waiting(number))

    def _show(self) -> None:
        running = [number for worker in self._crew.workers.values() for number in sorted(worker.members)]
        lines = {number: self._ledger.line(number) for number in running}
        self._board.update(lines, self._ledger.counts(len(running)), sum(self._ledger.steps.values()))
        self._ledger.write_due()
