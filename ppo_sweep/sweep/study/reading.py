"""A study's trials as its storage holds them, read without a lock and without a change: for reports and for ``fsck``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.study_file import Study as StudyFile
from ppo_sweep.sweep import overrides
from ppo_sweep.sweep.study.kept import JOURNAL
from ppo_sweep.sweep.study.storage import SIZE_LIMIT, address, change, optuna_errors, shown


@dataclass(frozen=True)
class Held:
    """What a storage holds of one study.

    Attributes:
        attributes: of the study.
        trials: by number.
    """

    attributes: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]


def read(directory: Path, study: StudyFile) -> Held:
    """The study of a directory; without attributes and trials before its first command has made it.

    Args:
        study: its ``study.json``, whose commands name the database if it is in one.

    Raises:
        CorruptFile: the journal is damaged before its last line; a torn last line is left out.
        StorageError: there is no storage, or it cannot be read.
    """
    with optuna_errors(directory), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(logging.ERROR)
        try:
            storage = _storage(directory, study)
            names = [kept.study_name for kept in storage.get_all_studies()]
            if not names:
                return Held({}, ())
            name = directory.name if directory.name in names else names[0] if len(names) == 1 else None
            if name is None:
                raise StorageError(f"the storage holds no study {directory.name!r}")
            study_id = storage.get_study_id_from_name(name)
            attributes = storage.get_study_user_attrs(study_id)
            return Held(attributes, tuple(storage.get_all_trials(study_id, deepcopy=False)))
        finally:
            optuna.logging.set_verbosity(level)


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


def _storage(directory: Path, study: StudyFile) -> BaseStorage:
    if (directory / JOURNAL).exists():
        return JournalStorage(_WholeLines(directory))
    database = _database(study)
    if database is None:
        raise StorageError(f"there is no {JOURNAL} beside study.json, and its command names no sweep.storage")
    url, name = address(database), shown(database)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():  # opening it would make it
        raise StorageError(f"they are in {name}, which is not here; go where train.py ran")
    try:
        return RDBStorage(url.render_as_string(hide_password=False), skip_table_creation=True)
    except (SQLAlchemyError, ImportError) as error:
        raise StorageError(f"they are in {name}, which cannot be reached ({type(error).__name__})") from error


def _database(study: StudyFile) -> str | None:
    """``sweep.storage`` of the newest command that has one."""
    for words in (study.command, *reversed(study.commands)):
        for word in words:
            if word.lstrip("+").startswith("sweep.storage="):
                value = overrides.parser().parse_override(word).value()
                return None if value is None else str(value)
    return None
