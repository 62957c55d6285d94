"""Who may have killed a worker, and who is let off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeping import ITERATION, jobs, walk

from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.status import Status, read_status, write_status
from ppo_sweep.runs.stored_config import write_config
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.runs.trainer import RunResult
from ppo_sweep.sweep.ledger import Ledger, _Suspicion
from ppo_sweep.sweep.messages import MemberProgress, Report
from ppo_sweep.sweep.pool import Lost


def ledger(study: Path, runs: int = 2, *, max_restarts: int = 3, force: bool = False) -> Ledger:
    listed = jobs(study, [walk(seed, force=force) for seed in range(runs)])
    return Ledger(listed, study, command=("-m",), max_restarts=max_restarts, ended=lambda job, result: None, note=print)


@given(st.integers(0, 5), st.integers(0, 1000))
def test_what_always_kills_its_worker_fails_after_so_many_restarts(max_restarts: int, steps: int) -> None:
    """However often it did so in company; and a neighbour that was only in company never fails."""
    suspicion = _Suspicion(max_restarts)
    losses = 0
    while True:
        by_itself = suspicion.alone(1)
        failed = suspicion.lost(1, steps, by_itself=by_itself)
        losses += 1
        if not by_itself:
            assert not suspicion.lost(2, steps, by_itself=False)
        if failed:
            break
    assert losses == max(max_restarts + 1, 2)


def test_who_gets_past_the_place_of_the_loss_is_let_off_once() -> None:
    suspicion = _Suspicion(3)
    for _ in range(2):
        assert not suspicion.alone(1)
        suspicion.lost(1, 320, by_itself=False)
    assert suspicion.alone(1)
    assert not suspicion.outlived(1, 320)
    assert suspicion.outlived(1, 352)
    suspicion.acquit(1)
    assert not suspicion.alone(1) and suspicion.losses[1] == 0
    for _ in range(2):
        suspicion.lost(1, 640, by_itself=False)
    assert suspicion.alone(1)
    assert not suspicion.outlived(1, 10_000), "the second time it stays alone"


def test_a_lost_run_is_queued_again_as_far_as_it_is_on_disk(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    path = tmp_path / "walk/seed=0"
    with RunDirectory.open(walk(0), path) as run:
        run.update_status(iteration=2, env_steps=2 * ITERATION)
        write_status(path, Status("running", 2, 2 * ITERATION, versions={"torch": "2"}))
    made.digest(Report(begun=0, progress={0: MemberProgress(3 * ITERATION, {"kl": 0.1})}), requeue=True)
    assert made.steps[0] == 3 * ITERATION
    assert made.lose({0, 1}, {0}, Lost("killed by SIGSEGV")) == [0, 1]
    assert made.steps[0] == 2 * ITERATION
    status = read_status(path)
    assert (status.state, status.iteration, status.versions) == ("queued", 2, {"torch": "2"})
    assert made.alone(0) is made.alone(1) is False
    made.close()
    study = read_study(tmp_path)
    assert study is not None and [member.state for member in study.members] == ["queued", "queued"]


def test_a_run_whose_worker_was_lost_after_all_was_done_is_done(tmp_path: Path) -> None:
    made = ledger(tmp_path, max_restarts=0)
    path = tmp_path / "walk/seed=0"
    path.mkdir(parents=True)
    write_config(path, walk(0))
    write_status(path, Status("diverged", reason="non-finite reward"))
    assert made.lose({0}, {0}, Lost("killed by SIGKILL")) == []
    assert (made.results[0].state, made.results[0].exit_code) == ("diverged", 3)


def test_force_is_for_the_first_opening_only(tmp_path: Path) -> None:
    made = ledger(tmp_path, force=True)
    assert made.assignment(0).config.force
    made.digest(Report(begun=0), requeue=True)
    assert not made.assignment(0).config.force
    assert made.assignment(1).config.force


def test_counts_and_steps_follow_what_workers_report(tmp_path: Path) -> None:
    made = ledger(tmp_path, runs=3)
    made.digest(Report(begun=0), requeue=True)
    made.digest(Report(ended={1: RunResult(tmp_path / "walk/seed=1", "failed", None, "why", 3)}), requeue=True)
    assert made.counts(running=1) == {"failed": 1, "running": 1, "queued": 1}
    assert made.steps[1] == made.jobs[1].config.total_steps
    stopped = Report(ended={0: RunResult(tmp_path / "walk/seed=0", "stopped", None)})
    assert made.digest(stopped, requeue=True) == [0], "let off, and queued again"
    assert made.digest(stopped, requeue=False) == []
    assert made.results[0].state == "stopped"


@pytest.mark.parametrize("there", ["another", "nothing"])
def test_announcing_never_writes_over_somebody_elses_run(tmp_path: Path, there: str) -> None:
    path = tmp_path / "walk/seed=0"
    made = ledger(tmp_path, force=True)
    if there == "another":
        path.mkdir(parents=True)
        write_config(path, walk(5))
    made.announce(0)
    assert read_status(path).state == ("absent" if there == "another" else "queued")
