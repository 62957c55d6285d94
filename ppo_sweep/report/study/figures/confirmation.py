"""Confirmation: what the candidates were worth while they were searched for, and what they are worth on fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import ONE_COLUMN, NothingToShow, sentences
from ppo_sweep.report.numbers import number
from ppo_sweep.report.study.searched import Search
from ppo_sweep.report.study.verdict import Verdict
from ppo_sweep.sweep.study import intervals

#: Phase → colour, marker, height within a row.
_PHASES = {
    "tuning seeds": (style.GREY, "o", -0.27),
    "confirmation seeds": ("#0072B2", "s", 0.02),
    "report seeds": ("#D55E00", "D", 0.31),
}


def figure(search: Search, found: Verdict | None, width: float = style.WIDTH) -> Figure:
    """Left, a row per configuration; right, winner minus default, seed by seed; in a narrow figure one below the other.

    Raises:
        NothingToShow: nothing is confirmed yet.
    """
    if found is None or not any(one.confirmation for one in found.confirmed):
        why = "nothing was to be confirmed, or the study is not that far"
        raise NothingToShow(f"No confirmation: {why}.")
    paired = found.report is not None and found.report.winner != 0
    rows, narrow = 0.5 * len(found.confirmed), width < ONE_COLUMN
    made = Figure(figsize=(width, rows + (2.1 if narrow and paired else 1.2)))
    if not paired:
        grid = made.add_gridspec(1, 1)
    else:
        grid = made.add_gridspec(2, 1, height_ratios=(rows, 0.55)) if narrow else made.add_gridspec(1, 2, width_ratios=(3, 1))
    scores(made.add_subplot(grid[0, 0]), search, found)
    if paired:
        differences(made.add_subplot(grid[1, 0] if narrow else grid[0, 1]), search, found)
    for ax in made.axes:
        ax.xaxis.set_major_locator(MaxNLocator(3 if narrow or ax is not made.axes[0] else 6, steps=[1, 2, 2.5, 5, 10]))
    style.legend(
        made,
        [
            (name, Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.6))
            for name, (colour, marker, _) in _PHASES.items()
        ],
    )
    return style.finish(made)


def scores(ax: Axes, search: Search, found: Verdict) -> Axes:
    """Every seed, mean and interval, phase by phase."""
    for row, one in enumerate(found.confirmed):
        seeds = {
            "tuning seeds": list(one.tuning),
            "confirmation seeds": list(one.confirmation.values()),
            "report seeds": list(one.report.values()),
        }
        for phase, values in seeds.items():
            if values:
                _strip(ax, row, phase, values, search.seed)
        if row:
            ax.axhline(row - 0.5, color="#efefef", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(found.confirmed)), [f"{one.title}{', winner' if one.winner else ''}" for one in found.confirmed])
    ax.set_ylim(len(found.confirmed) - 0.45, -0.55)
    ax.set_xlabel("score")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", left=False)
    return ax


def _strip(ax: Axes, row: int, phase: str, values: Sequence[float], seed: int) -> None:
    colour, marker, shift = _PHASES[phase]
    height = row + shift
    # Seeds above the interval, so that neither hides the other.
    ax.scatter(
        values, height - 0.11 + np.linspace(-0.03, 0.03, len(values)), s=9, facecolor="none", edgecolor=colour, linewidth=0.7, zorder=2
    )
    mean = intervals.mean(values, seed)
    if mean.low is not None and mean.high is not None:
        ax.plot([mean.low, mean.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=3)
    ax.plot([mean.mean], [height], marker=marker, markersize=4.5, color=colour, markeredgecolor="white", markeredgewidth=0.5, zorder=4)


def differences(ax: Axes, search: Search, found: Verdict) -> Axes:
    """Winner minus default on each report seed, with the mean and its interval."""
    winner = next(one for one in found.confirmed if one.winner)
    default = next(one for one in found.confirmed if one.name == "default")
    pairs = [winner.report[seed] - default.report[seed] for seed in winner.report if seed in default.report]
    ax.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    _strip(ax, 0, "report seeds", pairs, search.seed)
    ax.set_ylim(0.75, -0.3)
    ax.set_yticks([])
    ax.set_xlabel(f"{winner.title} − default,\nseed by seed")
    ax.margins(x=0.12)
    return ax


def caption(search: Search, found: Verdict | None) -> str:
    """What is shown."""
    if found is None:
        return ""
    paired = found.report is not None and found.report.winner != 0
    others = [one for one in found.confirmed if one.trial and one.tuning and one.confirmation]
    means = [statistics.fmean(one.tuning) - statistics.fmean(one.confirmation.values()) for one in others]
    average = number(statistics.fmean(means)).replace("-", "−") if means else ""
    return sentences(
        "Every seed (circles), the mean and its 95 % interval (Student t below 10 seeds, only indicative; BCa bootstrap from 10; none "
        "below 3): on the tuning seeds, which candidates were selected by and which therefore flatter them; on the confirmation seeds, "
        "which chose the winner; on the report seeds, which chose nothing, so that only these are quoted.",
        "Beside it: the winner minus the default configuration on each report seed." if paired else "",
        f"Tuning mean − confirmation mean, averaged over {len(means)} candidates: {average}." if means else "",
    )  # fmt: skip
