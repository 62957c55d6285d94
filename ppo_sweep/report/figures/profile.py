"""Across environments: performance profiles and the probability of improvement over the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import environments, style
from ppo_sweep.report.environments import Scores
from ppo_sweep.report.figures.common import Cast, NothingToShow, Options, cast, sentences, states_sentence
from ppo_sweep.report.figures.learning_curves import band_alpha
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import references
from ppo_sweep.report.normalised import Improvement, improvements, normalised_scores

_POINTS = 201


def figure(results: Results, options: Options) -> Figure:
    """Profile at the left, probability of improvement at the right if every environment has a reference with a score.

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
    beaten = {label: made for label, made in improvements(results).items() if label in shown.looks}
    made = Figure(figsize=(style.WIDTH, max(2.6, 0.3 * len(beaten) + 0.9)))
    axes = made.subplots(1, 2, width_ratios=(1.15, 1)) if beaten else [made.subplots()]
    profile(axes[0], scored, shown)
    if beaten:
        improvement(axes[1], beaten, shown)
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


def improvement(ax: Axes, beaten: Mapping[str, Improvement], shown: Cast) -> Axes:
    """P(a run of a setting scores higher than one of the reference), with its interval; of the settings in colour."""
    for row, (label, made) in enumerate(beaten.items()):
        look = shown.looks[label]
        if math.isfinite(made.low):
            ax.plot([made.low, made.high], [row, row], color=look.colour, linewidth=1.8, solid_capstyle="butt")
        ax.plot([made.probability], [row], marker=look.marker, color=look.colour, markersize=5)
    ax.axvline(0.5, color=style.INK, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(len(beaten) - 0.4, -0.6)
    ax.set_yticks(range(len(beaten)), [style.wrapped(shown.names[label], 24) for label in beaten])
    ax.tick_params(left=False)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("P(higher than the reference)")
    return ax


def _improvement_sentence(results: Results, shown: Cast, inside: Sequence[str]) -> str:
    """What the right panel is; empty where there is none."""
    beaten = {label: made for label, made in improvements(results).items() if label in shown.looks}
    if not beaten:
        return ""
    against = {env: shown.names[references(results)[env].label] for env in inside}
    listed = "; ".join(f"{env}: {name}" for env, name in against.items())
    base = next(iter(against.values())) if len(set(against.values())) == 1 else f"the reference of its environment ({listed})"
    fewer = any(len(made.environments) < len(inside) for made in beaten.values())
    return (
        f"Right: probability that a run of a setting scores higher than one of {base}, mean over environments"
        + (" other than where the setting is the reference itself" if fewer else "")
        + ", with its 95 % bootstrap interval; at 0.5 (dashed) neither does."
    )


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    scored = normalised_scores(results)
    if not scored:
        return ""
    inside = sorted({env for scores in scored.values() for env in scores})
    left_out = [env for env in results.environments if env not in inside]
    shown = cast(results, scored)
    right = _improvement_sentence(results, shown, inside)
    runs = sorted({sum(map(len, scores.values())) for scores in scored.values()})
    size = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    where = f"{len(inside)} environments ({', '.join(inside)})" if len(inside) > 1 else inside[0]
    hidden = len(results.group_labels) - len(scored)
    plural = "s" if runs[-1] > 1 else ""
    return sentences(
        f"Normalised scores (x − random)/(reference − random), not clipped, of {where}; {size} run{plural} per setting.",
        "Left: share of runs that score above τ, mean over environments" if right else "Share of runs that score above τ",
        "(band: pointwise 95 % bootstrap, runs resampled within each environment; none below 3 runs).",
        right,
        f"{hidden} setting{'s' if hidden > 1 else ''} without a score in every environment left out." if hidden else "",
        f"Without finished runs, or without scores to normalise by: {', '.join(left_out)}." if left_out else "",
        shown.sentence,
        states_sentence(results),
    )  # fmt: skip
