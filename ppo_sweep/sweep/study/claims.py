"""Several processes on one study: which of them has which trial.

They share the study's storage and its directory. A trial belongs to the process that holds the lock of the trial's
directory, and the kernel drops it when the process ends, however it ends: then another one takes the trial up, or the same command
later. Trials are asked for one at a time, under the lock of a directory of its own, so none is counted or taken twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ppo_sweep.runs.errors import DirectoryBusy
from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.places import make_directory

#: Hidden: it holds a lock and nothing else.
_ASKING = ".asking"

#: A process that asks is done within seconds; one that is stopped in the middle of it holds up the others.
_PATIENCE_SECONDS = 600.0


class Claims:
    """See the module.

    Args:
        study: the directory that all processes share.
    """

    def __init__(self, study: Path) -> None:
        self._study = study
        self._held: dict[int, RunLock] = {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no other process asks for trials, takes them, or writes the study's files. Not to be nested.

        Raises:
            DirectoryBusy: another one has been at it for minutes.
            StorageError: the directory cannot be locked.
        """
        make_directory(self._study / _ASKING)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                lock = RunLock(self._study / _ASKING)
                break
            except DirectoryBusy:
                if time.monotonic() > deadline:
                    raise
        try:
            yield
        finally:
            lock.release()

    def take(self, number: int) -> bool:
        """Make a trial this process's; whether that succeeded, or it is already. To be called within :meth:`alone`."""
        directory = trial_directory(self._study, number)
        if number in self._held:
            return True
        if is_locked(directory):
            return False
        make_directory(directory)
        self._held[number] = RunLock(directory)
        return True

    def taken(self, number: int) -> bool:
        """Whether a living process has a trial."""
        return is_locked(trial_directory(self._study, number))

    def release(self, number: int) -> None:
        """A trial has ended, or is left to others."""
        if number in self._held:
            self._held.pop(number).release()

    def close(self) -> None:
        """Let go of every trial."""
        for number in list(self._held):
            self.release(number)


def trial_directory(study: Path, number: int) -> Path:
    """Of a trial."""
    return study / f"trial={number:04d}"
