"""What a sweep says at its end: a line per configuration over its seeds, then every run that came to grief."""

from __future__ import annotations

import shlex
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from ppo_sweep.runs import naming
from ppo_sweep.runs.score import diverged_score
from ppo_sweep.runs.screen import can_redraw, figure, survives, terminal_size, write_line
from ppo_sweep.sweep.board import coloured, counted
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.wording import script

#: Columns where the stream is no terminal.
_COLUMNS = 80
#: Columns that a configuration should have before figures are left out for it.
_NAME_COLUMNS = 16
#: Figures that a narrow terminal goes without, the most dispensable first.
_DISPENSABLE = (("min", "max"), ("sd",), ("runs",))
#: Runs whose trouble is told one by one.
_TOLD = 10
#: States with a score that a mean may hold (docs/numbers.md §2: a diverged run counts, a stopped one does not).
_COUNTING = ("done", "diverged")
_GAP = "  "


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes:
        path: its directory.
        settings: full key → value as text, seed and operational keys left out; equal for the seeds of one configuration.
        seed: as text.
        score: what the run counts as; of a diverged one the lower of its last score and the random policy's.
    """

    path: Path
    settings: Mapping[str, str]
    seed: str
    state: str
    score: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, job: Job, state: str, score: float | None = None, reason: str | None = None) -> Outcome:
        """What came of a job; ``score`` is its own."""
        flat = {name: leaf for key, value in job.overrides.items() for name, leaf in naming.flatten(key, value).items()}
        settings = {key: naming.shortest(value) for key, value in flat.items() if key != "seed" and not naming.is_operational(key)}
        counts_as = diverged_score(job.config, job.path) if state == "diverged" else score
        return cls(job.path, settings, str(job.config.seed), state, counts_as, reason)


def closing_table(study: Path, outcomes: Sequence[Outcome], stream: TextIO) -> None:
    """Print what came of every configuration, then of every run in trouble; a stream that is gone is no reason to fail.

    Args:
        outcomes: in command order.
    """
    survives(lambda: _print(study, outcomes, stream))


def _print(study: Path, outcomes: Sequence[Outcome], stream: TextIO) -> None:
    if not can_redraw(stream):
        for line in _lines(study, outcomes, _COLUMNS, fold=False):
            write_line(stream, line)
        return
    console = Console(file=stream, highlight=False, soft_wrap=True)  # a path that is too long is copied whole
    console.size = terminal_size(stream)
    for line in _lines(study, outcomes, console.width, fold=True):
        console.print(coloured(Text(line)))


def _lines(study: Path, outcomes: Sequence[Outcome], width: int, *, fold: bool) -> Iterator[str]:
    names = _Names(outcomes)
    yield from _folded(f"{study}/ ", names.shared, width)
    yield from _table(names, outcomes, width)
    yield from _troubles(study, names, outcomes, width if fold else None)
    states = Counter(outcome.state for outcome in outcomes)
    if states["diverged"]:
        sentence = "a diverged run counts as the lower of its last score and the random policy's"
        yield from textwrap.wrap(sentence, width)
    yield f"{len(outcomes)} {'run' if len(outcomes) == 1 else 'runs'}: {', '.join(counted(states))}"
    if states["done"] and (report := script("report.py", study)):
        yield f"report: {report}"


class _Names:
    """Configurations by what tells them apart; what all of them share is said once."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        every = [outcome.settings for outcome in outcomes]
        values = {key: {settings.get(key) for settings in every} for settings in every for key in settings}
        self._differing = sorted(key for key, found in values.items() if len(found) > 1)
        last = Counter(key.rpartition(".")[2] for key in self._differing)
        self._short = {key: leaf if last[leaf := key.rpartition(".")[2]] == 1 else key for key in self._differing}
        #: ``key=value`` of every configuration.
        self.shared = [f"{key}={every[0][key]}" for key in sorted(values) if key not in self._differing]

    def of(self, settings: Mapping[str, str]) -> list[str]:
        """``["max_kl=0.02"]``: without groups where the last part of a key is enough."""
        return [f"{self._short[key]}={settings[key]}" for key in self._differing if key in settings]

    def run(self, outcome: Outcome) -> str:
        """``max_kl=0.02,seed=1``."""
        return ",".join([*self.of(outcome.settings), f"seed={outcome.seed}"])


