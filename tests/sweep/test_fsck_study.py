"""``fsck`` on an Optuna study: its journal and what follows from it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from sweeping import train_in

from ppo_sweep.runs.lock import RunLock
from ppo_sweep.sweep.fsck import Report, fsck

sys.path.insert(0, str(Path(__file__).with_name("study")))

from studies import study, trials

LINE = study("walk", "sweep.n_trials=2 hydra.launcher.workers=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two complete trials, trained once."""
    place = tmp_path_factory.mktemp("trained")
    with train_in(place) as train:
        assert train(LINE) == 0
    return place / "results"


@pytest.fixture
def walk(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "results")
    return Path("results/walk")


def found(report: Report) -> dict[str, tuple[str, str]]:
    """File → outcome and what was wrong."""
    return {finding.path: (finding.outcome, finding.what) for finding in report.findings}


def test_a_study_with_nothing_wrong_is_only_read(walk: Path) -> None:
    before = {path: path.read_bytes() for path in walk.rglob("*") if path.is_file()}
    assert found(fsck(walk)) == {}
    assert {path: path.read_bytes() for path in walk.rglob("*") if path.is_file()} == before


def test_a_torn_last_line_of_the_journal_is_cut_and_nothing_else(walk: Path) -> None:
    journal = walk / "optuna.log"
    whole = journal.read_bytes()
    kept = trials("walk")
    journal.write_bytes(whole + whole.splitlines()[-1][:25])
    os.symlink("optuna.log", walk / "optuna.log.lock")
    assert found(fsck(walk, dry_run=True))["optuna.log"] == ("repairable", "its last line is torn: 25 bytes that an interrupted write left")
    assert found(fsck(walk)) == {
        "optuna.log.lock": ("repaired", "left by a process that was killed while it wrote the journal"),
        "optuna.log": ("repaired", "its last line is torn: 25 bytes that an interrupted write left"),
    }
    assert journal.read_bytes() == whole
    assert trials("walk") == kept


def test_a_trial_and_its_runs_that_disagree_are_listed_and_left(walk: Path) -> None:
    place = walk / "trial=0001/seed=1/status.json"
    status = json.loads(place.read_text())
    journal = (walk / "optuna.log").read_bytes()
    place.write_text(json.dumps(status | {"score": status["score"] + 1}))
    outcome, what = found(fsck(walk))["trial=0001/seed=1"]
    assert outcome == "left" and what == f"its score is {status['score'] + 1}, and its trial has {status['score']} in the journal"
    place.write_text(json.dumps(status | {"state": "stopped"}))
    assert "the run is stopped" in found(fsck(walk))["trial=0001/seed=1"][1]
    shutil.rmtree(walk / "trial=0000/seed=0")
    assert found(fsck(walk))["trial=0000"] == ("left", "is COMPLETE in the journal, and 1 of its runs are gone")
    assert (walk / "optuna.log").read_bytes() == journal


def test_what_was_made_of_the_journal_is_compared_with_it(walk: Path) -> None:
    table = (walk / "trials.csv").read_text()
    (walk / "trials.csv").write_text(table.replace("1,COMPLETE,", "1,PRUNED,"))
    (walk / "best.yaml").write_text("defaults: [")
    report = found(fsck(walk))
    assert report["trials.csv"][0] == "left" and report["trials.csv"][1].startswith("trial 1 is PRUNED ")
    assert report["best.yaml"] == ("left", "is no configuration that can be read")
    (walk / "trials.csv").write_text("".join(table.splitlines(keepends=True)[:2]))
    (walk / "best.yaml").unlink()
    assert found(fsck(walk)) == {}, "a row that is not there yet is no damage"


def test_a_journal_that_is_damaged_or_gone_is_named(walk: Path) -> None:
    journal = walk / "optuna.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"#", *lines[1:]]))
    assert found(fsck(walk))["optuna.log"][1].startswith("line 2: expected a change as Optuna writes it")
    journal.unlink()
    assert found(fsck(walk))["optuna.log"] == ("left", "is gone")


def test_a_study_at_work_is_not_repaired(walk: Path) -> None:
    with (walk / "optuna.log").open("ab") as journal:
        journal.write(b'{"half')
    (walk / ".trials.csv.tmp").touch()
    lock = RunLock(walk)
    assert found(fsck(walk)) == {}
    lock.release()
    assert {outcome for outcome, _ in found(fsck(walk)).values()} == {"repaired"}
    assert not (walk / ".trials.csv.tmp").exists()


def test_a_renamed_run_is_a_stranger_and_its_trial_lacks_one(walk: Path) -> None:
    (walk / "trial=0000/seed=1").rename(walk / "trial=0000/seed=1.old")
    (walk / "trial=0000/seed=0/damaged-1").mkdir()
    shutil.copy(walk / "trial=0000/seed=0/status.json", walk / "trial=0000/seed=0/damaged-1")
    report = found(fsck(walk))
    strangers = {path for path, (_, what) in report.items() if what == "is no run of its trial"}
    assert strangers == {"trial=0000/seed=1.old"}
    assert report["trial=0000"] == ("left", "is COMPLETE in the journal, and 1 of its runs are gone")


def test_a_trial_has_a_run_per_seed_and_environment(walk: Path) -> None:
    listed = json.loads((walk / "study.json").read_text())
    listed["optuna"]["options"]["env"] = ["a", "b"]
    (walk / "study.json").write_text(json.dumps(listed))
    for trial in walk.glob("trial=*"):
        for seed in (0, 1):
            shutil.copytree(trial / f"seed={seed}", trial / f"env=a/seed={seed}")
            (trial / "env=b").mkdir(exist_ok=True)
            (trial / f"seed={seed}").rename(trial / f"env=b/seed={seed}")
    assert not [path for path, (_, what) in found(fsck(walk, dry_run=True)).items() if "of its runs" in what or "no run" in what]
    shutil.rmtree(walk / "trial=0001/env=b/seed=1")
    assert found(fsck(walk, dry_run=True))["trial=0001"] == ("left", "is COMPLETE in the journal, and 1 of its runs are gone")


@pytest.mark.slow
def test_trials_in_a_database_are_compared_with_their_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with train_in(tmp_path) as train:
        assert train(f"{LINE} sweep.storage='sqlite:///study.db'") == 0
    walk, database = Path("results/walk"), Path("study.db")
    before = database.read_bytes()
    assert found(fsck(walk)) == {}
    table = (walk / "trials.csv").read_text()
    (walk / "trials.csv").write_text(table.replace("1,COMPLETE,", "1,PRUNED,"))
    shutil.rmtree(walk / "trial=0000/seed=0")
    report = found(fsck(walk))
    assert report["trial=0000"] == ("left", "is COMPLETE in the database, and 1 of its runs are gone")
    assert "and in the database COMPLETE" in report["trials.csv"][1]
    assert database.read_bytes() == before
    database.rename("elsewhere.db")
    assert "study.db, which is not here" in found(fsck(walk))["database"][1]
    assert not database.exists()
