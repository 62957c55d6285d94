"""A place to show how work is getting on: a screen that redraws itself in a terminal, plain lines elsewhere.

Showing progress is never a reason to slow work down or to lose it: drawing takes at most
``SHARE_OF_TIME`` of the wall time whatever it costs on a machine, and a stream that can no longer
be written to (a closed pipe, a terminal that is gone) ends the showing, not the work.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, ConsoleDimensions, RenderableType
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
#: Columns of a progress bar, at most.
_BAR_WIDTH = 60


class Screen(ABC):
    """Shows something that changes, from ``with`` to its end; a subclass says what.

    Args:
        stream: where to write; standard output if None.
        clock: seconds, for tests.
    """

    def __init__(self, stream: TextIO | None, clock: Callable[[], float]) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._clock = clock
        self._live: Live | None = None
        self._drawn = True
        self._next_draw = 0.0
        self._silent = False

    @abstractmethod
    def _opening(self) -> Sequence[str]:
        """What plain output begins with."""

    @abstractmethod
    def _picture(self, size: ConsoleDimensions) -> RenderableType:
        """The whole screen as it stands, no line wider and no more lines than ``size``."""

    @abstractmethod
    def _line(self) -> str:
        """How it stands in one plain line; asked only after a change."""

    def __enter__(self) -> Self:
        self._guard(self._open)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._drawn:
            self._guard(self._draw)
        live, self._live = self._live, None
        if live is not None:
            self._guard(live.stop)

    def note(self, message: str) -> None:
        """Write a line that stays, above the screen or among the plain lines."""
        live = self._live
        if live is not None:
            self._guard(lambda: live.console.print(Text(message)))
        else:
            self._guard(lambda: write_line(self._stream, message))

    def _changed(self) -> None:
        """Something is new; draws only when the last drawing is long enough ago."""
        self._drawn = False
        now = self._clock()
        if now < self._next_draw or self._silent:
            return
        self._guard(self._draw)
        spent = self._clock() - now
        every = LINE_EVERY_S if self._live is None else SCREEN_EVERY_S
        self._next_draw = now + max(every, spent / SHARE_OF_TIME)

    def _open(self) -> None:
        if not can_redraw(self._stream):
            for line in self._opening():
                write_line(self._stream, line)
            return
        console = Console(file=self._stream, highlight=False)
        self._live = Live(self._render(console), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start(refresh=True)
        # A run may be killed at any instant, and a terminal without its cursor would be what it leaves behind.
        console.show_cursor(True)

    def _draw(self) -> None:
        self._drawn = True
        if self._live is not None:
            self._live.update(self._render(self._live.console), refresh=True)
        else:
            write_line(self._stream, self._line())

    def _render(self, console: Console) -> RenderableType:
        console.size = terminal_size(self._stream)
        return self._picture(console.size)

    def _guard(self, write: Callable[[], None]) -> None:
        """Write, unless writing has failed before."""
        if not self._silent:
            self._silent = not survives(write)


def survives(write: Callable[[], None]) -> bool:
    """Write; False if the stream is of no more use. ValueError is what a closed file raises."""
    try:
        write()
    except (OSError, ValueError):
        return False
    return True


def write_line(stream: TextIO, line: str) -> None:
    """A line at once, with ``?`` for what the stream's encoding has no sign for."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def can_redraw(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can be written over and knows more than ASCII."""
    encoding = (getattr(stream, "encoding", None) or "").lower()
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and encoding.startswith("utf")


def terminal_size(stream: TextIO) -> ConsoleDimensions:
    """Columns and lines of this terminal now: rich would ask standard input's, and windows are resized."""
    return ConsoleDimensions(*os.get_terminal_size(stream.fileno()))


def bar(done: float, total: float) -> RenderableType:
    """A progress bar on a line of its own."""
    grid = Table.grid()  # a bar by itself does not end its line
    grid.add_row(ProgressBar(total=total, completed=min(done, total), width=_BAR_WIDTH))
    return grid


def count(number: float) -> str:
    """``1,234,567``."""
    return f"{number:,.0f}"


def figure(value: float | int | None, form: str) -> str:
    """A number in this format, a dash where it is not defined."""
    return "–" if value is None else format(value, form)


def time_left(steps: int, steps_per_s: float) -> str:
    """``m:ss`` or ``h:mm:ss`` for so many steps at that speed; a dash where the speed is not known."""
    if not steps_per_s > 0:
        return "–"
    seconds = round(max(steps, 0) / steps_per_s)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
