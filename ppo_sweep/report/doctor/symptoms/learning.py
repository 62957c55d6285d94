"""Symptoms of learning: the critic, the return, the budget, and numbers that are none."""

from __future__ import annotations

import math

import numpy as np

from ppo_sweep.report.doctor.evidence import Evidence, extent, median, percent
from ppo_sweep.report.doctor.record import RunRecord
from ppo_sweep.report.doctor.symptoms.policy import slope
from ppo_sweep.report.doctor.thresholds import Thresholds

#: Columns that every iteration has a number for, unless it was not finite.
_ALWAYS = (
    "policy_loss", "value_loss", "entropy", "kl", "kl_max", "kl_sample", "clip_fraction", "action_std", "policy_grad_norm",
    "value_grad_norm", "value_mean", "lr",
)  # fmt: skip


def non_finite(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """The run diverged, or wrote a blank where every iteration has a number."""
    if record.state == "diverged":
        last = int(record.iterations[-1]) if len(record) else 0
        return Evidence(
            iterations=(last + 1, last + 1),
            value=1.0,
            threshold=0.0,
            sentence=f"the run diverged in iteration {last + 1}" + (f": {record.reason}" if record.reason else ""),
            series=("policy_grad_norm", "value_grad_norm"),
        )
    present = [name for name in _ALWAYS if name in record.metrics]
    blank = {name: ~np.isfinite(record.column(name)) for name in present}
    # A column that is blank throughout was not measured: written by another version.
    blank = {name: rows for name, rows in blank.items() if rows.any() and not rows.all()}
    if not blank:
        return None
    rows = np.logical_or.reduce(list(blank.values()))
    return Evidence(
        iterations=extent(record, rows),
        value=float(rows.sum()),
        threshold=0.0,
        sentence=f"{', '.join(blank)} {'were' if len(blank) > 1 else 'was'} not finite in {int(rows.sum())} iterations",
        series=tuple(blank)[:2],
    )


def value_not_learning(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """A critic that explains little of its targets; its absolute loss says nothing, for it scales with the reward."""
    explained = record.column("explained_variance")
    finite = np.isfinite(explained)
    if finite.sum() < limits.min_iterations:
        return None
    late = median(explained[record.late(limits.late_share)])
    negative = float(np.mean(explained[finite] < 0))
    if late < limits.explained_variance:
        return Evidence(
            iterations=extent(record, record.late(limits.late_share)),
            value=late,
            threshold=limits.explained_variance,
            sentence=f"the median explained variance of the last {percent(limits.late_share)} is {late:.2f}; "
            f"a critic that learns reaches more than {limits.explained_variance:g}",
            series=("explained_variance", "value_loss"),
            line=limits.explained_variance,
        )
    if negative >= limits.negative_share:
        return Evidence(
            iterations=extent(record, finite & (explained < 0)),
            value=negative,
            threshold=limits.negative_share,
            sentence=f"explained variance was negative in {percent(negative)} of the iterations, where a constant would predict better "
            f"than the critic; {percent(limits.negative_share)} is too many",
            series=("explained_variance", "value_loss"),
            line=0.0,
        )
    return None


def return_collapse(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """Most of what was learned is lost again, and not for a moment."""
    gain = _gain(record, limits)
    if gain is None:
        return None
    best, gained, error = gain
    if gained <= max(limits.collapse_learned * record.scale, limits.gain_errors * error):
        return None
    returns = record.column("return_100")
    floor = float(returns[best]) - gained
    level = floor + limits.collapse_depth * gained
    lost = (returns < level) & (np.arange(len(record)) > best)
    steps = np.diff(record.env_steps, prepend=0.0)
    share = float(steps[lost].sum()) / record.budget
    if share < limits.collapse_share:
        return None
    return Evidence(
        iterations=extent(record, lost),
        value=share,
        threshold=limits.collapse_share,
        sentence=f"return_100 reached {returns[best]:.5g} in iteration {int(record.iterations[best])} and then spent {percent(share)} of "
        f"the budget below {level:.5g}, with less than {percent(limits.collapse_depth)} left of what it had gained over "
        f"{'its own first mean' if record.random is None else 'the random policy'} ({floor:.5g})",
        series=("return_100", "kl"),
        line=level,
    )


def _gain(record: RunRecord, limits: Thresholds) -> tuple[int, float, float] | None:
    """Row of the best ``return_100``, how far it lies above the random policy, and its standard error; None where there is no best.

    Where the random policy was not measured, the first mean of enough episodes stands for it: higher, so that less counts as gained.
    """
    returns, episodes = record.column("return_100"), record.column("episodes")
    usable = np.isfinite(returns) & (episodes >= limits.gain_episodes)
    if usable.sum() < limits.min_iterations:
        return None
    best = int(np.flatnonzero(usable)[np.argmax(returns[usable])])
    floor = record.random if record.random is not None else float(returns[usable][0])
    error = median(record.column("return_std")) / math.sqrt(min(100.0, float(episodes[best])))
    return best, float(returns[best]) - floor, 0.0 if math.isnan(error) else error


def lr_exhausted(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """The learning rate is spent while the return still rises."""
    lr, returns = record.column("lr"), record.column("return_100")
    late = record.late(limits.late_share)
    window = returns[late]
    if len(window) < limits.min_late or len(record) < limits.min_iterations or not np.isfinite([*window, lr[0], lr[-1]]).all():
        return None
    gain = _gain(record, limits)
    if gain is None:
        return None
    _, gained, error = gain
    rise = slope(window) * (len(window) - 1)
    # return_100 lags: it may rise in the window although it has levelled off by its end.
    levelled = slope(window[len(window) // 2 :]) < slope(window) / 2
    risen = gained > 0 and rise > max(limits.late_rise * gained, limits.gain_errors * error)
    if lr[-1] >= limits.lr_left * lr[0] or not risen or levelled:
        return None
    return Evidence(
        iterations=extent(record, late),
        value=rise / gained,
        threshold=limits.late_rise,
        sentence=f"return_100 rose by {rise:.4g} over the last {percent(limits.late_share)}, {percent(rise / gained)} of all that was "
        f"gained, while lr fell to {percent(float(lr[-1] / lr[0]))} of its start",
        series=("return_100", "lr"),
    )


def too_few_episodes(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """The score rests on few training episodes, or on ones from long before the end."""
    kind = record.config.get("score", "return_100")
    if not len(record) or record.state == "running" or kind == "eval":  # more are to come; evaluations are episodes of their own
        return None
    counts = np.nan_to_num(record.column("episodes"))
    total = float(counts[-1])
    if total < limits.episodes:
        return Evidence(
            iterations=extent(record, slice(0, len(record))),
            value=total,
            threshold=limits.episodes,
            sentence=f"only {total:.0f} training episodes were finished; below {limits.episodes:g} a mean of the last 100 is one of all",
            series=("episodes", "return_100"),
        )
    if kind != "return_100":
        return None
    first = int(np.argmax(counts > total - 100))
    begun = float(record.env_steps[first] / record.env_steps[-1])
    if begun >= limits.window_start:
        return None
    return Evidence(
        iterations=extent(record, slice(first, len(record))),
        value=begun,
        threshold=limits.window_start,
        sentence=f"the last 100 episodes reach back to {percent(begun)} of the run; before {percent(limits.window_start)} the score is "
        "that of an older policy",
        series=("return_100", "length_100"),
    )


def reward_clipped(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """The agent does not see what the task pays."""
    clipped = record.column("reward_clip_fraction")
    finite = np.isfinite(clipped)
    if finite.sum() < limits.min_iterations:
        return None
    share = float(clipped[finite].mean())
    if share <= limits.reward_clipped:
        return None
    return Evidence(
        iterations=extent(record, finite & (clipped > limits.reward_clipped)),
        value=share,
        threshold=limits.reward_clipped,
        sentence=f"{percent(share)} of the scaled rewards were clipped to ± {record.config.get('algo.clip_reward') or '?'}; "
        f"more than {percent(limits.reward_clipped)} changes the task",
        series=("reward_clip_fraction", "reward_scale"),
        line=limits.reward_clipped,
    )


def timeouts_terminal(record: RunRecord, limits: Thresholds) -> Evidence | None:
    """Time limits count as terminal although nearly every episode ends at one."""
    if record.config.get("env.bootstrap_timeouts", True) or not len(record):
        return None
    episodes = record.episodes
    if len(episodes) < limits.min_iterations:
        return None
    share = float((episodes["terminated"] == 0).mean())
    if share <= limits.timeouts:
        return None
    return Evidence(
        iterations=extent(record, slice(0, len(record))),
        value=share,
        threshold=limits.timeouts,
        sentence=f"{percent(share)} of {len(episodes)} episodes ended at the time limit, which env.bootstrap_timeouts=false values at 0",
        series=("explained_variance", "value_mean"),
    )
