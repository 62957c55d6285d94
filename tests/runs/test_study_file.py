"""``study.json``: merged by every command, cheap to keep current, and never a reason to lose what it held."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from ppo_sweep.runs import study_file
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.study_file import StudyFile, StudyMember, read_study
from tests.runs.toy_run import in_child


def member(name: str, seed: int = 0, **changes: object) -> StudyMember:
    values = {"config_hash": f"{seed:064x}", "total_steps": 1000, "state": "queued", **changes}
    return StudyMember(f"{name}/seed={seed}", seed, {"algo.max_kl": 0.02, "network.hidden": [64, 64], "seed": seed}, **values)


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    members = (member("a=1"), member("a=1", 1, state="done", score=-1.5), member("b=2", state="failed", reason="the environment raised"))
    StudyFile.open(tmp_path, command=["-m", "env=hopper", "seed=0,1"], members=members)
    study = read_study(tmp_path)
    assert study is not None
    assert study.command == ("-m", "env=hopper", "seed=0,1") and study.commands == ()
    assert study.members == members
    assert (study.host, study.pid) == (socket.gethostname(), os.getpid())
    assert study.started == study.updated != ""


def test_no_file_reads_none(tmp_path: Path) -> None:
    assert read_study(tmp_path) is None
    assert read_study(tmp_path / "nowhere") is None


def test_a_second_command_keeps_earlier_runs_replaces_equal_ones_and_appends_new_ones_in_its_order(tmp_path: Path) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[member("a=1"), member("b=1"), member("c=1")])
    StudyFile.open(tmp_path, command=["two"], members=[member("z=1"), member("b=1", state="done"), member("d=1")])
    study = read_study(tmp_path)
    assert study is not None
    assert [(item.path, item.state) for item in study.members] == [
        ("a=1/seed=0", "queued"),
        ("b=1/seed=0", "done"),
        ("c=1/seed=0", "queued"),
        ("z=1/seed=0", "queued"),
        ("d=1/seed=0", "queued"),
    ]


def test_earlier_commands_are_kept_once_each(tmp_path: Path) -> None:
    for command in ("one", "two", "one", "three", "two"):
        StudyFile.open(tmp_path, command=[command], members=[])
    study = read_study(tmp_path)
    assert study is not None
    assert study.command == ("two",) and study.commands == (("one",), ("three",))


def test_keys_of_others_and_the_time_of_the_first_command_stay(tmp_path: Path) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[])
    path = tmp_path / "study.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "started": "2001-02-03 04:05:06", "score_random": -1234.5, "space": {"algo.lr": [1e-5, 1e-2]}}))
    study_file_ = StudyFile.open(tmp_path, command=["two"], members=[member("a=1")])
    study_file_.update("a=1/seed=0", state="running")
    study_file_.flush()
    document = json.loads(path.read_text())
    assert (document["score_random"], document["space"]) == (-1234.5, {"algo.lr": [1e-5, 1e-2]})
    assert document["started"] == "2001-02-03 04:05:06" != document["updated"]
    study = read_study(tmp_path)
    assert study is not None and study.other == {"score_random": -1234.5, "space": {"algo.lr": [1e-5, 1e-2]}}


def test_changes_reach_the_disk_at_most_once_a_second_and_flush_writes_them_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = [100.0], []
    monkeypatch.setattr(study_file.time, "monotonic", lambda: clock[0])
    opened = StudyFile.open(tmp_path, command=["one"], members=[member("a=1", seed) for seed in range(3)])
    replace = study_file.durable.replace
    monkeypatch.setattr(study_file.durable, "replace", lambda *args, durable: (written.append(durable), replace(*args, durable=durable)))
    for state in ("running", "interrupted", "done"):
        opened.update("a=1/seed=0", state=state)
    assert written == []
    clock[0] += 1.0
    opened.write_due()
    opened.write_due()
    assert written == [False]
    opened.update("a=1/seed=1", state="running")
    clock[0] += 1.0
    opened.update("a=1/seed=2", state="done", score=3.5, reason=None)
    assert written == [False, False]
    opened.update("a=1/seed=1", state="failed", reason="x")
    opened.flush()
    assert written == [False, False, True]
    study = read_study(tmp_path)
    assert study is not None
    assert [(item.state, item.score, item.reason) for item in study.members] == [
        ("done", None, None),
        ("failed", None, "x"),
        ("done", 3.5, None),
    ]


def test_an_update_that_changes_nothing_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = StudyFile.open(tmp_path, command=["one"], members=[member("a=1")])
    opened._written -= 2.0
    monkeypatch.setattr(study_file.durable, "replace", lambda *args, **kwargs: pytest.fail("written"))
    opened.update("a=1/seed=0", state="queued")


def test_a_run_that_is_not_listed_cannot_be_updated(tmp_path: Path) -> None:
    opened = StudyFile.open(tmp_path, command=["one"], members=[])
    with pytest.raises(KeyError):
        opened.update("a=1/seed=0", state="done")


def test_a_thousand_runs_are_written_in_well_under_50_ms(tmp_path: Path) -> None:
    members = [member(f"algo.max_kl={k / 1000},env=hopper,algo.lr=0.001,total_steps=1000000", k) for k in range(1000)]
    opened = StudyFile.open(tmp_path, command=["-m"], members=members)
    spent = []
    for item in members[:7]:
        opened._written -= 2.0
        before = time.process_time()
        opened.update(item.path, state="running")
        spent.append(time.process_time() - before)
    assert min(spent) < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"", "JSON: expected an object, found 0 bytes"),
        (b'{"members": [', "JSON: expected an object"),
        (b"[]", "JSON: expected an object, found a list"),
        ({"members": None}, "members: expected a value of type list"),
        ({"members": [3]}, "members: expected runs, found a int"),
        ({"command": "one"}, "command: expected a list of words"),
        ({"commands": [[1]]}, "command: expected a list of words"),
        ({"pid": -1}, "pid: expected a count"),
        ({"members": [{"path": "../outside/seed=0"}]}, "path: expected a path below the study, found '../outside/seed=0'"),
        ({"members": [{"path": "/etc"}]}, "path: expected a path below the study"),
        ({"members": [{"path": "a/../../b"}]}, "path: expected a path below the study"),
        ({"members": [{"path": ""}]}, "path: expected a path below the study"),
        ({"members": [{"path": "a=1/seed=0"}]}, "seed: expected a value of type int, found no such key"),
    ],
)
def test_a_damaged_file_is_named_kept_and_begun_anew(change: object, message: str, tmp_path: Path) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[member("a=1")])
    path = tmp_path / "study.json"
    path.write_bytes(change if isinstance(change, bytes) else json.dumps({**json.loads(path.read_text()), **dict(change)}).encode())
    damaged = path.read_bytes()
    with pytest.raises(CorruptFile) as error:
        read_study(tmp_path)
    assert str(error.value).startswith(f"{path}: {message}")
    for number in (1, 2):
        path.write_bytes(damaged)
        opened = StudyFile.open(tmp_path, command=["two"], members=[member("b=1")])
        [note] = opened.notes
        assert note.startswith(f"warning: {path}: {message}") and f"study.json.damaged-{number}" in note
        assert (tmp_path / f"study.json.damaged-{number}").read_bytes() == damaged
    study = read_study(tmp_path)
    assert study is not None and study.command == ("two",) and [item.path for item in study.members] == ["b=1/seed=0"]


def test_two_entries_of_one_run_are_damage(tmp_path: Path) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[member("a=1")])
    path = tmp_path / "study.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "members": document["members"] * 2}))
    with pytest.raises(CorruptFile, match="each run once"):
        read_study(tmp_path)


def test_a_link_in_its_place_is_damage_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "study.json").symlink_to(tmp_path / "mine.json")
    opened = StudyFile.open(tmp_path, command=["one"], members=[])
    assert "a symbolic link" in opened.notes[0]
    assert (tmp_path / "mine.json").read_text() == "{}"
    assert not (tmp_path / "study.json").is_symlink()


def test_a_study_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        StudyFile.open(tmp_path / "nowhere", command=["one"], members=[])


def test_scores_that_are_not_finite_read_back(tmp_path: Path) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[member("a=1", score=float("-inf"))])
    study = read_study(tmp_path)
    assert study is not None and study.members[0].score == float("-inf")


def test_killed_in_the_middle_of_a_write_it_is_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StudyFile.open(tmp_path, command=["one"], members=[member("a=1")])
    before = (tmp_path / "study.json").read_bytes()

    def killed() -> None:
        rename = os.rename
        monkeypatch.setattr(os, "rename", lambda *args: (os.kill(os.getpid(), signal.SIGKILL), rename(*args)))
        StudyFile.open(tmp_path, command=["two"], members=[member("b=1")])

    assert in_child(killed) == -signal.SIGKILL
    assert (tmp_path / "study.json").read_bytes() == before
    StudyFile.open(tmp_path, command=["two"], members=[member("b=1")])
    assert not (tmp_path / ".study.json.tmp").exists()
