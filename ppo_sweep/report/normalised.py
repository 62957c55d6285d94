"""What each setting is worth across environments: normalised scores, and how often it beats the reference (docs/numbers.md §2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppo_sweep.report import environments
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import groups, references
from ppo_sweep.report.numbers import minus


def normalised_scores(results: Results) -> dict[str, environments.Scores]:
    """Label → environment → normalised scores; only settings that have a score in every environment that anybody has one in.

    Environments without ``env.score_random`` or ``env.score_reference`` have no normalised score and are left out.
    """
    by_label = _normalised(results)
    everywhere = {env for scored in by_label.values() for env in scored}
    return {label: scored for label, scored in by_label.items() if scored.keys() == everywhere}


@dataclass(frozen=True)
class Improvement:
    """How often a setting beats the reference, across environments.

    Attributes:
        probability: that one of its runs scores higher than one of the reference, mean over environments.
        low, high: its interval; NaN below three runs on a side.
        environments: those that it is the mean over: all but where the setting is the reference itself.
    """

    probability: float
    low: float
    high: float
    environments: tuple[str, ...]


def improvements(results: Results) -> dict[str, Improvement]:
    """Setting → its probability of improvement over the reference of each environment (Agarwal et al. 2021, §4.3).

    Of settings that have a normalised score in every environment; empty if an environment has no reference with a
    score. References may differ between environments: a task's own tuned values are part of its default configuration.
    """
    by_label, against = _normalised(results), references(results)
    scored = normalised_scores(results)
    found = {}
    for label, own in scored.items():
        elsewhere = [env for env in own if env in against and against[env].label != label]
        if any(env not in against or env not in by_label.get(against[env].label, {}) for env in own) or not elsewhere:
            continue
        first = {env: own[env] for env in elsewhere}
        second = {env: by_label[against[env].label][env] for env in elsewhere}
        interval = environments.probability_interval(first, second)
        probability = environments.probability_of_improvement(first, second)
        found[label] = Improvement(probability, interval.low, interval.high, tuple(elsewhere))
    return found


def across(results: Results, named: Mapping[str, str]) -> str:
    """Which setting has the highest IQM of normalised scores, and how sure that is, as a sentence; empty where there is no choice.

    Args:
        named: label → name in the sentence.
    """
    scored = normalised_scores(results)
    values = {label: environments.iqm(scores) for label, scores in scored.items()}
    known = {label: value for label, value in values.items() if math.isfinite(value)}
    inside = {env for scores in scored.values() for env in scores}
    if len(known) < 2 or len(inside) < 2:
        return ""
    top = max(known, key=known.__getitem__)
    if all(_same(scored[label], scored[top]) for label in known):
        return f"{len(inside)} environments together: all {len(known)} settings have identical normalised scores."
    interval = environments.iqm_interval(scored[top])
    sure = (
        f", 95 % interval {_between(interval.low, interval.high, 3)}" if math.isfinite(interval.low) else "; too few seeds for an interval"
    )
    said = f"{len(inside)} environments together: {named.get(top, top)} has the highest IQM of normalised scores of {len(known)} settings"
    made = improvements(results).get(top)
    if made is None:
        return f"{said} ({minus(f'{known[top]:.3f}')}{sure})."
    chance = f"{made.probability:.2f}" + (f", 95 % interval {_between(made.low, made.high, 2)}" if math.isfinite(made.low) else "")
    return f"{said} ({minus(f'{known[top]:.3f}')}{sure}); a run of it scores higher than one of the reference with probability {chance}."


def _same(one: environments.Scores, other: environments.Scores) -> bool:
    return all(np.array_equal(one[env], other[env]) for env in other)


def _between(low: float, high: float, decimals: int) -> str:
    return minus(f"[{low:.{decimals}f}, {high:.{decimals}f}]")


def _normalised(results: Results) -> dict[str, dict[str, np.ndarray]]:
    """Label → environment → normalised scores, of whatever has some."""
    by_label: dict[str, dict[str, np.ndarray]] = {}
    for group in groups(results):
        bounds = group.runs[["random", "reference"]].iloc[0]
        values = environments.normalised(group.scores.to_numpy(), bounds["random"], bounds["reference"])
        if len(values) and np.isfinite(values).all():
            by_label.setdefault(group.label, {})[group.env] = values
    return by_label
