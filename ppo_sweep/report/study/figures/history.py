"""History: the value of every trial in the order of their numbers, and what led so far."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, sentences
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.searched import Search

#: Trials up to which the spread of each over its seeds is drawn.
_SPREADS = 120


def figure(search: Search, width: float = style.WIDTH) -> Figure:
    """A panel per objective.

    Raises:
        NothingToShow: no trial is over.
    """
    if not search.ended:
        raise NothingToShow("No history: no trial is over yet.")
    count = len(search.objectives)
    made = Figure(figsize=(width, 2.7 * count + 0.3))
    for objective in range(count):
        panel(made.add_subplot(count, 1, objective + 1), search, objective)
    for ax in made.axes[:-1]:
        ax.set_xlabel("")
    style.legend(made, _entries(search))
    return style.finish(made)


def panel(ax: Axes, search: Search, objective: int = 0) -> Axes:
    """One objective."""
    complete = search.complete
    x = np.array([trial.number for trial in complete])
    y = np.array([trial.value(objective) for trial in complete])
    if len(complete):
        best = np.maximum.accumulate(y) if search.objectives[objective].maximize else np.minimum.accumulate(y)
        end = max(trial.number for trial in search.ended)
        ax.step([*x, end], [*best, best[-1]], where="post", color=style.INK, linewidth=1.1, zorder=2)
    # Seeds' scores are kept of the first objective.
    spreads = objective == 0 and search.metrics[0].rpartition(".")[2] == "mean" and len(complete) <= _SPREADS
    for trial in complete if spreads else []:
        if len(trial.result.scores) > 1:
            half = float(np.std(trial.result.scores, ddof=1))
            at = trial.value(objective)
            ax.plot([trial.number] * 2, [at - half, at + half], color=common.COMPLETE, linewidth=0.8, alpha=0.35, zorder=1.8)
    pruned = [trial for trial in search.states("PRUNED") if trial.result.values is not None]
    ax.scatter([trial.number for trial in pruned], [trial.value(0) for trial in pruned], s=15, marker="v", facecolor="none",
               edgecolor=common.PRUNED, linewidth=0.9, zorder=2.2)  # fmt: skip
    plain = [trial for trial in complete if trial.number]
    ax.scatter(
        [trial.number for trial in plain], [trial.value(objective) for trial in plain], s=17, color=common.COMPLETE, linewidth=0, zorder=3
    )
    sick = [trial for trial in complete if trial.result.diverged]
    ax.scatter([trial.number for trial in sick], [trial.value(objective) for trial in sick], s=60, facecolor="none",
               edgecolor=common.FAILED, linewidth=1.0, zorder=3.2)  # fmt: skip
    default = common.default_of(search)
    if default is not None:
        ax.axhline(default.value(objective), color=common.DEFAULT, linewidth=0.7, linestyle=(0, (1, 3)), zorder=1.5)
        ax.scatter([0], [default.value(objective)], s=34, marker="D", color=common.DEFAULT, zorder=3.5, clip_on=False)
    failed = [trial.number for trial in search.states("FAIL")]
    ax.scatter(
        failed, [0.03] * len(failed), s=26, marker="x", color=common.FAILED, linewidth=1.3, transform=ax.get_xaxis_transform(), zorder=4
    )
    ax.set_ylabel(common.value_words(search, objective))
    ax.set_xlabel("trial")
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.set_xlim(-0.02 * len(search.trials) - 0.5, len(search.trials) - 0.5 + 0.02 * len(search.trials))
    return ax


def _entries(search: Search) -> list[tuple[str, object]]:
    entries: list[tuple[str, object]] = []
    if common.default_of(search) is not None:
        entries.append(("default configuration (trial 0)", common.mark(common.DEFAULT, "D")))
    entries += [("complete", common.mark(common.COMPLETE, "o"))]
    if any(trial.result.diverged for trial in search.complete):
        entries.append(("with diverged seeds", common.mark(common.FAILED, "o", 7, markerfacecolor="none")))
    if search.states("PRUNED"):
        entries.append(("pruned", common.mark(common.PRUNED, "v", markerfacecolor="none")))
    if search.states("FAIL"):
        entries.append(("failed", common.mark(common.FAILED, "x")))
    word = f"{common.extreme(search)} so far" if len(search.objectives) == 1 else "leading so far"
    return [*entries, (word, Line2D([], [], color=style.INK, linewidth=1.1))]


def caption(search: Search) -> str:
    """What is shown."""
    spread = search.metrics[0].rpartition(".")[2] == "mean" and len(search.complete) <= _SPREADS
    worse = "lower" if search.objectives[0].worse_score(0, 1) == 0 else "higher"
    pruned, failed = bool(search.states("PRUNED")), bool(search.states("FAIL"))
    diverged = any(trial.result.diverged for trial in search.complete)
    return sentences(
        f"Value of every trial in the order they were asked for. {common.counts(search)}",
        "Thin bars: ± one standard deviation over the trial's seeds (ddof = 1)." if spread else "",
        "Dotted: the default configuration." if common.default_of(search) is not None else "",
        "A pruned trial stands at what it was worth at its last rung, which does not compare with a whole run's." if pruned else "",
        "A failed one has no value and stands at the bottom." if failed else "",
        f"A diverged seed counts as the {worse} of its last finite score and the random policy's." if diverged else "",
    )
