"""A study under ``fsck``: every run and ``study.json`` are checked, what can be repaired is, the rest is listed.

Nothing that a living process holds is touched: a run that is being trained is skipped, and while a
sweep is at work on the study, which may take up any run at any moment, nothing of it is repaired.
A study with nothing wrong is only read.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ppo_sweep.runs import lock, study_file
from ppo_sweep.runs.errors import CorruptFile, DirectoryBusy, StorageError
from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.status import FINISHED, read_status
from ppo_sweep.runs.study_file import StudyMember, read_study
from ppo_sweep.sweep.fsck_repairs import remove
from ppo_sweep.sweep.fsck_run import RunFault, check_run
from ppo_sweep.sweep.fsck_study import check_study
from ppo_sweep.sweep.overview import runs_of

#: What one repair makes visible (a configuration that can be read again), the next one mends.
_ROUNDS = 3

_AGAIN = "once the cause is gone, run fsck again"
_WAIT = "a sweep is at work on the study; once it has ended, run fsck again"


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong.

    Attributes:
        path: the file, relative to the study.
        what: was wrong with it.
        outcome: ``repaired``, ``repairable`` (nothing was changed, because that was asked for) or ``left``.
        remedy: what was done, would be done, or can be done by the user.
    """

    path: str
    what: str
    outcome: str
    remedy: str


@dataclass
class Report:
    """What came of checking a study.

    Attributes:
        study: its directory.
        checked: how many runs were.
        in_use: runs that were skipped, because a living process holds them or may at any moment.
        findings: in the order of the runs.
    """

    study: Path
    checked: int = 0
    in_use: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        """Findings of that outcome."""
        return sum(finding.outcome == outcome for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether nothing is left to be done."""
        return all(finding.outcome == "repaired" for finding in self.findings)


def fsck(study: Path, part: str = "", *, dry_run: bool = False) -> Report:
    """Check a study, or a part of it, and repair what can be repaired.

    Args:
        study, part: as :func:`ppo_sweep.sweep.overview.studies_at` gives them.
        dry_run: change nothing.
    """
    with ExitStack() as stack:
        return _Check(study, part, dry_run, stack).run()


class _Check:
    def __init__(self, study: Path, part: str, dry_run: bool, stack: ExitStack) -> None:
        self.study, self.part, self.dry_run, self.stack = study, part, dry_run, stack
        self.report = Report(study)
        # Of several processes on one study, only one holds its lock.
        self.sweeping = is_locked(study) or any(is_locked(status.parent) for status in study.glob("trial=*/**/status.json"))
        self.members: dict[str, StudyMember] = {}
        self.listed: study_file.Study | None = None
        self.study_fault: CorruptFile | None = None
        self._holding = False

    def run(self) -> Report:
        try:
            self.listed = read_study(self.study)
            if self.listed is not None:
                self.members = {member.path: member for member in self.listed.members}
        except CorruptFile as error:
            self.study_fault = error
        except StorageError as error:
            self._left("", str(error), _AGAIN)
        if not self.part:
            self._check_study()
        for path in runs_of(self.study, self.part, self.members, lambda message: self._left("", message, _AGAIN)):
            self._check_run(path)
        return self.report

    def _check_study(self) -> None:
        """The files of the study itself."""
        faults = []
        if self.study_fault is not None:
            error = self.study_fault
            what = f"{error.field}: expected {error.expected}, found {error.found}"
            remedy = "set aside; the next command begins it anew, and runs are found without it"
            faults.append(RunFault(study_file.NAME, what, remedy, partial(study_file.set_aside, self.study)))
        temporary = self.study / f".{study_file.NAME}.tmp"
        if os.path.lexists(temporary) and not self.sweeping:
            faults.append(RunFault(temporary.name, "left behind by a sweep that was killed", "removed", partial(remove, temporary)))
        faults += check_study(self.study, self.listed, in_use=self.sweeping)
        if any(fault.repair for fault in faults) and self._may_repair():
            for fault in faults:
                if fault.repair is not None:
                    self._repair(fault, "")
            faults = [fault for fault in faults if fault.repair is None]
        self._list(faults, "")

    def _check_run(self, path: str) -> None:
        directory, member = self.study / path, self.members.get(path)
        if not directory.is_dir():
            if member is not None and member.state in FINISHED:
                self._left(path, f"listed as {member.state}, and its directory is gone", "put it back, or the same command trains it again")
            return
        if is_locked(directory) or (self.sweeping and not read_status(directory).finished):
            self.report.in_use.append(path)
            return
        faults = check_run(directory, member)
        if faults and is_locked(directory):  # a writer that came in the meantime
            self.report.in_use.append(path)
            return
        self.report.checked += 1
        if any(fault.repair for fault in faults) and self._may_repair():
            faults = self._repair_run(path, directory, member)
        self._list(faults, path)

    def _repair_run(self, path: str, directory: Path, member: StudyMember | None) -> list[RunFault]:
        """Repair with the run's lock held; what is left."""
        try:
            held = RunLock(directory)
        except (DirectoryBusy, StorageError) as error:
            return [RunFault("", str(error), _AGAIN)]
        try:
            for _ in range(_ROUNDS):
                faults = check_run(directory, member)
                repairable = [fault for fault in faults if fault.repair is not None]
                # In this order, and no further than the disk allows.
                if not repairable or not all(self._repair(fault, path) for fault in repairable):
                    break
        finally:
            held.release()
        return [fault for fault in faults if fault.repair is None]

    def _may_repair(self) -> bool:
        """Whether repairs are wanted, and no sweep is or comes in between: from the first one on, the study is ours."""
        if self.dry_run or self.sweeping:
            return False
        if not self._holding and any(os.path.lexists(self.study / name) for name in (study_file.NAME, lock.NAME)):
            try:
                self.stack.callback(RunLock(self.study).release)
            except DirectoryBusy:
                self.sweeping = True
                return False
            except StorageError as error:
                self._left("", str(error), _AGAIN)
                self.dry_run = True
                return False
        self._holding = True
        return True

    def _repair(self, fault: RunFault, run: str) -> bool:
        assert fault.repair is not None
        try:
            fault.repair()
        except StorageError as error:
            self._left(_joined(run, fault.file), f"{fault.what}; {error}", _AGAIN)
            return False
        self.report.findings.append(Finding(_joined(run, fault.file), fault.what, "repaired", fault.remedy))
        return True

    def _list(self, faults: list[RunFault], run: str) -> None:
        for fault in faults:
            if fault.repair is None:
                self._left(_joined(run, fault.file), fault.what, fault.remedy)
            elif self.sweeping:
                self._left(_joined(run, fault.file), fault.what, _WAIT)
            else:
                self.report.findings.append(Finding(_joined(run, fault.file), fault.what, "repairable", fault.remedy))

    def _left(self, path: str, what: str, remedy: str) -> None:
        self.report.findings.append(Finding(path, what, "left", remedy))


def _joined(run: str, file: str) -> str:
    return "/".join(part for part in (run, file) if part)
