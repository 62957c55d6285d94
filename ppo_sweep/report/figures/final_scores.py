"""Scores: every seed beside the interval of the mean."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, Options, names_sentence, seeds_sentence, sentences, states_sentence
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import Group, groups, left_out, names, references
from ppo_sweep.statistics import ENOUGH, SMALLEST, mean_interval

#: Settings shown at most.
_MOST = 60


def figure(results: Results, options: Options) -> Figure:
    """A column per environment, a row per setting.

    Raises:
        NothingToShow: no run has a score yet.
    """
    scored = [group for group in groups(results) if len(group.scores)]
    if not scored:
        raise NothingToShow("No scores: no run is finished yet.")
    labels = _rows(results, scored)
    scored = [group for group in scored if group.label in set(labels)]
    environments = list(dict.fromkeys(group.env for group in scored))
    # Long names take two lines, so that most of the width is left for the scores.
    named = {label: style.wrapped(name, 34) for label, name in names(results).items()}
    lines = max(named[label].count("\n") + 1 for label in labels)
    made = Figure(figsize=(style.WIDTH, max(1.5, (0.28 if lines < 3 else 0.38) * len(labels) + 0.75)))
    axes: list[Axes] = []
    for place, env in enumerate(environments):
        ax = made.add_subplot(1, len(environments), place + 1, sharey=axes[0] if axes else None)
        against = references(results).get(env)
        panel(ax, [group for group in scored if group.env == env], labels, against.label if against else "")
        ax.set_title(env)
        ax.xaxis.set_major_locator(MaxNLocator(6 - min(len(environments), 3), steps=[1, 2, 2.5, 5, 10]))
        axes.append(ax)
        ax.tick_params(labelleft=place == 0, left=False)
    axes[0].set_yticks(range(len(labels)), [named[label] for label in labels])
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    made.supxlabel(f"score ({', '.join(sorted(set(results.runs['kind'])))})", fontsize=8)
    return style.finish(made)


def _rows(results: Results, scored: Sequence[Group]) -> list[str]:
    """Settings with a score, in command order; of very many the references and the highest means."""
    labels = list(dict.fromkeys(group.label for group in scored))
    if len(labels) > _MOST:
        best = sorted(scored, key=lambda group: -float(group.scores.mean()))
        by_env = [[group.label for group in best if group.env == env] for env in results.environments]
        turns = [label for place in itertools.zip_longest(*by_env) for label in place if label is not None]
        kept = dict.fromkeys([*(item.label for item in references(results).values()), *turns])
        labels = list(kept)[:_MOST]
    return [label for label in results.group_labels if label in set(labels)]


def panel(ax: Axes, found: Sequence[Group], labels: Sequence[str], reference: str) -> Axes:
    """One environment: seeds as circles, diverged ones as ×, mean and interval below them."""
    place = {label: row for row, label in enumerate(labels)}
    for group in found:
        row = place[group.label]
        counted = group.runs[group.runs["counted"].notna()]
        values = counted["counted"].to_numpy(float)
        diverged = (counted["state"] == "diverged").to_numpy()
        colour = style.INK if group.label == reference else "#0072B2"
        jitter = np.linspace(-0.09, 0.09, len(values)) if len(values) > 1 else np.zeros(1)
        heights = row - 0.17 + jitter
        ax.scatter(values[~diverged], heights[~diverged], s=15, facecolor="none", edgecolor=colour, linewidth=0.9, zorder=3)
        ax.scatter(values[diverged], heights[diverged], s=22, marker="x", color=colour, linewidth=1.2, zorder=3)
        interval = mean_interval(values)
        if math.isfinite(interval.low):
            ax.plot([interval.low, interval.high], [row + 0.2, row + 0.2], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
        ax.plot([values.mean()], [row + 0.2], marker="D", markersize=4, color=colour, zorder=4)
    for row in range(1, len(labels)):
        ax.axhline(row - 0.5, color="#efefef", linewidth=0.6, zorder=0)
    ax.grid(visible=False, axis="y")
    ax.margins(x=0.07)
    return ax


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    found = groups(results)
    sizes = {len(group.scores) for group in found if len(group.scores)}
    methods = []
    if any(SMALLEST <= size < ENOUGH for size in sizes):
        methods.append("Student t, only indicative below 10 seeds")
    if any(size >= ENOUGH for size in sizes):
        methods.append("BCa bootstrap")
    if any(size < SMALLEST for size in sizes):
        methods.append("none below 3 seeds")
    against = references(results)
    scored = {group.label for group in found if len(group.scores)}
    return sentences(
        f"Score of every seed (circles) and their mean (diamond) with its 95 % interval ({'; '.join(methods)}); {seeds_sentence(found)}.",
        "Dark: the reference of the environment." if against else "",
        f"Of {len(scored)} settings, the references and the highest means." if len(scored) > _MOST else "",
        names_sentence(left_out(results)),
        states_sentence(results),
    )
