"""Bytes that survive: whole-file replacement that is either the old file or the new one, never between."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from ppo_sweep.runs.errors import CorruptFile, storage_errors
from ppo_sweep.runs.fault_points import armed, passing


def replace(path: Path, content: bytes, point: str, *, durable: bool = True) -> None:
    """Write ``content`` to ``path`` atomically: temporary file, fsync, rename, fsync of the directory.

    The temporary name is fixed (``.NAME.tmp``), so that kills leave at most one per file; only the
    holder of the run's lock writes. A symbolic link at ``path`` is replaced, never followed.

    Args:
        point: prefix of the fault points passed, one of ``fault_points.REPLACED``.
        durable: False skips both fsyncs: still atomic for readers, but a power cut may undo it.

    Raises:
        StorageError: ``path`` then holds what it held before.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage_errors("write", path):
        try:
            _write_new(temporary, content, point, durable)
            passing(f"{point}.rename.before")
            os.rename(temporary, path)
            passing(f"{point}.rename.after")
            if durable:
                passing(f"{point}.fsync_dir.before")
                fsync_directory(path.parent)
                passing(f"{point}.fsync_dir.after")
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _write_new(path: Path, content: bytes, point: str, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, content, point)
        if durable:
            synchronise(descriptor, point)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes, point: str) -> None:
    """Write all of ``content``, with one ``os.write`` unless the system takes less (a disk filling up) or a fault is armed."""
    passing(f"{point}.write.before")
    if armed():
        half = len(content) // 2
        _write(descriptor, content[:half])
        passing(f"{point}.write.middle")
        content = content[half:]
    _write(descriptor, content)
    passing(f"{point}.write.after")


def _write(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])


def synchronise(descriptor: int, point: str) -> None:
    """fsync an open file."""
    passing(f"{point}.fsync.before")
    os.fsync(descriptor)
    passing(f"{point}.fsync.after")


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, *, limit: int) -> bytes | None:
    """The whole file, or None if there is none.

    Raises:
        CorruptFile: longer than ``limit`` bytes (a file that lies about its size is not read into memory),
            or no plain file.
        StorageError: it is there and the system will not give it.
    """
    with storage_errors("read", path):
        try:
            # Non-blocking, so that a pipe planted under this name cannot hang the reader.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if path.is_symlink():
                raise CorruptFile(path, "kind", "a plain file", "a symbolic link") from None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CorruptFile(path, "kind", "a plain file", "a directory, pipe or device")
            if status.st_size > limit:
                raise CorruptFile(path, "length", f"at most {limit} bytes", f"{status.st_size} bytes")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(status.st_size)  # a buffer of what is there, not of what a header claims
        finally:
            os.close(descriptor)
