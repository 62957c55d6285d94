"""Several ``train.py`` on one study."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from several import assert_every_trial_once, command, kill, start, stored, trials_of
from studies import attempts, killed, runs, study, table
from sweeping import assert_same_bytes, wait_for

from ppo_sweep.runs.lock import is_locked
from ppo_sweep.runs.status import read_status
from ppo_sweep.sweep.study.claims import Claims
from ppo_sweep.sweep.study.storage import open_study

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
    assert held
    assert other.wait(300) == 0, Path("other.txt").read_text()
    assert_every_trial_once(name, url, 8, ["one.txt", "other.txt"])
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
    assert any(trial.state.name == "RUNNING" for trial in stored(name, url))
    assert start(line, "again.txt").wait(300) == 0, Path("again.txt").read_text()
    assert_every_trial_once(name, url, 8, ["one.txt", "other.txt", "again.txt"])


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
    shutil.copytree("results", "mounted")
    assert train(study("kept", f"{url} results=mounted")) == 0, "the same directory under another path"


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
