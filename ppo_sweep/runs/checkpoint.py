"""``checkpoint/``: the state of a member at an iteration boundary, in two generations.

A generation is a pair of files, ``a.safetensors`` and ``a.json``, or ``b``. A new one always replaces
the one that is *not* the newest good one, so at every instruction one good generation is on disk.
The header records how long each table was and its SHA-256; a generation is usable only if the tables
still begin with exactly that, so resuming can never join a state with rows that are not its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppo_sweep.config import SCHEMA_VERSION
from ppo_sweep.learner.state import MemberState, Scalar
from ppo_sweep.runs import tensors
from ppo_sweep.runs.durable import fsync_directory
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch, StorageError, storage_errors
from ppo_sweep.runs.fault_points import passing
from ppo_sweep.runs.strict_json import require
from ppo_sweep.runs.tables import TableMark

#: Inside a run's directory.
DIRECTORY = "checkpoint"

SLOTS = ("a", "b")
#: Headers first: deleted in this order, nothing half-deleted is taken for a checkpoint.
FILES = tuple(f"{slot}{end}" for end in (".json", ".safetensors") for slot in SLOTS)

_FORMAT = "ppo_sweep checkpoint"


@dataclass(frozen=True)
class Progress:
    """What a checkpoint says beside the state.

    Attributes:
        iteration, env_steps: of the last row of ``metrics.csv``.
        config_hash: of the run it belongs to.
        tables: name → how far it had got.
        versions, cpu_capability: of the process that wrote it.
        mixed_versions: whether that process had continued the work of different ones.
    """

    iteration: int
    env_steps: int
    config_hash: str
    tables: Mapping[str, TableMark]
    versions: Mapping[str, str]
    cpu_capability: str
    mixed_versions: bool


@dataclass(frozen=True)
class Generation:
    """One complete checkpoint; ``sequence`` counts those of a run."""

    slot: str
    sequence: int
    progress: Progress
    state: MemberState


@dataclass
class Found:
    """What reading a checkpoint directory yields: the newest usable generation, and why newer ones are not."""

    generation: Generation | None = None
    faults: list[CorruptFile] = field(default_factory=list)


def accept_any(progress: Progress) -> None:
    """For readers that only want the state."""


def fitting(directory: Path, config_hash: str | None, verify: Mapping[str, Callable[[TableMark], None]]) -> Callable[[Progress], None]:
    """For :func:`newest`: refuse a generation of another run, or whose tables are not there as it recorded them.

    Args:
        directory: of the checkpoints.
        config_hash: of the run; None where it is not known.
        verify: table → what raises :class:`CorruptFile` unless the table begins with what a mark recorded.
    """

    def accept(progress: Progress) -> None:
        if config_hash is not None and progress.config_hash != config_hash:
            raise CorruptFile(directory, "config_hash", config_hash, progress.config_hash)
        if progress.tables.keys() != verify.keys():
            raise CorruptFile(directory, "tables", ", ".join(verify), ", ".join(progress.tables) or "none")
        for name, mark in progress.tables.items():
            verify[name](mark)

    return accept


def newest(directory: Path, accept: Callable[[Progress], None] = accept_any) -> Found:
    """The newest generation whose files are whole and that ``accept`` does not refuse.

    Args:
        accept: raises :class:`CorruptFile` if the generation does not fit the run's other files.

    Raises:
        DirectoryMismatch: a sound checkpoint of another schema: an older or newer version must read it.
        StorageError: the system will not give a file. That says nothing about its content, so it is
            no reason to fall back.
    """
    found = Found()
    headers: list[tuple[int, str, dict[str, Any]]] = []
    for slot in SLOTS:
        try:
            header = tensors.read_header(directory, slot)
            if header is not None:
                _check_schema(header, directory / f"{slot}.json")
                headers.append((require(header, "sequence", int, directory / f"{slot}.json"), slot, header))
        except CorruptFile as fault:
            found.faults.append(fault)
    for sequence, slot, header in sorted(headers, key=lambda item: item[0], reverse=True):
        path = directory / f"{slot}.json"
        try:
            progress = _progress(header, path)
            state = MemberState(tensors.read_arrays(directory, slot, header), _scalars(header, path))
            accept(progress)
        except CorruptFile as fault:
            found.faults.append(fault)
            continue
        found.generation = Generation(slot, sequence, progress, state)
        break
    return found


def write(directory: Path, state: MemberState, progress: Progress, after: Generation | None) -> Generation:
    """Write the next generation, durably; ``after`` is the newest good one, which stays untouched.

    Raises:
        StorageError: the disk refused; ``after`` is still whole.
        TypeError: the state holds what the files have no form for.
    """
    slot = SLOTS[0] if after is None or after.slot == SLOTS[1] else SLOTS[1]
    sequence = 1 if after is None else after.sequence + 1
    for name, value in state.scalars.items():
        if not isinstance(value, (int, float, str, bool, type(None), np.generic)):
            raise TypeError(f"scalar {name!r} is a {type(value).__name__}; a checkpoint holds numbers, texts, bools and None")
    header = {
        "format": _FORMAT, "schema_version": SCHEMA_VERSION, "sequence": sequence, "scalars": state.scalars,
        "iteration": progress.iteration, "env_steps": progress.env_steps, "config_hash": progress.config_hash,
        "tables": {name: {"bytes": mark.bytes, "sha256": mark.sha256} for name, mark in progress.tables.items()},
        "versions": dict(progress.versions), "cpu_capability": progress.cpu_capability, "mixed_versions": progress.mixed_versions,
    }  # fmt: skip
    tensors.write_pair(directory, slot, state.arrays, header, "checkpoint")
    # The caller needs no second copy of the arrays in memory, only to know which files are the good ones.
    return Generation(slot, sequence, progress, MemberState())


def discard(directory: Path) -> None:
    """Delete both generations: a run that starts from nothing must not meet them again.

    Raises:
        StorageError: something cannot be deleted.
    """
    for name in FILES:
        with storage_errors("delete", directory / name):
            passing("checkpoint.delete.before")
            with suppress(FileNotFoundError):
                os.unlink(directory / name)
            passing("checkpoint.delete.after")
    with storage_errors("save", directory):
        fsync_directory(directory)


def load_state(path: Path, warn: Callable[[str], None] | None = None) -> MemberState | None:
    """The state in the newest good checkpoint of a run, read without a lock; None if it has none yet.

    Args:
        warn: told of a damaged generation that was passed over; default: standard error.

    Raises:
        StorageError: there are checkpoints, and none is usable; the message says what is wrong with each.
    """
    for attempt in range(3):
        found = newest(path / DIRECTORY)
        # A living writer may replace one file of a pair between two reads: look again before believing it.
        if not found.faults or attempt == 2:
            break
    if found.generation is not None:
        for fault in found.faults:
            (warn or _to_stderr)(f"warning: {fault}; the older checkpoint is used")
        return found.generation.state
    if found.faults:
        raise StorageError("no checkpoint is usable:\n" + "\n".join(f"  {fault}" for fault in found.faults))
    return None


def _check_schema(header: Mapping[str, Any], path: Path) -> None:
    if header.get("format") != _FORMAT:
        raise CorruptFile(path, "format", repr(_FORMAT), repr(header.get("format")))
    schema = require(header, "schema_version", int, path)
    if schema != SCHEMA_VERSION:
        raise DirectoryMismatch(
            f"{path}: schema_version: expected {SCHEMA_VERSION}, found {schema}: written by another version of ppo_sweep; "
            "continue with that version, or start anew with force=true"
        )


def _progress(header: Mapping[str, Any], path: Path) -> Progress:
    tables, found = require(header, "tables", dict, path), require(header, "versions", dict, path)
    marks = {}
    for name in tables:
        entry = require(tables, name, dict, path)
        marks[name] = TableMark(require(entry, "bytes", int, path), require(entry, "sha256", str, path))
    return Progress(
        iteration=require(header, "iteration", int, path),
        env_steps=require(header, "env_steps", int, path),
        config_hash=require(header, "config_hash", str, path),
        tables=marks,
        versions={name: require(found, name, str, path) for name in found},
        cpu_capability=require(header, "cpu_capability", str, path),
        mixed_versions=require(header, "mixed_versions", bool, path),
    )


def _scalars(header: Mapping[str, Any], path: Path) -> dict[str, Scalar]:
    scalars: dict[str, Scalar] = {}
    for name, value in require(header, "scalars", dict, path).items():
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise CorruptFile(path, f"scalars.{name}", "a number, text, bool or null", f"a {type(value).__name__}")
        scalars[name] = value
    return scalars


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr)
