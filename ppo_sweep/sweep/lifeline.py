"""What ties a worker process to the sweep that started it. Light, so that it holds before anything heavy is loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType

#: Signals for the whole group, which workers leave to the sweep: it tells them when to stop.
_LEFT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold() -> None:
    """From here on this process, and whatever its environments start, dies with the sweep, and only the sweep's orders stop it.

    Standard input is a pipe whose other end the sweep alone holds. A small process of this group watches
    for its end, so that a worker that is stopped, or stuck in foreign code, goes too.
    """
    # A handler, not SIG_IGN, which programs that an environment starts would inherit: they could not be terminated.
    for number in _LEFT:
        signal.signal(number, _leave_it)
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # for environments that read
    os.close(null)
    between = os.fork()
    if between == 0:
        # Twice, so that the watcher is no child of this process: an environment may wait for its own.
        if os.fork() == 0:
            _watch(lifeline)
        os._exit(0)
    os.waitpid(between, 0)
    os.close(lifeline)
    # And what an environment forks can be terminated, from the first moment on: a signal waits until it is as usual.
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_as_usual)


def _leave_it(number: int, frame: FrameType | None) -> None:
    pass


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _LEFT)


def _as_usual() -> None:
    for number in _LEFT:
        signal.signal(number, signal.SIG_DFL)
    _let_through()


def _watch(lifeline: int) -> None:
    """Wait until the sweep is gone, then end the group; holds nothing else open, or the sweep would not see its worker's end."""
    for number in _LEFT:
        signal.signal(number, signal.SIG_IGN)
    os.closerange(0, lifeline)
    os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
