"""A process's part in a study: the study's lock, the trials it has, and whether it is the one that goes on.

In a journal there is one process. In a database several share a study, and its directory: the one that holds the study's lock lists
the runs in ``study.json`` as they come; the others list nothing until the end.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ppo_sweep.runs.errors import CorruptFile, DirectoryBusy, DirectoryMismatch
from ppo_sweep.runs.lock import RunLock, holder, is_locked
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep.study.claims import Claims
from ppo_sweep.sweep.study.kept import BEST, CONFIRMED, OWNER
from ppo_sweep.sweep.study.storage import OpenStudy

#: Study attributes in the storage: whose a database's study is, and whether several processes have been at work on it at a time.
DIRECTORY, _SEVERAL = "directory", "several processes"

#: A process that has come to its end waits so long for one that is at it too.
_PATIENCE_SECONDS = 30.0


def several(opened: OpenStudy) -> bool:
    """Whether several processes have been at work on a study at the same time."""
    return bool(opened.study.user_attrs.get(_SEVERAL))


class Part:
    """See the module.

    Args:
        study: its directory.
        name: of the study.
        shared: its trials are in a database.

    Attributes:
        claims: None where no other process can be.
    """

    def __init__(self, study: Path, name: str, *, shared: bool) -> None:
        self._study, self._name = study, name
        self._lock: RunLock | None = None
        self._confirmed = self.kept().get(CONFIRMED)
        self.claims = Claims(study) if shared else None

    @property
    def lists_runs(self) -> bool:
        """Whether it writes ``study.json``."""
        return self._lock is not None

    def lock(self) -> bool:
        """Take the study's lock if it is free; whether it is this process's."""
        if self._lock is None and not is_locked(self._study):
            with suppress(DirectoryBusy):
                self._lock = RunLock(self._study)
        return self._lock is not None

    def wait_for_study_file(self) -> None:
        """Another process that has just begun the study says what it is."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._lock is None and read_study(self._study) is None and time.monotonic() < deadline:
            time.sleep(0.1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no other process changes what all of them change."""
        if self.claims is None:
            yield
        else:
            with self.claims.alone():
                yield

    def join(self, opened: OpenStudy) -> Sequence[FrozenTrial] | None:
        """Enter a storage; its trials, if the study is gone through from its first event on.

        So it is where no two processes have been at work on it at the same time. Its unfinished trials are then this process's;
        a trial that another process begins from now on is not.
        """
        if self.claims is None:
            return opened.study.get_trials(deepcopy=False)
        with self.claims.alone():
            self._own(opened)
            if self._lock is None:
                opened.study.set_user_attr(_SEVERAL, True)
            if several(opened):
                return None
            trials = opened.study.get_trials(deepcopy=False)
            unfinished = [trial.number for trial in trials if not trial.state.is_finished()]
            taken = [number for number in unfinished if self.claims.take(number)]
            return trials if taken == unfinished else None

    def _own(self, opened: OpenStudy) -> None:
        """Refuse a database's study that is worked on in another directory: its trials would be taken for this directory's."""
        here = f"{socket.gethostname()}:{self._study.absolute()}"
        owner, before = opened.study.user_attrs.get(DIRECTORY), self.kept().get(OWNER)
        if owner is None and not opened.study.get_trials(deepcopy=False):
            if before is not None:
                raise DirectoryMismatch(
                    f"{self._study}: its trials are in another database, or had another name there; "
                    "give the sweep.storage and the study= that it was begun with"
                )
            opened.study.set_user_attr(DIRECTORY, here)
        elif owner is not None and owner == before != here:
            self._take_over(opened, owner, here)
        elif owner != here:
            raise DirectoryMismatch(
                f"the study {self._name!r} in this storage belongs to {owner or 'another program'}; give study=, "
                "or work in that directory: processes on several hosts need it on a shared disk"
            )

    def _take_over(self, opened: OpenStudy, owner: str, here: str) -> None:
        """The study's own directory under another path: moved, or mounted here; refused if it is a copy."""
        host, _, path = owner.partition(":")
        if host == socket.gethostname() and not os.path.exists(path):
            opened.study.set_user_attr(DIRECTORY, here)
        elif host == socket.gethostname() and not os.path.samefile(path, self._study):
            raise DirectoryMismatch(
                f"{self._study} is a copy of {path}, which the study {self._name!r} in this storage belongs to; work there, or remove that "
                "directory if this one is to take its place"
            )

    def leave(self, opened: OpenStudy, stopped: Callable[[], bool]) -> str | None:
        """Why the study is left to another process now, in words; None if this one is to confirm it.

        Args:
            stopped: whether to give up waiting.
        """
        if self.claims is None:
            return None
        trials = opened.study.get_trials(deepcopy=False)
        numbers = [trial.number for trial in trials if not trial.state.is_finished()]
        if numbers:
            which = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
            return f"other processes are still at trial {which}; the last one confirms, and so does the same command once they have ended"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.lock() and not stopped():
            if time.monotonic() > deadline:
                return (
                    f"{holder(self._study)} has the study, and confirms the trials that it knows of; once it has ended, the same command "
                    f"confirms all {len(trials)}"
                )
            time.sleep(0.1)
        confirmed = self.kept().get(CONFIRMED)
        if confirmed is not None and confirmed != self._confirmed and confirmed.get("of") == len(trials):
            return f"another process has confirmed the study: {self._study / BEST}"
        return None

    def kept(self) -> Mapping[str, Any]:
        """What ``study.json`` holds beside the runs."""
        try:
            found = read_study(self._study)
        except CorruptFile:
            found = None
        return found.other if found is not None else {}

    def close(self) -> None:
        """Leave the study to others."""
        if self.claims is not None:
            self.claims.close()
        if self._lock is not None:
            self._lock.release()
