"""Parallel coordinates: every trial as a line through all its knobs to its value."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.figures.coordinates import coordinates
from ppo_sweep.report.study.searched import Search, Trial

#: Knobs side by side at most.
_MOST = 14


def figure(search: Search) -> Figure:
    """One panel.

    Raises:
        NothingToShow: no trial is complete.
    """
    if not search.complete:
        raise NothingToShow("No parallel coordinates: no trial is complete yet.")
    made = Figure(figsize=(style.WIDTH, 3.2))
    panel(made.add_subplot(), search)
    return style.finish(made)


def panel(ax: Axes, search: Search) -> Axes:
    """A vertical axis per knob, the value last; a knob that a trial did not have breaks its line."""
    axes = coordinates(search)[:_MOST]
    values = [trial.value() for trial in search.complete]
    shades = common.colours(search, values)
    shade = dict(zip([trial.number for trial in search.complete], shades.to_rgba(np.array(values)), strict=True))
    low, high = min(values), max(values)
    ranked = sorted(search.complete, key=lambda trial: trial.value() if search.objectives[0].maximize else -trial.value())

    def course(trial: Trial) -> list[float]:
        inside = [(axis.of(trial.params) - axis.low) / (axis.high - axis.low) for axis in axes]
        # Lines of one choice are told apart by a little of the trial's number.
        apart = [0.0 if axis.ordered else 0.035 * ((trial.number * 0.618034) % 1 - 0.5) * 2 for axis in axes]
        worth = (trial.value() - low) / (high - low or 1.0) if trial.state == "COMPLETE" else math.nan
        return [*(place + shift for place, shift in zip(inside, apart, strict=True)), worth]

    places = list(range(len(axes) + 1))
    for trial in search.states("PRUNED"):
        ax.plot(places, course(trial), color="#d4d4d4", linewidth=0.6, zorder=1)
    for depth, trial in enumerate(ranked):
        if trial.number:
            ax.plot(places, course(trial), color=shade[trial.number], linewidth=0.9, alpha=0.85, zorder=2 + depth / len(ranked))
    default = common.default_of(search)
    if default is not None:
        ax.plot(places, course(default), color=common.DEFAULT, linewidth=1.5, linestyle=(0, (4, 1.5)), marker="D", markersize=3, zorder=4)
    for place, axis in enumerate(axes):
        _scale(ax, place, [((at - axis.low) / (axis.high - axis.low), text) for at, text in axis.ticks])
    _scale(ax, len(axes), [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")])
    names = [axis.name for axis in axes]
    ax.set_xticks(places, [*(name.replace("_", "_\n", 1) if len(name) > 9 else name for name in names), "value"])
    ax.set_yticks([])
    ax.set_xlim(-0.25, len(axes) + 0.75)
    ax.set_ylim(-0.05, 1.05)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(axis="x", bottom=False)
    return ax


def _scale(ax: Axes, place: int, ticks: list[tuple[float, str]]) -> None:
    ax.axvline(place, 0.04, 0.96, color=style.INK, linewidth=0.8, zorder=5)
    for height, text in ticks:
        ax.annotate(text, (place, height), (3, 0), textcoords="offset points", va="center", fontsize=6.5, zorder=6,
                    bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.75})  # fmt: skip


def caption(search: Search) -> str:
    """What is shown."""
    dark = "higher" if search.objectives[0].maximize else "lower"
    return sentences(
        f"Every complete trial as a line from knob to knob to its value (right): the darker, the {dark}.",
        "Dashed: the default configuration." if common.default_of(search) is not None else "",
        "Light grey: pruned trials, which have no value." if search.states("PRUNED") else "",
        f"The first {_MOST} of {len(search.knobs)} knobs." if len(search.knobs) > _MOST else "",
    )
