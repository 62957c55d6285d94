"""Progress of one run: a screen that redraws itself in a terminal, a plain line now and then otherwise.

Showing progress is never a reason to slow a run down or to lose it: drawing takes at most
``SHARE_OF_TIME`` of the wall time whatever it costs on a machine, and a stream that can no longer
be written to (a closed pipe, a terminal that is gone) ends the showing, not the training.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Seconds between two redraws of the screen, at least.
SCREEN_EVERY_S = 0.5
#: Seconds between two plain lines, at least.
LINE_EVERY_S = 10.0
#: Of the wall time, the most that may go into drawing.
SHARE_OF_TIME = 0.002
#: Columns below which the figures stand one below the other.
NARROW = 56

Row = Mapping[str, float | int | None]


class Progress:
    """Shows how a run is getting on, from ``with`` to its end.

    Args:
        total_steps: the run's budget in environment steps.
        title: the run in a line, for instance its study, name and seed.
        lines: what stays the same while it runs: environment, spaces, directory.
        stream: where to write; standard output if not given.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        title: str,
        lines: Sequence[str],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._title, self._lines = total_steps, title, tuple(lines)
        self._stream = sys.stdout if stream is None else stream
        self._clock = clock
        self._live: Live | None = None
        self._latest: tuple[int, Row, float] | None = None
        self._shown: tuple[int, Row, float] | None = None
        self._next_draw = 0.0
        self._silent = False

    def __enter__(self) -> Progress:
        self._guard(self._open)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._latest is not self._shown:
            self._guard(self._draw)
        live, self._live = self._live, None
        if live is not None:
            self._guard(live.stop)

    def update(self, env_steps: int, row: Row, steps_per_s: float) -> None:
        """Take note of an iteration; draws only when the last drawing is long enough ago.

        Args:
            env_steps: environment steps done so far.
            row: the iteration's metrics; ``return_100``, ``kl`` and ``entropy`` are shown.
            steps_per_s: environment steps per wall second, lately.
        """
        self._latest = (env_steps, row, steps_per_s)
        now = self._clock()
        if now < self._next_draw or self._silent:
            return
        self._guard(self._draw)
        spent = self._clock() - now
        every = LINE_EVERY_S if self._live is None else SCREEN_EVERY_S
        self._next_draw = now + max(every, spent / SHARE_OF_TIME)

    def note(self, message: str) -> None:
        """Write a line that stays, above the screen or among the plain lines."""
        live = self._live
        if live is not None:
            self._guard(lambda: live.console.print(Text(message)))
        else:
            self._guard(lambda: self._write(message))

    def _open(self) -> None:
        if not _can_redraw(self._stream):
            for line in (self._title, *self._lines):
                self._write(line)
            return
        console = Console(file=self._stream, highlight=False)
        self._live = Live(self._screen(console), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start(refresh=True)
        # A run may be killed at any instant, and a terminal without its cursor would be what it leaves behind.
        console.show_cursor(True)

    def _draw(self) -> None:
        self._shown = self._latest
        if self._live is not None:
            self._live.update(self._screen(self._live.console), refresh=True)
        elif self._latest is not None:
            self._write(plain_line(*self._latest, total_steps=self._total))

    def _screen(self, console: Console) -> RenderableType:
        # Of this stream: rich would ask standard input. Anew each time: windows are resized.
        console.size = ConsoleDimensions(*os.get_terminal_size(self._stream.fileno()))
        steps, row, speed = self._latest or (0, {}, 0.0)
        figures = (
            ("steps", f"{_count(steps)} of {_count(self._total)}", "return", _number(row.get("return_100"), ".1f")),
            ("steps/s", _count(speed) if speed > 0 else "–", "KL", _number(row.get("kl"), ".4f")),
            ("time left", time_left(self._total - steps, speed), "entropy", _number(row.get("entropy"), ".3f")),
        )
        # no_wrap keeps one line one line, which a redraw in place depends on.
        grid = Table.grid(padding=(0, 2))
        narrow = console.width < NARROW
        for _ in range(2 if narrow else 4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for line in [f[i : i + 2] for i in (0, 2) for f in figures] if narrow else figures:
            grid.add_row(*line)
        bar = Table.grid()  # a table, because a bar by itself does not end its line
        bar.add_row(ProgressBar(total=self._total, completed=min(steps, self._total), width=60))
        head = [Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")]
        head += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Group(*head, bar, grid)

    def _write(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._stream.flush()

    def _guard(self, write: Callable[[], None]) -> None:
        """Write, unless writing has failed before; ValueError is what a closed file raises."""
        if self._silent:
            return
        try:
            write()
        except (OSError, ValueError):
            self._silent = True


def plain_line(env_steps: int, row: Row, steps_per_s: float, *, total_steps: int) -> str:
    """One iteration in one line, for files and pipes."""
    return "  ".join(
        (
            f"{_count(env_steps)} of {_count(total_steps)} steps ({100 * env_steps / total_steps:.0f} %)",
            f"{_count(steps_per_s)} steps/s",
            f"return {_number(row.get('return_100'), '.1f')}",
            f"KL {_number(row.get('kl'), '.4f')}",
            f"entropy {_number(row.get('entropy'), '.3f')}",
            f"{time_left(total_steps - env_steps, steps_per_s)} left",
        )
    )


def time_left(steps: int, steps_per_s: float) -> str:
    """``m:ss`` or ``h:mm:ss`` for so many steps at that speed; a dash where the speed is not known."""
    if not steps_per_s > 0:
        return "–"
    seconds = round(max(steps, 0) / steps_per_s)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"


def _can_redraw(stream: TextIO) -> bool:
    encoding = (getattr(stream, "encoding", None) or "").lower()
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and encoding.startswith("utf")


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _number(value: float | int | None, form: str) -> str:
    return "–" if value is None else format(value, form)
