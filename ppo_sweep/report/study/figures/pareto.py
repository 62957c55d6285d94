"""Pareto set: with several objectives, the trials that no other one beats in one without losing in another."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.searched import Search
from ppo_sweep.sweep.study.confirmation import pareto


def figure(search: Search) -> Figure:
    """A panel per pair of objectives.

    Raises:
        NothingToShow: one objective, or no complete trial.
    """
    if len(search.objectives) < 2:
        raise NothingToShow("No Pareto set: there is one objective.")
    if not search.complete:
        raise NothingToShow("No Pareto set: no trial is complete yet.")
    pairs = list(itertools.combinations(range(len(search.objectives)), 2))[:3]
    made = Figure(figsize=(style.WIDTH, 3.2))
    for place, (right, up) in enumerate(pairs):
        panel(made.add_subplot(1, len(pairs), place + 1), search, right, up)
    entries: list[tuple[str, object]] = [
        ("Pareto set", common.mark(common.COMPLETE, "o")),
        ("other complete trials", common.mark(style.GREY, "o", markerfacecolor="none")),
    ]
    if common.default_of(search) is not None:
        entries.append(("default configuration", common.mark(common.DEFAULT, "D", 7, markerfacecolor="none")))
    style.legend(made, entries)
    return style.finish(made)


def panel(ax: Axes, search: Search, right: int, up: int) -> Axes:
    """One pair of objectives; trials of the set carry their numbers."""
    chosen = {result.number for result in pareto(search.results, search.objectives)}
    for trial in search.complete:
        inside = trial.number in chosen
        at = (trial.value(right), trial.value(up))
        ax.scatter(
            *at,
            s=20,
            facecolor=common.COMPLETE if inside else "none",
            edgecolor=common.COMPLETE if inside else style.GREY,
            linewidth=0.8,
            zorder=3 if inside else 2,
        )
        if inside:
            ax.annotate(str(trial.number), at, (4, 3), textcoords="offset points", fontsize=7)
        if trial.number == 0:
            ax.scatter(*at, s=55, marker="D", facecolor="none", edgecolor=common.DEFAULT, linewidth=1.0, zorder=4)
    ax.set_xlabel(f"{common.value_words(search, right)}\n({_direction(search, right)})")
    ax.set_ylabel(f"{common.value_words(search, up)} ({_direction(search, up)})")
    return ax


def _direction(search: Search, objective: int) -> str:
    return "to maximise" if search.objectives[objective].maximize else "to minimise"


def caption(search: Search) -> str:
    """What is shown."""
    chosen = pareto(search.results, search.objectives)
    return sentences(
        f"Complete trials by their objectives. Filled, with their numbers: the Pareto set, {len(chosen)} of {len(search.complete)}, "
        "which no trial beats in one objective without losing in another.",
        "Nothing is said about noise here: with other seeds the set would be another.",
    )
