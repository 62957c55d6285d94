"""Progress of one run: a screen that redraws itself in a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ppo_sweep.runs.screen import Screen, bar, count, figure, time_left

__all__ = ["ProgressScreen", "plain_line", "time_left"]

#: Columns below which the figures stand one below the other.
NARROW = 56

Row = Mapping[str, float | int | None]


class ProgressScreen(Screen):
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
        super().__init__(stream, clock)
        self._total, self._title, self._lines = total_steps, title, tuple(lines)
        self._latest: tuple[int, Row, float] = (0, {}, 0.0)

    def update(self, env_steps: int, row: Row, steps_per_s: float) -> None:
        """Take note of an iteration; draws only when the last drawing is long enough ago.

        Args:
            env_steps: environment steps done so far.
            row: the iteration's metrics; ``return_100``, ``kl`` and ``entropy`` are shown.
            steps_per_s: environment steps per wall second, lately.
        """
        self._latest = (env_steps, row, steps_per_s)
        self._changed()

    def _opening(self) -> Sequence[str]:
        return (self._title, *self._lines)

    def _line(self) -> str:
        return plain_line(*self._latest, total_steps=self._total)

    def _picture(self, size: ConsoleDimensions) -> RenderableType:
        steps, row, speed = self._latest
        figures = (
            ("steps", f"{count(steps)} of {count(self._total)}", "return", figure(row.get("return_100"), ".1f")),
            ("steps/s", count(speed) if speed > 0 else "–", "KL", figure(row.get("kl"), ".4f")),
            ("time left", time_left(self._total - steps, speed), "entropy", figure(row.get("entropy"), ".3f")),
        )
        # no_wrap keeps one line one line, which a redraw in place depends on.
        grid = Table.grid(padding=(0, 2))
        narrow = size.width < NARROW
        for _ in range(2 if narrow else 4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for line in [f[i : i + 2] for i in (0, 2) for f in figures] if narrow else figures:
            grid.add_row(*line)
        head = [Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")]
        head += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Group(*head, bar(steps, self._total), grid)


def plain_line(env_steps: int, row: Row, steps_per_s: float, *, total_steps: int) -> str:
    """One iteration in one line, for files and pipes."""
    return "  ".join(
        (
            f"{count(env_steps)} of {count(total_steps)} steps ({100 * env_steps / total_steps:.0f} %)",
            f"{count(steps_per_s)} steps/s",
            f"return {figure(row.get('return_100'), '.1f')}",
            f"KL {figure(row.get('kl'), '.4f')}",
            f"entropy {figure(row.get('entropy'), '.3f')}",
            f"{time_left(total_steps - env_steps, steps_per_s)} left",
        )
    )
