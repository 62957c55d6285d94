"""Symptoms of a group of runs that differ in their seed only."""

from __future__ import annotations

import numpy as np

from ppo_sweep.report.doctor.evidence import Evidence, percent
from ppo_sweep.report.doctor.record import SeedGroup
from ppo_sweep.report.doctor.thresholds import Thresholds


def seeds_bimodal(group: SeedGroup, limits: Thresholds) -> Evidence | None:
    """Scores in two camps: a mean and its interval then describe no run."""
    scores = np.sort(np.array(list(group.scores.values()), np.float64))
    scores = scores[np.isfinite(scores)]
    if len(scores) < limits.bimodal_seeds or scores[0] == scores[-1]:
        return None
    side = max(int(limits.bimodal_side), 1)
    gaps = np.diff(scores)
    widest = int(np.argmax(gaps))
    share = float(gaps[widest] / (scores[-1] - scores[0]))
    below = widest + 1
    if share <= limits.bimodal_gap or min(below, len(scores) - below) < side:
        return None
    return Evidence(
        iterations=None,
        value=share,
        threshold=limits.bimodal_gap,
        sentence=f"{below} of {len(scores)} seeds end between {scores[0]:.5g} and {scores[below - 1]:.5g}, the others between "
        f"{scores[below]:.5g} and {scores[-1]:.5g}: the gap is {percent(share)} of the whole range",
    )
