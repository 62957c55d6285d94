"""Where a study's trials are kept: Optuna's journal in the study's directory, or a database.

The journal, ``optuna.log``, has a line of JSON per change. A process that is killed while it writes
leaves a torn last line, which Optuna cannot read, and the lock it wrote under; opening mends both and
says so. Whoever opens holds the study's own lock.

A database lets several ``train.py`` work on one study. SQLite needs a local disk. PostgreSQL, for example ::

    docker run -d -p 5432:5432 -e POSTGRES_PASSWORD=optuna -e POSTGRES_DB=optuna postgres:17
    pip install psycopg2-binary
    python train.py -m sweep=tpe sweep.storage='"postgresql://postgres:optuna@localhost/optuna"'

(or, of an installed server: ``initdb -D data && pg_ctl -D data -l log start && createdb optuna``).
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

import optuna
from optuna import Study
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ppo_sweep.config import Fault
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import CorruptFile, StorageError, storage_errors

JOURNAL = "optuna.log"

#: Optuna's name of the lock that it writes the journal under.
_LOCK = f"{JOURNAL}.lock"

#: A lock of the journal that is held for so long was left by a killed process: writing a line takes milliseconds.
_LOCK_SECONDS = 2.0

#: Past this a journal is no journal of ours: a study of 10 000 trials comes to about 40 MB.
_SIZE_LIMIT = 2**31


@dataclass(frozen=True)
class OpenStudy:
    """A study, open.

    Attributes:
        study: Optuna's. Its sampler is not used (see ``asking``), nor its pruner (see ``pruners``).
        notes: what opening mended, in words.
        shared: whether other processes may work on it at the same time.
    """

    study: Study
    notes: tuple[str, ...]
    shared: bool


def url_fault(url: str) -> Fault | None:
    """What keeps ``sweep.storage`` from being a database that can be spoken to; connects to nothing."""
    try:
        dialect = make_url(url).get_dialect()
        dialect.import_dbapi()
    except (ArgumentError, NoSuchModuleError):
        return Fault("sweep.storage", f"{url!r} is not the URL of a database; for example postgresql://user:password@host/optuna")
    except ImportError as error:
        package = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}.get(str(error.name), str(error.name))
        return Fault("sweep.storage", f"its driver is missing: pip install {package}")
    return None


def open_study(directory: Path, name: str, directions: Sequence[str], url: str | None = None) -> OpenStudy:
    """Open a study, made if it is new.

    Args:
        directory: of the study; its lock must be held (with a database: at least while this runs).
        name: of the study, in its storage.
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
        with _optuna_errors(path):
            storage: BaseStorage = JournalStorage(backend)
            return OpenStudy(_study(storage, name, directions), tuple(notes), shared=False)
    with _optuna_errors(make_url(url).render_as_string(hide_password=True)):
        return OpenStudy(_study(RDBStorage(url), name, directions), (), shared=True)


def journal_length(directory: Path) -> int:
    """Bytes of the journal up to the end of its last whole line; 0 without one.

    Raises:
        StorageError: it cannot be read.
    """
    content = durable.read(directory / JOURNAL, limit=_SIZE_LIMIT)
    return 0 if content is None else content.rfind(b"\n") + 1


def read_journal(directory: Path, start: int = 0) -> list[dict[str, object]]:
    """The changes from byte ``start`` (a :func:`journal_length`) on, as Optuna wrote them; a torn last line is left out.

    Raises:
        CorruptFile: a line is no JSON.
        StorageError: it cannot be read.
    """
    path = directory / JOURNAL
    content = durable.read(path, limit=_SIZE_LIMIT) or b""
    end = content.rfind(b"\n") + 1
    first = 1 + content.count(b"\n", 0, start)
    return [_change(line, path, first + index) for index, line in enumerate(content[start:end].splitlines())]


def mend(path: Path) -> list[str]:
    """Cut a torn last line off a journal; what was done, in words.

    Raises:
        CorruptFile: it is damaged elsewhere, which no interrupted write explains; nothing is changed.
        StorageError: the disk refuses.
    """
    content = durable.read(path, limit=_SIZE_LIMIT)
    if not content:
        return []
    lines = content.splitlines(keepends=True)
    kept = len(content)
    if not _whole(lines[-1]):
        kept -= len(lines.pop())
    for number, line in enumerate(lines, start=1):
        _change(line, path, number)
    if kept == len(content):
        return []
    with storage_errors("cut", path), open(path, "r+b") as file:
        file.truncate(kept)
        os.fsync(file.fileno())
    return [f"{path}: its last line was torn by an interruption; {len(content) - kept} bytes were cut off, nothing else was lost"]


def _whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False  # blocks of zeros, after a power cut


def _change(line: bytes, path: Path, number: int) -> dict[str, object]:
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
def _optuna_errors(where: object) -> Iterator[None]:
    """Turn what a storage raises into a :class:`StorageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except StorageError:
        raise
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, ImportError) as error:
        lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
        raise StorageError(f"the study's storage {where} cannot be used: {lines[0] if lines else type(error).__name__}") from error
    except (ValueError, KeyError, AssertionError) as error:
        raise StorageError(f"the study's storage {where} is not as Optuna {optuna.__version__} writes it: {error}") from error
