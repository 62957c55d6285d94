"""The sweep: many runs through a few worker processes, from the queue to the last result.

One process (this one) holds the study's lock, knows where every run stands, and decides; workers
train. Whatever dies, the runs are on disk: a lost worker's members go back into the queue and
continue from their checkpoints, a lost sweep is taken up again by the same command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.places import make_directory
from ppo_sweep.runs.trainer import EXIT_CODES, RunResult
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.errors import WorkersDoNotStart
from ppo_sweep.sweep.ledger import Job, Ledger
from ppo_sweep.sweep.messages import Orders
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.pool import Lost, Worker
from ppo_sweep.sweep.queue import Load, Queue

#: Longest sleep between two looks at signals, clocks and the screen, in seconds.
TICK = 0.5
#: Seconds that a worker may take to start, at least: loading torch from a cold or busy disk.
START_SECONDS = 120.0
#: Workers that may die before their first report, one after another, until that is no accident.
FALSE_STARTS = 5
#: Different lines of workers' output that are shown.
SHOWN_LINES = 20


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
        self._announced: set[int] = set()
        self._workers: dict[int, Worker] = {}
        self._false_starts = 0
        self._told = False
        self._lines: set[str] = set()
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
        for worker in self._workers.values():
            worker.kill()
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
            while self._workers:
                self._acknowledge_signal()
                self._announce(unannounced)
                self._listen()
                self._look_after_workers()
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
            idle = sum(not worker.holding for worker in self._workers.values())
            if number not in self._workers and idle < len(self._queue) and not self._stopping:
                try:
                    self._workers[number] = Worker(number)
                except OSError as error:  # no room for another process; those that are there will do
                    if not self._workers:
                        raise WorkersDoNotStart(f"workers cannot start: {error}") from error
                    self._note(f"worker {number + 1} cannot start: {error}")
                    return

    def _announce(self, jobs: Iterator[int], at_once: int = 50) -> None:
        """Some directories at a time, while workers are starting or training."""
        for _, number in zip(range(at_once), jobs, strict=False):
            if number not in self._announced and not self._stopping:
                self._ledger.announce(number)

    def _listen(self) -> None:
        """Take in whatever workers have to say, or wait a moment."""
        handlers: dict[Any, Callable[[], None]] = {}
        for worker in self._workers.values():
            handlers[worker.connection] = partial(self._guarded, worker, self._receive)
            if not worker.output.closed:
                handlers[worker.output] = partial(self._pass_on, worker)
        for source in wait(list(handlers), TICK):
            handlers[source]()

    def _receive(self, worker: Worker) -> None:
        report = worker.receive()
        self._false_starts = 0
        self._enqueue(self._ledger.digest(report, stopping=self._stopping))

    def _pass_on(self, worker: Worker) -> None:
        """Show what environments print, each line once."""
        for line in worker.read_output():
            if line and line not in self._lines and len(self._lines) < SHOWN_LINES:
                self._lines.add(line)
                self._note(f"worker {worker.number + 1} says: {line}")

    def _guarded(self, worker: Worker, action: Callable[[Worker], None]) -> None:
        """Deal with a worker; if it turns out to be gone, with its loss."""
        try:
            action(worker)
        except Lost as lost:
            self._lose(worker, lost)

    def _give_orders(self) -> None:
        """Orders for every worker that has reported; those that nobody needs any more may go."""
        for worker in list(self._workers.values()):
            if worker.waits:
                self._guarded(worker, self._order)
        for worker in [worker for worker in self._workers.values() if self._superfluous(worker)]:
            worker.kill()  # it holds nothing
            del self._workers[worker.number]

    def _superfluous(self, worker: Worker) -> bool:
        return not worker.holding and (self._stopping or (worker.waits and not self._queue))

    def _order(self, worker: Worker) -> None:
        if self._stopping or any(map(self._ledger.acquittal_due, worker.members)):
            if worker.members:
                worker.order(Orders(stop=True))
            return
        while (chosen := self._queue.take(worker.number, self._loads())) is not None:
            if self._announce_beginning(chosen.job):
                worker.order(Orders(begin=self._ledger.assignment(chosen.job)))
                return
        if worker.members:
            worker.order(Orders(train=True))

    def _announce_beginning(self, number: int) -> bool:
        """Tell whoever wants to know that a run begins; False if that has ended it."""
        if number not in self._announced:
            self._announced.add(number)
            try:
                self._on_begun(number)
            except OSError as error:
                path, code = self._ledger.jobs[number].path, EXIT_CODES["interrupted"]
                self._ledger.end(number, RunResult(path, "interrupted", None, f"cannot write {path}: {error.strerror}", code))
                return False
        return True

    def _loads(self) -> dict[int, Load]:
        return {number: self._load(worker) for number, worker in self._workers.items()}

    def _load(self, worker: Worker) -> Load:
        held, ledger = worker.holding, self._ledger
        if not held:
            return Load()
        signature = ledger.jobs[next(iter(held))].config.signature
        return Load(signature, tuple(map(ledger.left, held)), any(map(ledger.alone, held)))

    def _enqueue(self, jobs: Sequence[int]) -> None:
        for number in jobs:
            self._queue.put(self._ledger.waiting(number))

    def _show(self) -> None:
        running = [number for worker in self._workers.values() for number in sorted(worker.members)]
        lines = {number: self._ledger.line(number) for number in running}
        self._board.update(lines, self._ledger.counts(len(running)), sum(self._ledger.steps.values()))
        self._ledger.write_due()

    # ------------------------------------------------------------------ lost workers

    def _look_after_workers(self) -> None:
        for worker in list(self._workers.values()):
            self._guarded(worker, self._check)

    def _check(self, worker: Worker) -> None:
        """Raises Lost if it is dead or hangs."""
        worker.check_alive()
        patience = self._options.worker_timeout if worker.ready else max(self._options.worker_timeout, START_SECONDS)
        if worker.silent > patience:
            silent = f"no sign of life for {worker.silent:.0f} s"
            raise Lost(f"{silent}; hydra.launcher.worker_timeout must be longer than one iteration" if worker.ready else silent)

    def _lose(self, worker: Worker, lost: Lost) -> None:
        """Its runs go back into the queue, or count as failed; a new worker takes its place if there is work."""
        worker.kill()
        del self._workers[worker.number]
        again = self._ledger.lose(worker.holding, worker.suspects, lost)
        self._enqueue(again)
        runs = f"{len(again)} of its runs continue" if len(again) > 1 else "its run continues"
        self._note(f"worker {worker.number + 1} was lost: {lost}{f'; {runs} from the last checkpoint' if again else ''}")
        self._false_starts += not worker.ready
        if self._false_starts >= FALSE_STARTS:
            raise WorkersDoNotStart(f"workers cannot start: {lost}\n{lost.output}".rstrip())
        self._staff()
