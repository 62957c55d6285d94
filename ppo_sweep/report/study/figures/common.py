"""What the figures of a study share: marks of trials, colours of values, words of the value's axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.lines import Line2D

from ppo_sweep.report import style
from ppo_sweep.report.study.searched import Search, Trial

COMPLETE, PRUNED, FAILED, DEFAULT = "#0072B2", style.GREY, "#D55E00", "#000000"


def value_words(search: Search, objective: int = 0) -> str:
    """``mean score over 3 seeds``."""
    made, seeds = search.objectives[objective], int(search.options.get("seeds", 1))
    what = {"mean_minus_std": "mean − std of", "std": "std of", "iqm": "IQM of", "min": "lowest", "mean": "mean"}[made.statistic]
    score = made.score or "score"
    kind = "normalised " if len(search.options.get("env") or ()) > 1 else ""
    return f"{what} {kind}{score} over {seeds} seed{'s' * (seeds != 1)}"


def extreme(search: Search, objective: int = 0) -> str:
    """What leads: highest or lowest."""
    return "highest" if search.objectives[objective].maximize else "lowest"


def colours(search: Search, values: Sequence[float], objective: int = 0) -> ScalarMappable:
    """Value → colour, legible in grey: what leads is dark, the least of all still visible on white.

    The scale ends at the lower quartile on the other side, so that a few failures do not use up all colours.
    """
    maximize = search.objectives[objective].maximize
    shades = LinearSegmentedColormap.from_list(
        "trials", ["#00204d", "#31446b", "#666970", "#958f78", "#cbba69", "#ead357"][:: -1 if maximize else 1]
    )
    finite = np.asarray([value for value in values if np.isfinite(value)])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if len(finite) >= 8:
        if maximize:
            low = float(np.percentile(finite, 15))
        else:
            high = float(np.percentile(finite, 85))
    return ScalarMappable(Normalize(low, high if high > low else low + 1.0), shades)


def default_of(search: Search) -> Trial | None:
    """Trial 0, if it is complete."""
    return next((trial for trial in search.complete if trial.number == 0), None)


def mark(colour: str, marker: str, size: float = 4.5, **other: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], linestyle="none", color=colour, marker=marker, markersize=size, **other)


def counts(search: Search) -> str:
    """``60 trials: 33 complete, 26 pruned, 1 failed.``"""
    total = len(search.trials)
    return f"{total} trial{'s' * (total != 1)}: {states(search)}."


def states(search: Search) -> str:
    """``33 complete, 26 pruned, 1 failed``."""
    parts = [(len(search.states("COMPLETE")), "complete"), (len(search.states("PRUNED")), "pruned"), (len(search.states("FAIL")), "failed")]
    running = len(search.trials) - len(search.ended)
    parts.append((running, "not over"))
    return ", ".join(f"{count} {word}" for count, word in parts if count)
