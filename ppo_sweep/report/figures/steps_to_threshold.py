"""Steps to a threshold: the share of seeds that has reached it (Kaplan–Meier)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import style, survival
from ppo_sweep.report.figures.common import Cast, NothingToShow, Options, across, cast_of, missing_sentence, panels, sentences
from ppo_sweep.report.figures.learning_curves import band_alpha
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import CUT_SHORT, Group
from ppo_sweep.report.numbers import minus, number
from ppo_sweep.report.survival import Reached

#: Where the threshold is by default, between the random policy's score (0) and the reference score (1).
SHARE = 0.5

#: Settings of one panel up to which intervals are drawn.
_BANDS = 3


@dataclass(frozen=True)
class Threshold:
    """A return, and where it comes from."""

    value: float
    why: str


def threshold(found: Sequence[Group], chosen: float | None = None) -> Threshold | None:
    """The threshold of one environment: as chosen, else half-way from the random to the reference score, or to the highest mean score."""
    if chosen is not None:
        return Threshold(chosen, "as asked for")
    random, reference = found[0].runs[["random", "reference"]].iloc[0]
    if not math.isfinite(random):
        return None
    if math.isfinite(reference):
        return Threshold(random + SHARE * (reference - random), "half-way from the random policy to the reference score")
    means = [float(group.scores.mean()) for group in found if len(group.scores)]
    if not means:
        return None
    return Threshold(random + SHARE * (max(means) - random), "half-way from the random policy to the highest mean score")


def reached(results: Results, group: Group, limit: float) -> Reached | None:
    """When ``return_100`` first reached a threshold, over the runs that were not cut short; None if none has begun.

    A run that ended, or has got, without reaching it is censored there; one that diverged at its budget, since it
    would never have.
    """
    steps, events = [], []
    for run, row in group.runs.iterrows():
        if row["state"] in CUT_SHORT:
            continue
        rows = results.rows.get(str(run), results.metrics.iloc[:0])
        rows = rows[rows["episodes"] >= survival.FEWEST_EPISODES]
        if not len(rows) and row["state"] != "diverged":
            continue
        at, event = survival.first_crossing(rows["env_steps"].to_numpy(float), rows["return_100"].to_numpy(float), limit)
        steps.append(float(row["total_steps"]) if row["state"] == "diverged" and not event else at)
        events.append(event)
    return survival.kaplan_meier(steps, events) if steps else None


def figure(results: Results, options: Options) -> Figure:
    """A panel per environment that has a threshold.

    Raises:
        NothingToShow: none has, or nobody has reached one.
    """
    shown = cast_of(results, "return_100")
    limits = _limits(shown, options)
    if not limits:
        raise NothingToShow(
            "No steps to a threshold: they need env.score_random and finished episodes, or a threshold of your own (--threshold)."
        )
    if not any(_events(results, shown.by_env[env], limit) for env, limit in limits.items()):
        tried = "; ".join(f"{env}: return {minus(number(limit.value))}, {limit.why}" for env, limit in limits.items())
        raise NothingToShow(f"No steps to a threshold: no seed has reached it ({tried}). report.py --threshold sets another.")
    made, axes = panels(len(limits), 2.6 if len(limits) == 1 else 2.1, options.width)
    for place, (ax, (env, limit)) in enumerate(zip(axes, limits.items(), strict=True)):
        panel(ax, results, shown.by_env[env], limit.value, shown)
        ax.set_title(f"{env}: return {minus(number(limit.value))}")
        ax.set_ylabel("share of seeds" if place % across(len(axes), options.width) == 0 else "")
    style.legend(made, shown.entries)
    return style.finish(made)


def _limits(shown: Cast, options: Options) -> dict[str, Threshold]:
    return {env: limit for env, found in shown.by_env.items() if (limit := threshold(found, options.threshold))}


def _events(results: Results, found: Sequence[Group], limit: Threshold) -> int:
    """How many runs of an environment have reached its threshold."""
    return sum(made.events for group in found if (made := reached(results, group, limit.value)))


def panel(ax: Axes, results: Results, found: Sequence[Group], limit: float, shown: Cast) -> Axes:
    """One environment, a stair per setting."""
    end = max(float(group.runs["env_steps"].max()) for group in found)
    for group in sorted(found, key=lambda group: group.label in shown.looks):
        made = reached(results, group, limit)
        if made is None:
            continue
        x = np.concatenate([[0.0], made.steps, [end]])
        share = np.concatenate([[0.0], made.share, made.share[-1:] if len(made.share) else [0.0]])
        look = shown.looks.get(group.label)
        if look is None:
            ax.plot(x, share, color=style.GREY, linewidth=0.7, drawstyle="steps-post", zorder=1.5)
            continue
        if _has_band(found, made):
            ax.fill_between(
                x[1:], [*made.low, made.low[-1]], [*made.high, made.high[-1]],
                step="post", color=look.colour, alpha=band_alpha(len(found)), linewidth=0,
            )  # fmt: skip
        ax.plot(x, share, drawstyle="steps-post", zorder=3, **look.line)
        if math.isfinite(made.median):
            ax.plot([made.median], [0.5], marker=look.marker, color=look.colour, markersize=4.5, zorder=4)
    ax.axhline(0.5, color=style.INK, linewidth=0.6, linestyle=(0, (1, 3)))
    ax.set_ylim(-0.03, 1.03)
    style.steps_axis(ax, "environment steps")
    return ax


def _has_band(found: Sequence[Group], made: Reached) -> bool:
    """Whether a stair has its interval: of few settings, and where its seeds got there at different steps."""
    return len(found) <= _BANDS and len(made.steps) > 1


def caption(results: Results, options: Options) -> str:
    """What is shown, with every median of a few settings."""
    shown = cast_of(results, "return_100")
    parts, bands = [], False
    for env, limit in _limits(shown, options).items():
        told, found = [], shown.by_env[env]
        for group in found:
            made = reached(results, group, limit.value)
            if made is not None and group.label in shown.looks:
                median = f"median {style.count(made.median)}" if math.isfinite(made.median) else "no median"
                bands |= _has_band(found, made)
                name = f"{shown.names[group.label]}: " if len(found) > 1 else ""
                told.append(f"{name}{made.events} of {made.n}, {median}")
        parts.append(f"{env} (return {minus(number(limit.value))}, {limit.why}): {'; '.join(told)}.")
    left_out = int(results.runs["state"].isin(CUT_SHORT).sum())
    return sentences(
        "Share of seeds whose return over the last 100 episodes (10 at least) has reached a threshold: Kaplan–Meier estimate; seeds that "
        "ended without are censored, and a median needs half of them.",
        "Band: pointwise 95 % interval (Greenwood, log–log)." if bands else "",
        *parts,
        f"{left_out} pruned or stopped runs are left out." if left_out else "",
        shown.sentence,
        missing_sentence(results, shown),
    )
