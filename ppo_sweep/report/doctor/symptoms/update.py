"""Symptoms of the update: what the epochs of an iteration do to the policy, and what stops or scales them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from ppo_sweep.report.doctor.evidence import Evidence, extent, median, percent
from ppo_sweep.report.doctor.record import RunRecord, Series
from ppo_sweep.report.doctor.thresholds import Thresholds

#: Permutations in the test of what spikes do: enough that p = 0.05 is known to ± 0.01.
_PERMUTATIONS = 2000
#: Undisturbed iterations that each spike is compared with, the nearest in time.
_MATCHES = 5
#: Iterations without which there is no median to compare a KL with.
_MEDIAN_OF = 10


def kl_spike(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """KL far above what it just was: often, or such that the return suffers; or so large throughout that nothing stands out."""
    return _large_throughout(record, limits) or _spikes(record, limits)


def _large_throughout(record: RunRecord, limits: Thresholds) -> Evidence | None:
    kl = record.column("kl")
    typical = median(kl)
    if len(record) < limits.min_iterations or not typical > limits.kl_median:
        return None
    return Evidence(
        iterations=extent(record, kl > limits.kl_median),
        value=typical,
        threshold=limits.kl_median,
        sentence=f"the median iteration changes the policy by {typical:.2g} nats; more than {limits.kl_median:g} is too large throughout",
        series=("kl", "return_100"),
        line=limits.kl_median,
    )


def _spikes(record: RunRecord, limits: Thresholds) -> Evidence | None:
    kl = record.column("kl")
    before = pd.Series(kl).shift(1).rolling(int(limits.kl_spike_window), min_periods=_MEDIAN_OF).median().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(before > 0, kl / before, 0.0)
    spikes = (ratio > limits.kl_spike_ratio) & (kl > limits.kl_spike_floor)
    judged = int(np.isfinite(before).sum())
    if not spikes.any() or judged < limits.min_iterations:
        return None
    count, share = int(spikes.sum()), float(spikes.sum() / judged)
    p = _harm(record, spikes, limits) if count >= limits.kl_spike_count else math.nan
    hurts = p < limits.kl_spike_p
    if not hurts and share < limits.kl_spike_share:
        return None
    worst = int(np.argmax(np.where(spikes, ratio, 0.0)))
    after = (
        f"the return falls after them, or rises less, than at other times (permutation test, p = {p:.2g})"
        if hurts
        else f"that is {percent(share)} of the iterations, where {percent(limits.kl_spike_share)} counts as frequent"
    )
    return Evidence(
        iterations=extent(record, spikes),
        value=float(ratio[worst]),
        threshold=limits.kl_spike_ratio,
        sentence=f"KL was more than {limits.kl_spike_ratio:g} times the median of the {limits.kl_spike_window:g} iterations before "
        f"{_times(count)}, worst in iteration {int(record.iterations[worst])} ({kl[worst]:.2g} nats, {ratio[worst]:.0f} times the "
        f"median): {after}",
        series=("kl", "return_100"),
        line=limits.kl_spike_floor,
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _harm(record: RunRecord, spikes: npt.NDArray[np.bool_], limits: Thresholds) -> float:
    """p that the return changes no worse after spikes than after undisturbed iterations at the same stage; NaN if there are too few.

    One-sided, stratified permutation: each spike and its matches form a stratum; under the null any of
    them might have been the spike.
    """
    horizon, steps = record.environment.horizon, record.config.get("algo.n_steps")
    wait = math.ceil(horizon / steps) + int(limits.kl_spike_settle) if horizon and steps else int(limits.kl_spike_settle)
    change = _change(record.column("return_100"), wait)
    # A matched iteration has no spike in itself or in the iterations that its change is taken over.
    disturbed = np.convolve(spikes, np.ones(wait + 1))[wait : wait + len(spikes)] > 0 if wait < len(spikes) else np.ones(len(spikes), bool)
    free = np.flatnonzero(~disturbed & np.isfinite(change))
    struck = [t for t in np.flatnonzero(spikes) if math.isfinite(change[t])]
    if len(struck) < limits.kl_spike_count or len(free) < _MATCHES:
        return math.nan
    strata = np.array([[change[t], *change[free[np.argsort(np.abs(free - t), kind="stable")[:_MATCHES]]]] for t in struck])
    centred = strata - strata.mean(axis=1, keepdims=True)
    generator = np.random.default_rng(0)
    drawn = generator.integers(strata.shape[1], size=(_PERMUTATIONS, len(struck)))
    null = centred[np.arange(len(struck)), drawn].mean(axis=1)
    return float((1 + (null <= centred[:, 0].mean()).sum()) / (1 + _PERMUTATIONS))


def _change(values: Series, wait: int) -> Series:
    """``values[t + wait] − values[t]``; NaN at the end."""
    out = np.full(len(values), np.nan)
    if wait < len(values):
        out[: len(values) - wait] = values[wait:] - values[: len(values) - wait]
    return out


def max_kl_too_small(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """The KL stop ends nearly every iteration after its first epoch."""
    stop, planned, done = _stop(record)
    if stop is None or planned < 2 or len(done) < limits.min_iterations:
        return None
    share = float(np.mean(done == 1))
    if share < limits.one_epoch_share:
        return None
    return Evidence(
        iterations=extent(record, record.column("epochs") == 1),
        value=share,
        threshold=limits.one_epoch_share,
        sentence=f"{percent(share)} of the iterations ended after one of {planned} epochs, stopped by algo.max_kl = {stop:g}; "
        f"{percent(limits.one_epoch_share)} counts as too small a stop",
        series=("epochs", "kl"),
    )


def max_kl_no_effect(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """A KL stop that is set and never stops."""
    stop, planned, done = _stop(record)
    # Where the policy alone stops, the critic's epochs go on; where a minibatch may stop it, the last epoch may be half done.
    unseen = record.config.get("algo.max_kl_stops") == "policy" or record.config.get("algo.max_kl_on") == "minibatch"
    if stop is None or unseen or len(done) < limits.min_iterations:
        return None
    share = float(np.mean(done == planned))
    if planned < 2 or share < limits.all_epochs_share:
        return None
    return Evidence(
        iterations=extent(record, slice(0, len(record))),
        value=share,
        threshold=limits.all_epochs_share,
        sentence=f"algo.max_kl = {stop:g} let {percent(share)} of the iterations do all {planned} epochs; it might as well be null",
        series=("kl", "epochs"),
        line=stop,
    )


def _stop(record: RunRecord) -> tuple[float | None, int, Series]:
    """``algo.max_kl``, K, and the epochs done in each iteration."""
    epochs = record.column("epochs")
    stop, planned = record.config.get("algo.max_kl"), record.config.get("algo.epochs")
    return (None if stop is None else float(stop)), int(planned or 0), epochs[np.isfinite(epochs)]


def clip_fraction_high(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """Most of the gradient is clipped away: only where the surrogate clips."""
    share = median(record.column("clip_fraction"))
    if record.config.get("algo.surrogate", "clip") != "clip" or len(record) < limits.min_iterations or not share > limits.clip_fraction:
        return None
    return Evidence(
        iterations=extent(record, record.column("clip_fraction") > limits.clip_fraction),
        value=share,
        threshold=limits.clip_fraction,
        sentence=f"in the median iteration {percent(share)} of the ratios lie outside [1 − ε, 1 + ε]; "
        f"more than {percent(limits.clip_fraction)} is high",
        series=("clip_fraction", "kl"),
        line=limits.clip_fraction,
    )


def grad_clip_always(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """Under one joint norm, the critic's gradient decides how far the policy may step."""
    clipped = median(record.column("grad_clip_fraction"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = median(record.column("value_grad_norm") / record.column("policy_grad_norm"))
    joint = record.config.get("algo.grad_clip", "joint") == "joint" and record.config.get("algo.max_grad_norm") is not None
    if not joint or len(record) < limits.min_iterations or not (clipped > limits.grad_clip_fraction and ratio > limits.grad_norm_ratio):
        return None
    return Evidence(
        iterations=extent(record, record.column("grad_clip_fraction") > limits.grad_clip_fraction),
        value=ratio,
        threshold=limits.grad_norm_ratio,
        sentence=f"{percent(clipped)} of the steps were scaled down to algo.max_grad_norm = {record.config['algo.max_grad_norm']:g}, and "
        f"the critic's gradient is {ratio:.0f} times the policy's: the policy keeps about 1/{ratio:.0f} of that norm",
        series=("value_grad_norm", "policy_grad_norm"),
    )


def kl_off_target(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """adaptive_kl whose KL stays off its target."""
    kl = record.column("kl")
    finite = np.isfinite(kl)
    if record.config.get("algo.surrogate") != "adaptive_kl" or finite.sum() < limits.min_iterations:
        return None
    target, tolerance = float(record.config["algo.kl_target"]), float(record.config.get("algo.kl_beta_tolerance", 1.5))
    high, low = kl > target * tolerance, kl < target / tolerance
    share = float((high | low)[finite].mean())
    if share <= limits.kl_off_target:
        return None
    above = high.sum() >= low.sum()
    return Evidence(
        iterations=extent(record, high | low),
        value=share,
        threshold=limits.kl_off_target,
        sentence=f"KL was outside [{target / tolerance:.2g}, {target * tolerance:.2g}] nats in {percent(share)} of the iterations, "
        f"mostly {'above' if above else 'below'}; more than {percent(limits.kl_off_target)} means that β does not hold it",
        series=("kl", "kl_beta"),
        line=target,
        advice="Raise algo.kl_beta or algo.kl_beta_factor, or lower algo.lr or algo.epochs: the penalty is too weak for the steps taken."
        if above
        else "Lower algo.kl_beta, or raise algo.lr or algo.epochs: the penalty, or too small a step, holds the policy back.",
    )
