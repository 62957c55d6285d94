"""A worker and whatever its environments start end with the sweep; what they start can be ended before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

_HOLD = "import os, signal, subprocess, time; from ppo_sweep.sweep import lifeline; lifeline.hold();"


def begin(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLD + program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def output_of(worker: subprocess.Popen[str]) -> str:
    """What it prints until it ends, with the sweep still there."""
    assert worker.stdout is not None
    output = worker.stdout.read()
    worker.communicate(timeout=60)
    return output


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie, whom nobody has asked for yet, has."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_an_environment_starts_can_be_terminated() -> None:
    worker = begin(
        "import multiprocessing;"
        "program = subprocess.Popen(['sleep', '60']); program.terminate(); print(program.wait(10));"
        "forked = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)); forked.start(); forked.terminate();"
        "forked.join(10); print(forked.exitcode)"
    )
    assert output_of(worker).split() == ["-15", "-15"]


def test_a_stopped_worker_and_what_it_has_started_end_with_the_sweep() -> None:
    worker = begin("child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    assert worker.stdout is not None and worker.stdin is not None
    child = int(worker.stdout.readline())
    worker.stdin.close()
    deadline = time.monotonic() + 10
    while not (gone(worker.pid) and gone(child)):
        assert time.monotonic() < deadline, "still there 10 s after the sweep has gone"
        time.sleep(0.05)
    assert worker.wait(10) == -signal.SIGKILL
    worker.stdout.close()


def test_signals_are_left_to_the_sweep() -> None:
    worker = begin("print('ready', flush=True); time.sleep(1); print('still here')")
    assert worker.stdout is not None
    worker.stdout.readline()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker.pid, number)
    assert output_of(worker) == "still here\n"
