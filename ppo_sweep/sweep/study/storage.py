"""Where a study's trials are kept: Optuna's journal in the study's directory, or a database.

The journal, ``optuna.log``, has a line of JSON per change. A process that is killed while it writes
leaves a torn last line, which Optuna cannot read, and the lock it wrote under; opening mends both and
says so. Whoever opens holds the study's own lock.

A database lets several ``train.py`` work on one study (see :mod:`~ppo_sweep.sweep.study.claims`). SQLite needs a local disk;
docs/studies.md says how to start PostgreSQL.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ppo_sweep.config import Fault
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import CorruptFile, StorageError, storage_errors
from ppo_sweep.sweep.study.kept import JOURNAL

#: Optuna's name of the lock that it writes the journal under.
_LOCK = f"{JOURNAL}.lock"

#: A lock of the journal that is held for so long was left by a killed process: writing a line takes milliseconds.
_LOCK_SECONDS = 2.0

#: A process waits so long for others that write to the same SQLite file.
_SQLITE_SECONDS = 60.0

#: A server that has not answered by then cannot be reached; drivers that can be told so.
_CONNECT_SECONDS = 10
_CONNECT_TIMEOUT = ("psycopg", "psycopg2", "pymysql", "mysqldb")

#: Past this a journal is no journal of ours: a study of 10 000 trials comes to about 40 MB.
SIZE_LIMIT = 2**31


@dataclass(frozen=True)
class OpenStudy:
    """A study, open.

    Attributes:
        study: Optuna's. Its sampler is not used (see ``asking``), nor its pruner (see ``pruners``).
        notes: what opening mended, in words.
        database: that it is in; None = in the journal.
    """

    study: Study
    notes: tuple[str, ...]
    database: RDBStorage | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes may work on it at the same time."""
        return self.database is not None

    def close(self) -> None:
        """End the connection to its database."""
        if self.database is not None:
            disconnect(self.database)


def disconnect(database: RDBStorage) -> None:
    """End the connection to a database."""
    database.remove_session()
    database.engine.dispose()


def url_fault(url: str) -> Fault | None:
    """What keeps ``sweep.storage`` from being a database that can be spoken to; makes nothing there."""
    try:
        dialect = address(url).get_dialect()
        dialect.import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError):
        return Fault("sweep.storage", f"{url!r} is not the URL of a database; for example postgresql://user:password@host/optuna")
    except ImportError as error:
        missing = str(error.name)
        install = "-e '.[postgres]'" if missing.startswith("psycopg") else {"MySQLdb": "mysqlclient"}.get(missing, missing)
        return Fault("sweep.storage", f"its driver is missing; install it with pip install {install}")
    try:
        _reach(address(url))
    except (SQLAlchemyError, OSError, ValueError, TypeError) as error:
        return Fault("sweep.storage", f"{shown(url)} cannot be used: {_said(error)}")
    return None


def _reach(url: URL) -> None:
    """Speak to a database.

    Raises:
        SQLAlchemyError, OSError, ValueError, TypeError: that is not possible.
    """
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError("a database in memory keeps nothing; for example sqlite:///study.db")
        assert url.database is not None
        if url.database.startswith("file:") or "mode" in url.query:
            raise ValueError("give the path of the file; for example sqlite:///study.db")
        file = Path(url.database)
        if not file.parent.is_dir():
            raise FileNotFoundError(f"there is no directory {file.parent}")
        for path in (file.parent, file):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(f"{path} cannot be written to")
        if not file.exists():  # connecting would make it
            return
    engine = create_engine(url, connect_args=_timeout(url))
    try:
        with engine.connect():
            inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _timeout(url: URL) -> dict[str, float]:
    """How long to wait for a database, unless the URL says so, in the words of its driver."""
    if url.get_backend_name() == "sqlite":
        return {} if "timeout" in url.query else {"timeout": _SQLITE_SECONDS}
    waits = url.get_driver_name() in _CONNECT_TIMEOUT and "connect_timeout" not in url.query
    return {"connect_timeout": _CONNECT_SECONDS} if waits else {}


def open_study(directory: Path, name: str, directions: Sequence[str], url: str | None = None) -> OpenStudy:
    """Open a study, made if it is new.

    Args:
        directory: of the study; its lock must be held (with a database: at least while this runs).
        name: of the study, in its storage; the journal's only study is opened whatever its name.
        directions: ``maximize`` or ``minimize``, one per objective.
        url: of a database; None = the journal in ``directory``.

    Raises:
        CorruptFile: the journal is damaged before its last line.
        StorageError: the disk refuses, or the database.
    """
    optuna.logging.set_verbosity(logging.ERROR)  # what it says besides would go through the screen
    notes: list[str] = []
    if url is None:
        path = directory / JOURNAL
        notes = [*_drop_lock(directory), *mend(path)]
        with storage_errors("write", path):
            backend = JournalFileBackend(str(path))
        with optuna_errors(path):
            storage: BaseStorage = JournalStorage(backend)
            studies = [study.study_name for study in storage.get_all_studies()]
            # A directory may have been renamed, and its study with it.
            return OpenStudy(_study(storage, name if name in studies or len(studies) != 1 else studies[0], directions), tuple(notes))
    with optuna_errors(shown(url)):
        database = connect(url)
        return OpenStudy(_study(database, name, directions), (), database)


