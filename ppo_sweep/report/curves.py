"""A group's runs on one common grid: mean, band, and where they end (docs/numbers.md §2).

Runs that log at different steps must be brought to common ones before they are averaged: grouped by raw steps,
every step has one run, and a band of ± one standard deviation vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import CUT_SHORT, Group
from ppo_sweep.statistics import mean_intervals

#: ``--x`` → column of ``Results.metrics`` and the words of the axis.
AXES = {
    "env_steps": ("env_steps", "environment steps"),
    "seconds": ("seconds", "training time / s"),
    "updates": ("iteration", "updates (iterations)"),
}
#: ``--band`` → what the caption says.
BANDS = {
    "std": "± one standard deviation over seeds (ddof = 1)",
    "interval": "95 % interval of the mean",
    "range": "lowest to highest seed",
}

#: Returns: what a diverged run counts on as is a return.
RETURNS = ("return_100", "return_all", "return_mean")

#: Points of a common grid at most: more than a figure shows, and enough that spikes of single iterations are seen.
_POINTS = 2000

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One run as it is drawn by itself: ``x`` and ``y``, (I,); ``reached``, its last x, also if it has no value there."""

    run: str
    state: str
    x: Series
    y: Series
    reached: float


@dataclass(frozen=True)
class Curve:
    """One column of one group.

    Attributes:
        x: the common grid, (G,); empty if no two members overlap, or there is none.
        runs: members of the mean, R of them.
        values: (R, G); a return of a diverged run is continued, other columns of it are NaN from its end on.
        mean, low, high: (G,); the band is NaN where fewer than two members (three for an interval) have a value.
        method: ``t`` or ``BCa`` where the band is an interval.
        diverged: where runs diverged, (x, what they count on as) each.
        first_end: why the mean ends before the budget, in words; empty if it does not.
        thin: runs in no mean (pruned, stopped), and what members have beyond the mean's end.
    """

    x: Series
    runs: tuple[str, ...]
    values: NDArray[np.float64]
    mean: Series
    low: Series
    high: Series
    method: str
    diverged: tuple[tuple[float, float], ...]
    first_end: str
    thin: tuple[Line, ...]


def curve(results: Results, group: Group, column: str = "return_100", x: str = "env_steps", band: str = "std") -> Curve:
    """Mean and band of a column over a group's runs.

    The mean begins where every member has a value. It ends where its first member ends, unless that one diverged:
    a return of it counts on as the lower of its last finite score and the random policy's.

    Args:
        column: of ``Results.metrics``.
        x: a key of :data:`AXES`. band: a key of :data:`BANDS`.
    """
    lines = _lines(results, group, column, AXES[x][0])
    thin = tuple(line for line in lines if line.state in CUT_SHORT)
    members = [line for line in lines if line.state not in CUT_SHORT]
    counted = {run: float(value) for run, value in group.runs["counted"].items()} if column in RETURNS else {}
    budget = _budget(results, group, AXES[x][0])
    grid, first_end = _grid(members, budget)
    if counted and members and not any(len(line.x) for line in members):
        # All diverged before they had a value: what they count as is all there is.
        grid = np.array([max(line.reached for line in members), budget])
    values = np.array([_at(line, grid, counted.get(line.run, math.nan)) for line in members]).reshape(len(members), len(grid))
    mean, low, high, method = aggregate(values, band)
    end = grid[-1] if len(grid) else -math.inf
    tails = tuple(_after(line, end) for line in members if line.state != "diverged" and len(line.x) and line.x[-1] > end)
    lost = [line for line in members if line.state == "diverged"]
    ends = tuple((float(line.x[-1]) if len(line.x) else line.reached, counted.get(line.run, math.nan)) for line in lost)
    return Curve(grid, tuple(line.run for line in members), values, mean, low, high, method, ends, first_end, thin + tails)


