"""What can go wrong with a run on disk, worded for the person at the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StorageError(RuntimeError):
    """The disk refused something: full, read-only, removed, broken. Earlier bytes are intact."""


class CorruptFile(StorageError):
    """A file whose content is not what this project wrote.

    Attributes:
        path: the file.
        field: what in it is wrong: ``length``, ``checksum``, ``JSON``, a key, a tensor.
        expected, found: in words.
    """

    def __init__(self, path: Path, field: str, expected: object, found: object) -> None:
        self.path, self.field, self.expected, self.found = path, field, expected, found
        super().__init__(f"{path}: {field}: expected {expected}, found {found}")


class DirectoryBusy(RuntimeError):
    """Another writer holds the run directory (exit code 4)."""


class DirectoryMismatch(RuntimeError):
    """The directory belongs to another configuration, or to something else entirely (exit code 4)."""


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a :class:`StorageError` that says what was being done, where, and what now."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        advice = "; what was written before is intact, and the same command continues once the cause is gone"
        raise StorageError(f"cannot {action} {path}: {reason}{'' if action == 'read' else advice}") from error
