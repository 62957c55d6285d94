"""Budget: where the environment steps went, and what pruning saved."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow
from ppo_sweep.report.study.budget import Budget, sentences


def figure(found: Budget, width: float = style.WIDTH) -> Figure:
    """Two bars: the search with and without pruning, and what followed.

    Raises:
        NothingToShow: nothing was trained.
    """
    if not found.search:
        raise NothingToShow("No budget: nothing has been trained yet.")
    after = found.confirmation + found.report
    made = Figure(figsize=(width, 1.75 if after else 1.35))
    panel(made.add_subplot(), found)
    style.legend(
        made,
        [
            (name, Patch(facecolor=colour, hatch=hatch, edgecolor=style.INK, linewidth=0.4))
            for name, steps, colour, hatch in _parts(found)
            if steps
        ],
    )
    return style.finish(made)


def panel(ax: Axes, found: Budget) -> Axes:
    """See :func:`figure`."""
    rows = {"search": 0.0, "confirmation": 0.0}
    for name, steps, colour, hatch in _parts(found):
        row = "confirmation" if name.endswith("seeds") else "search"
        if steps:
            ax.barh([row], [steps], left=rows[row], color=colour, hatch=hatch, edgecolor=style.INK, linewidth=0.4, height=0.6)
            rows[row] += steps
    ax.invert_yaxis()
    style.steps_axis(ax, "environment steps of all runs", 4)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", left=False)
    return ax


def _parts(found: Budget) -> list[tuple[str, int, str, str]]:
    return [
        ("complete trials", found.complete, "#0072B2", ""),
        ("pruned trials", found.pruned, style.GREY, ""),
        ("failed trials", found.failed, "#D55E00", ""),
        ("trials not over", found.running, "#cfe3f2", ""),
        ("saved by pruning", found.saved, "#ffffff", "////"),
        ("confirmation seeds", found.confirmation, "#009E73", ""),
        ("report seeds", found.report, "#88d1bb", ""),
    ]


def caption(found: Budget) -> str:
    """What is shown."""
    return " ".join(sentences(found))
