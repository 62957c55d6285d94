"""What ties a worker process to the sweep that started it. Light, so that it holds before anything heavy is loaded."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

#: ``prctl(2)``: which signal a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


def hold() -> None:
    """From here on this process dies with its parent, and only the parent's orders stop it.

    The kernel sees to it on Linux, also when this process is stopped or stuck in foreign code. Elsewhere,
    and if the parent was gone before it could be asked: standard input, whose other end the parent alone holds, ends.
    """
    # A signal meant for the whole group is not for workers; the sweep tells them when to stop.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # for environments that read
    os.close(null)

    def watch() -> None:
        os.read(lifeline, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()
