"""A worker: one process, one thread, one population training at a time, in lock-step with the sweep that feeds it.

It shares nothing with its siblings but the disk. When the sweep dies, however it dies, the worker
ends with it (:mod:`ppo_sweep.sweep.lifeline`), within a moment and in the middle of anything: files
are never torn, and the same command continues from the checkpoints.
"""

from __future__ import annotations

import faulthandler
import os
import traceback
from collections.abc import Hashable
from contextlib import suppress
from multiprocessing.connection import Connection

from ppo_sweep.config import Config
from ppo_sweep.process import trim_memory
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import DirectoryBusy, DirectoryMismatch, StorageError
from ppo_sweep.runs.trainer import EXIT_CODES, RunResult, Trainer
from ppo_sweep.sweep.messages import Assignment, Crash, MemberProgress, Orders, Report


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
        self._trainers: dict[Hashable, Trainer] = {}
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
            return self._begin(orders.begin, orders.population)
        if orders.stop:
            return Report(ended=self._stop())
        if orders.prune:
            return Report(ended=self._prune(set(orders.prune)))
        return self._iterate(self._trainers[orders.population]) if orders.train else Report()

    def _begin(self, assignment: Assignment, population: Hashable) -> Report:
        """Take a run in, or say at once what came of it."""
        job, path = assignment.job, assignment.path
        try:
            directory = RunDirectory.open(assignment.config, path, overrides=assignment.overrides)
        except (DirectoryBusy, DirectoryMismatch, StorageError) as error:
            return Report(ended={job: RunResult(path, "interrupted", None, str(error), EXIT_CODES["interrupted"])})
        if directory.finished is not None:
            return Report(ended={job: RunResult.of(path, directory.finished)})
        ended = self._start(directory, population)
        notes = tuple(f"{path}: {note}" for note in directory.notes if note.startswith("warning"))
        if ended is not None:
            return Report(ended={job: ended}, notes=notes)
        self._jobs[id(directory)] = job
        [run] = [run for run in self._trainers[population].runs if run.directory is directory]
        return Report(begun=job, begun_at=run.member.env_steps, notes=notes)

    def _start(self, directory: RunDirectory, name: Hashable) -> RunResult | None:
        """A result if the run ends right here."""
        try:
            trainer = self._trainer(directory.config, name)
        except Exception as error:  # an environment is the user's code, and this is where it is made
            reason, path = f"the environment raised {type(error).__name__}: {error}", directory.path
            directory.log(f"failed: {reason}\n{traceback.format_exc()}".rstrip())
            directory.finish("failed", score=None, reason=reason, error=traceback.format_exc())
            return RunResult(path, "failed", None, reason, EXIT_CODES["failed"])
        return trainer.start(directory)

    def _trainer(self, config: Config, name: Hashable) -> Trainer:
        """That of the population of this name; those that have ended make room first."""
        trainer = self._trainers.get(name)
        if trainer is None or trainer.population.signature != config.signature:
            assert trainer is None or not trainer.runs, "a population of another signature is still in training"
            self._trainers = {other: kept for other, kept in self._trainers.items() if kept.runs}
            trainer = self._trainers[name] = Trainer(config)
        return trainer

    def _iterate(self, trainer: Trainer) -> Report:
        runs = list(trainer.runs)
        results = {result.directory: result for result in trainer.iterate()}
        progress, ended = {}, {}
        for run in runs:
            job = self._jobs[id(run.directory)]
            if run.latest is not None:
                progress[job] = MemberProgress(run.member.env_steps, run.latest)
            if run.directory.path in results:
                ended[job] = results[run.directory.path]
                del self._jobs[id(run.directory)]
        if ended:
            trim_memory()
        return Report(progress=progress, ended=ended)

    def _stop(self) -> dict[int, RunResult]:
        ended: dict[int, RunResult] = {}
        for trainer in self._trainers.values():
            jobs = {run.directory.path: self._jobs[id(run.directory)] for run in trainer.runs}
            ended |= {jobs[result.directory]: result for result in trainer.stop()}
        self._jobs.clear()
        return ended

    def _prune(self, chosen: set[int]) -> dict[int, RunResult]:
        ended: dict[int, RunResult] = {}
        for trainer in self._trainers.values():
            runs = [run for run in trainer.runs if self._jobs[id(run.directory)] in chosen]
            jobs = {run.directory.path: self._jobs.pop(id(run.directory)) for run in runs}
            ended |= {jobs[result.directory]: result for result in trainer.prune(runs)}
        trim_memory()
        return ended
