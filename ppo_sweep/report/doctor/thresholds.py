"""Every number that a symptom is judged by, with its meaning and where it comes from (docs/doctor.md).

``provenance`` is "ours" for a value that was chosen, and names the calibration (docs/doctor.md) where labelled runs
have set or tried it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Limit:
    """What one threshold means and where its value comes from."""

    meaning: str
    provenance: str


#: Changed on labelled runs.
_CALIBRATED = "calibrated on the half `fit`, below"
#: Chosen, and found to part the ill from the healthy of that half with room on either side.
_HOLDS = "ours; holds on the half `fit`, below"


def _limit(value: float, meaning: str, provenance: str = "ours") -> Any:
    return field(default=value, metadata={"limit": Limit(meaning, provenance)})


@dataclass(frozen=True)
class Thresholds:
    """All thresholds; a rule is handed one object, so that a calibration can try others."""

    # What counts as late, and how little is too little to judge by.
    late_share: float = _limit(0.2, "the last share of the iterations that 'late' means")
    min_iterations: float = _limit(20, "a statement about shares or trends needs this many iterations")
    min_late: float = _limit(5, "and a late window this many")

    # entropy_collapse
    sigma_ratio: float = _limit(0.05, "smallest σ of any action dimension, as a share of half the action range", _HOLDS)
    sigma_before: float = _limit(0.5, "share of the budget before which so small a σ is too early")
    entropy_fall: float = _limit(1.0, "nats per action dimension")
    entropy_fall_within: float = _limit(0.05, "share of the budget in which so deep a fall is too fast")

    # entropy_rising
    sigma_growth: float = _limit(1.2, "late mean σ over σ at the start", _HOLDS)

    # kl_spike
    kl_spike_ratio: float = _limit(5.0, "KL over the median of the iterations before")
    kl_spike_window: float = _limit(25, "iterations in that median")
    kl_spike_floor: float = _limit(0.03, "nats: a smaller KL is no spike, whatever the median")
    kl_spike_count: float = _limit(5, "spikes needed to test whether they hurt")
    kl_spike_p: float = _limit(0.01, "p of the permutation test below which spikes hurt", _CALIBRATED)
    kl_spike_share: float = _limit(
        0.1, "share of iterations from which spikes count as frequent, whether or not they can be shown to hurt", _HOLDS
    )
    kl_median: float = _limit(0.1, "nats: a median KL above this is too large throughout, so that no spike stands out", _CALIBRATED)
    kl_spike_settle: float = _limit(5, "iterations beyond ⌈horizon / T⌉ in which the return answers")

    # max_kl_too_small, max_kl_no_effect
    one_epoch_share: float = _limit(0.8, "share of iterations that end after their first epoch", _HOLDS)
    all_epochs_share: float = _limit(0.99, "share of iterations that do all K epochs")

    # value_not_learning
    explained_variance: float = _limit(0.3, "late median of the explained variance", _CALIBRATED)
    negative_share: float = _limit(0.2, "share of iterations with negative explained variance", _HOLDS)

    # return_collapse
    collapse_depth: float = _limit(0.5, "share of what was gained over random that must be left")
    collapse_share: float = _limit(0.1, "share of the budget spent below that, after the best")
    collapse_learned: float = _limit(
        0.25, "share of the way from random to the reference score that the best must have gone, where that is known"
    )

    # return_collapse, lr_exhausted
    gain_errors: float = _limit(5.0, "standard errors of return_100 below which a gain or a rise is none")
    gain_episodes: float = _limit(20, "episodes in the mean before it may count as the best")

    clip_fraction: float = _limit(0.5, "median share of ratios outside [1 − ε, 1 + ε]", _CALIBRATED)
    mean_saturation: float = _limit(0.6, "late median share of mean actions outside the bounds", _CALIBRATED)

    # grad_clip_always
    grad_clip_fraction: float = _limit(0.95, "median share of steps whose gradient was scaled down")
    grad_norm_ratio: float = _limit(10.0, "median of the value gradient's norm over the policy gradient's")

    # lr_exhausted
    lr_left: float = _limit(0.05, "learning rate as a share of its start")
    late_rise: float = _limit(0.1, "rise of return_100 over the late window, as a share of all that was gained over random")

    # seeds_bimodal
    bimodal_seeds: float = _limit(6, "seeds with a score")
    bimodal_gap: float = _limit(0.5, "largest gap between neighbouring scores, as a share of their range")
    bimodal_side: float = _limit(2, "seeds on each side of the gap")

    # too_few_episodes
    episodes: float = _limit(100, "finished training episodes")
    window_start: float = _limit(0.8, "share of the run before which the last 100 episodes must not begin")

    kl_off_target: float = _limit(0.5, "share of iterations with KL outside [d_targ / tolerance, d_targ · tolerance]")
    reward_clipped: float = _limit(0.01, "mean share of scaled rewards that were clipped")
    timeouts: float = _limit(0.9, "share of finished episodes that ended at the time limit", _HOLDS)

    def changed(self, **values: float) -> Thresholds:
        """A copy with some of them replaced."""
        return replace(self, **values)


def limits() -> Iterator[tuple[str, float, Limit]]:
    """Yield ``(name, value, limit)`` of every threshold, in declaration order."""
    for spec in fields(Thresholds):
        yield spec.name, float(spec.default), spec.metadata["limit"]  # type: ignore[arg-type]


STANDARD = Thresholds()
