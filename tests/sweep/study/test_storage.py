"""Where trials are kept: a journal that survives, or a database."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.sweep.study import storage
from ppo_sweep.sweep.study.kept import JOURNAL
from ppo_sweep.sweep.study.reading import read_journal
from ppo_sweep.sweep.study.storage import in_use, mend, open_study, url_fault


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A directory with a study of three trials."""
    study = open_study(tmp_path, "test", ["maximize"]).study
    for value in (1.0, 2.0, 3.0):
        study.add_trial(create_trial(value=value))
    return tmp_path


def values(directory: Path) -> list[float | None]:
    return [trial.value for trial in open_study(directory, "test", ["maximize"]).study.trials]


def test_a_torn_last_line_is_cut_and_said(journal: Path) -> None:
    path = journal / JOURNAL
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last + 1, len(whole)):
        path.write_bytes(whole[:end])
        [note] = open_study(journal, "test", ["maximize"]).notes
        assert f"its last line was torn by an interruption; {end - last} bytes were cut off" in note
        assert path.read_bytes() == whole[:last]
    assert values(journal) == [1.0, 2.0]


def test_optuna_alone_cannot_read_a_torn_journal(journal: Path) -> None:
    """The reason for mending; if this fails one day, mending may go."""
    path = journal / JOURNAL
    path.write_bytes(path.read_bytes()[:-5])
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    with pytest.raises(AssertionError):  # what it writes goes behind the torn line, and is not found again
        optuna.storages.JournalStorage(backend).create_new_study([optuna.study.StudyDirection.MAXIMIZE], "other")


def test_a_last_line_of_zeros_is_cut(journal: Path) -> None:
    path = journal / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100 + b"\n")
    assert len(mend(path)) == 1
    assert path.read_bytes() == whole


def test_damage_before_the_last_line_is_named_and_nothing_changed(journal: Path) -> None:
    path = journal / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"#" + lines[1][1:]
    path.write_bytes(b"".join(lines)[:-3])
    before = path.read_bytes()
    with pytest.raises(CorruptFile, match=r"optuna\.log: line 2: expected a change as Optuna writes it"):
        open_study(journal, "test", ["maximize"])
    assert path.read_bytes() == before


def test_an_empty_or_missing_journal_is_a_new_study(tmp_path: Path) -> None:
    assert mend(tmp_path / JOURNAL) == []
    (tmp_path / JOURNAL).touch()
    opened = open_study(tmp_path, "test", ["maximize", "minimize"])
    assert opened.notes == ()
    assert [direction.name for direction in opened.study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_a_lock_that_a_killed_process_left_is_removed_and_said(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_LOCK_SECONDS", 0.2)
    os.symlink(JOURNAL, journal / f"{JOURNAL}.lock")
    [note] = open_study(journal, "test", ["maximize"]).notes
    assert "left by a process that was killed; removed" in note
    assert values(journal) == [1.0, 2.0, 3.0]


def test_a_torn_last_line_is_left_out_of_what_is_read(journal: Path) -> None:
    whole = read_journal(journal)
    with (journal / JOURNAL).open("ab") as file:
        file.write(b"{torn")
    assert read_journal(journal) == whole and whole[-1]["value"] == 3.0
    assert read_journal(journal.parent / "nowhere") == []


def test_other_directions_than_the_stored_ones_are_refused(journal: Path) -> None:
    with pytest.raises(StorageError, match="the study 'test' in this storage is to maximize, not minimize"):
        open_study(journal, "test", ["minimize"])


def test_a_study_lives_in_a_database_as_well(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    opened = open_study(tmp_path, "test", ["maximize"], url)
    assert opened.shared
    opened.study.add_trial(create_trial(value=1.5))
    assert [trial.value for trial in open_study(tmp_path, "test", ["maximize"], url).study.trials] == [1.5]
    assert not (tmp_path / JOURNAL).exists()


def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot be used: .*unable to open database file"):
        open_study(tmp_path, "test", ["maximize"], f"sqlite:////{tmp_path}/nowhere/study.db")
    (tmp_path / "no.db").write_text("this is no database, and long enough to be read as one" * 100)
    with pytest.raises(StorageError, match=r"sqlite:///.*no\.db cannot be used: .*not a database"):
        open_study(tmp_path, "test", ["maximize"], f"sqlite:///{tmp_path / 'no.db'}")


def test_a_url_without_its_driver_or_of_no_database_is_named() -> None:
    assert url_fault("sqlite:///study.db") is None
    assert "is not the URL of a database" in str(url_fault("nosql://here"))
    assert "is not the URL of a database" in str(url_fault("://"))


def test_a_database_that_cannot_be_reached_is_named_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database, and long enough to be read as one" * 100)
    for url, said in {
        f"sqlite:///{tmp_path}/nowhere/study.db": rf"there is no directory {tmp_path}/nowhere",
        f"sqlite:///{tmp_path}/no.db": r"no\.db cannot be used: .*not a database",
        "sqlite:///:memory:": "keeps nothing",
        f"sqlite:///file:{tmp_path}/study.db?uri=true": "give the path of the file",
        f"sqlite:///{tmp_path}/study.db?mode=ro&uri=true": "give the path of the file",
        f"sqlite:///{tmp_path}/no.db?timeout=abc": "cannot be used",
        "postgresql://u@localhost:abc/o": "is not the URL of a database",
        "sqlite://": "keeps nothing",
    }.items():
        assert re.search(said, str(url_fault(url)))
    assert [path.name for path in tmp_path.iterdir()] == ["no.db"]


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    pytest.importorskip("psycopg")
    said = str(url_fault("postgresql://optuna:secret@localhost:1/optuna"))
    assert "postgresql" in said and "cannot be used: " in said and "secret" not in said


def test_a_missing_driver_of_postgresql_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert str(url_fault("postgresql://user@host/optuna")) == (
        "sweep.storage: its driver is missing; install it with pip install -e '.[postgres]'"
    )


def test_a_database_that_goes_away_is_named_and_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study(tmp_path, "test", ["maximize"], url).study
    (tmp_path / "study.db").write_text("this is no database any more, and long enough to be read as one" * 100)
    with pytest.raises(StorageError, match=r"study\.db cannot be used: .*the same command continues once the cause is gone"), in_use(url):
        study.add_trial(create_trial(value=1.0))


def test_nothing_of_optuna_s_is_shown_on_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = open_study(tmp_path, "test", ["maximize"]).study
    study.tell(study.ask().number, state=TrialState.FAIL)
    assert capfd.readouterr() == ("", "")
