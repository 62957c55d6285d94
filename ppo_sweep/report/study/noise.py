"""Whether a search still improves by more than noise, in words for the page (docs/studies.md)."""

from __future__ import annotations

import math

from ppo_sweep.report.numbers import number
from ppo_sweep.report.study.searched import Search
from ppo_sweep.sweep.study.confirmation import COMPLETE
from ppo_sweep.sweep.study.improvement import LEAST_TRIALS, SHARE, STANDARD_ERRORS, no_improvement


def sentence(search: Search) -> str:
    """What the last max(20, n/4) trials brought, or why that is not said."""
    if search.trouble or not search.ended:
        return ""
    if len(search.objectives) > 1:
        return "Whether the search still improves is not said with several objectives."
    maximize, seeds = search.objectives[0].maximize, int(search.options.get("seeds", 1))
    values = [trial.value() if trial.state == COMPLETE else None for trial in search.ended]
    stds = [trial.result.own_std for trial in search.ended]
    last = max(LEAST_TRIALS, math.ceil(len(values) / SHARE))
    if not any(value is not None and std is not None for value, std in zip(values, stds, strict=True)):
        return "How noisy a trial's value is cannot be said: no complete trial has two seeds."
    if not any(value is not None for value in values[:-last]):
        ended = f"{len(values)} trial{'s are' if len(values) > 1 else ' is'} over"
        return f"{ended}: whether the search still improves is said once a complete one lies before the last {last}."
    found = no_improvement(values, stds, seeds, maximize=maximize)
    extreme, rose = ("highest", "rose") if maximize else ("lowest", "fell")
    if found is None:
        return (
            f"In the last {last} trials the {extreme} value {rose} by {STANDARD_ERRORS:g} pooled standard errors or more: "
            "more trials may find more."
        )
    moved = f"{rose} by {number(found.raised)}" if found.raised > 0 else f"did not {'rise' if maximize else 'fall'}"
    limit = f"{STANDARD_ERRORS:g} pooled standard errors ({number(found.noise)})"
    return f"No improvement beyond noise: in the last {found.trials} trials the {extreme} value {moved}, and {limit} would be needed."
