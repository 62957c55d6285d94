"""``status.json``: where a run stands, for people and for reports."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ppo_sweep.runs import durable, strict_json
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.lock import is_locked
from ppo_sweep.runs.strict_json import require

NAME = "status.json"

#: States that a file holds.
STORED_STATES = ("queued", "running", "done", "pruned", "diverged", "failed", "stopped")
#: States that only a reader sees: a dead writer's ``running``, no file, a file that is not ours.
READ_STATES = ("interrupted", "absent", "unreadable")
#: Nothing more comes of these.
FINISHED = ("done", "pruned", "diverged")


@dataclass(frozen=True)
class Status:
    """One ``status.json``.

    Attributes:
        state: one of :data:`STORED_STATES` or :data:`READ_STATES`.
        iteration, env_steps: how far it has got.
        score: as configured; null with a ``reason``.
        error: traceback or message of a failed run; of an ``unreadable`` file, what is wrong with it.
        versions: see :func:`ppo_sweep.runs.versions.versions`.
        threads: inside one torch operation.
        mixed_versions: parts of the run were computed with other versions or another CPU.
        overrides: what was typed.
        updated: local time of the last change.
    """

    state: str
    iteration: int = 0
    env_steps: int = 0
    score: float | None = None
    reason: str | None = None
    error: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    pid: int = 0
    threads: int = 0
    mixed_versions: bool = False
    overrides: tuple[str, ...] = ()
    updated: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more comes of the run."""
        return self.state in FINISHED


def read_status(directory: Path) -> Status:
    """The status of a run directory; never raises for a bad file.

    ``running`` without a held lock reads ``interrupted``; no file reads ``absent``; a file that
    cannot be read or is not ours reads ``unreadable``, with the message in ``error``.
    """
    try:
        status = _read(directory / NAME)
        if status.state == "running" and not is_locked(directory):
            # It may have ended, and let go, between the two looks: only a second 'running' is a dead one's.
            status = _read(directory / NAME)
            if status.state == "running":
                status = replace(status, state="interrupted")
    except StorageError as error:
        return Status("unreadable", error=str(error))
    return status


def write_status(directory: Path, status: Status, *, durably: bool = True) -> None:
    """Replace ``status.json`` atomically, stamped with this process, host and the present time.

    Args:
        durably: also proof against a power cut; not needed for progress.

    Raises:
        StorageError: the disk refused.
    """
    document = asdict(status) | {"pid": os.getpid(), "host": socket.gethostname(), "updated": time.strftime("%Y-%m-%d %H:%M:%S")}
    durable.replace(directory / NAME, strict_json.encode(document), "status", durable=durably)


def _read(path: Path) -> Status:
    content = durable.read(path, limit=strict_json.SIZE_LIMIT)
    if content is None:
        return Status("absent")
    document = strict_json.decode(content, path)
    state = require(document, "state", str, path)
    if state not in STORED_STATES:
        raise CorruptFile(path, "state", f"one of {', '.join(STORED_STATES)}", repr(state))
    found, overrides = require(document, "versions", dict, path), require(document, "overrides", list, path)
    return Status(
        state=state,
        iteration=require(document, "iteration", int, path),
        env_steps=require(document, "env_steps", int, path),
        score=None if document.get("score") is None else require(document, "score", float, path),
        reason=None if document.get("reason") is None else require(document, "reason", str, path),
        error=None if document.get("error") is None else require(document, "error", str, path),
        versions={name: require(found, name, str, path) for name in found},
        host=require(document, "host", str, path),
        pid=require(document, "pid", int, path),
        threads=require(document, "threads", int, path),
        mixed_versions=require(document, "mixed_versions", bool, path),
        overrides=tuple(str(item) for item in overrides),
        updated=require(document, "updated", str, path),
    )
