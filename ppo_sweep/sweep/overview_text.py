"""A study's state in words: a line of summary and a table of its runs; and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ppo_sweep.runs.progress import time_left
from ppo_sweep.sweep.overview import Overview, RunOverview

#: Columns of the terminal below which KL and entropy are left out.
NARROW = 90

#: States in the order in which they are counted, and their colours.
_STATES = {
    "running": "cyan",
    "queued": "",
    "done": "green",
    "pruned": "green",
    "stopped": "yellow",
    "interrupted": "yellow",
    "diverged": "red",
    "failed": "red",
    "unreadable": "red",
    "absent": "red",
}

#: States of trials, in the words of the board.
_TRIALS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}

_RIGHT = ("steps", "return", "KL", "entropy", "score")


def summary(overview: Overview) -> str:
    """``results/hopper: 12 runs: 3 running, 9 queued · 12,000 of 90,000 steps (13 %) · …``, in one line."""
    counts = overview.counts
    order = [*_STATES, *sorted(counts.keys() - _STATES)]
    states = ", ".join(f"{counts[state]:,} {state}" for state in order if state in counts)
    runs = len(overview.runs)
    parts = [f"{runs:,} {'run' if runs == 1 else 'runs'}{': ' if states else ''}{states}"]
    total = overview.total_steps
    if overview.search is not None:  # trials to come have no runs yet
        parts.append(f"{overview.env_steps:,} steps so far")
    elif total:
        # Rounded down: 100 % is only said of what has ended.
        parts.append(f"{overview.env_steps:,} of {total:,} steps ({100 * overview.env_steps // total} %)")
    if overview.steps_per_s is not None:
        parts.append(f"{overview.steps_per_s:,.0f} steps/s")
    if overview.seconds_left is not None:
        parts.append(f"{time_left(round(overview.seconds_left), 1.0)} left")
    parts.append("no sweep is at work on it" if overview.sweep is None else f"a sweep is at work on it: {overview.sweep}")
    return f"{overview.study / overview.part}: {' · '.join(parts)}"


def search_lines(overview: Overview) -> list[str]:
    """Of an Optuna study, its trials in a line or two: how many, the best, which are running and at which rung, and what follows."""
    search = overview.search
    if search is None:
        return []
    counts = [f"{count} {name}" for state, name in _TRIALS.items() if (count := search.counts.get(state, 0))]
    if search.running:
        counts.append(f"{len(search.running)} {'running' if overview.sweep is not None else 'to be continued'}")
    of = f" of {search.n_trials}" if search.n_trials is not None else ""
    parts = [f"{sum(search.counts.values())}{of} trials have ended{': ' if counts else ''}{', '.join(counts)}"]
    if search.best is not None:
        number, value, std = search.best
        parts.append(f"best: trial {number}, {value:.5g}{f' ± {std:.3g}' if std is not None else ''}")
    if search.stage:
        parts.append(search.stage)
    lines = [" · ".join(parts)]
    if search.running and search.running[0].rungs:
        lines.append("rungs passed: " + ", ".join(f"trial {trial.number} {trial.rung} of {trial.rungs}" for trial in search.running))
    return lines


def plain_table(runs: Sequence[RunOverview]) -> str:
    """The runs, one per line, names and reasons whole: for files and pipes."""
    rows = [_cells(run, run.path) for run in runs]
    if not rows:
        return ""
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in rows[0]}

    def line(row: Mapping[str, str]) -> str:
        cells = (row[column].rjust(width) if column in _RIGHT else row[column].ljust(width) for column, width in widths.items())
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [{column: column for column in widths}, *rows])


def print_table(runs: Sequence[RunOverview], console: Console) -> None:
    """The runs in a terminal: what all names share is said once above, long names and reasons are folded."""
    shared = _shared(runs)
    if shared:
        console.print(Text(f"all: {','.join(shared)}", style="dim"))
    rows = [_cells(run, _without(run.path, shared)) for run in runs]
    left_out = {"KL", "entropy"} if console.width < NARROW else set()
    if not any(row["reason"] for row in rows):
        left_out.add("reason")
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [column for column in rows[0] if column not in left_out] if rows else []
    for column in columns:
        table.add_column(column, justify="right" if column in _RIGHT else "left", no_wrap=column not in ("run", "reason"), overflow="fold")
    for row in rows:
        cells = [Text(row[column], style=_STATES.get(row["state"], "") if column == "state" else "") for column in columns]
        table.add_row(*cells)
    if rows:
        console.print(table)


def document(overviews: Sequence[Overview]) -> dict[str, Any]:
    """Everything as plain values, for JSON: ``{"studies": [{"study": …, "runs": […], …}]}``."""
    return {"studies": [_study(overview) for overview in overviews]}


def faults(overview: Overview) -> Iterator[str]:
    """What could not be read, a sentence each."""
    yield from overview.faults
    for run in overview.runs:
        yield from run.faults


def _study(overview: Overview) -> dict[str, Any]:
    return {
        "study": str(overview.study),
        "part": overview.part,
        "sweep": overview.sweep,
        "command": overview.command,
        "counts": overview.counts,
        "env_steps": overview.env_steps,
        "total_steps": overview.total_steps,
        "steps_per_s": overview.steps_per_s,
        "seconds_left": overview.seconds_left,
        "search": None if overview.search is None else asdict(overview.search),
        "runs": [asdict(run) for run in overview.runs],
        "faults": overview.faults,
    }


def _cells(run: RunOverview, name: str) -> dict[str, str]:
    return {
        "run": name,
        "state": run.state,
        "steps": f"{run.env_steps:,} of {run.steps_in_all:,}" if run.env_steps < run.steps_in_all else f"{run.env_steps:,}",
        "return": _number(run.return_100, ".1f"),
        "KL": _number(run.kl, ".4f"),
        "entropy": _number(run.entropy, ".3f"),
        "score": _number(run.score, ".4g"),
        "reason": " ".join((run.reason or "").split()),
    }


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _shared(runs: Sequence[RunOverview]) -> list[str]:
    """Overrides that stand in the name of every run (a comma inside a value is percent-encoded)."""
    if len(runs) < 2:
        return []
    names = [PurePosixPath(run.path).parts[0].split(",") for run in runs]
    return [part for part in names[0] if "=" in part and all(part in name for name in names)]


def _without(path: str, shared: Sequence[str]) -> str:
    """``path`` without what all share, unless nothing else stands in its first part."""
    first, *rest = path.split("/")
    kept = ",".join(part for part in first.split(",") if part not in shared)
    return "/".join([kept, *rest] if kept else rest or [first])
