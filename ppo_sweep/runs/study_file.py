"""``study.json``: which runs belong to a study, by which commands, and where they stood when it was last written.

An index for people, reports and the next command. What a run really holds stands in its own
directory; states and scores in here are a copy, at most a second behind while a sweep is at work.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ppo_sweep.runs import durable, strict_json
from ppo_sweep.runs.errors import CorruptFile, storage_errors
from ppo_sweep.runs.strict_json import require

NAME = "study.json"

#: States are for people: no more often than this.
_SECONDS = 1.0


@dataclass(frozen=True)
class StudyMember:
    """One run of a study.

    Attributes:
        path: relative to the study, ``/`` between directories: ``algo.max_kl=0.02,env=hopper/seed=1``.
        seed: of the run.
        overrides: full key → value as parsed, swept and fixed ones.
        config_hash: of its configuration.
        total_steps: its budget as asked for, in environment steps.
        state: one of ``runs.status``, as of the last write.
        score, reason: as in its ``status.json``.
    """

    path: str
    seed: int
    overrides: Mapping[str, Any]
    config_hash: str
    total_steps: int
    state: str
    score: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Study:
    """One ``study.json``.

    Attributes:
        command: the newest command, its words as typed.
        members: in the order of the commands that asked for them.
        commands: the different commands before it, oldest first.
        started, updated: local times of the first and of the last write.
        host, pid: of the last writer.
        other: what else is in the file, kept as it is.
    """

    command: tuple[str, ...]
    members: tuple[StudyMember, ...]
    commands: tuple[tuple[str, ...], ...] = ()
    started: str = ""
    updated: str = ""
    host: str = ""
    pid: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)


_KEYS = frozenset(item.name for item in fields(Study)) - {"other"}


class StudyFile:
    """``study.json``, open for writing; made by :meth:`open`, by the holder of the study's lock.

    Attributes:
        notes: what opening found, in words, for the terminal.
    """

    def __init__(self, directory: Path, study: Study, notes: Sequence[str] = ()) -> None:
        self.notes = list(notes)
        self._directory = directory
        self._study = study
        self._members = {member.path: member for member in study.members}
        self._changed = True
        self._written = 0.0

    @classmethod
    def open(
        cls, study: Path, *, command: Sequence[str], members: Sequence[StudyMember], other: Mapping[str, Any] | None = None
    ) -> StudyFile:
        """Write a command's runs into a study's file, beside those that are there; durable on return.

        A run that is listed already is replaced in its place, others are added in the order given.
        A damaged file is kept under another name, and a new one begun.

        Args:
            study: its directory, whose lock the caller holds.
            command: the words as typed.
            other: further top-level keys, replaced if they are there.

        Raises:
            StorageError: the disk refuses.
        """
        notes = []
        before = None
        try:
            before = read_study(study)
        except CorruptFile as error:
            notes.append(f"warning: {error}; it is kept as {set_aside(study).name}, and {NAME} begins anew with the runs of this command")
        if before is None:
            before = Study(command=tuple(command), members=(), started=_now())
        earlier = dict.fromkeys([*before.commands, before.command])
        merged = {member.path: member for member in (*before.members, *members)}
        study_file = cls(
            study,
            replace(
                before,
                command=tuple(command),
                members=tuple(merged.values()),
                commands=tuple(words for words in earlier if words != tuple(command)),
                host=socket.gethostname(),
                pid=os.getpid(),
                other={**before.other, **(other or {})},
            ),
            notes,
        )
        study_file.flush()
        return study_file

    def add(self, member: StudyMember) -> None:
        """List a further run, or replace one; reaches the disk as :meth:`update`."""
        self._members[member.path] = member
        self._changed = True
        self.write_due()

    def update(self, path: str, *, state: str, score: float | None = None, reason: str | None = None) -> None:
        """Take note of a run's state; reaches the disk at most once a second, without fsync.

        Raises:
            KeyError: no such run is listed.
            StorageError: the disk refuses; the change is kept for the next try.
        """
        changed = replace(self._members[path], state=state, score=score, reason=reason)
        self._changed = self._changed or changed != self._members[path]
        self._members[path] = changed
        self.write_due()

    def write_due(self) -> None:
        """Write changes that have waited for a second: to be called now and then by whoever makes few of them.

        Raises:
            StorageError: as :meth:`update`.
        """
        if self._changed and time.monotonic() - self._written >= _SECONDS:
            self._write(durably=False)

    def flush(self) -> None:
        """Write what there is now, durably.

        Raises:
            StorageError: as :meth:`update`.
        """
        self._write(durably=True)

    def _write(self, *, durably: bool) -> None:
        self._written = time.monotonic()
        study = replace(self._study, members=(), updated=_now())
        document = {**study.other, **{key: getattr(study, key) for key in _KEYS}}
        document["members"] = [vars(member) for member in self._members.values()]
        durable.replace(self._directory / NAME, strict_json.encode(document), "study", durable=durably)
        self._changed = False


def read_study(study: Path) -> Study | None:
    """The ``study.json`` of a study directory; None if it has none.

    Raises:
        CorruptFile: it is damaged, or not ours.
        StorageError: the system will not give it.
    """
    path = study / NAME
    content = durable.read(path, limit=strict_json.SIZE_LIMIT)
    if content is None:
        return None
    document = strict_json.decode(content, path)
    members = tuple(_member(entry, path) for entry in require(document, "members", list, path))
    if len({member.path for member in members}) != len(members):
        raise CorruptFile(path, "members", "each run once", "two of the same path")
    return Study(
        command=_words(document.get("command"), path),
        members=members,
        commands=tuple(_words(words, path) for words in require(document, "commands", list, path)),
        started=require(document, "started", str, path),
        updated=require(document, "updated", str, path),
        host=require(document, "host", str, path),
        pid=require(document, "pid", int, path),
        other={key: value for key, value in document.items() if key not in _KEYS},
    )


def set_aside(study: Path) -> Path:
    """Rename a damaged ``study.json`` to ``study.json.damaged-N``; the study's lock must be held.

    Raises:
        StorageError: the disk refuses; the file is then where it was.
    """
    path, number = study / NAME, 1
    while os.path.lexists(aside := study / f"{NAME}.damaged-{number}"):
        number += 1
    with storage_errors("rename", path):
        os.rename(path, aside)
        durable.fsync_directory(study)
    return aside


def _member(entry: object, path: Path) -> StudyMember:
    if not isinstance(entry, dict):
        raise CorruptFile(path, "members", "runs", f"a {type(entry).__name__}")
    place = require(entry, "path", str, path)
    # A reader joins it to the study's directory: it must not lead anywhere else.
    if not place or "\0" in place or place != PurePosixPath(place).as_posix() or {"/", "..", "."} & {*PurePosixPath(place).parts}:
        raise CorruptFile(path, "path", "a path below the study", repr(place[:70]))
    return StudyMember(
        path=place,
        seed=require(entry, "seed", int, path),
        overrides=require(entry, "overrides", dict, path),
        config_hash=require(entry, "config_hash", str, path),
        total_steps=require(entry, "total_steps", int, path),
        state=require(entry, "state", str, path),
        score=None if entry.get("score") is None else require(entry, "score", float, path),
        reason=None if entry.get("reason") is None else require(entry, "reason", str, path),
    )


def _words(value: object, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise CorruptFile(path, "command", "a list of words", "something else")
    return tuple(value)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
