"""The worker processes of a sweep: started, listened to, watched, and replaced when they are lost.

What they are to do is decided elsewhere: by the queue of a grid (:mod:`~ppo_sweep.sweep.launch`), or by the events of a study
(:mod:`~ppo_sweep.sweep.study.search`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from ppo_sweep.sweep.errors import WorkersDoNotStart
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.messages import Report
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.pool import Lost, WorkerProcess

#: Longest sleep between two looks at signals, clocks and the screen, in seconds.
TICK = 0.5
#: Seconds that a worker may take to start, at least: loading torch from a cold or busy disk.
START_SECONDS = 120.0
#: Workers that may die before their first report, one after another, until that is no accident.
FALSE_STARTS = 5
#: Different lines of workers' output that are shown.
SHOWN_LINES = 20


class Crew:
    """See the module.

    Args:
        ledger: told which runs a lost worker had.
        options: how long a worker may be silent.
        note: called with what people should know.
        received: called with every report.
        lost: called when a worker is gone, with the jobs of it that are to go on; the others that it held have failed.

    Attributes:
        workers: those that there are, by their place.
    """

    def __init__(
        self,
        ledger: Ledger,
        options: LauncherOptions,
        *,
        note: Callable[[str], None],
        received: Callable[[WorkerProcess, Report], None],
        lost: Callable[[WorkerProcess, Sequence[int]], None],
    ) -> None:
        self._ledger, self._options = ledger, options
        self._note, self._received, self._on_lost = note, received, lost
        self._false_starts = 0
        self._lines: set[str] = set()
        self.workers: dict[int, WorkerProcess] = {}

    def start(self, number: int) -> None:
        """A worker for a place that has none.

        Raises:
            WorkersDoNotStart: the system has no room for another process.
        """
        try:
            self.workers[number] = WorkerProcess(number)
        except OSError as error:
            raise WorkersDoNotStart(f"workers cannot start: {error}") from error

    def dismiss(self, worker: WorkerProcess) -> None:
        """Let a worker go that holds nothing."""
        worker.kill()
        del self.workers[worker.number]

    def close(self) -> None:
        """Leave no process behind."""
        for worker in list(self.workers.values()):
            self.dismiss(worker)

    def listen(self) -> None:
        """Take in whatever workers have to say, or wait a moment; then look after those that say nothing.

        Raises:
            WorkersDoNotStart: they die before their first report.
        """
        handlers: dict[Any, Callable[[], None]] = {}
        for worker in self.workers.values():
            handlers[worker.connection] = partial(self.attend, worker, self._receive)
            if not worker.output.closed:
                handlers[worker.output] = partial(self._pass_on, worker)
        for source in wait(list(handlers), TICK):
            handlers[source]()
        for worker in list(self.workers.values()):
            self.attend(worker, self._check)

    def attend(self, worker: WorkerProcess, action: Callable[[WorkerProcess], None]) -> None:
        """Deal with a worker; if it turns out to be gone, with its loss.

        Raises:
            WorkersDoNotStart: see :meth:`listen`.
        """
        try:
            action(worker)
        except Lost as lost:
            self._lose(worker, lost)

    def _receive(self, worker: WorkerProcess) -> None:
        report = worker.receive()
        self._false_starts = 0
        self._received(worker, report)

    def _pass_on(self, worker: WorkerProcess) -> None:
        """Show what environments print, each line once."""
        for line in worker.read_output():
            if line and line not in self._lines and len(self._lines) < SHOWN_LINES:
                self._lines.add(line)
                self._note(f"worker {worker.number + 1} says: {line}")

    def _check(self, worker: WorkerProcess) -> None:
        """Raises Lost if it is dead or hangs."""
        worker.check_alive()
        patience = self._options.worker_timeout if worker.ready else max(self._options.worker_timeout, START_SECONDS)
        if worker.silent > patience:
            silent = f"no sign of life for {worker.silent:.0f} s"
            raise Lost(f"{silent}; hydra.launcher.worker_timeout must be longer than one iteration" if worker.ready else silent)

    def _lose(self, worker: WorkerProcess, lost: Lost) -> None:
        """Its runs go on, or count as failed."""
        self.dismiss(worker)
        again = self._ledger.lose(worker.holding, worker.suspects, lost)
        runs = f"{len(again)} of its runs continue" if len(again) > 1 else "its run continues"
        self._note(f"worker {worker.number + 1} was lost: {lost}{f'; {runs} from the last checkpoint' if again else ''}")
        self._false_starts += not worker.ready
        if self._false_starts >= FALSE_STARTS:
            raise WorkersDoNotStart(f"workers cannot start: {lost}\n{lost.output}".rstrip())
        self._on_lost(worker, again)
