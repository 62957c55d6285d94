"""The search: worker processes that train what the conductor finds due, until it has nothing left for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.crew import Crew
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.messages import Orders, Report
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.pool import Lost, WorkerProcess
from ppo_sweep.sweep.study.conduct import Conductor
from ppo_sweep.sweep.study.pieces import Piece

#: States of trials in the words of the board.
_SHOWN = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass
class _Step:
    """An iteration that several runs of a worker are to go through.

    Attributes:
        left: populations that have not gone through it yet; None before the runs are all loaded.
    """

    pieces: Sequence[Piece]
    left: list[Hashable] | None = None


@dataclass
class _Post:
    """What is kept of a worker, and of those that replace it.

    Attributes:
        step: that it is at.
        idle: seconds that it waited for other workers.
        since: when it began to wait.
    """

    step: _Step | None = None
    idle: float = 0.0
    since: float | None = None


class Search:
    """See the module.

    Args:
        workers: how many there are.
        board: entered.
    """

    def __init__(
        self,
        conductor: Conductor,
        ledger: Ledger,
        options: LauncherOptions,
        workers: int,
        board: Board,
        interrupts: Interrupts,
    ) -> None:
        self._conductor, self._ledger, self._options, self._board, self._interrupts = conductor, ledger, options, board, interrupts
        self._posts = [_Post() for _ in range(workers)]
        self._crew = Crew(ledger, options, note=board.note, received=self._receive, lost=self._lose)
        self._trouble: str | None = None
        self._spent = 0.0
        self._looked = time.monotonic()

    @property
    def _stopping(self) -> bool:
        return self._interrupts.received is not None or self._trouble is not None

    @property
    def trained(self) -> bool:
        """Whether there was anything to train."""
        return self._spent > 0

    @property
    def idle(self) -> tuple[float, float]:
        """Seconds that workers waited for each other while there was something to do for them, and seconds that they were there."""
        return sum(post.idle for post in self._posts), self._spent

    def run(self) -> None:
        """Until the study is over, or everything has stopped.

        Raises:
            StorageError: the disk refused a run's files; the others have been stopped.
            WorkersDoNotStart: see there.
            DirectoryBusy, DirectoryMismatch: a run's directory is in use, or of another configuration.
        """
        while True:
            if not self._stopping:
                self._conductor.advance()
            holding = any(worker.holding for worker in self._crew.workers.values())
            if self._conductor.over or (self._stopping and not holding):
                break
            self._staff()
            self._give_orders()
            self._crew.listen()
            self._time_presence()
            self._show()
        if self._trouble is not None:
            raise StorageError(f"{self._trouble}; the same command continues once the cause is gone")

    def close(self) -> None:
        """Leave no process behind."""
        self._crew.close()

    def _staff(self) -> None:
        """A worker for every post that has something to train and none."""
        for number in range(len(self._posts)):
            if number in self._crew.workers or self._stopping:
                continue
            if self._conductor.evictions[number] or any(piece.must_train for piece in self._conductor.due(number)):
                self._crew.start(number)

    def _lose(self, worker: WorkerProcess, again: Sequence[int]) -> None:
        """What is not on disk is trained again; runs that the ledger has given up have failed."""
        self._posts[worker.number].step = None
        self._conductor.training.discard(worker.number)
        for job in worker.holding:
            piece = self._conductor.piece(job)
            self._conductor.go_back(piece)
            if job not in again:
                self._conductor.settle(piece, self._ledger.results[job])

    # ------------------------------------------------------------------ reports up, orders down

    def _receive(self, worker: WorkerProcess, report: Report) -> None:
        self._ledger.digest(report, requeue=False)
        if report.begun is not None:
            piece = self._conductor.piece(report.begun)
            piece.loaded, piece.at = True, report.begun_at // piece.config.steps_per_iteration
            if self._posts[worker.number].step is not None and piece.at != piece.iteration:
                raise Lost(f"{piece.path} stands at iteration {piece.at}, not {piece.iteration}")
        for job in report.progress:
            self._conductor.piece(job).at += 1
        self._settle(report)

    def _settle(self, report: Report) -> None:
        for job, result in report.ended.items():
            piece = self._conductor.piece(job)
            piece.loaded = False
            if result.state == "interrupted":
                self._trouble = self._trouble or f"{piece.path}: {result.reason}"
            elif result.state != "stopped":
                self._conductor.settle(piece, result)

    def _give_orders(self) -> None:
        for worker in list(self._crew.workers.values()):
            if worker.waits:
                self._crew.attend(worker, self._order)
                if worker.number in self._crew.workers:
                    self._time_waiting(self._posts[worker.number], waiting=worker.waits and self._conductor.has_work(worker.number))

    def _time_presence(self) -> None:
        now = time.monotonic()
        working = [number for number, worker in self._crew.workers.items() if worker.ready]
        self._spent += (now - self._looked) * sum(map(self._conductor.has_work, working))
        self._looked = now

    def _time_waiting(self, post: _Post, *, waiting: bool) -> None:
        now = time.monotonic()
        if post.since is not None:
            post.idle += now - post.since
        post.since = now if waiting else None

    def _order(self, worker: WorkerProcess) -> None:
        number = worker.number
        if self._stopping:
            if worker.members:
                worker.order(Orders(stop=True))
            return
        evicting = self._posts[number].step is None and self._conductor.evictions[number]
        orders = self._eviction(number) if evicting else self._training(number, self._posts[number])
        if orders is not None:
            worker.order(orders)

    def _eviction(self, number: int) -> Orders | None:
        """What brings the runs of pruned trials to their end on disk."""
        evictions = self._conductor.evictions[number]
        evictions[:] = [piece for piece in evictions if piece.result is None]
        for piece in evictions:
            if not piece.loaded:
                return self._begin(piece, ("evicted", piece.job))
            if piece.at < piece.iteration:  # it was lost after it had been pruned
                return Orders(train=True, population=piece.population)
        return Orders(prune=tuple(piece.job for piece in evictions)) if evictions else None

    def _training(self, number: int, post: _Post) -> Orders | None:
        """What the next iteration of this worker needs."""
        if post.step is None:
            pieces = self._conductor.due(number)
            if not any(piece.must_train for piece in pieces):
                return None
            post.step = _Step(pieces)
            self._conductor.training.add(number)
        real = [piece for piece in post.step.pieces if piece.must_train]
        if post.step.left is None:
            for piece in real:
                if not piece.loaded:
                    return self._begin(piece, ("alone", piece.job) if self._ledger.alone(piece.job) else piece.config.signature)
            post.step.left = list(dict.fromkeys(piece.population for piece in real))
        if post.step.left:
            return Orders(train=True, population=post.step.left.pop(0))
        self._conductor.passed(post.step.pieces)
        post.step = None
        self._conductor.training.discard(number)
        self._conductor.advance()
        return self._eviction(number) if self._conductor.evictions[number] else self._training(number, post)

    def _begin(self, piece: Piece, population: Hashable) -> Orders:
        piece.population = population
        return Orders(begin=self._ledger.assignment(piece.job), population=population)

    # ------------------------------------------------------------------ the screen

    def _show(self) -> None:
        running = [job for _, worker in sorted(self._crew.workers.items()) for job in sorted(worker.members)]
        states = Counter(_SHOWN.get(str(trial.state), "running") for trial in self._conductor.trials.own.values())
        lines = {job: self._ledger.line(job) for job in running}
        best = "" if self._conductor.trials.best is None else "best: trial {}, {:.5g}".format(*self._conductor.trials.best)
        self._board.update(lines, dict(states), sum(self._ledger.steps.values()), best)
        self._ledger.write_due()
