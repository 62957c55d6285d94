"""The search: worker processes that train what the conductor finds due, until it has nothing left for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.errors import WorkersDoNotStart
from ppo_sweep.sweep.launch import FALSE_STARTS, SHOWN_LINES, START_SECONDS, TICK
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.messages import Orders, Report
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.pool import Lost, Worker
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
    """A worker's place.

    Attributes:
        process: None while there is no work for it.
        step: that it is at.
        training: jobs that its last orders were about: if it is lost, one of them may be the reason.
        idle: seconds that it waited for other workers.
        since: when it began to wait.
    """

    process: Worker | None = None
    step: _Step | None = None
    training: set[int] = field(default_factory=set)
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
        self._false_starts = 0
        self._lines: set[str] = set()
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
            if self._conductor.over or (self._stopping and not any(post.process and post.process.holding for post in self._posts)):
                break
            for number in range(len(self._posts)):
                self._staff(number)
            self._give_orders()
            self._listen()
            for number, post in enumerate(self._posts):
                if post.process is not None:
                    self._guarded(number, self._check)
            self._count()
            self._show()
        if self._trouble is not None:
            raise StorageError(f"{self._trouble}; the same command continues once the cause is gone")

    def close(self) -> None:
        """Leave no process behind."""
        for post in self._posts:
            if post.process is not None:
                post.process.kill()
                post.process = None

    # ------------------------------------------------------------------ workers

    def _staff(self, number: int) -> None:
        """Start a worker if there is something to train for it."""
        post = self._posts[number]
        if post.process is not None or self._stopping:
            return
        if self._conductor.evictions[number] or any(piece.must_train for piece in self._conductor.due(number)):
            try:
                post.process = Worker(number)
            except OSError as error:
                raise WorkersDoNotStart(f"workers cannot start: {error}") from error

    def _listen(self) -> None:
        """Take in whatever workers have to say, or wait a moment."""
        handlers: dict[Any, Callable[[], None]] = {}
        for number, post in enumerate(self._posts):
            if post.process is not None:
                handlers[post.process.connection] = partial(self._guarded, number, self._receive)
                if not post.process.output.closed:
                    handlers[post.process.output] = partial(self._pass_on, post.process)
        for source in wait(list(handlers), TICK):
            handlers[source]()

    def _pass_on(self, process: Worker) -> None:
        """Show what environments print, each line once."""
        for line in process.read_output():
            if line and line not in self._lines and len(self._lines) < SHOWN_LINES:
                self._lines.add(line)
                self._board.note(f"worker {process.number + 1} says: {line}")

    def _guarded(self, number: int, action: Callable[[_Post, Worker], None]) -> None:
        """Deal with a worker; if it turns out to be gone, with its loss."""
        post = self._posts[number]
        if post.process is None:
            return
        try:
            action(post, post.process)
        except Lost as lost:
            self._lose(number, post.process, lost)

    def _check(self, post: _Post, process: Worker) -> None:
        process.check_alive()
        patience = self._options.worker_timeout if process.ready else max(self._options.worker_timeout, START_SECONDS)
        if process.silent > patience:
            silent = f"no sign of life for {process.silent:.0f} s"
            raise Lost(f"{silent}; hydra.launcher.worker_timeout must be longer than one iteration" if process.ready else silent)

    def _lose(self, number: int, process: Worker, lost: Lost) -> None:
        """Its runs continue from their checkpoints, or have failed."""
        post = self._posts[number]
        process.kill()
        post.process, post.step = None, None
        self._conductor.training.discard(number)
        held = process.holding
        again = self._ledger.lose(held, post.training & held or process.suspects, lost)
        for job in held:
            piece = self._conductor.piece(job)
            self._conductor.go_back(piece)
            if job in self._ledger.results:  # given up
                self._conductor.settle(piece, self._ledger.results[job])
        runs = f"{len(again)} of its runs continue" if len(again) > 1 else "its run continues"
        self._board.note(f"worker {number + 1} was lost: {lost}{f'; {runs} from the last checkpoint' if again else ''}")
        self._false_starts += not process.ready
        if self._false_starts >= FALSE_STARTS:
            raise WorkersDoNotStart(f"workers cannot start: {lost}\n{lost.output}".rstrip())

    # ------------------------------------------------------------------ reports up, orders down

    def _receive(self, post: _Post, process: Worker) -> None:
        report = process.receive()
        self._false_starts = 0
        self._ledger.digest(report, stopping=True)
        if report.begun is not None:
            piece = self._conductor.piece(report.begun)
            piece.loaded, piece.at = True, report.begun_at // piece.config.steps_per_iteration
            if post.step is not None and piece.at != piece.iteration:
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
        for number, post in enumerate(self._posts):
            if post.process is not None and post.process.waits:
                self._guarded(number, partial(self._order, number))
                if post.process is not None:
                    self._clock(post, waiting=post.process.waits and self._conductor.has_work(number))

    def _count(self) -> None:
        now = time.monotonic()
        working = [number for number, post in enumerate(self._posts) if post.process is not None and post.process.ready]
        self._spent += (now - self._looked) * sum(map(self._conductor.has_work, working))
        self._looked = now

    def _clock(self, post: _Post, *, waiting: bool) -> None:
        now = time.monotonic()
        if post.since is not None:
            post.idle += now - post.since
        post.since = now if waiting else None

    def _order(self, number: int, post: _Post, process: Worker) -> None:
        if self._stopping:
            if process.members:
                self._send(post, process, Orders(stop=True))
            return
        orders = self._eviction(number) if post.step is None and self._conductor.evictions[number] else self._training(number, post)
        if orders is not None:
            self._send(post, process, orders)

    def _send(self, post: _Post, process: Worker, orders: Orders) -> None:
        begun = {orders.begin.job} if orders.begin is not None else set()
        trained = {job for job in process.members if self._conductor.piece(job).population == orders.population} if orders.train else set()
        post.training = begun or trained
        process.order(orders)

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
        running = [job for post in self._posts if post.process is not None for job in sorted(post.process.members)]
        states = Counter(_SHOWN.get(str(trial.state), "running") for trial in self._conductor.trials)
        lines = {job: self._ledger.line(job) for job in running}
        self._board.update(lines, dict(states), sum(self._ledger.steps.values()))
        self._ledger.write_due()
