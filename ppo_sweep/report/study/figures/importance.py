"""Importance: how much of being among the leading tenth each knob explains."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import ONE_COLUMN, NothingToShow, sentences
from ppo_sweep.report.study.figures.coordinates import coordinates
from ppo_sweep.report.study.importance import Importance, importance
from ppo_sweep.report.study.searched import Search


def figure(search: Search, width: float = style.WIDTH) -> Figure:
    """A bar per knob, a panel per objective.

    Raises:
        NothingToShow: fewer than three complete trials, or all are equal.
    """
    found = [importance(search, objective) for objective in range(len(search.objectives))]
    known = [(name, one) for name, one in zip(search.metrics, found, strict=True) if one is not None]
    if not known:
        raise NothingToShow(f"No importance: it needs three complete trials that differ, and there are {len(search.complete)}.")
    across = 1 if width < ONE_COLUMN else len(known)
    down = len(known) // across
    made = Figure(figsize=(width, down * (0.24 * len(search.knobs) + 0.75)))
    for place, (name, one) in enumerate(known):
        ax = made.add_subplot(down, across, place + 1)
        panel(ax, search, one)
        if len(found) > 1:
            ax.set_title(name)
    return style.finish(made)


def panel(ax: Axes, search: Search, found: Importance) -> Axes:
    """One objective."""
    names = {axis.label: axis.name for axis in coordinates(search)}
    shown = {names[label]: share for label, share in found.shares.items() if label in names}
    rows = list(range(len(shown)))
    ax.barh(rows, list(shown.values()), color="#0072B2", height=0.62)
    for row, share in zip(rows, shown.values(), strict=True):
        ax.annotate(
            f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %",
            (share, row),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    ax.set_yticks(rows, list(shown))
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set_xlim(0, 1.18 * max(shown.values()))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_xlabel("share of importance (PED-ANOVA)")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", left=False)
    return ax


def caption(search: Search) -> str:
    """What is shown, with the number of trials, and a warning where they are few."""
    found = importance(search)
    missing = [axis.name for axis in coordinates(search) if found is not None and axis.label not in found.shares]
    return sentences(
        found.warning if found is not None else "",
        f"PED-ANOVA over {found.trials} complete trials: how far the distribution of each knob among the leading tenth differs from that "
        "among all, as a share of the sum." if found is not None else "",
        "It says where the search found its leading trials, not which way to turn a knob: see the slices.",
        f"Not assessed, because not every trial has it: {', '.join(missing)}." if missing else "",
        "The default configuration is left out: it lies outside the space." if any(trial.outside for trial in search.complete) else "",
    )  # fmt: skip
