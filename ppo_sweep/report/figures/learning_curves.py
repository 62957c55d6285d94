"""Learning curves: mean and band of ``return_100`` over seeds, a panel per environment, a line per setting."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.curves import AXES, BANDS, Curve, curve
from ppo_sweep.report.figures.common import (
    Cast,
    NothingToShow,
    Options,
    across,
    cast_of,
    missing_sentence,
    panels,
    seeds_sentence,
    sentences,
    states_sentence,
)
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import Group
from ppo_sweep.report.style import Look

COLUMN = "return_100"

#: Said once in a report.
LAG = (
    "Returns are raw rewards of training episodes with sampled actions, mean of the last 100: they lag behind the policy by up to "
    "the number of environments times the horizon, and favour short episodes at the start."
)


def figure(results: Results, options: Options) -> Figure:
    """A panel per environment, one legend.

    Raises:
        NothingToShow: no episode has finished yet.
    """
    if not np.isfinite(results.metrics[COLUMN]).any():
        raise NothingToShow("No learning curve: no run has finished a training episode yet.")
    shown = cast_of(results, COLUMN)
    count = len(shown.by_env)
    made, axes = panels(count, 3.1 if count == 1 else 2.35, options.width)
    for ax, (env, found) in zip(axes, shown.by_env.items(), strict=True):
        panel(ax, results, env, list(found), shown, options)
    for place, ax in enumerate(axes):
        if place % across(count, options.width):
            ax.set_ylabel("")
    style.legend(made, shown.entries)
    return style.finish(made)


def panel(ax: Axes, results: Results, env: str, found: list[Group], shown: Cast, options: Options) -> Axes:
    """Every setting of one environment."""
    crowd = sum(group.label in shown.looks for group in found)
    for group in sorted(found, key=lambda group: group.label in shown.looks):  # grey below
        made = curve(results, group, COLUMN, options.x, options.band)
        draw_curve(ax, made, shown.looks.get(group.label), crowd, options)
    random = found[0].runs["random"].iloc[0]
    if math.isfinite(random):
        ax.axhline(random, color=style.INK, linewidth=0.7, linestyle=(0, (1, 3)))
    style.steps_axis(ax, AXES[options.x][1])
    ax.set_xlim(left=0)
    ax.set_ylabel("return (last 100 episodes)")
    ax.set_title(env)
    return ax


def draw_curve(ax: Axes, made: Curve, look: Look | None, crowd: int, options: Options) -> Axes:
    """One group: band, thin runs, mean, and × where a run diverged.

    Args:
        look: None for a group in grey: its mean only.
        crowd: how many groups are in colour; bands of many are fainter.
    """
    if look is None:
        ax.plot(made.x, made.mean, color=style.GREY, linewidth=0.7, zorder=1.5)
        return ax
    ax.fill_between(made.x, made.low, made.high, color=look.colour, alpha=band_alpha(crowd), linewidth=0, zorder=1.8)
    for line in made.thin:
        ax.plot(line.x, line.y, linewidth=0.6, alpha=0.7, zorder=2, **look.line)
    if options.seeds:
        ax.plot(made.x, made.values.T, color=look.colour, linewidth=0.5, alpha=0.5, zorder=2)
    # Markers at other places for each group, so that they do not hide each other.
    every = max(1, len(made.x) // 8)
    offset = (sum(map(ord, look.colour)) * 7) % every if every > 1 else 0
    ax.plot(made.x, made.mean, marker=look.marker, markersize=3.6, markevery=(offset, every), zorder=3, **look.line)
    for x, value in made.diverged:
        y = np.interp(x, made.x, made.mean) if len(made.x) and not math.isfinite(value) else value
        ax.plot([x], [y], marker="x", color=look.colour, markersize=7, markeredgewidth=1.6, zorder=4)
    return ax


def band_alpha(crowd: int) -> float:
    """How opaque a band is: overlapping ones of many groups must not cover the lines."""
    return 0.2 if crowd <= 3 else 0.12 if crowd <= 6 else 0.06


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    shown = cast_of(results, COLUMN)
    found = [group for inside in shown.by_env.values() for group in inside]
    curves = [curve(results, group, COLUMN, options.x, options.band) for group in found]
    early = sum(bool(made.first_end) for made in curves)
    method = {made.method for made in curves if made.method}
    how = f" ({' or '.join('Student t' if name == 't' else name + ' bootstrap' for name in sorted(method))})" if method else ""
    single = all(len(made.runs) < 2 for made in curves)
    return sentences(
        f"Learning curves by {AXES[options.x][1]}: mean over seeds; "
        + ("no band, one seed each." if single else f"band: {BANDS[options.band]}{how}; {seeds_sentence(found)}."),
        "Thin lines: every seed." if options.seeds else "",
        shown.sentence,
        states_sentence(results),
        missing_sentence(results, shown),
        f"{early} mean{'s end' if early > 1 else ' ends'} where the first run does; thin lines go on." if early else "",
        "Dotted: random policy." if np.isfinite(results.runs["random"]).any() else "",
        "Seconds are of the whole population that a run trained in." if options.x == "seconds" else "",
        LAG,
    )
