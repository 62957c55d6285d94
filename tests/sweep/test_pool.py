"""Worker processes as the operating system sees them."""

from __future__ import annotations

import os

from ppo_sweep.sweep.pool import WorkerProcess


def test_a_worker_is_in_the_sweeps_session_where_nice_counts_and_in_a_group_of_its_own() -> None:
    worker = WorkerProcess(0)
    try:
        assert os.getsid(worker.pid) == os.getsid(0)
        assert os.getpgid(worker.pid) == worker.pid
    finally:
        worker.kill()
