"""Symptoms of the policy's distribution: its σ, its entropy, its mean."""

from __future__ import annotations

import math

import numpy as np

from ppo_sweep.report.doctor.evidence import Evidence, extent, median, percent
from ppo_sweep.report.doctor.record import RunRecord
from ppo_sweep.report.doctor.thresholds import Thresholds


def entropy_collapse(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """σ of some dimension tiny early on, or entropy that falls within the first steps; a negative entropy by itself is neither."""
    return _small_sigma(record, limits) or _fast_fall(record, limits)


def _small_sigma(record: RunRecord, limits: Thresholds) -> Evidence | None:
    bounds = [h for h in record.environment.half_range or () if math.isfinite(h) and h > 0]
    if not bounds:
        return None
    # The smallest σ may belong to any dimension: over the narrowest range it is too small in any case.
    ratio = record.column("action_std_min") / min(bounds)
    early = record.begun_at < limits.sigma_before * record.budget
    shown = early & (ratio < limits.sigma_ratio)
    if not shown.any():
        return None
    rows = np.flatnonzero(shown)
    smallest = float(ratio[rows].min())
    at_start = rows[0] == 0
    return Evidence(
        iterations=extent(record, shown),
        value=smallest,
        threshold=limits.sigma_ratio,
        sentence=f"σ of at least one action dimension is down to {percent(smallest)} of half the action range "
        + ("from the first iteration on" if at_start else f"after {percent(float(record.begun_at[rows[0]]) / record.budget)} of the budget")
        + f"; below {percent(limits.sigma_ratio)} in the first {percent(limits.sigma_before)} counts as collapsed",
        series=("action_std_min", "entropy"),
        line=limits.sigma_ratio * min(bounds),
        knob="network.log_std_init" if at_start else None,
        advice="Raise network.log_std_init (0 or −0.5 is usual): the policy starts with almost no noise, so it tries nothing, and the "
        "smallest step of its mean changes every probability ratio beyond all bounds."
        if at_start
        else None,
    )


def _fast_fall(record: RunRecord, limits: Thresholds) -> Evidence | None:
    size, entropy = record.action_size, record.column("entropy")
    early = (record.begun_at <= limits.entropy_fall_within * record.budget) & np.isfinite(entropy)
    if size is None or early.sum() < 2 or not math.isfinite(entropy[0]):
        return None
    lowest = int(np.flatnonzero(early)[np.argmin(entropy[early])])
    fall = float(entropy[0] - entropy[lowest]) / size
    if fall <= limits.entropy_fall:
        return None
    return Evidence(
        iterations=extent(record, slice(0, lowest + 1)),
        value=fall,
        threshold=limits.entropy_fall,
        sentence=f"entropy fell by {fall:.2g} nats per action dimension in the first {percent(limits.entropy_fall_within)} of the budget; "
        f"more than {limits.entropy_fall:g} is too fast",
        series=("entropy", "action_std"),
    )


def entropy_rising(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """σ larger late than at the start, and growing, under an entropy bonus."""
    sigma = record.column("action_std")
    bonus = float(record.config.get("algo.ent_coef") or 0.0)
    late = record.late(limits.late_share)
    window = sigma[late]
    if bonus <= 0 or len(window) < limits.min_late or not np.isfinite([*window, *sigma[:1]]).all():
        return None
    growth = float(window.mean() / sigma[0])
    if growth <= limits.sigma_growth or slope(window) <= 0:
        return None
    # It is to blame from where it last left its start behind.
    above = np.flatnonzero(sigma <= limits.sigma_growth * sigma[0])
    begun = int(above[-1]) + 1 if len(above) else 0
    return Evidence(
        iterations=extent(record, slice(min(begun, late.start), len(record))),
        value=growth,
        threshold=limits.sigma_growth,
        sentence=f"mean σ is {growth:.2f} times that of the first iteration in the last {percent(limits.late_share)} and still growing, "
        f"with algo.ent_coef = {bonus:g}; more than {limits.sigma_growth:g} times counts as rising",
        series=("action_std", "entropy"),
        line=limits.sigma_growth * float(sigma[0]),
    )


def action_saturation(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """Mean actions outside the bounds: sampled ones lie outside in a healthy run too."""
    late = record.late(limits.late_share)
    window = record.column("mean_saturation")[late]
    share = median(window)
    if len(window) < limits.min_late or not share > limits.mean_saturation:
        return None
    return Evidence(
        iterations=extent(record, late),
        value=share,
        threshold=limits.mean_saturation,
        sentence=f"{percent(share)} of the mean actions lie outside the action bounds in the last {percent(limits.late_share)} of the run; "
        f"more than {percent(limits.mean_saturation)} counts as saturated",
        series=("mean_saturation", "action_saturation"),
        line=limits.mean_saturation,
    )


def slope(values: np.ndarray) -> float:
    """Least-squares slope per row of finite values, ``(n,)`` with n ≥ 2."""
    return float(np.polynomial.polynomial.polyfit(np.arange(len(values)), values, 1)[1])
