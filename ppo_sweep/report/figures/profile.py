"""Across environments: performance profiles and the probability of improvement over the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import environments, style
from ppo_sweep.report.environments import Scores
from ppo_sweep.report.figures.common import Cast, NothingToShow, Options, cast, sentences, states_sentence
from ppo_sweep.report.figures.learning_curves import band_alpha
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import references
from ppo_sweep.report.scores import normalised_scores

_POINTS = 201


def figure(results: Results, options: Options) -> Figure:
    """Profile at the left, probability of improvement at the right if there is a reference in every environment.

    Raises:
        NothingToShow: no normalised score.
    """
    scored = normalised_scores(results)
    if not scored:
        raise NothingToShow(
            "No profile: no setting has normalised scores in every environment "
            "(they need finished runs, env.score_random and env.score_reference)."
        )
    if len({env for scores in scored.values() for env in scores}) < 2:
        raise NothingToShow("No profile: it compares settings across environments, and there is one.")
    if max(sum(map(len, scores.values())) for scores in scored.values()) < 2:
        raise NothingToShow("No profile: it needs two finished runs of one setting.")
    shown = cast(results, scored)
    base = _base(results, scored)
    others = [label for label in scored if label != base and label in shown.looks]
    wide = base is not None and bool(others)
    made = Figure(figsize=(style.WIDTH, max(2.6, 0.3 * len(others) + 0.9)))
    axes = made.subplots(1, 2, width_ratios=(1.15, 1)) if wide else [made.subplots()]
    profile(axes[0], scored, shown)
    if wide and base is not None:
        improvement(axes[1], scored, base, shown)
    style.legend(made, shown.entries)
    return style.finish(made)


def profile(ax: Axes, scored: Mapping[str, Scores], shown: Cast) -> Axes:
    """Share of runs with a normalised score above τ, with a pointwise bootstrap band."""
    pooled = np.concatenate([values for scores in scored.values() for values in scores.values()])
    low, high = float(pooled.min()), float(pooled.max())
    margin = 0.06 * (high - low) or 0.1
    thresholds = np.linspace(low - margin, high + margin, _POINTS)
    for label, scores in scored.items():
        share = environments.performance_profile(scores, thresholds)
        look = shown.looks.get(label)
        if look is None:
            ax.plot(thresholds, share, color=style.GREY, linewidth=0.7, drawstyle="steps-post", zorder=1.5)
            continue
        below, above = environments.profile_band(scores, thresholds)
        ax.fill_between(thresholds, below, above, color=look.colour, alpha=band_alpha(len(shown.looks)), linewidth=0, step="post")
        ax.plot(thresholds, share, drawstyle="steps-post", zorder=3, **look.line)
    ax.set_xlabel("normalised score τ")
    ax.set_ylabel("share of runs above τ")
    ax.set_ylim(-0.02, 1.02)
    return ax


def improvement(ax: Axes, scored: Mapping[str, Scores], base: str, shown: Cast) -> Axes:
    """P(a run of a setting scores higher than one of the reference), with its interval; of the settings in colour."""
    others = [label for label in scored if label != base and label in shown.looks]
    for row, label in enumerate(others):
        value = environments.probability_of_improvement(scored[label], scored[base])
        interval = environments.probability_interval(scored[label], scored[base])
        look = shown.looks[label]
        if math.isfinite(interval.low):
            ax.plot([interval.low, interval.high], [row, row], color=look.colour, linewidth=1.8, solid_capstyle="butt")
        ax.plot([value], [row], marker=look.marker, color=look.colour, markersize=5)
    ax.axvline(0.5, color=style.INK, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(len(others) - 0.4, -0.6)
    ax.set_yticks(range(len(others)), [style.wrapped(shown.names[label], 24) for label in others])
    ax.tick_params(left=False)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("P(higher than the reference)")
    return ax


def _base(results: Results, scored: Mapping[str, Scores]) -> str | None:
    """The reference, if all environments have the same and it is among the scored."""
    labels = {item.label for item in references(results).values()}
    return labels.pop() if len(labels) == 1 and labels <= scored.keys() else None


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    scored = normalised_scores(results)
    if not scored:
        return ""
    inside = sorted({env for scores in scored.values() for env in scores})
    left_out = [env for env in results.environments if env not in inside]
    base, shown = _base(results, scored), cast(results, scored)
    runs = sorted({sum(map(len, scores.values())) for scores in scored.values()})
    size = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    where = f"{len(inside)} environments ({', '.join(inside)})" if len(inside) > 1 else inside[0]
    hidden = len(results.group_labels) - len(scored)
    two = base is not None and len(scored) > 1
    plural = "s" if runs[-1] > 1 else ""
    return sentences(
        f"Normalised scores (x − random)/(reference − random), not clipped, of {where}; {size} run{plural} per setting.",
        "Left: share of runs that score above τ, mean over environments" if two else "Share of runs that score above τ",
        "(band: pointwise 95 % bootstrap, runs resampled within each environment; none below 3 runs).",
        f"Right: probability that a run of a setting scores higher than one of {shown.names.get(base or '')}, mean over environments, "
        "with its 95 % bootstrap interval; at 0.5 (dashed) neither does." if two else "",
        f"{hidden} setting{'s' if hidden > 1 else ''} without a score in every environment left out." if hidden else "",
        f"Without finished runs, or without scores to normalise by: {', '.join(left_out)}." if left_out else "",
        shown.sentence,
        states_sentence(results),
    )  # fmt: skip
