"""Real pseudo-terminals that remember what was written to them, and a clock that a test turns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal:
    """A real pseudo-terminal of that size, and what was written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")

    def read(self) -> str:
        """Everything written so far."""
        self.stream.flush()
        received = b""
        while select.select([self.master], [], [], 0.05)[0]:
            received += os.read(self.master, 65536)
        return received.decode()


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 100, lines: int = 24) -> Iterator[Terminal]:
    """A terminal that can do what today's can, whatever the tests run in."""
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    opened = Terminal(columns, lines)
    try:
        yield opened
    finally:
        opened.stream.close()
        os.close(opened.master)


def without_escapes(text: str) -> str:
    """The text alone, a line each time that writing went back to the left edge."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
