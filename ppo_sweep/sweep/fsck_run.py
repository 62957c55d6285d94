"""One run under ``fsck``: are its files what was written, do they fit together, and what mends those that are not.

Checking only reads. A run that has not ended may be cut, or lack its newest iterations: whoever
continues it trains them again, to the same bytes. A run that has ended must be whole; if it is not
and a good checkpoint is left, it is opened again (its status then reads ``interrupted``), and the
same command makes it whole from there. Nothing but torn lines and stale temporary files is thrown
away: what is damaged is moved, and what is cut is copied, into ``damaged-N/``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import yaml

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.runs import checkpoint, durable, places, status, stored_config, tables, tensors
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch, StorageError
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.study_file import StudyMember
from ppo_sweep.runs.tables import TableMark
from ppo_sweep.sweep.fsck_repairs import Repairs, remove
from ppo_sweep.sweep.fsck_tables import COLUMNS, read_table

#: Ended runs that the same command, on their last checkpoint, ends again in the same way.
_REPEATABLE = ("done", "diverged")
#: Tables under the checkpoints' checksums.
_VOUCHED = ("metrics", "episodes", "eval")

_CONFIG_LIMIT = 2**20

_ANEW = "restore it from a copy, or add force=true to the command, which trains the run anew, to the same bytes"
_FROM_NOTHING = "no checkpoint is usable: the same command starts the run from nothing, to the same bytes, and keeps what is there"
_ANOTHER = "choose another study= for one of the two, or add force=true to the command that is meant, which trains the run anew"
_OPENED = "opened again: the same command makes the run whole from its checkpoint"
_WRITTEN = "written anew: it reads interrupted, and the same command finishes the run"


@dataclass(frozen=True)
class RunFault:
    """Something that is wrong with a file of a run.

    Attributes:
        file: relative to the run's directory; empty for the whole of it.
        what: is wrong.
        remedy: what ``repair`` does; without one, what the user can do.
        repair: to be called with the run's lock held.
    """

    file: str
    what: str
    remedy: str
    repair: Callable[[], object] | None = None


def check_run(directory: Path, member: StudyMember | None = None) -> list[RunFault]:
    """All that is wrong with a run that nobody is writing, in the order in which it is to be repaired.

    Args:
        member: what ``study.json`` lists at its path.
    """
    try:
        found = list(_Check(directory, member).faults())
    except CorruptFile as error:
        return [RunFault(_name(directory, error.path), _said(error), _ANEW)]
    except (DirectoryMismatch, StorageError) as error:
        return [RunFault("", str(error), "once the cause is gone, run fsck again")]
    once: dict[tuple[str, str], RunFault] = {}
    for fault in found:  # two generations that miss the same rows are one fault of the table
        once.setdefault((fault.file, fault.remedy), fault)
    return list(once.values())


class _Check:
    """A run's files as they are, and what follows from them."""

    def __init__(self, directory: Path, member: StudyMember | None) -> None:
        self.directory = directory
        self.checkpoints = directory / checkpoint.DIRECTORY
        if self.checkpoints.is_symlink():
            raise CorruptFile(self.checkpoints, "kind", "a directory of the run's own", "a symbolic link")
        self.member = member
        self.status = read_status(directory)
        self.repairs = Repairs(directory)
        self.tables = {name: read_table(directory / f"{name}.csv", name) for name in COLUMNS}
        self.config: Config | None = None
        self.config_fault: CorruptFile | None = None
        try:
            self.config = stored_config.read_config(directory)
        except CorruptFile as error:
            self.config_fault = error
        verify = {name: partial(_verify, directory / f"{name}.csv", name, self.tables[name].content) for name in _VOUCHED}
        config_hash = self.config.hash if self.config is not None else None
        found = checkpoint.newest(self.checkpoints, checkpoint.fitting(self.checkpoints, config_hash, verify))
        self.best = found.generation
        #: Generations that are damaged themselves, and tables that are not what a whole generation recorded.
        self.mistrusted = [error for error in found.faults if error.path.suffix == ".csv"]
        self.damaged = [error for error in found.faults if error not in self.mistrusted]
        if self.best is not None and not found.faults:
            self.damaged += self._older()

    def faults(self) -> Iterator[RunFault]:
        """First the status, so that no half-repaired run reads as finished."""
        ended = self.status.finished
        damage = list(self._ended_damage()) if ended else []
        again = bool(damage) and self.best is not None and self.status.state in _REPEATABLE
        goes_on = again or not ended
        for file, what in damage:
            yield RunFault(file, what, _OPENED, self._opening()) if again else RunFault(file, what, _ANEW)
        if not ended:
            yield from self._status_faults()
        yield from self._config_faults()
        yield from self._checkpoint_faults(goes_on)
        yield from self._open_table_faults() if goes_on else self._ended_table_faults()
        yield from self._timing_faults()
        if not ended:
            yield from self._policy_faults()
        yield from self._temporaries()

    # ------------------------------------------------------------------ reading

    def _older(self) -> Iterator[CorruptFile]:
        """What is wrong with the generation that nobody needs as long as the newer one is good."""
        try:
            header = tensors.read_header(self.checkpoints, self._other_slot)
            if header is not None:
                tensors.read_arrays(self.checkpoints, self._other_slot, header)
        except CorruptFile as error:
            yield error

    @property
    def _other_slot(self) -> str:
        """The slot that does not hold the newest good generation."""
        assert self.best is not None
        return next(slot for slot in checkpoint.SLOTS if slot != self.best.slot)

    def _vouched(self, name: str) -> int:
        """Bytes of a table that the newest good checkpoint recorded; 0 without one."""
        return self.best.progress.tables[name].bytes if self.best is not None and name in _VOUCHED else 0

    @property
    def _complete(self) -> bool:
        """Whether the newest good checkpoint is that of an ended run's last iteration."""
        return self.best is not None and self.best.progress.iteration == self.status.iteration

    # ------------------------------------------------------------------ what an ended run lacks

    def _ended_damage(self) -> Iterator[tuple[str, str]]:
        """``(file, what)`` of everything that cutting does not mend."""
        for error in self.mistrusted:
            yield error.path.name, _said(error)
        if not self.mistrusted:
            yield from self._rows_damage()
        damage = self._policy_damage()
        if damage is not None and (self.status.state in _REPEATABLE or damage[1] != "missing"):
            yield damage

    def _rows_damage(self) -> Iterator[tuple[str, str]]:
        for name in _VOUCHED:
            table = self.tables[name]
            if table.content is None:
                yield f"{name}.csv", "missing"
            elif table.fault is not None and (name == "eval" or not self._complete):
                yield f"{name}.csv", table.fault
        last = self.tables["metrics"].last
        if not self._complete and last != self.status.iteration:
            yield "metrics.csv", f"ends with iteration {last}, the run ended with {self.status.iteration}"
        # They come after the last checkpoint, so nothing else vouches for them.
        found = self.tables["eval"].lines(self._vouched("eval"))
        if self._complete and self.config is not None and self.status.state == "done" and found != _final_evaluations(self.config):
            yield "eval.csv", f"{found} evaluations after the last iteration, expected {_final_evaluations(self.config)}"

    def _policy_damage(self) -> tuple[str, str] | None:
        try:
            return ("policy.json", "missing") if tensors.read_policy(self.directory) is None else None
        except CorruptFile as error:
            return error.path.name, _said(error)

    # ------------------------------------------------------------------ faults, with what mends them

    def _status_faults(self) -> Iterator[RunFault]:
        if self.status.state == "unreadable":
            what = str(self.status.error).removeprefix(f"{self.directory / status.NAME}: ")
            yield RunFault(status.NAME, what, _WRITTEN, self._opening())
        elif self.status.state == "absent" and self.best is not None:
            yield RunFault(status.NAME, "missing", _WRITTEN, self._opening())

    def _opening(self) -> Callable[[], None]:
        progress = self.best.progress if self.best is not None else None
        return partial(self.repairs.open_again, self.status, progress, policy=self._policy_damage() is None)

    def _config_faults(self) -> Iterator[RunFault]:
        if self.config_fault is not None:
            if self.config_fault.field == "file" and self.best is None and not self.status.finished:
                return  # not begun, or not again yet
            config = self._config_elsewhere()
            what = _said(self.config_fault)
            if config is None:
                yield RunFault(stored_config.NAME, what, _ANEW)
            else:
                yield RunFault(
                    stored_config.NAME, what, "written anew from .hydra/config.yaml", partial(self.repairs.restore_config, config)
                )
        elif self.config is not None and self.member is not None and self.member.config_hash != self.config.hash:
            what = f"another configuration ({self.config.hash[:8]}…) than study.json lists here ({self.member.config_hash[:8]}…)"
            yield RunFault(stored_config.NAME, what, _ANOTHER)

    def _config_elsewhere(self) -> Config | None:
        """What Hydra was given, if it is the configuration that a checkpoint or ``study.json`` knows by its hash."""
        known = {self.member.config_hash} if self.member is not None else set()
        if self.best is not None:
            known.add(self.best.progress.config_hash)
        try:
            content = durable.read(self.directory / ".hydra" / "config.yaml", limit=_CONFIG_LIMIT)
            values = yaml.safe_load(content or b"")
            config = Config.from_dict(values) if isinstance(values, dict) else None
        except (StorageError, yaml.YAMLError, ConfigError, ValueError, RecursionError):
            return None
        return config if config is not None and config.hash in known else None

    def _checkpoint_faults(self, goes_on: bool) -> Iterator[RunFault]:
        if self.best is not None:
            set_aside = partial(self.repairs.set_generation_aside, self._other_slot)
            for error in self.damaged:
                yield RunFault(_name(self.directory, error.path), _said(error), "set aside; the other one is good", set_aside)
            # Where a run stays ended, this one is the witness against its table.
            for error in self.mistrusted if goes_on else ():
                header, what = f"{checkpoint.DIRECTORY}/{self._other_slot}.json", f"recorded other rows than those in {error.path.name}"
                yield RunFault(header, what, "set aside; the other one fits", set_aside)
        elif goes_on:
            for error in (*self.damaged, *self.mistrusted):
                yield RunFault(_name(self.directory, error.path), _said(error), _FROM_NOTHING)
        else:
            for error in self.damaged:
                yield RunFault(_name(self.directory, error.path), _said(error), f"nothing vouches for the run's rows any more: {_ANEW}")

    def _open_table_faults(self) -> Iterator[RunFault]:
        """Tails of a run that will be continued; where it has no usable checkpoint, its tables begin anew by themselves."""
        for name in _VOUCHED:
            table, vouched = self.tables[name], self._vouched(name)
            if self.best is not None and self.mistrusted and table.length > vouched:
                yield self._cut(name, vouched, "rows that no checkpoint vouches for")
            elif table.fault is not None and (self.best is not None or not (self.damaged or self.mistrusted)):
                yield self._cut(name, table.whole, table.fault)

    def _ended_table_faults(self) -> Iterator[RunFault]:
        """Rows behind those that the last checkpoint of an ended run recorded."""
        for name in _VOUCHED:
            table, vouched = self.tables[name], self._vouched(name)
            if self._complete and name != "eval" and table.length > vouched:
                yield self._cut(name, vouched, table.fault or "rows behind those of the last iteration")

    def _timing_faults(self) -> Iterator[RunFault]:
        """No results are in it, and nothing can bring it back."""
        table = self.tables["timing"]
        if table.fault is not None:
            yield self._cut("timing", table.whole, table.fault)
        elif not table.length and self.status.finished:
            yield RunFault("timing.csv", "missing", "begun anew; only times are lost", partial(self.repairs.cut_table, "timing", 0, None))

    def _cut(self, name: str, length: int, what: str) -> RunFault:
        table = self.tables[name]
        kept = max(table.lines(end=length) - 1, 0)
        if not table.lines(begin=length):  # half a line is worth nothing
            return RunFault(f"{name}.csv", what, f"cut to its {kept} whole rows", partial(self.repairs.cut_table, name, length, None))
        remedy = f"cut to its first {kept} rows; what it was is kept in damaged-N/"
        return RunFault(f"{name}.csv", what, remedy, partial(self.repairs.cut_table, name, length, table.content))

    def _policy_faults(self) -> Iterator[RunFault]:
        """A run that goes on writes its policy at the end; until then a damaged one is only in the way."""
        damage = self._policy_damage()
        if damage is not None and damage[1] != "missing":
            yield RunFault(*damage, "set aside; the run writes it at its end", self.repairs.set_policy_aside)

    def _temporaries(self) -> Iterator[RunFault]:
        ours = [self.directory / name for name in (status.NAME, stored_config.NAME, *places.POLICY)]
        for path in (*ours, *(self.checkpoints / name for name in checkpoint.FILES)):
            temporary = path.with_name(f".{path.name}.tmp")
            if os.path.lexists(temporary):
                name = _name(self.directory, temporary)
                yield RunFault(name, "left behind by a writer that was killed", "removed", partial(remove, temporary))


def _verify(path: Path, name: str, content: bytes | None, mark: TableMark) -> None:
    if content is None:
        raise CorruptFile(path, "file", f"{mark.bytes} bytes at least", "no such file")
    tables.verify(path, BytesIO(content), COLUMNS[name], mark)


def _final_evaluations(config: Config) -> int:
    """Rows of ``eval.csv`` after the last iteration of a run that is done."""
    if not config.eval.every and config.score != "eval":
        return 0
    return 2 if config.eval.mode == "both" else 1


def _name(directory: Path, path: Path) -> str:
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else str(path)


def _said(error: CorruptFile) -> str:
    return f"{error.field}: expected {error.expected}, found {error.found}"
