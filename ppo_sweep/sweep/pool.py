"""Worker processes as the sweep sees them: started, spoken to, listened to, and put an end to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Hashable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import IO

from ppo_sweep.sweep.messages import Assignment, Crash, Orders, Report

#: What a worker process runs: its arguments are the number of its end of the connection, and where this process imports from.
_PROGRAM = """
import sys
sys.path[:] = sys.argv[2:]
from ppo_sweep.sweep import lifeline
lifeline.hold()
from ppo_sweep.sweep.worker import main
main(int(sys.argv[1]))
"""
#: Of a worker's output, what is kept to explain its end.
_KEPT_BYTES = 8192
#: Seconds that a killed process may take to be gone, its locks with it.
_PATIENCE_SECONDS = 30.0


class Lost(Exception):
    """A worker is gone, or of no more use; the message says why, ``output`` what it wrote last."""

    def __init__(self, why: str, output: str = "") -> None:
        super().__init__(why)
        self.output = output


class WorkerProcess:
    """One process.

    Attributes:
        number: its place, 0-based; a replacement has the same.
        members: jobs it has in training.
        asked: the run it was ordered to begin and has not reported yet.
        ready: it has reported at least once.
        waits: it has reported and has no orders yet.
        connection, output: to wait on; see :meth:`receive` and :meth:`read_output`.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.members: set[int] = set()
        self.asked: Assignment | None = None
        self._orders = Orders()
        self._populations: dict[int, Hashable] = {}
        self.ready = False
        self.waits = False
        self._heard = time.monotonic()
        self._said = b""
        self._line = b""
        self.connection: Connection[Orders, Report | Crash]
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), *map(os.path.abspath, sys.path)],
                stdin=subprocess.PIPE,  # the lifeline: it ends when this process does
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C in the terminal is for the sweep, which then stops its workers. A group, not a session of its own:
                # Linux shares processors out by session, and `nice` counts within one only.
                process_group=0,
            )
        assert self._process.stdout is not None
        self.output: IO[bytes] = self._process.stdout
        os.set_blocking(self.output.fileno(), False)

    @property
    def pid(self) -> int:
        """Of the process, which leads a group of the same number."""
        return self._process.pid

    @property
    def holding(self) -> set[int]:
        """Jobs that would be lost with it."""
        return self.members | self._asked

    @property
    def suspects(self) -> set[int]:
        """Jobs that it was at work on when last heard of: the run that it begins, or the members of one population."""
        trained = {job for job in self.members if self._orders.train and self._populations[job] == self._orders.population}
        return self._asked or trained or self.members

    @property
    def _asked(self) -> set[int]:
        return {self.asked.job} if self.asked is not None else set()

    @property
    def silent(self) -> float:
        """Seconds since it was last heard of, or given orders; 0 while it waits for some."""
        return 0.0 if self.waits else time.monotonic() - self._heard

    def order(self, orders: Orders) -> None:
        """Send orders; the next report answers them.

        Raises:
            Lost: there is nobody to obey.
        """
        self._orders, self.asked, self.waits, self._heard = orders, orders.begin, False, time.monotonic()
        try:
            self.connection.send(orders)
        except OSError as error:
            raise self.lost() from error

    def receive(self) -> Report:
        """The report that has come in.

        Raises:
            Lost: the process is gone, or has met an error that is no run's.
        """
        try:
            report = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self.lost() from error
        if isinstance(report, Crash):
            raise Lost(report.traceback.strip().splitlines()[-1], report.traceback)
        self.ready, self.waits, self.asked, self._heard = True, True, None, time.monotonic()
        if report.begun is not None:
            self.members.add(report.begun)
            self._populations[report.begun] = self._orders.population
        self.members -= report.ended.keys()
        return report

    def check_alive(self) -> None:
        """Look whether the process is still there.

        Its end shows as the end of its connection, unless an environment has left a process behind that holds it open.

        Raises:
            Lost: it is not, and has said nothing more.
        """
        if self._process.poll() is not None and not self.connection.poll():
            raise self.lost()

    def lost(self) -> Lost:
        """Why the process ended, in words."""
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return Lost("it closed its connection")
        self.read_output()
        said = self._said.decode(errors="replace").strip()
        if code == -signal.SIGKILL:
            return Lost("killed by SIGKILL; if nobody did, the machine was out of memory: fewer hydra.launcher.slots or workers", said)
        if code < 0:
            return Lost(f"killed by {signal.Signals(-code).name}", said)
        last = said.splitlines()[-1] if said else "no last words"
        return Lost(f"it ended with exit code {code}: {last}", said)

    def read_output(self) -> list[str]:
        """Whole lines that environments and libraries have printed since the last look."""
        try:
            new = os.read(self.output.fileno(), 1 << 16)
        except (BlockingIOError, ValueError):
            return []
        if not new:
            self.output.close()
        self._said = (self._said + new)[-_KEPT_BYTES:]
        *lines, rest = (self._line + new).split(b"\n")
        self._line = rest[-_KEPT_BYTES:]
        return [line.decode(errors="replace").rstrip() for line in lines]

    def kill(self) -> None:
        """End the process and whatever its environments have started, now, and wait until its locks have fallen."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # then it is in the kernel's hands; its runs are found to be in use
            self._process.wait(_PATIENCE_SECONDS)
        for stream in (self._process.stdin, self.output):
            if stream is not None:
                stream.close()
        self.connection.close()
