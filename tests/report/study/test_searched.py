"""Reading a study: as Optuna does, without touching anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ppo_sweep.report.study import searched
from tests.report.made_runs import made_study
from tests.report.study.made_searches import SPACE, Made, made_search, write_search

TRIALS = [
    Made((1.0,), at={100: 0.5}),
    Made((3.0,), diverged=1),
    Made((0.2,), "PRUNED", at={100: 0.2}),
    Made(None, "FAIL"),
    Made(None, "RUNNING"),
]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_trials_are_what_optuna_reads(tmp_path: Path) -> None:
    search = made_search(tmp_path / "s", TRIALS)
    loaded = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "s" / "optuna.log"))))
    for trial, own in zip(search.trials, loaded.get_trials(), strict=True):
        assert (trial.number, trial.state, dict(trial.params), dict(trial.reported)) == (
            own.number, own.state.name, own.params, own.intermediate_values
        )  # fmt: skip
        assert trial.result.values == (None if own.values is None else tuple(own.values))
    assert search.idle == (6.0, 100.0)
    assert {knob.key: knob.domain for knob in search.knobs} == SPACE


def test_nothing_is_written_and_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    made_search(tmp_path / "s", TRIALS)
    (tmp_path / "s" / "optuna.log.lock").write_text("held")
    before = contents(tmp_path / "s")
    assert searched.read(tmp_path / "s") is not None
    assert contents(tmp_path / "s") == before


def test_a_torn_last_line_is_left_out_and_stays(tmp_path: Path) -> None:
    whole = made_search(tmp_path / "s", TRIALS)
    journal = tmp_path / "s" / "optuna.log"
    torn = journal.read_bytes() + b'{"op_code": 4, "worker'
    journal.write_bytes(torn)
    found = searched.read(tmp_path / "s")
    assert found == whole
    assert journal.read_bytes() == torn


def test_a_damaged_journal_is_said_in_a_sentence(tmp_path: Path) -> None:
    made_search(tmp_path / "s", TRIALS)
    journal = tmp_path / "s" / "optuna.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"nothing\n", *lines[3:]]))
    found = searched.read(tmp_path / "s")
    assert found is not None and found.trials == ()
    assert found.trouble.startswith("The trials cannot be read: ") and "line 4" in found.trouble


@pytest.mark.slow
def test_a_database_is_read_by_the_address_in_the_command(tmp_path: Path) -> None:
    journal = made_search(tmp_path / "s", TRIALS)
    found = made_search(tmp_path / "other" / "s", TRIALS, url=f"sqlite:///{tmp_path}/study.db")
    assert found.trials == journal.trials and found.idle == journal.idle


@pytest.mark.slow
def test_a_database_that_is_not_here_is_named_and_not_made(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    write_search(tmp_path / "s", TRIALS, url=f"sqlite:///{database}")
    database.unlink()
    found = searched.read(tmp_path / "s")
    assert found is not None and "study.db, which is not here" in found.trouble
    assert not database.exists()


def test_without_any_storage_that_is_said(tmp_path: Path) -> None:
    write_search(tmp_path / "s", TRIALS)
    (tmp_path / "s" / "optuna.log").unlink()
    found = searched.read(tmp_path / "s")
    assert found is not None and "there is no optuna.log" in found.trouble


@pytest.mark.slow
def test_a_password_is_not_shown(tmp_path: Path) -> None:
    write_search(tmp_path / "s", TRIALS, url=f"sqlite:///{tmp_path}/study.db")
    text = (tmp_path / "s" / "study.json").read_text()
    (tmp_path / "s" / "study.json").write_text(text.replace(f"sqlite:///{tmp_path}/study.db", "postgresql://me:secret@localhost:1/none"))
    found = searched.read(tmp_path / "s")
    assert found is not None and "secret" not in found.trouble
    assert "postgresql://me:***@localhost:1/none" in found.trouble


@pytest.mark.slow
def test_a_database_of_another_optuna_is_named(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    write_search(tmp_path / "s", TRIALS, url=f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("UPDATE alembic_version SET version_num = 'v1.3.0.a'")
    found = searched.read(tmp_path / "s")
    assert found is not None and f"sqlite:///{database} is not as Optuna" in found.trouble


@pytest.mark.slow
def test_only_the_study_of_this_name_is_taken_from_a_database(tmp_path: Path) -> None:
    write_search(tmp_path / "s", TRIALS, url=f"sqlite:///{tmp_path}/study.db")
    (tmp_path / "s").rename(tmp_path / "t")
    found = searched.read(tmp_path / "t")
    assert found is not None and "holds no study 't'" in found.trouble


def test_a_sweep_is_no_study(tmp_path: Path) -> None:
    made_study(tmp_path / "sweep", {"default": {}}, seeds=(0,), iterations=5)
    assert searched.read(tmp_path / "sweep") is None
