"""Random deaths of workers and of the sweep, the same command after each: the bytes of an undisturbed sweep."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sweeping import TRAIN, assert_same_bytes, environment, is_gone, processes, wait_for

#: Twelve runs of two signatures and two lengths.
GRID = (
    "-m env.id=faulty_environments:faulty/Walk-v0 algo.n_envs=1 algo.n_steps=32 algo.minibatch_size=16 algo.epochs=2 "
    "network.hidden=[8],[16] seed=0,1,2 checkpoint_every=7 hydra.launcher.workers=2 hydra.launcher.slots=2 study={} total_steps={},{}"
)


class Sweep:
    """One command, given again and again while its processes die."""

    def __init__(self, line: str) -> None:
        self.command = [sys.executable, str(TRAIN), *shlex.split(line)]
        self.process: subprocess.Popen[bytes] | None = None

    def running(self) -> subprocess.Popen[bytes]:
        """The command, given again if its process has ended."""
        if self.process is None or self.process.poll() is not None:
            # 1: its workers were killed again and again before their first word, which looks like a broken installation.
            assert self.process is None or self.process.returncode in (-signal.SIGKILL, 0, 1, 3)
            with Path("said.txt").open("ab") as said:
                self.process = subprocess.Popen(self.command, env=environment(), stdout=said, stderr=said)
        return self.process

    def kill_somebody(self, rng: random.Random) -> None:
        """The sweep or one of its workers; after the sweep's death, see its workers off."""
        process = self.running()
        time.sleep(rng.uniform(0.0, 4.0))
        workers = sorted(processes(process.pid))
        if workers and rng.random() < 0.6:
            os.kill(rng.choice(workers), signal.SIGKILL)
            return
        process.kill()
        process.wait()
        wait_for(lambda: all(map(is_gone, workers)), 10)

    def finish(self) -> None:
        """Until everything is done; runs that lost their workers too often in a row are taken up by the next command."""
        for _ in range(3):
            if self.running().wait(240) == 0:
                return
        raise AssertionError("it does not come to its end")


@pytest.mark.parametrize(("kills", "iterations"), [(3, 60), pytest.param(20, 400, marks=pytest.mark.slow)])
def test_random_kills_change_no_byte(train: Callable[[str], int], kills: int, iterations: int) -> None:
    budgets = 32 * iterations, 32 * iterations // 4
    rng = random.Random(kills)
    sweep = Sweep(GRID.format("killed", *budgets))
    for _ in range(kills):
        sweep.kill_somebody(rng)
    sweep.finish()
    assert "Traceback" not in Path("said.txt").read_text(errors="replace")
    assert train(GRID.format("undisturbed", *budgets)) == 0
    runs = sorted(path.parent.relative_to("results/undisturbed") for path in Path("results/undisturbed").rglob("policy.json"))
    assert len(runs) == 12
    for run in runs:
        assert_same_bytes(Path("results/killed", run), Path("results/undisturbed", run))
