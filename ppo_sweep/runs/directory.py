"""One run on disk, held by one writer: ``RunDirectory``.

After a kill at any instruction, :meth:`RunDirectory.open` puts the directory back to its newest good
checkpoint: the tables are cut to the lengths recorded there, so that the rows written next are the
ones that would have followed. A checkpoint that is damaged, or whose tables are, is passed over for
the older one; where neither is usable the run starts from nothing, with a warning that names both,
because its seed and configuration give the same bytes again; what was there is set aside, not deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from ppo_sweep.config import Config
from ppo_sweep.learner.state import MemberState
from ppo_sweep.runs import checkpoint as generations
from ppo_sweep.runs import log, tables, tensors
from ppo_sweep.runs.checkpoint import Generation, Progress, fitting, load_state
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.places import CHECKPOINT, LOG, check_ours, clear, make_directory, set_aside
from ppo_sweep.runs.status import Status, read_status, write_status
from ppo_sweep.runs.stored_config import check_config, read_config, write_config
from ppo_sweep.runs.tables import Cell, CsvTable, TableMark
from ppo_sweep.runs.versions import cpu_capability, differences, threads, versions

__all__ = ["RunDirectory", "load_state", "read_config", "read_status"]

#: What a run's status says at its end.
FinalState = Literal["done", "diverged", "failed", "stopped", "pruned"]

#: Progress in ``status.json`` is for people: no more often than this.
_STATUS_SECONDS = 1.0

#: Tables among a run's bytes, by name; ``timing`` is not, and is under no checksum.
_REPRODUCIBLE = {"metrics": tables.METRIC_COLUMNS, "episodes": tables.EPISODE_COLUMNS, "eval": tables.EVAL_COLUMNS}


class RunDirectory:
    """A run's files, open for writing; made by :meth:`open`.

    Attributes:
        path, config: of the run.
        state: to resume from; None = from the start.
        finished: set if there is nothing to do: nothing was touched, no lock is held, and only
            :meth:`close` may be called.
        notes: what opening found, in words, for the terminal (also in ``train.log``).
    """

    def __init__(self, path: Path, config: Config, overrides: Sequence[str] = (), finished: Status | None = None) -> None:
        self.path, self.config, self.finished = path, config, finished
        self.state: MemberState | None = None
        self.notes: list[str] = []
        self._lock: RunLock | None = None
        self._tables: dict[str, CsvTable] = {}
        self._timing: CsvTable | None = None
        self._newest: Generation | None = None
        self._status = Status("running", overrides=tuple(overrides))
        self._status_written = 0.0
        self._said: set[str] = set()

    @classmethod
    def open(cls, config: Config, path: Path, *, overrides: Sequence[str] = ()) -> RunDirectory:
        """Take a run's directory for writing, making it or continuing what is there.

        A run that is done, pruned or diverged (or failed, with ``retry_failed=false``) is not opened:
        ``finished`` is set. ``config.force`` deletes an earlier run first.

        Args:
            overrides: what was typed; kept in ``status.json``.

        Raises:
            DirectoryBusy: another process writes it.
            DirectoryMismatch: it is of another configuration, of another version, or no run's.
            StorageError: the disk refuses.
        """
        finished = look(config, path)
        if finished is not None:
            return cls(path, config, finished=finished)
        make_directory(path)
        run = cls(path, config, overrides)
        run._lock = RunLock(path)
        try:
            # Again, now that nobody else can write.
            run.finished = look(config, path)
            if run.finished is None:
                run._start()
            else:
                run.close()
        except BaseException:
            run.close()
            raise
        return run

    def append_metrics(self, row: Mapping[str, Cell]) -> None:
        """One row of ``metrics.csv``: column → value, None and non-finite blank.

        Raises:
            StorageError: see :meth:`CsvTable.append`, as for the other tables.
        """
        self._tables["metrics"].append([row])
        self._status = replace(self._status, iteration=_count(row.get("iteration")), env_steps=_count(row.get("env_steps")))

    def append_episodes(self, rows: Iterable[Mapping[str, Cell]]) -> None:
        """Rows of ``episodes.csv``, in one write."""
        self._tables["episodes"].append(rows)

    def append_evaluations(self, rows: Iterable[Mapping[str, Cell]]) -> None:
        """Rows of ``eval.csv``, in one write."""
        self._tables["eval"].append(rows)

    def append_timing(self, row: Mapping[str, Cell]) -> None:
        """One row of ``timing.csv``."""
        assert self._timing is not None
        self._timing.append([row])

    def update_status(self, *, iteration: int, env_steps: int) -> None:
        """Progress for people; reaches the disk at most once a second, without fsync."""
        self._status = replace(self._status, iteration=iteration, env_steps=env_steps, score=None)
        if time.monotonic() - self._status_written >= _STATUS_SECONDS:
            self._check_held()
            self._write_status(durably=False)

    def checkpoint(self, state: MemberState) -> None:
        """Make everything up to here durable: the tables' rows, then the state with their lengths.

        Raises:
            StorageError: the disk refused; the checkpoint before is still whole.
            TypeError: the state holds something else than plain arrays and scalars.
        """
        self._check_held()
        for table in self._tables.values():
            table.synchronise()
        progress = Progress(
            iteration=self._status.iteration,
            env_steps=self._status.env_steps,
            config_hash=self.config.hash,
            tables={name: table.mark() for name, table in self._tables.items()},
            versions=versions(),
            cpu_capability=cpu_capability(),
            mixed_versions=self._status.mixed_versions,
        )
        self._newest = generations.write(self.path / CHECKPOINT, state, progress, self._newest)

    def save_policy(self, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
        """Write ``policy.safetensors`` and ``policy.json``, durably.

        Args:
            header: plain values; ``tensors`` (length, SHA-256) and ``checksum`` are added.

        Raises:
            StorageError, TypeError: as :meth:`checkpoint`.
        """
        self._check_held()
        tensors.write_pair(self.path, "policy", arrays, header, "policy")

    def log(self, message: str) -> None:
        """A line into ``train.log``; the same message once per opening. A log that cannot be written stops no run."""
        if message not in self._said:
            self._said.add(message)
            log.append(self.path / LOG, message)

    def finish(
        self,
        state: FinalState,
        *,
        score: float | None,
        reason: str | None = None,
        error: str | None = None,
    ) -> None:
        """The last status, after every row is durable; releases the lock, also if the disk refuses.

        Raises:
            StorageError: the run then reads ``interrupted``, and the same command finishes it.
        """
        try:
            self._check_held()
            for table in self._tables.values():
                table.synchronise()
            self._status = replace(self._status, state=state, score=score, reason=reason, error=error)
            self._write_status(durably=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of files and lock without a word: the run reads ``interrupted``. A second time does nothing."""
        for table in (*self._tables.values(), self._timing):
            if table is not None:
                table.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check_held(self) -> None:
        """Everything but the tables is written by path; make sure that the path is still this run's."""
        if self._lock is not None:
            self._lock.check_held()

    def _start(self) -> None:
        """With the lock held: bring every file to the newest good checkpoint, or to nothing."""
        if self.config.force:
            clear(self.path)
        if not check_config(self.path, self.config):
            write_config(self.path, self.config)
        make_directory(self.path / CHECKPOINT)
        before = read_status(self.path)
        if before.state == "unreadable":
            self._note(f"warning: {before.error}; it is written anew")
        for name, columns in _REPRODUCIBLE.items():
            self._tables[name] = CsvTable(self.path / f"{name}.csv", columns, name)
        self._timing = CsvTable(self.path / "timing.csv", tables.TIMING_COLUMNS, "timing")
        verify = {name: table.verify for name, table in self._tables.items()}
        found = generations.newest(self.path / CHECKPOINT, fitting(self.path / CHECKPOINT, self.config.hash, verify))
        for fault in found.faults:
            self._note(f"warning: {fault}")
        if found.generation is None:
            self._start_from_nothing(damaged=bool(found.faults))
        else:
            self._resume(found.generation)
        self._write_status(durably=True)

    def _start_from_nothing(self, damaged: bool) -> None:
        if damaged:
            aside = set_aside(self.path)
            self._note(
                "warning: no checkpoint is usable, so the run starts from nothing, which gives the same bytes again; "
                f"what was there is kept in {aside.name}/"
            )
        generations.discard(self.path / CHECKPOINT)
        for table in self._tables.values():
            table.start()
        assert self._timing is not None
        self._timing.start()
        self.log(f"begun in {self.path.name}")

    def _resume(self, generation: Generation) -> None:
        progress = generation.progress
        self._newest = replace(generation, state=MemberState())
        self.state = generation.state
        for name, table in self._tables.items():
            table.cut(progress.tables[name].bytes)
        assert self._timing is not None
        self._timing.cut_after(progress.iteration)
        self._note(f"continues after iteration {progress.iteration}, {progress.env_steps} steps")
        changed = differences(
            {**progress.versions, "cpu": progress.cpu_capability},
            {**versions(), "cpu": cpu_capability()},
        )
        if changed:
            self._note(f"warning: continued with other versions, bits may differ: {'; '.join(changed)}")
        self._status = replace(
            self._status,
            iteration=progress.iteration,
            env_steps=progress.env_steps,
            mixed_versions=progress.mixed_versions or bool(changed),
        )

    def _note(self, message: str) -> None:
        self.notes.append(message)
        self.log(message)

    def _write_status(self, *, durably: bool) -> None:
        self._status_written = time.monotonic()
        write_status(self.path, replace(self._status, versions=versions(), threads=threads()), durably=durably)


