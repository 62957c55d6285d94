"""Lines for ``train.log``, in the form that Hydra's own logging gives them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ppo_sweep.runs.durable import write_all


def append(path: Path, message: str) -> None:
    """Add a line, in one write beside whoever else logs there.

    Where the disk refuses, the line goes to standard error: a run does not end because of its log.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now % 1 * 1000):03d}"
    level = "WARNING" if message.startswith("warning:") else "INFO"
    line = f"[{stamp}][ppo_sweep][{level}] - {message}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, line.encode(errors="backslashreplace"), "log")
        finally:
            os.close(descriptor)
    except OSError as error:
        print(f"{message}\n(not in {path.name}: {error.strerror})", file=sys.stderr)
