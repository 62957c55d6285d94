"""Ctrl-C, SIGTERM and a closed terminal: once to stop at the next iteration boundary, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StoppedAtOnce(SystemExit):
    """The second signal; files are never torn, so only the work since the last checkpoint is lost."""


class Interrupts:
    """Catches SIGINT, SIGTERM and SIGHUP for the length of a ``with`` block.

    Attributes:
        received: the first signal that came, or None.

    A signal that was ignored before stays ignored (``nohup``; a background job of a script, which the
    Ctrl-C for the foreground is not meant for). Outside the main thread Python delivers no signals,
    and the block catches none.
    """

    CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP, 0 if none came."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in self.CAUGHT if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._catch) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise StoppedAtOnce(128 + number)
        self.received = signal.Signals(number)
