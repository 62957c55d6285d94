"""``python killed_train.py WHERE N …``: ``train.py …`` that is killed at the N-th passing of WHERE.

WHERE is ``before:TEXT``, ``middle:TEXT`` or ``after:TEXT`` of a change in Optuna's journal that holds TEXT, or
``begin``, ``train``, ``prune``: just before such an order goes to a worker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from ppo_sweep.sweep.messages import Orders
from ppo_sweep.sweep.pool import WorkerProcess

moment, _, text = sys.argv[1].partition(":")
left = int(sys.argv[2])


def passing() -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def append_logs(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
    here = any(text in json.dumps(log) for log in logs)
    if here and moment == "before":
        passing()
    if here and moment == "middle":
        if left == 1:
            with open(self._file_path, "ab") as file:
                file.write(json.dumps(logs[0]).encode()[:20])
        passing()
    written(self, logs)
    if here and moment == "after":
        passing()


def order(self: WorkerProcess, orders: Orders) -> None:
    if (moment == "begin" and orders.begin) or (moment == "train" and orders.train) or (moment == "prune" and orders.prune):
        passing()
    given(self, orders)


written, given = JournalFileBackend.append_logs, WorkerProcess.order
if text:
    JournalFileBackend.append_logs = append_logs  # type: ignore[method-assign]
else:
    WorkerProcess.order = order  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from ppo_sweep.process import settle
    from train import main

    settle()
    sys.exit(main(sys.argv[3:]))
