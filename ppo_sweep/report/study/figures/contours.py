"""Contours: the value over two knobs at once, for the most important ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import ONE_COLUMN, NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.figures.coordinates import Coordinates, coordinates, label_x, label_y, spread_out
from ppo_sweep.report.study.importance import most_important
from ppo_sweep.report.study.searched import Search

#: Knobs; every pair of them is a panel.
KNOBS = 3
#: Points below which nothing is drawn between them.
_LEAST = 10


def figure(search: Search, width: float = style.WIDTH) -> Figure:
    """A panel per pair of the most important knobs.

    Raises:
        NothingToShow: fewer than two knobs or three complete trials.
    """
    axes = {axis.label: axis for axis in coordinates(search)}
    chosen = [axes[label] for label in most_important(search, KNOBS) if label in axes]
    if len(chosen) < 2 or len(search.complete) < 3:
        raise NothingToShow("No contours: they need two knobs and three complete trials.")
    pairs = list(itertools.combinations(chosen, 2))
    across = 1 if width < ONE_COLUMN else len(pairs)
    made = Figure(figsize=(width, 2.5 * len(pairs) / across))
    values = common.colours(search, [trial.value() for trial in search.complete])
    for place, (right, up) in enumerate(pairs):
        panel(made.add_subplot(len(pairs) // across, across, place + 1), search, right, up, values)
    bar = made.colorbar(
        values, ax=made.axes, location="right", aspect=30, pad=0.01, extend="min" if search.objectives[0].maximize else "max"
    )
    bar.set_label("value")
    bar.outline.set_visible(False)
    return style.finish(made)


def panel(ax: Axes, search: Search, right: Coordinates, up: Coordinates, values: ScalarMappable) -> Axes:
    """One pair."""
    have = [
        trial for trial in search.complete if math.isfinite(right.of(trial.params)) and math.isfinite(up.of(trial.params))
    ]  # fmt: skip
    x = np.array(spread_out([right.of(trial.params) for trial in have], right))
    y = np.array(spread_out([up.of(trial.params) for trial in have], up))
    z = np.array([trial.value() for trial in have])
    mesh = _triangles(x, y, right, up) if right.ordered and up.ordered and len(have) >= _LEAST else None
    if mesh is not None:
        levels = np.linspace(values.norm.vmin or 0.0, values.norm.vmax or 1.0, 9)
        ax.tricontourf(mesh, z, levels=levels, norm=values.norm, cmap=values.get_cmap(), alpha=0.45, extend="both", zorder=1)
    ax.scatter(x, y, s=18, c=values.to_rgba(z), edgecolor="white", linewidth=0.5, zorder=3)
    for trial, at, height in zip(have, x, y, strict=True):
        if trial.number == 0:
            ax.scatter([at], [height], s=48, marker="D", facecolor="none", edgecolor=common.DEFAULT, linewidth=1.1, zorder=4)
    label_x(ax, right, room=17)
    label_y(ax, up)
    ax.grid(visible=False)
    return ax


def _triangles(x: np.ndarray, y: np.ndarray, right: Coordinates, up: Coordinates) -> Triangulation | None:
    """Between the points, on axes of equal length; None where they lie on a line."""
    try:
        mesh = Triangulation((x - right.low) / (right.high - right.low), (y - up.low) / (up.high - up.low))
    except (RuntimeError, ValueError):
        return None
    return Triangulation(x, y, mesh.triangles)


def caption(search: Search) -> str:
    """What is shown."""
    dark = "higher" if search.objectives[0].maximize else "lower"
    return sentences(
        f"Value of the complete trials over pairs of the {KNOBS} most important knobs: the darker, the {dark}.",
        "Between points: linear interpolation, noise included; the other knobs differ from point to point.",
        "Ringed by a diamond: the default configuration.",
    )  # fmt: skip
