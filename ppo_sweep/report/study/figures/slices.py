"""Slices: the value of every complete trial over each knob."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import ONE_COLUMN, NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.figures.coordinates import Coordinates, coordinates, label_x, spread_out
from ppo_sweep.report.study.importance import most_important
from ppo_sweep.report.study.searched import Search

#: Panels side by side, and all of them at most.
_ACROSS, _MOST = 4, 16

#: Early trials light, late ones dark.
_AGE = LinearSegmentedColormap.from_list("age", ["#a9c9e8", "#0072B2", "#00264d"])


def figure(search: Search, width: float = style.WIDTH) -> Figure:
    """A panel per knob, the most important first.

    Raises:
        NothingToShow: no trial is complete.
    """
    if not search.complete:
        raise NothingToShow("No slices: no trial is complete yet.")
    axes = _shown(search)
    across = min(2 if width < ONE_COLUMN else _ACROSS, len(axes))
    down = math.ceil(len(axes) / across)
    made = Figure(figsize=(width, 1.75 * down + 0.35))
    first: Axes | None = None
    for place, axis in enumerate(axes):
        ax = made.add_subplot(down, across, place + 1, sharey=first)
        first = first or ax
        panel(ax, search, axis)
        ax.set_ylabel("value" if place % across == 0 else "")
        ax.tick_params(labelleft=place % across == 0)
    bar = made.colorbar(_ages(search), ax=made.axes, location="right", aspect=40, pad=0.01)
    bar.set_label("trial")
    bar.outline.set_visible(False)
    return style.finish(made)


def panel(ax: Axes, search: Search, axis: Coordinates, objective: int = 0) -> Axes:
    """One knob: every complete trial that has it, pruned ones as ticks at the bottom, the default as a diamond."""
    have = [trial for trial in search.complete if math.isfinite(axis.of(trial.params))]
    others = [trial for trial in have if trial.number]
    x = spread_out([axis.of(trial.params) for trial in others], axis)
    y = [trial.value(objective) for trial in others]
    ax.scatter(x, y, s=13, c=_ages(search).to_rgba(np.array([trial.number for trial in others])) if others else None, linewidth=0, zorder=3)
    places = [axis.of(trial.params) for trial in search.states("PRUNED")]
    pruned = spread_out([place for place in places if math.isfinite(place)], axis)
    if pruned:  # a line without points, not clipped, has no size that a layout could be made for
        ax.plot(
            pruned,
            [0.0] * len(pruned),
            linestyle="none",
            marker="|",
            markersize=6,
            color=common.PRUNED,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            zorder=2,
        )
    default = common.default_of(search)
    if default is not None and math.isfinite(axis.of(default.params)):
        ax.scatter(
            [axis.of(default.params)],
            [default.value(objective)],
            s=32,
            marker="D",
            color=common.DEFAULT,
            edgecolor="white",
            linewidth=0.6,
            zorder=4,
        )
    label_x(ax, axis, room=17)
    return ax


def _shown(search: Search) -> list[Coordinates]:
    axes = {axis.label: axis for axis in coordinates(search)}
    return [axes[label] for label in most_important(search, _MOST) if label in axes]


def _ages(search: Search) -> ScalarMappable:
    return ScalarMappable(Normalize(0, max(1, len(search.trials) - 1)), _AGE)


def caption(search: Search) -> str:
    """What is shown."""
    some = f" ({_MOST} of {len(search.knobs)})" if len(search.knobs) > _MOST else ""
    return sentences(
        f"Value ({common.value_words(search)}) of each complete trial over each knob{some}, the most important first. "
        "The other knobs differ as well, so a slope may be theirs.",
        "Of several objectives, the first." if len(search.objectives) > 1 else "",
        "The darker, the later. Diamond: the default configuration, where the space holds it.",
        "Ticks at the bottom: pruned trials." if search.states("PRUNED") else "",
        "0 stands by itself, left of a logarithmic axis." if any(getattr(knob.domain, "zero", False) for knob in search.knobs) else "",
    )
