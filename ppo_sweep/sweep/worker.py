"""A worker: one process, one thread, one population at a time, in lock-step with the sweep that feeds it.

It shares nothing with its siblings but the disk. When the sweep dies, however it dies, the worker
ends with it (:mod:`ppo_sweep.sweep.lifeline`), within a moment and in the middle of anything: files
are never torn, and the same command continues from the checkpoints.
"""

from __future__ import annotations

import faulthandler
import os
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import DirectoryBusy, DirectoryMismatch, StorageError
from ppo_sweep.runs.trainer import EXIT_CODES, RunResult, Trainer
from ppo_sweep.sweep.messages import Assignment, Crash, Orders, Progress, Report


def main(descriptor: int) -> None:
    """The process; ``descriptor`` is its end of the connection to the sweep (see :mod:`ppo_sweep.sweep.pool`)."""
    faulthandler.enable()
    connection: Connection[Report | Crash, Orders] = Connection(descriptor)
    try:
        Worker(connection).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the sweep is gone
    except BaseException:
        with suppress(OSError):
            connection.send(Crash(traceback.format_exc()))
    os._exit(1)  # whatever threads an environment may have left behind


class Worker:
    """Carries out orders; see :mod:`ppo_sweep.sweep.messages`."""

    def __init__(self, connection: Connection[Report | Crash, Orders]) -> None:
        self._connection = connection
        self._trainer: Trainer | None = None
        self._signature: object = None
        self._jobs: dict[int, int] = {}

    def serve(self) -> None:
        """Report and obey until the sweep closes the connection.

        Raises:
            EOFError: when it does.
        """
        report = Report()
        while True:
            self._connection.send(report)
            report = self._carry_out(self._connection.recv())

    def _carry_out(self, orders: Orders) -> Report:
        if orders.begin is not None:
            return self._begin(orders.begin)
        if orders.stop:
            return Report(ended=self._stop())
        return self._iterate() if orders.train else Report()

    def _begin(self, assignment: Assignment) -> Report:
        """Take a run in, or say at once what came of it."""
        job, path = assignment.job, assignment.path
        try:
            directory = RunDirectory.open(assignment.config, path, overrides=assignment.overrides)
        except (DirectoryBusy, DirectoryMismatch, StorageError) as error:
            return Report(ended={job: RunResult(path, "interrupted", None, str(error), EXIT_CODES["interrupted"])})
        if directory.finished is not None:
            status = directory.finished
            code = EXIT_CODES.get(status.state, 0)
            return Report(ended={job: RunResult(path, status.state, status.score, status.reason, code, already=True)})
        ended = self._start(directory)
        notes = tuple(f"{path}: {note}" for note in directory.notes if note.startswith("warning"))
        if ended is not None:
            return Report(ended={job: ended}, notes=notes)
        self._jobs[id(directory)] = job
        return Report(begun=job, notes=notes)

    def _start(self, directory: RunDirectory) -> RunResult | None:
        """A result if the run ends right here."""
        try:
            population = self._population(directory.config)
        except Exception as error:  # an environment is the user's code, and this is where it is made
            reason, path = f"the environment raised {type(error).__name__}: {error}", directory.path
            directory.log(f"failed: {reason}\n{traceback.format_exc()}".rstrip())
            directory.finish("failed", score=None, reason=reason, error=traceback.format_exc())
            return RunResult(path, "failed", None, reason, EXIT_CODES["failed"])
        return population.start(directory)

    def _population(self, config: Config) -> Trainer:
        """The population for this signature; another one can only be begun when the last has ended."""
        if self._trainer is None or self._signature != config.signature:
            assert self._trainer is None or not self._trainer.runs, "a population of another signature is still in training"
            self._trainer = None
            self._trainer, self._signature = Trainer(config), config.signature
        return self._trainer

    def _iterate(self) -> Report:
        assert self._trainer is not None
        runs = list(self._trainer.runs)
        results = {result.directory: result for result in self._trainer.iterate()}
        progress, ended = {}, {}
        for run in runs:
            job = self._jobs[id(run.directory)]
            if run.latest is not None:
                progress[job] = Progress(run.member.env_steps, run.latest)
            if run.directory.path in results:
                ended[job] = results[run.directory.path]
                del self._jobs[id(run.directory)]
        return Report(progress=progress, ended=ended)

    def _stop(self) -> dict[int, RunResult]:
        if self._trainer is None:
            return {}
        jobs = {run.directory.path: self._jobs[id(run.directory)] for run in self._trainer.runs}
        self._jobs.clear()
        return {jobs[result.directory]: result for result in self._trainer.stop()}
