"""Several ``train.py`` on one study."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from optuna.trial import create_trial
from several import assert_every_trial_once, command, kill, start, stored, trials_of, unsaved
from spaces import space
from studies import attempts, killed, runs, study, table
from sweeping import assert_same_bytes, wait_for

from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.status import read_status
from ppo_sweep.sweep.study import part
from ppo_sweep.sweep.study.claims import Claims
from ppo_sweep.sweep.study.comparing import Comparison
from ppo_sweep.sweep.study.options import StudyOptions
from ppo_sweep.sweep.study.pieces import TrialRuns
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.rungs import Rung, Rungs
from ppo_sweep.sweep.study.storage import open_study
from ppo_sweep.sweep.study.trials import Trials

Train = Callable[[str], int]

#: A database of PostgreSQL that tests may write to: ``postgresql://user:password@host/database``.
POSTGRES = "PPO_SWEEP_TEST_POSTGRES"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database for one study."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    if not os.environ.get(POSTGRES):
        pytest.skip(f"{POSTGRES} names no PostgreSQL database; docs/studies.md says how to start one")
    return os.environ[POSTGRES]


@pytest.fixture
def name() -> str:
    """Of a study; a server remembers those of earlier tests."""
    return f"two-{uuid.uuid4().hex[:8]}"


@pytest.mark.slow
def test_two_processes_share_the_trials_of_a_study_and_one_of_them_confirms(url: str, name: str) -> None:
    both = [start(command(name, url, "total_steps=4096"), said) for said in ("one.txt", "other.txt")]
    codes = [process.wait(300) for process in both]
    assert codes == [0, 0], Path("one.txt").read_text() + Path("other.txt").read_text()
    assert_every_trial_once(name, url, 8, ["one.txt", "other.txt"])
    mine = [Path(said).read_text().count("\ntrial ") for said in ("one.txt", "other.txt")]
    assert sum(mine) == 8 and min(mine) >= 1, "both have trained trials"


def half_way(study: str, number: int) -> bool:
    """Whether the first run of a trial has checkpoints, and much to do."""
    rows = Path("results", study, f"trial={number:04d}", "seed=0", "metrics.csv")
    return rows.exists() and 4 < len(rows.read_text().splitlines()) < 40


@pytest.mark.slow
def test_the_trials_of_a_killed_process_are_taken_up_by_the_other_one(url: str, name: str) -> None:
    line = command(name, url, "total_steps=16384")
    one = start(line, "one.txt")
    wait_for(lambda: trials_of(one, name), 240)
    other = start(line, "other.txt")
    wait_for(lambda: trials_of(other, name), 240)
    wait_for(lambda: any(half_way(name, number) for number in trials_of(one, name)), 240)
    held = kill(one, name)
    anew = {run for run in unsaved(name) if int(run[6:10]) in held}
    assert held
    assert other.wait(300) == 0, Path("other.txt").read_text()
    assert_every_trial_once(name, url, 8, ["one.txt", "other.txt"], anew)
    continued = [run for run in runs(name) if "continues after iteration" in Path("results", name, run, "train.log").read_text()]
    assert {int(str(run)[6:10]) for run in continued} <= set(held)
    assert continued, "from their checkpoints"


@pytest.mark.slow
def test_what_two_killed_processes_leave_is_finished_by_the_same_command(url: str, name: str) -> None:
    line = command(name, url)
    both = [start(line, said) for said in ("one.txt", "other.txt")]
    wait_for(lambda: len([*Path("results", name).glob("trial=*/seed=1/checkpoint/*.json")]) >= 3, 240)
    for process in both:
        process.send_signal(signal.SIGKILL)
    for process in both:
        process.wait()
    anew = unsaved(name)
    assert any(trial.state.name == "RUNNING" for trial in stored(name, url))
    assert start(line, "again.txt").wait(300) == 0, Path("again.txt").read_text()
    assert_every_trial_once(name, url, 8, ["one.txt", "other.txt", "again.txt"], anew)


@pytest.mark.slow
def test_a_study_of_one_process_in_a_database_is_that_of_the_journal_also_when_it_is_killed(train: Train, url: str, name: str) -> None:
    assert train(study("journal")) == 0
    line = study(name, f"sweep.storage='\"{url}\"'")
    kill(start(line, "one.txt"), name)
    assert train(line) == 0
    assert table(name) == table("journal")
    assert runs(name) == runs("journal")
    for run in runs(name):
        assert_same_bytes(Path("results", name, run), Path("results/journal", run))


def test_a_database_on_two_hosts_needs_one_directory(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    url = "sweep.storage=sqlite:///study.db sweep.n_trials=1 hydra.launcher.workers=1"
    assert train(study("kept", url)) == 0
    assert train(study("kept", f"{url} results=elsewhere")) == 4
    assert "belongs to" in capsys.readouterr().err
    with closing(open_study(Path("results/kept"), "kept", ["maximize"], "sqlite:///study.db")) as opened:
        opened.study.set_user_attr("directory", "far:/results/kept")
    listed = Path("results/kept/study.json")
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"storage_of": "far:/results/kept"}))
    assert train(study("kept", url)) == 0, "the same directory as another host has it"


def test_a_copy_of_a_study_s_directory_is_refused_and_one_that_was_moved_takes_its_place(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "sweep.storage=sqlite:///study.db sweep.n_trials=1 hydra.launcher.workers=1"
    assert train(study("kept", url)) == 0
    os.symlink("results", "linked")
    assert train(study("kept", f"{url} results=linked")) == 0, "the same directory under another path"
    shutil.copytree("results", "copied")
    assert train(study("kept", f"{url} results=copied")) == 4
    assert "is a copy of " in capsys.readouterr().err
    os.unlink("linked")
    os.rename("results", "moved")
    assert train(study("kept", f"{url} results=moved")) == 0
    assert train(study("kept", f"{url} results=copied")) == 4, "the one that was moved has taken over"


def test_a_process_that_leaves_the_confirmation_to_another_one_does_not_say_that_all_of_it_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "_PATIENCE_SECONDS", 0.1)
    lock, mine = RunLock(tmp_path), part.Part(tmp_path, "study", shared=True)
    with closing(open_study(tmp_path, "study", ["maximize"], f"sqlite:///{tmp_path}/study.db")) as opened:
        for value in (1.0, 2.0):
            opened.study.add_trial(create_trial(value=value))
        said = mine.leave(opened, lambda: False)
    lock.release()
    assert said is not None and said.endswith(
        "has the study, and confirms the trials that it knows of; once it has ended, the same command confirms all 2"
    )


def test_a_trial_that_was_reported_and_not_judged_is_judged_by_whoever_takes_it_up(tmp_path: Path) -> None:
    made = space({"algo.lr": {"low": 1e-5, "high": 1e-2, "log": True}})
    options = StudyOptions(pruner="asha", prune_audit=0.0, seeds=1)
    request = StudyRequest("study", options, made, 0, Rungs((Rung(0.5, 100),)), {None: made.config({})}, {}, (), False, (), 9)
    with closing(open_study(tmp_path, "study", ["maximize"], f"sqlite:///{tmp_path}/study.db")) as opened:
        killed = Record(opened.study, made, "random", 0, Claims(tmp_path), before=None)
        for value in (3.0, 2.0, 1.0):
            asked = killed.next(lambda already: True)
            assert asked is not None
            killed.report(asked.number, 100, value)
        for number in (0, 1):
            killed.tell(number, "COMPLETE", (1.0,))
        assert killed._claims is not None
        killed._claims.close()

        record = Record(opened.study, made, "random", 0, Claims(tmp_path), before=None)
        taken = record.next(lambda already: False)
        assert taken is not None and taken.number == 2
        trials = Trials(request, tmp_path, record, print)
        trials.own[2] = mine = TrialRuns(2, 0, taken.overrides, [], values={0: 1.0})
        comparison = Comparison(request, record, trials)
        assert comparison.reason(mine, 0, before=True) == "1 is place 3 of 3 that came here, and 1 goes on"
        record.judged(2, 0)
        assert comparison.reason(mine, 0, before=True) is None, "by what was known then"


def test_a_trial_that_another_process_begins_when_this_one_has_joined_is_not_this_one_s(tmp_path: Path) -> None:
    made, url = space({"algo.lr": {"low": 1e-5, "high": 1e-2, "log": True}}), f"sqlite:///{tmp_path}/study.db"
    one, other = part.Part(tmp_path, "study", shared=True), part.Part(tmp_path, "study", shared=True)
    with (
        closing(open_study(tmp_path, "study", ["maximize"], url)) as mine,
        closing(open_study(tmp_path, "study", ["maximize"], url)) as its,
    ):
        assert one.lock()
        before = one.join(mine)
        assert before is not None, "it is the only one"
        assert other.join(its) is None
        assert Record(its.study, made, "random", 0, other.claims, before=None).next(lambda already: True) is not None
        assert Record(mine.study, made, "random", 0, one.claims, before=before).next(lambda already: False) is None
    one.close()
    other.close()


def test_a_trial_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    with one.alone():
        assert one.take(3) and one.take(3)
        assert not other.take(3)
    assert other.taken(3)
    one.release(3)
    with other.alone():
        assert other.take(3)
    other.close()
    assert not one.taken(3)


def test_processes_ask_one_after_the_other(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    order: list[str] = []

    def ask() -> None:
        with other.alone():
            order.append("other")

    with one.alone():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.5)
        order.append("one")
    thread.join(10)
    assert order == ["one", "other"]


@pytest.mark.slow
def test_a_process_that_joins_compares_with_all_trials_and_ends_the_runs_that_a_pruning_left(train: Train) -> None:
    url = "sqlite:///study.db"
    line = study("pruned", f"sweep.storage={url} sweep.n_trials=10")
    assert killed(line, "prune"), "just before the runs of a pruned trial are ended"
    wait_for(lambda: not any(is_locked(Path("results/pruned", run)) for run in runs("pruned")))
    left = [run for run in runs("pruned") if read_status(Path("results/pruned", run)).state == "interrupted"]
    pruned = [trial.number for trial in stored("pruned", url) if trial.state.name == "PRUNED"]
    assert any(int(str(run)[6:10]) in pruned for run in left)
    with closing(open_study(Path("results/pruned"), "pruned", ["maximize"], url)) as opened:
        opened.study.set_user_attr("several processes", True)
        before = {trial.number: trial.state.name for trial in opened.study.get_trials() if trial.state.is_finished()}
    assert train(line) == 0
    assert {read_status(Path("results/pruned", run)).state for run in runs("pruned")} == {"done", "pruned"}
    rows = table("pruned")
    assert [int(row["number"]) for row in rows] == list(range(10))
    assert all(rows[number]["state"] == state for number, state in before.items())
    later = [row["reason"] for row in rows if row["state"] == "PRUNED" and int(row["number"]) not in before]
    assert later, "otherwise nothing is tested"
    assert max(int(reason.partition(" that came here")[0].rpartition("of ")[2]) for reason in later) > 10 - len(before)
    assert set(attempts("pruned").values()) == {1}