def connect(url: str, *, make: bool = True) -> RDBStorage:
    """A database, its tables made if they are not there and ``make``; raises what :func:`optuna_errors` turns into words."""
    made = address(url)
    arguments = {"connect_args": _timeout(made)}
    return RDBStorage(made.render_as_string(hide_password=False), engine_kwargs=arguments, skip_table_creation=not make)


@contextmanager
def in_use(url: str | None) -> Iterator[None]:
    """Turn what a database says while it is in use into a :class:`StorageError`; with the journal nothing is changed."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        if url is None:
            raise
        advice = "every run is on disk, and the same command continues once the cause is gone"
        raise StorageError(f"the study's storage {shown(url)} cannot be used: {_said(error)}; {advice}") from error


def torn(path: Path) -> int:
    """Bytes of a torn last line of a journal; 0 if it is whole.

    Raises:
        CorruptFile: it is damaged elsewhere, which no interrupted write explains.
        StorageError: it cannot be read.
    """
    content = durable.read(path, limit=SIZE_LIMIT)
    if not content:
        return 0
    lines = content.splitlines(keepends=True)
    last = b"" if _whole(lines[-1]) else lines.pop()
    for number, line in enumerate(lines, start=1):
        change(line, path, number)
    return len(last)


def mend(path: Path) -> list[str]:
    """Cut a torn last line off a journal; what was done, in words.

    Raises:
        CorruptFile: as :func:`torn`; nothing is changed.
        StorageError: the disk refuses.
    """
    last = torn(path)
    if not last:
        return []
    with storage_errors("cut", path), open(path, "r+b") as file:
        file.truncate(os.fstat(file.fileno()).st_size - last)
        os.fsync(file.fileno())
    return [f"{path}: its last line was torn by an interruption; {last} bytes were cut off, nothing else was lost"]


def _whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False  # blocks of zeros, after a power cut


def change(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """A line of a journal.

    Raises:
        CorruptFile: the line is no change.
    """
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CorruptFile(path, f"line {number}", "a change as Optuna writes it", "something else")
    return value


def _drop_lock(directory: Path) -> list[str]:
    """Remove the journal's lock if its holder is gone."""
    lock = directory / _LOCK
    deadline = time.monotonic() + _LOCK_SECONDS
    while os.path.lexists(lock):  # a dashboard may be writing a note
        if time.monotonic() > deadline:
            with storage_errors("remove", lock):
                os.unlink(lock)
            return [f"{lock}: left by a process that was killed; removed"]
        time.sleep(0.05)
    return []


def _study(storage: BaseStorage, name: str, directions: Sequence[str]) -> Study:
    """The study of this name, made if there is none."""
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        wanted = [StudyDirection.MAXIMIZE if direction == "maximize" else StudyDirection.MINIMIZE for direction in directions]
        try:
            study_id = storage.create_new_study(wanted, name)
        except optuna.exceptions.DuplicatedStudyError:  # by another process, at this moment
            study_id = storage.get_study_id_from_name(name)
    found = [direction.name.lower() for direction in storage.get_study_directions(study_id)]
    if found != list(directions):
        raise StorageError(f"the study {name!r} in this storage is to {' and '.join(found)}, not {' and '.join(directions)}; give study=")
    return Study(name, storage, sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())


@contextmanager
def optuna_errors(where: object) -> Iterator[None]:
    """Turn what a storage raises into a :class:`StorageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except StorageError:
        raise
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, ImportError) as error:
        raise StorageError(f"the study's storage {where} cannot be used: {_said(error)}") from error
    except (ValueError, KeyError, AssertionError, RuntimeError) as error:
        raise StorageError(f"the study's storage {where} is not as Optuna {optuna.__version__} writes it: {error}") from error


def _said(error: Exception) -> str:
    """The first line of what was said, by the driver if it was its."""
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def address(url: str) -> URL:
    """A database's URL for SQLAlchemy.

    PostgreSQL's driver is that of the ``postgres`` extra unless the URL names one; SQLAlchemy before 2.1 would take another.
    """
    made = make_url(url)
    return made.set(drivername="postgresql+psycopg") if made.drivername == "postgresql" else made


def shown(url: str) -> str:
    """A database's URL without its password."""
    return make_url(url).render_as_string(hide_password=True)
