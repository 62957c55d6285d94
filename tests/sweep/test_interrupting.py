"""Signals and deaths of the sweep itself: everything resumable, nothing left behind, one writer at a time."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweeping import TRAIN, alone, assert_same_bytes, environment, go_wrong, is_gone, processes, wait_for

from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.stored_config import read_config
from ppo_sweep.sweep import preparation

#: Four runs on two workers, seconds long.
LONG = (
    "-m env.id=faulty_environments:faulty/Walk-v0 algo.n_envs=1 algo.n_steps=32 algo.minibatch_size=16 algo.epochs=2 network.hidden=[8] "
    "checkpoint_every=5 study=s hydra.launcher.workers=2 hydra.launcher.slots=2 seed=0,1,2,3 total_steps={}"
)
ENDLESS = LONG.format(32 * 100_000)

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start ``train.py`` as a process at the head of a group, as a shell does; none is left at the end."""
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[str]] = []

    def make(line: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(TRAIN), *shlex.split(line)]
        process = subprocess.Popen(
            command,
            text=True,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            # A test suite in the background of a shell ignores it, and what is ignored stays ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.communicate()


def rows() -> list[int]:
    """Rows of metrics of every run so far."""
    return [path.read_bytes().count(b"\n") - 1 for path in Path("results").rglob("metrics.csv")]


def training() -> bool:
    """All four runs have got past their first checkpoint."""
    return len(rows()) == 4 and min(rows()) > 6


def states() -> list[str]:
    """What the runs' files say."""
    return sorted(json.loads(path.read_text())["state"] for path in Path("results").rglob("status.json"))


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it says until its end; its workers are gone by then."""
    workers = processes(process.pid)
    said = process.communicate(timeout=30)
    assert all(map(is_gone, workers))
    return said


def test_ctrl_c_checkpoints_every_run_and_the_same_command_continues(
    start: Start, train: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [str(tmp_path / f"paused-{seed}") for seed in range(4)]
    go_wrong(monkeypatch, *({"seed": seed, "episode": 16, "do": "pause", "once": mark} for seed, mark in enumerate(marks)))
    process = start(LONG.format(32 * 30))
    wait_for(lambda: training() and any(map(os.path.exists, marks)))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, errors = stop(process)
    assert process.returncode == 130, errors
    assert errors == ""
    assert "interrupted; the same command continues (4 of 4 runs are left)" in said
    assert states() == ["stopped"] * 4
    begun = {path: path.read_bytes().count(b"\n") for path in Path("results").rglob("metrics.csv")}
    listed = json.loads(Path("results/s/study.json").read_text())
    assert [member["state"] for member in listed["members"]] == ["stopped"] * 4

    assert train(LONG.format(32 * 30)) == 0
    for path, before in begun.items():
        assert path.read_bytes().count(b"\n") == 31 > before
        assert f"continues after iteration {before - 1}," in (path.parent / "train.log").read_text()
        assert_same_bytes(path.parent, alone(tmp_path / "alone", read_config(path.parent)))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_stop_in_the_same_way(start: Start, number: int, code: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("these tests run under nohup, and so would the sweep")
    process = start(ENDLESS)
    wait_for(training)
    process.send_signal(number)
    stop(process)
    assert process.returncode == code
    assert states() == ["stopped"] * 4


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first would wait for ever: in an environment that hangs."""
    faults = [{"seed": seed, "episode": 30, "step": 3, "do": "hang"} for seed in range(4)]
    monkeypatch.setenv("FAULTS", json.dumps(faults))
    process = start(ENDLESS)
    wait_for(training)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = stop(process)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_signal_while_workers_are_starting_begins_nothing(start: Start) -> None:
    process = start(ENDLESS)
    wait_for(lambda: processes(process.pid))
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    stop(process)
    assert process.returncode == 143
    assert time.monotonic() - began < 5
    assert set(states()) <= {"queued"}


def test_a_killed_sweep_leaves_no_process_behind_not_even_a_stopped_one(start: Start) -> None:
    process = start(ENDLESS)
    wait_for(training)
    one, other = processes(process.pid)
    os.kill(one, signal.SIGSTOP)
    process.kill()
    wait_for(lambda: is_gone(one) and is_gone(other), 10)
    wait_for(lambda: not any(is_locked(path.parent) for path in Path("results").rglob(".lock")), 10)


@pytest.mark.slow
def test_a_sweep_killed_while_its_workers_take_runs_in_leaves_none_behind(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS", json.dumps([{"seed": seed, "episode": 0, "step": 0, "do": "hang"} for seed in range(4)]))
    process = start(ENDLESS)
    wait_for(lambda: states().count("running") == 2)
    workers = processes(process.pid)
    assert len(workers) == 2
    process.kill()
    wait_for(lambda: all(map(is_gone, workers)), 10)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0, 2.0])
def test_a_sweep_killed_while_its_workers_start_leaves_none_behind(start: Start, delay: float) -> None:
    process = start(ENDLESS)
    wait_for(lambda: processes(process.pid))
    time.sleep(delay)
    workers = processes(process.pid)
    process.kill()
    wait_for(lambda: all(map(is_gone, workers)), 10)


def test_a_study_at_work_refuses_another_sweep_and_gives_single_runs_what_is_free(
    start: Start, train: Callable[[str], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "ORPHANS_SECONDS", 0.3)
    process = start(ENDLESS)
    wait_for(training)
    before = states()
    assert train(ENDLESS) == 4
    said = capsys.readouterr().err
    assert "waiting up to 0 s" in said
    assert f"results/s is in use by process {process.pid}" in said
    single = ENDLESS.replace("-m ", "").replace("seed=0,1,2,3", "seed={}").replace("hydra.launcher.workers=2 hydra.launcher.slots=2", "")
    assert train(single.format(2)) == 4
    assert "is in use by process" in capsys.readouterr().err
    assert train(single.format(9).replace(str(32 * 100_000), "64")) == 0
    assert states() == sorted([*before, "done"])
    process.send_signal(signal.SIGTERM)
    stop(process)


def test_a_study_that_falls_free_while_waiting_is_taken(
    train: Callable[[str], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results/s").mkdir(parents=True)
    code = "import time, pathlib, ppo_sweep.runs.lock as it; lock = it.RunLock(pathlib.Path('results/s')); time.sleep(2)"
    with subprocess.Popen([sys.executable, "-c", code]):
        wait_for(lambda: is_locked(Path("results/s")))
        assert train(LONG.format(32)) == 0
    assert "waiting up to 30 s: results/s is in use by process" in capsys.readouterr().err


@pytest.mark.slow
def test_of_two_sweeps_started_at_the_same_moment_one_works(start: Start) -> None:
    line = LONG.format(32 * 100)
    both = [start(line), start(line)]
    said = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) in ([0, 4], [0, 0]), said
    assert states() == ["done"] * 4


def test_a_sweep_that_meets_a_lock_after_its_check_exits_4(train: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    from ppo_sweep.sweep import directories

    Path("results/s").mkdir(parents=True)
    monkeypatch.setattr(directories, "is_locked", lambda directory: False)
    lock = RunLock(Path("results/s"))
    assert train(LONG.format(32)) == 4
    lock.release()
