"""A study's trials as its storage holds them, read without a lock and without a change: for reports and for ``fsck``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial

from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.study_file import Study as Listed
from ppo_sweep.sweep import overrides
from ppo_sweep.sweep.study.kept import JOURNAL
from ppo_sweep.sweep.study.storage import SIZE_LIMIT, address, change, connect, disconnect, optuna_errors, shown


@dataclass(frozen=True)
class Held:
    """What a storage holds of one study.

    Attributes:
        attributes: of the study.
        trials: by number.
    """

    attributes: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]


def read(directory: Path, listed: Listed) -> Held:
    """The study of a directory; without attributes and trials before its first command has made it.

    Args:
        listed: its ``study.json``, whose commands name the database if it is in one.

    Raises:
        CorruptFile: the journal is damaged before its last line; a torn last line is left out.
        StorageError: there is no storage, or it cannot be read.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        if (directory / JOURNAL).exists():
            with optuna_errors(directory / JOURNAL):
                return _in_journal(JournalStorage(_WholeLines(directory)), directory.name)
        url = database_of(listed)
        if url is None:
            raise StorageError(f"there is no {JOURNAL} beside study.json, and its command names no sweep.storage")
        file = address(url).database
        if address(url).get_backend_name() == "sqlite" and file and not Path(file).is_file():  # opening it would make it
            raise StorageError(f"they are in {shown(url)}, which is not here; go where train.py ran")
        with optuna_errors(shown(url)), _connected(url) as database:
            return _of(database, directory.name)
    finally:
        optuna.logging.set_verbosity(level)


def database_of(listed: Listed) -> str | None:
    """``sweep.storage`` of the newest command that names one."""
    for words in (listed.command, *reversed(listed.commands)):
        for word in words:
            if word.lstrip("+").startswith("sweep.storage="):
                value = overrides.parser().parse_override(word).value()
                return None if value is None else str(value)
    return None


def read_journal(directory: Path) -> list[dict[str, Any]]:
    """The changes in the journal, as Optuna wrote them; a torn last line is left out.

    Raises:
        CorruptFile: a line is no JSON.
        StorageError: it cannot be read.
    """
    path = directory / JOURNAL
    content = durable.read(path, limit=SIZE_LIMIT) or b""
    end = content.rfind(b"\n") + 1
    return [change(line, path, number) for number, line in enumerate(content[:end].splitlines(), start=1)]


class _WholeLines(BaseJournalBackend):
    """The whole lines of a journal as they are now; nothing is locked or written."""

    def __init__(self, directory: Path) -> None:
        self._changes = read_journal(directory)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._changes[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("nothing is written to what is only read")


def _in_journal(storage: BaseStorage, name: str) -> Held:
    """The one study of a journal, under whatever name: its directory may have been given another."""
    names = [kept.study_name for kept in storage.get_all_studies()]
    if not names:
        return Held({}, ())
    return _of(storage, names[0] if len(names) == 1 else name)


def _of(storage: BaseStorage, name: str) -> Held:
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        raise StorageError(f"the storage holds no study {name!r}") from None
    return Held(storage.get_study_user_attrs(study_id), tuple(storage.get_all_trials(study_id, deepcopy=False)))


@contextmanager
def _connected(url: str) -> Iterator[RDBStorage]:
    database = connect(url, make=False)
    try:
        yield database
    finally:
        disconnect(database)