def look(config: Config, path: Path) -> Status | None:
    """Whether the run is there and nothing of it is left to do: its status then, else None. Touches nothing.

    Raises:
        DirectoryMismatch: the directory is of another configuration, or no run's.
        StorageError: it cannot be read, or is of a finished run whose files are no longer whole.
    """
    check_ours(path)
    if config.force or not check_config(path, config):
        return None
    status = read_status(path)
    if status.state == "done" and status.iteration:
        _check_whole(path, status)
    left = status.state == "failed" and not config.retry_failed
    return status if status.finished or left else None


def reached(config: Config, path: Path) -> int:
    """Iterations after which a run goes on when it is opened; 0: from nothing. Touches nothing; nobody may be writing it.

    Raises:
        DirectoryMismatch, StorageError: as :func:`~ppo_sweep.runs.checkpoint.newest`.
    """
    verify = {name: partial(_verify, path / f"{name}.csv", columns) for name, columns in _REPRODUCIBLE.items()}
    found = generations.newest(path / CHECKPOINT, fitting(path / CHECKPOINT, config.hash, verify)).generation
    return found.progress.iteration if found is not None else 0


def _verify(path: Path, columns: Sequence[str], mark: TableMark) -> None:
    try:
        with path.open("rb") as file:
            tables.verify(path, file, columns, mark)
    except OSError as error:
        raise CorruptFile(path, "file", "a table", error.strerror or str(error)) from error


def _check_whole(path: Path, status: Status) -> None:
    """Tables that end where the run ended, and a policy that its header vouches for: a millisecond's look."""
    try:
        last = {name: tables.last_row(path / f"{name}.csv", columns).partition(",")[0] for name, columns in _REPRODUCIBLE.items()}
        if last["metrics"] != str(status.iteration):
            raise CorruptFile(path / "metrics.csv", "last row", f"iteration {status.iteration}", f"iteration {last['metrics']}")
        if tensors.read_policy(path) is None:
            raise CorruptFile(path / "policy.json", "file", "the final policy", "none")
    except CorruptFile as error:
        raise StorageError(f"{error}; the run was finished: put the file back, or force=true trains it anew, to the same bytes") from error


def _count(cell: Cell) -> int:
    return int(cell) if isinstance(cell, (int, float, np.number)) else 0
