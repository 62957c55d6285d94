"""Progress of a whole sweep."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ppo_sweep.runs.screen import Screen, bar, count, figure, time_left
from ppo_sweep.sweep.short_names import ShortNames

#: States in the order in which they are counted, and their colours.
STATES = {
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
        self._done, self._best = 0, ""
        self._speed = _Speed()
        self._names = ShortNames()

    def update(self, running: Mapping[int, MemberLine], counts: Mapping[str, int], done_steps: int, best: str = "") -> None:
        """Take note of where things stand; draws only when the last drawing is long enough ago.

        Args:
            running: the members in training, by job, in the order in which they are shown.
            counts: runs by state.
            done_steps: environment steps over all runs, those that ended before this command included.
            best: the best trial so far, in words; empty for what is no study.
        """
        self._running, self._counts, self._done, self._best = list(running.values()), counts, done_steps, best
        self._names.see(member.name for member in self._running)
        self._speed.note(self._clock(), {job: member.env_steps for job, member in running.items()})
        self._changed()

    def _opening(self) -> Sequence[str]:
        return (self._title,)

    def _line(self) -> str:
        return "  ".join((", ".join(counted(self._counts)), *self._facts()))

    def _facts(self) -> tuple[str, ...]:
        speed = self._speed.per_second
        return (
            f"{count(self._done)} of {count(self._total)} steps",
            _percent(self._done, self._total),
            f"{count(speed)} steps/s" if speed > 0 else "– steps/s",
            f"{time_left(self._total - self._done, speed)} left",
            *([self._best] if self._best else []),
        )

    def _picture(self, size: ConsoleDimensions) -> RenderableType:
        lines = [*_packed(self._facts(), size.width), *_packed(list(counted(self._counts)), size.width)]
        head = [_one_line(self._title, "bold"), bar(self._done, max(self._total, 1)), *(coloured(_one_line(line)) for line in lines)]
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


def counted(counts: Mapping[str, int]) -> Iterable[str]:
    """``3 done``, ``2 failed``: every state that some run is in, and done always."""
    for state in (*STATES, *sorted(counts.keys() - STATES)):
        if counts.get(state) or state == "done":
            yield f"{count(counts.get(state, 0))} {state}"


def _percent(done: int, total: int) -> str:
    """Rounded down: 100 % is only said of what has ended."""
    return f"{100 * done // max(total, 1)} %"


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


def coloured(text: Text) -> Text:
    """A line with the states in it that a user should notice in their colours."""
    for state in ("failed", "diverged", "stopped", "interrupted"):
        text.highlight_regex(rf"(^|[1-9][0-9,]* ){state}\b", STATES[state])
    return text