def aggregate(values: NDArray[np.float64], band: str) -> tuple[Series, Series, Series, str]:
    """Mean and band over the first axis, leaving out NaN.

    Args:
        values: (R, G). band: a key of :data:`BANDS`.

    Returns:
        Mean, lower and upper end, (G,) each, and the method of an interval.
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    blank = np.full(values.shape[1], math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = filled.sum(axis=0) / count
        spread = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(axis=0) / (count - 1))
    if band == "std":
        half = np.where(count > 1, spread, math.nan)
        return mean, mean - half, mean + half, ""
    if band == "range":
        several = count > 1
        low, high = (
            np.where(known, values, math.inf).min(axis=0, initial=math.inf),
            np.where(known, values, -math.inf).max(axis=0, initial=-math.inf),
        )
        return mean, np.where(several, low, math.nan), np.where(several, high, math.nan), ""
    low, high, method = blank.copy(), blank.copy(), ""
    # Columns of the same members in one go.
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for index, pattern in enumerate(patterns.T):
        columns = which.reshape(-1) == index
        if pattern.any():
            low[columns], high[columns], found = mean_intervals(values[np.ix_(pattern, columns)])
            method = method or found
    return mean, low, high, method


def _lines(results: Results, group: Group, column: str, axis: str) -> list[Line]:
    """The group's runs that have a value, without their blanks."""
    lines = []
    for run, state in group.runs["state"].items():
        rows = results.rows.get(str(run))
        x, y = (np.empty(0), np.empty(0)) if rows is None else (rows[axis].to_numpy(), rows[column].to_numpy())
        known = np.isfinite(x) & np.isfinite(y)
        if known.any() or state == "diverged":  # one that diverged before its first value counts all the same
            reached = float(np.nanmax(x)) if np.isfinite(x).any() else 0.0
            lines.append(Line(str(run), str(state), x[known], y[known], reached))
    return lines


def _grid(members: Sequence[Line], budget: float) -> tuple[Series, str]:
    """Common points from where the last member begins to where the first ends; and why it ends early."""
    begun = [line for line in members if len(line.x)]
    if not begun:
        return np.empty(0), ""
    start = max(line.x[0] for line in begun)
    lasting = [line for line in begun if line.state != "diverged"]
    end = min((line.x[-1] for line in lasting), default=budget)
    first_end = ""
    if lasting:
        shortest = min(lasting, key=lambda line: line.x[-1])
        if shortest.state != "done":
            first_end = f"seed {shortest.run.rpartition('seed=')[2]} is {shortest.state}"
    inside = [line.x[(line.x >= start) & (line.x <= end)] for line in (lasting or begun)]
    if end < start or not all(map(len, inside)):
        return np.empty(0), first_end
    points = min(_POINTS, *map(len, inside))
    if lasting and len(inside[0]) == points and all(np.array_equal(inside[0], other) for other in inside):
        return inside[0], first_end
    return np.linspace(start, end, max(points, 2)) if end > start else np.array([start]), first_end


def _at(line: Line, grid: Series, after: float) -> Series:
    """A run's values on the grid; ``after`` from its end on, if it diverged."""
    if not len(line.x):
        return np.full(len(grid), after)
    values = np.interp(grid, line.x, line.y)
    if line.state == "diverged":
        values[grid > line.x[-1]] = after
    return np.asarray(values)


def _after(line: Line, end: float) -> Line:
    """What a run has from ``end`` on, with the point before."""
    begin = max(0, int(np.searchsorted(line.x, end, side="right")) - 1)
    return Line(line.run, line.state, line.x[begin:], line.y[begin:], line.reached)


def _budget(results: Results, group: Group, axis: str) -> float:
    """Where the axis ends if nobody is left: the budget, or the last point of anybody."""
    parts = [results.rows[run] for run in map(str, group.runs.index) if run in results.rows]
    if not parts:
        return 0.0
    budget = float(group.runs["total_steps"].max())
    if axis == "env_steps":
        return budget
    if axis == "iteration":
        return float(parts[0]["iteration"].iloc[-1] / parts[0]["env_steps"].iloc[-1] * budget)
    return float(max(part[axis].max() for part in parts))
