"""The process around a program of ours: standard streams that cannot break it, signals that cannot confuse it.

Imports nothing beyond the standard library, so that an entry point can call it first.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, TextIO, cast


def settle() -> None:
    """Call before any heavy import: from here on neither output nor an early signal can spoil a run.

    * Standard descriptors that are closed are opened on ``/dev/null``, or a run's files would take their numbers.
    * Output that cannot be written (a closed pipe, a full disk, an ascii terminal) is dropped; the run goes on.
    * SIGINT and SIGTERM end the process at once with 130 and 143, until a run catches them itself: an
      exception inside a third-party import may be swallowed there, and nothing of ours needs more than a kill.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = cast("TextIO", Forgiving(sys.stdout or os.fdopen(1, "w", closefd=False)))
    sys.stderr = cast("TextIO", Forgiving(sys.stderr or os.fdopen(2, "w", closefd=False)))
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def trim_memory() -> None:
    """Give free memory back to the system, where the C library can (glibc): about 10 ms after much was freed, else 1 ms.

    Simulators are made of many small blocks. Without this the holes that one run's leave are too small for what the next one's
    need first, and a process that trains one after another grows by megabytes with each (docs/benchmarks.md, Memory).
    """
    import ctypes  # workers need it; whoever mistypes a command need not wait for it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


class Forgiving:
    """A text stream whose ``write`` and ``flush`` never raise: after the first failure it writes to ``/dev/null``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def _give_up(self) -> None:
        # The descriptor itself, so that what is still buffered has somewhere to go when Python ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
