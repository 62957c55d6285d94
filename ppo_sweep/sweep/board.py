"""Progress of a whole sweep, and the table that closes it."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ppo_sweep.runs.screen import Screen, bar, can_redraw, count, figure, survives, terminal_size, time_left, write_line
from ppo_sweep.sweep.short_names import ShortNames

#: States in the order in which they are counted, and their colours.
_STATES = {
    "done": "green",
    "running": "cyan",
    "queued": "",
    "failed": "red",
    "diverged": "red",
    "pruned": "",
    "stopped": "yellow",
    "interrupted": "yellow",
}
#: What is shown of a running member beside its share of steps: heading, column of ``metrics.csv``, format.
_FIGURES = (("return", "return_100", ".1f"), ("KL", "kl", ".4f"), ("entropy", "entropy", ".3f"))
#: Columns that a name should have before figures are left out for it.
_NAME_COLUMNS = 16
#: Columns between two columns of a table.
_GAP = 2
#: Steps per second are those of the last so many seconds.
_SPEED_OVER_S = 60.0


@dataclass(frozen=True)
class MemberLine:
    """A running member as of its newest iteration.

    Attributes:
        name: its path below the study.
        env_steps, total_steps: environment steps done, and in all.
        row: that iteration's metrics; empty before the first.
    """

    name: str
    env_steps: int
    total_steps: int
    row: Mapping[str, float | int | None]


class Board(Screen):
    """Shows how a sweep is getting on, from ``with`` to its end.

    Args:
        title: the sweep in a line.
        total_steps: environment steps of all its runs together.
        counts: runs by state.
        stream: where to write; standard output if not given.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        *,
        title: str,
        total_steps: int,
        counts: Mapping[str, int],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream, clock)
        self._title, self._total, self._counts = title, total_steps, counts
        self._running: Sequence[MemberLine] = ()
        self._done = 0
        self._speed = _Speed()
        self._names = ShortNames()

    def update(self, running: Mapping[int, MemberLine], counts: Mapping[str, int], done_steps: int) -> None:
        """Take note of where things stand; draws only when the last drawing is long enough ago.

        Args:
            running: the members in training, by job, in the order in which they are shown.
            counts: runs by state.
            done_steps: environment steps over all runs, those that ended before this command included.
        """
        self._running, self._counts, self._done = list(running.values()), counts, done_steps
        self._names.see(member.name for member in self._running)
        self._speed.note(self._clock(), {job: member.env_steps for job, member in running.items()})
        self._changed()

    def _opening(self) -> Sequence[str]:
        return (self._title,)

    def _line(self) -> str:
        return "  ".join((", ".join(_counted(self._counts)), *self._facts()))

    def _facts(self) -> tuple[str, ...]:
        speed = self._speed.per_second
        return (
            f"{count(self._done)} of {count(self._total)} steps",
            _percent(self._done, self._total),
            f"{count(speed)} steps/s" if speed > 0 else "– steps/s",
            f"{time_left(self._total - self._done, speed)} left",
        )

    def _picture(self, size: ConsoleDimensions) -> RenderableType:
        lines = [*_packed(self._facts(), size.width), *_packed(list(_counted(self._counts)), size.width)]
        head = [_one_line(self._title, "bold"), bar(self._done, max(self._total, 1)), *map(_coloured, lines)]
        # A line stays free for the cursor, so that the screen never scrolls.
        return Group(*head, *self._members(size.width, size.height - len(head) - 1))

    def _members(self, width: int, lines: int) -> Iterable[RenderableType]:
        """A table of the running members in at most so many lines."""
        rows = lines - 1  # its heading
        shown = self._running if len(self._running) <= rows else self._running[: max(0, rows - 1)]
        if shown:
            yield self._table(shown, width)
        if shown and len(shown) < len(self._running):
            yield _one_line(f"… and {len(self._running) - len(shown)} more", "dim")

    def _table(self, members: Sequence[MemberLine], width: int) -> Table:
        columns = [["", *(_percent(member.env_steps, member.total_steps) for member in members)]]
        columns += [[heading, *(figure(member.row.get(key), form) for member in members)] for heading, key, form in _FIGURES]
        while len(columns) > 1 and width - _width(columns) < _NAME_COLUMNS:
            columns.pop()
        names = self._names.fit([member.name for member in members], max(1, width - _width(columns)))
        # no_wrap keeps one line one line, which a redraw in place depends on.
        table = Table.grid(padding=(0, _GAP, 0, 0))
        table.add_column(no_wrap=True, overflow="ellipsis")
        for _ in columns:
            table.add_column(no_wrap=True, overflow="ellipsis", justify="right")
        heading, *rows = zip(["run", *names], *columns, strict=True)
        table.add_row(*heading, style="dim")
        for row in rows:
            table.add_row(*map(Text, row))
        return table


