"""Workers that are killed, crash, hang or leave: their runs continue, the guilty one fails, the others do not notice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from sweeping import ITERATION, assert_as_alone, go_wrong, is_gone, jobs, processes, started_with, states, sweep, walk

from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep import crew, launch, pool
from ppo_sweep.sweep.errors import WorkersDoNotStart
from ppo_sweep.sweep.options import LauncherOptions

FOUR = [walk(seed, 5 + seed) for seed in range(4)]


def reason(study: Path, seed: int) -> str:
    """Of a failed run, the same in both places."""
    status = read_status(study / f"walk/seed={seed}")
    listed = read_study(study)
    assert listed is not None
    [member] = [member for member in listed.members if member.seed == seed]
    assert status.state == member.state == "failed"
    assert status.reason == member.reason
    return str(status.reason)


@pytest.mark.parametrize("max_restarts", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_that_always_kills_its_worker_fails_and_takes_no_neighbour_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], max_restarts: int
) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": "segv"})
    study = tmp_path / "study"
    results = sweep(study, FOUR, max_restarts=max_restarts)
    assert states(results) == {f"walk/seed={seed}": "failed" if seed == 1 else "done" for seed in range(4)}
    times = max(2, max_restarts + 1)  # once with the others, which must not pay for it
    assert reason(study, 1) == f"its worker was lost {times} times, the last time: killed by SIGSEGV"
    assert results["walk/seed=1"].exit_code == 3
    assert capsys.readouterr().out.count("was lost: killed by SIGSEGV") == times
    assert "faulty_environments.py" in str(read_status(study / "walk/seed=1").error), "where it crashed"
    monkeypatch.delenv("FAULTS")
    assert_as_alone(study, [config for config in FOUR if config.seed != 1], tmp_path / "alone")


def test_a_run_that_kills_its_worker_while_it_is_begun_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_wrong(monkeypatch, {"seed": 3, "do": "kill", "episode": 0, "step": 0})
    study = tmp_path / "study"
    results = sweep(study, FOUR, max_restarts=0)
    assert states(results) == {f"walk/seed={seed}": "failed" if seed == 3 else "done" for seed in range(4)}
    assert reason(study, 3).startswith("its worker was lost: killed by SIGKILL; if nobody did, the machine was out of memory")
    monkeypatch.delenv("FAULTS")
    assert_as_alone(study, FOUR[:3], tmp_path / "alone")


@pytest.mark.parametrize(
    ("what", "options", "why"),
    [
        ("kill", {}, "killed by SIGKILL"),
        ("leave a process", {}, "killed by SIGKILL"),
        ("stop", {"worker_timeout": 1.5}, "no sign of life for 2 s; hydra.launcher.worker_timeout must be longer than one iteration"),
        pytest.param("hang", {"worker_timeout": 1.5}, "no sign of life", marks=pytest.mark.slow),
        pytest.param("interrupt", {}, "KeyboardInterrupt", marks=pytest.mark.slow),
    ],
)
def test_the_runs_of_a_lost_worker_continue_from_their_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, options: dict[str, float], why: str
) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": what, "episode": 6, "once": str(tmp_path / "happened")})
    study = tmp_path / "study"
    results = sweep(study, FOUR, **options)
    assert set(states(results).values()) == {"done"}
    said = capsys.readouterr().out
    assert f"worker 1 was lost: {why}" in said
    assert "4 of its runs continue from the last checkpoint" in said
    monkeypatch.delenv("FAULTS")
    assert_as_alone(study, FOUR, tmp_path / "alone")
    for seed in range(4):
        assert f"continues after iteration 2, {2 * ITERATION} steps" in (study / f"walk/seed={seed}/train.log").read_text()
    assert started_with(str(tmp_path / "happened")) == []


def test_force_begins_anew_once_also_when_a_worker_is_lost_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "study"
    sweep(study, FOUR[:2])
    go_wrong(monkeypatch, {"seed": 1, "do": "kill", "episode": 6, "once": str(tmp_path / "happened")})
    results = sweep(study, [config.replace(force=True) for config in FOUR[:2]])
    assert set(states(results).values()) == {"done"}
    for seed in range(2):
        log = (study / f"walk/seed={seed}/train.log").read_text()
        assert log.count("begun in") == 2
        assert log.count("continues after iteration 2") == 1


def test_workers_that_cannot_start_are_named_with_what_they_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_PROGRAM", "import no_such_module")
    with pytest.raises(WorkersDoNotStart, match=r"workers cannot start: it ended with exit code 1: .*no_such_module"):
        sweep(tmp_path / "study", FOUR, workers=2)
    assert processes(os.getpid()) == []


def test_a_worker_that_takes_long_to_start_is_not_a_hung_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_PROGRAM", f"import time; time.sleep(1.5); {pool._PROGRAM}")
    assert set(states(sweep(tmp_path / "study", FOUR[:1], worker_timeout=1.0)).values()) == {"done"}
    monkeypatch.setattr(crew, "START_SECONDS", 1.0)
    monkeypatch.setattr(pool, "_PROGRAM", "import time; time.sleep(60)")
    with pytest.raises(WorkersDoNotStart, match="no sign of life for 1 s"):
        sweep(tmp_path / "other", FOUR[:1], worker_timeout=1.0)


def test_there_are_as_many_workers_as_waiting_runs_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a loss: others may have gone home by then."""
    started: list[int] = []
    monkeypatch.setattr(crew, "WorkerProcess", lambda number: started.append(number) or SimpleNamespace(holding=set()))
    made = launch._Sweep(jobs(tmp_path, FOUR[:2]), tmp_path, LauncherOptions(workers=3), (), print, print, Interrupts())
    made._staff()
    assert started == [0, 1]
    made._crew.workers[0].holding.add(0)
    made._staff()
    assert started == [0, 1, 2], "one is busy, two runs wait"
    del made._crew.workers[1]
    made._staff()
    assert started == [0, 1, 2, 1]


def test_a_system_without_room_for_another_process_works_with_those_that_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = 1

    def start(number: int) -> pool.WorkerProcess:
        if number >= room:
            raise BlockingIOError(11, os.strerror(11))
        return pool.WorkerProcess(number)

    monkeypatch.setattr(crew, "WorkerProcess", start)
    assert set(states(sweep(tmp_path / "study", FOUR[:2], workers=2)).values()) == {"done"}
    assert "worker 2 cannot start: [Errno 11] Resource temporarily unavailable" in capsys.readouterr().out
    room = 0
    with pytest.raises(WorkersDoNotStart, match="Resource temporarily unavailable"):
        sweep(tmp_path / "other", FOUR[:2], workers=2)


def test_a_worker_does_not_import_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('this is not torch')")
    monkeypatch.chdir(tmp_path)
    assert set(states(sweep(Path("study"), FOUR[:1])).values()) == {"done"}


def test_a_worker_ends_when_the_sweep_lets_go_of_its_lifeline() -> None:
    worker = pool.WorkerProcess(0)
    assert worker.receive().begun is None
    assert worker._process.stdin is not None
    worker._process.stdin.close()
    assert worker._process.wait(10) == -signal.SIGKILL
    worker.kill()
    assert is_gone(worker.pid)
