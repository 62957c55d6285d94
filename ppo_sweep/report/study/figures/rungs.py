"""Rungs: what trials were worth at each, and where the pruned ones ended."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.searched import Search, Trial


def figure(search: Search, budget: int, width: float = style.WIDTH) -> Figure:
    """One panel: a line per trial from rung to rung, and to its end.

    Args:
        budget: environment steps of a whole run of the default configuration.

    Raises:
        NothingToShow: nothing was reported at a rung.
    """
    if len(search.objectives) > 1:
        raise NothingToShow("No rungs: with several objectives nothing is pruned.")
    if not search.rungs:
        why = (
            "sweep.pruner=none"
            if search.options.get("pruner") == "none"
            else "no trial has come to one, or the budget is too short for any"
        )
        raise NothingToShow(f"No rungs: {why}.")
    made = Figure(figsize=(width, 3.1))
    panel(made.add_subplot(), search, budget)
    style.legend(made, _entries(search))
    return style.finish(made)


def panel(ax: Axes, search: Search, budget: int) -> Axes:
    """See :func:`figure`."""
    for trial in search.trials:
        x, y = _course(trial, budget)
        if trial.number == 0 or not x:
            continue
        if trial.state == "PRUNED":
            ax.plot(x, y, color=common.PRUNED, linewidth=0.7, zorder=1.5)
            ax.plot(x[-1:], y[-1:], linestyle="none", marker="v", markersize=4.5, markerfacecolor="none", color=common.FAILED, zorder=2.5)
        else:
            ax.plot(x, y, color=common.COMPLETE, linewidth=0.8, alpha=0.55, marker="o", markersize=2.2, zorder=2)
            if trial.audited:
                ax.plot(
                    x[-1:], y[-1:], linestyle="none", marker="s", markersize=5.5, markerfacecolor="none", color=common.COMPLETE, zorder=3
                )
    for trial in search.trials[:1]:
        x, y = _course(trial, budget)
        ax.plot(x, y, color=common.DEFAULT, linewidth=1.5, marker="D", markersize=4, zorder=4)
    for rung in search.rungs:
        ax.axvline(rung, color=style.INK, linewidth=0.6, linestyle=(0, (1, 3)), zorder=1)
    style.steps_axis(ax, "environment steps of the default configuration")
    ax.set_xticks([*search.rungs, budget], [style.count(float(f"{steps:.3g}")) for steps in (*search.rungs, budget)])
    ax.set_ylabel(common.value_words(search))
    return ax


def _course(trial: Trial, budget: int) -> tuple[list[float], list[float]]:
    points = dict(trial.reported)
    if trial.state == "COMPLETE" and trial.result.values is not None:
        points[budget] = trial.value()
    return [float(steps) for steps in points], list(points.values())


def _entries(search: Search) -> list[tuple[str, object]]:
    entries: list[tuple[str, object]] = [("default configuration", Line2D([], [], color=common.DEFAULT, marker="D", markersize=4))]
    entries.append(("complete", Line2D([], [], color=common.COMPLETE, marker="o", markersize=2.5, linewidth=0.9)))
    if any(trial.audited for trial in search.complete):
        entries.append(("complete, never pruned (audit)", common.mark(common.COMPLETE, "s", 5.5, markerfacecolor="none")))
    if search.states("PRUNED"):
        entries.append(("pruned here", common.mark(common.FAILED, "v", markerfacecolor="none")))
    return entries


def caption(search: Search) -> str:
    """What is shown."""
    return sentences(
        "What each trial had reported when all its seeds had passed a rung (dotted), and its value at the end.",
        "Squares: trials that are never pruned, whatever their rungs say." if any(trial.audited for trial in search.complete) else "",
    )
