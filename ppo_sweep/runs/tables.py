"""The CSV files of a run: their columns, how a value is written, and a table that only grows."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ppo_sweep.runs.durable import synchronise, write_all
from ppo_sweep.runs.errors import CorruptFile, StorageError, storage_errors
from ppo_sweep.runs.fault_points import passing

#: One row per iteration; definitions in docs/numbers.md. New columns go at the end.
METRIC_COLUMNS: tuple[str, ...] = (
    "iteration", "env_steps", "episodes", "return_mean", "return_std", "return_100", "return_all", "length_mean", "length_100",
    "policy_loss", "value_loss", "entropy", "kl", "kl_max", "kl_sample", "ratio_max", "clip_fraction", "value_clip_fraction",
    "explained_variance", "action_std", "action_std_min", "action_std_max", "action_saturation", "mean_saturation",
    "policy_grad_norm", "value_grad_norm", "grad_clip_fraction", "grad_sq_true", "grad_sq_se", "grad_noise_scale", "adv_std",
    "value_mean", "reward_scale", "reward_clip_fraction", "lr", "kl_beta", "epochs",
)  # fmt: skip
#: One row per finished training episode, in order (t, env); ``terminated`` and ``partial`` are 0 or 1.
EPISODE_COLUMNS: tuple[str, ...] = ("env_steps", "env", "return", "length", "terminated", "final_reward", "partial")
#: One row per evaluation.
EVAL_COLUMNS: tuple[str, ...] = (
    "env_steps", "mode", "episodes", "return_mean", "return_std", "return_min", "return_max", "length_mean",
)  # fmt: skip
#: One row per iteration, wall seconds of the whole population: the one table that is not reproducible.
TIMING_COLUMNS: tuple[str, ...] = (
    "iteration", "env_steps", "seconds", "members", "simulator", "policy", "normalise", "update", "write", "steps_per_s",
)  # fmt: skip

Cell = int | float | str | bool | np.generic | None

_CHUNK = 2**20


def format_cell(value: Cell) -> str:
    """A value as CSV text: shortest decimal that reads back exactly in the value's own precision.

    None and non-finite numbers are blank, bools 0 or 1.

    Raises:
        TypeError: for another type. ValueError: for a text that would need quoting.
    """
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):  # np.float64 is a float: its repr is the shortest
        if not math.isfinite(value):
            return ""
        # float32 by its own shortest digits ('0.1', not '0.10000000149011612'), in Python's spelling.
        return repr(float(value) if isinstance(value, float) else float(np.format_float_scientific(value)))
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(int(value))
    if isinstance(value, str):
        if any(mark in value for mark in ',"\r\n'):
            raise ValueError(f"{value!r} would need quoting in a CSV file")
        return value
    raise TypeError(f"a table holds numbers, bools and short texts, not {type(value).__name__}")


def last_row(path: Path, columns: tuple[str, ...]) -> str:
    """The last line of a finished table, read from its end.

    Raises:
        CorruptFile: there is no such file, it has other columns, or its last line is torn.
    """
    header = ",".join(columns)
    try:
        with path.open("rb") as file:
            first = file.readline().decode("utf-8", "replace").rstrip("\n")
            file.seek(max(path.stat().st_size - _CHUNK, 0))
            tail = file.read().decode("utf-8", "replace")
    except OSError as error:
        raise CorruptFile(path, "file", "a table", error.strerror or str(error)) from error
    if first != header:
        raise CorruptFile(path, "columns", header, first[:80] or "none")
    if not tail.endswith("\n"):
        raise CorruptFile(path, "last row", "a whole line", repr(tail[-40:]))
    return tail[:-1].rpartition("\n")[2]


@dataclass(frozen=True)
class TableMark:
    """How far a table had got when a checkpoint was made: ``bytes`` from its start, and their SHA-256."""

    bytes: int
    sha256: str


def verify(path: Path, file: BinaryIO, columns: Sequence[str], mark: TableMark) -> None:
    """Check that a table begins with what ``mark`` recorded, and with the columns of this version.

    Args:
        path: of the table, for the message.
        file: its content, seekable.

    Raises:
        CorruptFile: it is shorter, or differs.
    """
    size = file.seek(0, os.SEEK_END)
    if size < mark.bytes:
        raise CorruptFile(path, "length", f"at least {mark.bytes} bytes", f"{size} bytes")
    found = _digest(file, mark.bytes).hexdigest()
    if found != mark.sha256:
        raise CorruptFile(path, f"checksum of the first {mark.bytes} bytes", f"sha256 {mark.sha256[:8]}…", f"sha256 {found[:8]}…")
    header = _header(columns)
    file.seek(0)
    if file.read(len(header)) != header:
        raise CorruptFile(path, "columns", f"{len(columns)} of this version", "those of another version")


def _digest(file: BinaryIO, length: int) -> hashlib._Hash:
    """Of the first bytes of a file."""
    digest, left = hashlib.sha256(), length
    file.seek(0)
    while left and (chunk := file.read(min(_CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest


def _header(columns: Sequence[str]) -> bytes:
    return (",".join(columns) + "\n").encode()


class CsvTable:
    """An append-only CSV file: whole lines, each append one ``os.write``, length and checksum always known.

    Not thread-safe; the run's lock keeps other writers out.
    """

    def __init__(self, path: Path, columns: Sequence[str], point: str) -> None:
        """Open (or create, empty) the file; :meth:`start` or :meth:`cut` must follow before rows.

        Args:
            point: prefix of the fault points passed, one of ``fault_points.APPENDED``.

        Raises:
            StorageError: it cannot be opened; a symbolic link is refused.
        """
        self.path, self._columns, self._point = path, tuple(columns), point
        self._known = frozenset(columns)
        self._header = _header(columns)
        self.length = 0
        self._hash = hashlib.sha256()
        self._durable = self._torn = False
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage_errors("open", path):
            self._descriptor = os.open(path, flags, 0o666)

    def start(self) -> None:
        """Empty the table but for its header."""
        self._truncate(0)
        self._hash = hashlib.sha256()
        self._write(self._header)

    def verify(self, mark: TableMark) -> None:
        """Check that the file still begins with what ``mark`` recorded.

        Raises:
            CorruptFile: it is shorter, or differs.
        """
        with self._reading() as file:
            verify(self.path, file, self._columns, mark)

    def cut(self, length: int) -> None:
        """Drop what lies behind ``length`` bytes, which :meth:`verify` has found good."""
        with self._reading() as file:
            self._hash = _digest(file, length)
        self._truncate(length)

    def cut_after(self, iteration: int) -> None:
        """Keep whole lines, up to the first whose first cell is no number up to ``iteration``: for a table under no checksum."""
        with self._reading() as file:
            if file.readline(len(self._header)) != self._header:
                self.start()
                return
            kept = len(self._header)
            for line in file:
                cell = line.split(b",", 1)[0]
                if not (line.endswith(b"\n") and cell.isdigit() and len(cell) < 20 and int(cell) <= iteration):
                    break
                kept += len(line)
        self.cut(kept)

    def append(self, rows: Iterable[Mapping[str, Cell]]) -> None:
        """Add rows; a column that a row does not name is blank.

        Raises:
            ValueError: a row names a column that there is none of. TypeError: see :func:`format_cell`.
            StorageError: the disk refused, or somebody else moved, cut or wrote the file. No part of a row stays.
        """
        text = "".join(self._line(row) for row in rows)
        if text:
            self._check_undisturbed()
            self._write(text.encode())

    def synchronise(self) -> None:
        """Make every row so far durable.

        Raises:
            StorageError: as :meth:`append`.
        """
        self._check_undisturbed()
        if not self._durable:
            with storage_errors("save", self.path):
                synchronise(self._descriptor, self._point)
            self._durable = True

    def mark(self) -> TableMark:
        """The present length and its checksum."""
        return TableMark(self.length, self._hash.hexdigest())

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _line(self, row: Mapping[str, Cell]) -> str:
        if not self._known.issuperset(row):
            raise ValueError(f"{self.path.name} has no column {', '.join(sorted(set(row) - self._known))}")
        return ",".join([format_cell(row.get(column)) for column in self._columns]) + "\n"

    def _write(self, content: bytes) -> None:
        self._durable = False
        with storage_errors("write", self.path):
            try:
                write_all(self._descriptor, content, self._point)
            except BaseException:  # a signal's exception too: half a line must not stay
                self._torn = True
                with suppress(OSError):
                    self._heal()
                raise
        self.length += len(content)
        self._hash.update(content)

    def _heal(self) -> None:
        """Cut a torn tail; whether this works on a full or failing disk is seen at the next try."""
        os.ftruncate(self._descriptor, self.length)
        self._torn = False

    def _check_undisturbed(self) -> None:
        """An unlinked file takes writes without complaint, so look before each append (about 1 µs)."""
        with storage_errors("write", self.path):
            if self._torn:
                self._heal()
            status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise StorageError(f"cannot write {self.path}: it was removed while the run wrote it; the same command starts or continues it")
        if status.st_size != self.length:
            raise StorageError(
                f"cannot write {self.path}: expected {self.length} bytes, found {status.st_size}: something else writes to it; "
                "the same command continues from the last checkpoint"
            )

    def _truncate(self, length: int) -> None:
        with storage_errors("cut", self.path):
            passing(f"{self._point}.cut.before")
            os.ftruncate(self._descriptor, length)
            passing(f"{self._point}.cut.after")
        self.length, self._durable, self._torn = length, False, False

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO]:
        """The file from its start; rows are appended wherever it was read."""
        with storage_errors("read", self.path), open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            yield file