class _Speed:
    """Environment steps per second that runs in training have made lately.

    Counted member by member: how many steps are done in all also jumps when a run fails or goes back to its checkpoint.
    """

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        self._stride: dict[int, int] = {}
        self._made = 0
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, now: float, steps: Mapping[int, int]) -> None:
        """Environment steps of every member in training, by job."""
        for job, before in self._steps.items():
            if job not in steps:  # it ended, with one more iteration
                self._made += self._stride.pop(job, 0)
            elif steps[job] > before:
                self._stride[job] = steps[job] - before
                self._made += self._stride[job]
        self._steps = dict(steps)
        # Timed from the first member on: how long workers take to start says nothing of their speed.
        if not steps and not self._samples:
            return
        if not self._samples or self._made > self._samples[-1][1]:
            self._samples.append((now, self._made))
        while len(self._samples) > 2 and now - self._samples[1][0] > _SPEED_OVER_S:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """0 before it is known."""
        if len(self._samples) < 2:
            return 0.0
        (began, made_then), (last, made) = self._samples[0], self._samples[-1]
        return (made - made_then) / (last - began) if last > began else 0.0


def closing_table(results: Sequence[tuple[str, str, float | None, str | None]], stream: TextIO) -> None:
    """Print what came of every run, then how many came to what; a stream that is gone is no reason to fail.

    Args:
        results: run path, state, score, and reason where there is one; in command order.
    """
    survives(lambda: _print_closing(results, stream))


def _print_closing(results: Sequence[tuple[str, str, float | None, str | None]], stream: TextIO) -> None:
    rows = [(path, state, _score(score), " ".join((reason or "").split())) for path, state, score, reason in results]
    summary = f"{len(rows)} {'run' if len(rows) == 1 else 'runs'}: {', '.join(_counted(Counter(row[1] for row in rows)))}"
    if not can_redraw(stream):
        for line in _aligned([("run", "state", "score", "reason"), *rows]):
            write_line(stream, line)
        write_line(stream, summary)
        return
    console = Console(file=stream, highlight=False)
    console.size = terminal_size(stream)
    above = os.path.commonpath([row[0] for row in rows]) if len(rows) > 1 else ""
    if above:
        console.print(Text(f"{above}/", style="dim", overflow="fold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("score", no_wrap=True, justify="right")
    if any(row[3] for row in rows):
        table.add_column("reason", overflow="fold")
    for path, state, score, reason in rows:
        cells = Text(path[len(above) :].lstrip("/") or path), Text(state, _STATES.get(state, "")), Text(score), Text(reason)
        table.add_row(*cells[: len(table.columns)])
    console.print(table)
    console.print(_coloured(summary))


def _aligned(rows: Sequence[tuple[str, str, str, str]]) -> Iterable[str]:
    """The rows with columns one below the other, scores at the right edge of theirs."""
    paths, states, scores = (max(len(row[column]) for row in rows) for column in range(3))
    for path, state, score, reason in rows:
        yield f"{path:<{paths}}  {state:<{states}}  {score:>{scores}}  {reason}".rstrip()


def _counted(counts: Mapping[str, int]) -> Iterable[str]:
    """``3 done``, ``2 failed``: every state that some run is in, and done always."""
    for state in (*_STATES, *sorted(counts.keys() - _STATES)):
        if counts.get(state) or state == "done":
            yield f"{count(counts.get(state, 0))} {state}"


def _percent(done: int, total: int) -> str:
    """Rounded down: 100 % is only said of what has ended."""
    return f"{100 * done // max(total, 1)} %"


def _score(score: float | None) -> str:
    """A return as the other figures are written, more digits of a small one."""
    return figure(score, ".1f" if score is not None and abs(score) >= 100 else ".4g")


def _packed(facts: Sequence[str], width: int) -> list[str]:
    """The facts in as few lines of so many columns as will hold them, in order."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + _GAP + len(fact) <= width:
            lines[-1] += " " * _GAP + fact
        else:
            lines.append(fact)
    return lines


def _width(columns: Sequence[Sequence[str]]) -> int:
    """Columns that these take beside a name."""
    return sum(max(map(len, cells)) + _GAP for cells in columns)


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _coloured(line: str) -> Text:
    """A line with the states in it that a user should notice in their colours."""
    text = _one_line(line)
    for state in ("failed", "diverged", "stopped", "interrupted"):
        text.highlight_regex(rf"[1-9][0-9,]* {state}\b", _STATES[state])
    return text
