"""What the directories of the asked-for runs already hold; what is finished there may still lack its logger's copy."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from ppo_sweep.runs.directory import look
from ppo_sweep.runs.errors import DirectoryBusy, DirectoryMismatch, StorageError
from ppo_sweep.runs.lock import RunLock, holder, is_locked
from ppo_sweep.runs.loggers import copy_finished
from ppo_sweep.runs.status import Status
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.study.kept import IDENTITY, JOURNAL
from ppo_sweep.sweep.wording import outcome

#: Final states whose runs count as done (``train.py --help``); the others exit 3.
_GOOD = ("done", "pruned")


@dataclass(frozen=True)
class Survey:
    """The state of all directories of a command.

    Attributes:
        refusals: why it cannot be carried out: directories in use, of another configuration, or unusable.
        finished: runs of which nothing is left to do, and how they ended.
        pending: how many are left to run.
    """

    refusals: tuple[str, ...]
    finished: tuple[tuple[Job, Status], ...]
    pending: int

    @property
    def exit_code(self) -> int:
        """Of a command whose runs are all finished: 0, or 3 if one failed or diverged."""
        return 0 if all(status.state in _GOOD for _, status in self.finished) else 3

    def lines(self, *, each: bool) -> list[str]:
        """What to say when nothing is left to run, with a line for each run or none."""
        lines = [f"already {outcome(status.state, job.path, status.score, status.reason)}" for job, status in self.finished if each]
        return [*lines, "nothing left to run; force=true starts anew"]


def wait_until_free(directories: Sequence[Path], seconds: float) -> None:
    """Give whoever holds one of these directories so many seconds to let go.

    The workers of a sweep that was killed notice it within a moment, and its study's lock falls before theirs.
    """
    deadline = time.monotonic() + seconds
    held = [directory for directory in directories if is_locked(directory)]
    if held:
        print(f"waiting up to {seconds:.0f} s: {held[0]} is in use by {holder(held[0])}", file=sys.stderr, flush=True)
    while held and time.monotonic() < deadline:
        time.sleep(0.1)
        held = [directory for directory in held if is_locked(directory)]


def survey(jobs: Sequence[Job], study: Path | None = None) -> Survey:
    """Look at every run directory, and at the study's if a sweep is to write it; creates, locks and changes nothing."""
    refusals = [_in_use(study)] if study is not None and is_locked(study) else []
    refusals += [
        f"{directory} belongs to an Optuna study, whose runs are its trials; give another study="
        for directory in dict.fromkeys(job.path.parents[1] for job in jobs)
        if _is_searched(directory)
    ]
    finished: list[tuple[Job, Status]] = []
    for job in jobs:
        try:
            status = look(job.config, job.path)
        except (DirectoryMismatch, StorageError) as error:
            refusals.append(str(error))
            continue
        if is_locked(job.path):
            refusals.append(_in_use(job.path))
        elif status is not None:
            finished.append((job, status))
    return Survey(tuple(refusals), tuple(finished), len(jobs) - len(finished))


def complete_logs(finished: Sequence[tuple[Job, Status]]) -> list[str]:
    """Give finished runs what ``logger=`` asks for and they were trained without; what to say of it."""
    if not finished or (logger := finished[0][0].config.logger) == "csv":
        return []
    written = 0
    said: list[str] = []
    for job, status in finished:
        with ExitStack() as stack, suppress(DirectoryBusy, StorageError):  # whoever has it is at work on it
            lock = RunLock(job.path)
            stack.callback(lock.release)
            written += copy_finished(job.config, job.path, status.state, status.score, said.append)
    if written and not said:
        said.append(f"logger={logger}: written for {written} finished {'run' if written == 1 else 'runs'}, from the tables")
    return list(dict.fromkeys(said))


def _is_searched(directory: Path) -> bool:
    """Whether a study is Optuna's."""
    if (directory / JOURNAL).exists():
        return True
    try:
        found = read_study(directory)
    except StorageError:  # whoever writes it next says so
        return False
    return found is not None and IDENTITY in found.other


def _in_use(directory: Path) -> str:
    return f"{directory} is in use by {holder(directory)}; wait for it or stop it, then the same command continues"