def _table(names: _Names, outcomes: Sequence[Outcome], width: int) -> Iterator[str]:
    """A row per configuration, in command order; figures at the right edge of their columns."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(repr(sorted(outcome.settings.items())), []).append(outcome)
    columns = _columns(list(groups.values()))
    for dispensable in _DISPENSABLE:
        if width - _width(columns) < _NAME_COLUMNS:
            columns = {name: cells for name, cells in columns.items() if name not in dispensable}
    room = max(_NAME_COLUMNS, width - _width(columns))
    if len(groups) == 1:  # named above
        yield from ("".join(cells)[len(_GAP) :].rstrip() for cells in zip(*columns.values(), strict=True))
        return
    labels = [list(_folded("", names.of(group[0].settings), room, indent="")) or ["–"] for group in groups.values()]
    longest = max(len("configuration"[:room]), *(len(line) for label in labels for line in label))
    for first, cells in zip([["configuration"[:room]], *labels], zip(*columns.values(), strict=True), strict=True):
        yield f"{first[0]:<{longest}}{''.join(cells)}".rstrip()
        yield from first[1:]


def _columns(groups: Sequence[Sequence[Outcome]]) -> dict[str, list[str]]:
    """Heading → its cells, the heading first, padded to one width with the gap before them."""
    cells: dict[str, list[str]] = {name: [] for name in ("runs", "mean", "sd", "min", "max", "not done")}
    for group in groups:
        scores = [outcome.score for outcome in group if outcome.state in _COUNTING and outcome.score is not None]
        cells["runs"].append(str(len(group)))
        cells["mean"].append(_score(statistics.fmean(scores) if scores else None))
        cells["sd"].append(_score(statistics.stdev(scores) if len(scores) > 1 else None))
        cells["min"].append(_score(min(scores, default=None)))
        cells["max"].append(_score(max(scores, default=None)))
        others = Counter(outcome.state for outcome in group if outcome.state != "done")
        cells["not done"].append(", ".join(f"{count} {state}" for state, count in others.items()))
    if all(len(group) == 1 for group in groups):
        cells = {"score": cells["mean"], "state": [group[0].state for group in groups]}
    elif not any(cells["not done"]):
        del cells["not done"]
    return {name: _padded([name, *column], right=name not in ("state", "not done")) for name, column in cells.items()}


def _padded(column: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, column))
    return [_GAP + (cell.rjust(width) if right else cell.ljust(width)) for cell in column]


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(len(column[0]) for column in columns.values())


def _troubles(study: Path, names: _Names, outcomes: Sequence[Outcome], width: int | None) -> Iterator[str]:
    """Runs that failed, diverged or could not go on: why, and where more is written."""
    found = [outcome for outcome in outcomes if outcome.state in ("failed", "diverged", "interrupted")]
    for outcome in found[:_TOLD]:
        why = f"{outcome.state}: {names.run(outcome)}: {' '.join((outcome.reason or 'no reason is known').split())}"
        yield from [why] if width is None else textwrap.wrap(why, width, subsequent_indent=_GAP, break_on_hyphens=False)
        yield f"{_GAP}see {shlex.quote(str(outcome.path / 'train.log'))}"
    if len(found) > _TOLD:
        status = script("status.py", study)
        yield f"… and {len(found) - _TOLD} more{f'; all of them: {status}' if status else ''}"


def _folded(start: str, settings: Iterable[str], width: int, indent: str = _GAP) -> Iterator[str]:
    """Settings after ``start``, joined by commas, in lines of so many columns; a setting that is wider is cut in pieces."""
    line, empty = start, True
    for setting in settings:
        if not empty and len(line) + 1 + len(setting) > width:
            yield f"{line},"
            line, empty = indent, True
        line, empty = line + ("" if empty else ",") + setting, False
        while len(line) > width > len(indent):
            yield line[:width]
            line = indent + line[width:]
    if line.strip():
        yield line.rstrip()


def _score(score: float | None) -> str:
    """A return as the other figures are written, more digits of a small one."""
    return figure(score, ".1f" if score is not None and abs(score) >= 100 else "#.4g")
