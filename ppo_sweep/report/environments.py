"""Across environments, on normalised scores (docs/numbers.md §2; Agarwal et al. 2021, arXiv 2108.13264).

A setting's scores are given as ``Scores``: environment → normalised scores of its runs; environments may
have different numbers of runs, and count alike in everything but the IQM, which pools all runs as rliable does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ppo_sweep.statistics import LEVEL, RESAMPLES, SEED, SMALLEST, Interval

Scores = Mapping[str, NDArray[np.float64]]

#: Fewest runs, over all environments, that an interquartile mean is given for.
FEWEST_FOR_IQM = 4


def normalised(score: ArrayLike, random: float, reference: float) -> NDArray[np.float64]:
    """(x − random) / (reference − random), never clipped; NaN where a bound is not known or both are equal."""
    span = reference - random
    return (np.asarray(score, float) - random) / (span if span else math.nan)


def iqm(scores: Scores) -> float:
    """Interquartile mean of all runs: the mean without the ⌊n/4⌋ lowest and highest; NaN below 4 runs.

    As rliable's ``aggregate_iqm``: ``scipy.stats.trim_mean(…, 0.25)`` over everything.
    """
    pooled = _pooled(scores)
    return float(stats.trim_mean(pooled, 0.25)) if len(pooled) >= FEWEST_FOR_IQM else math.nan


def mean(scores: Scores) -> float:
    """Mean over environments of the mean over runs."""
    return float(np.mean([values.mean() for values in scores.values()])) if _complete(scores) else math.nan


def stratified_interval(
    statistic: Callable[[Sequence[NDArray[np.float64]]], NDArray[np.float64]],
    strata: Sequence[NDArray[np.float64]],
    level: float = LEVEL,
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> Interval:
    """A percentile bootstrap that resamples the runs of every stratum by themselves (Agarwal et al. 2021, §4.1).

    Args:
        statistic: of resampled strata, each (R, nᵢ), to (R,).
        strata: values of each, (nᵢ,); with fewer than three in one there is no interval.
    """
    if not strata or min(map(len, strata)) < SMALLEST:
        return Interval()
    rng = np.random.default_rng(SEED) if rng is None else rng
    resampled = statistic([values[rng.integers(0, len(values), (resamples, len(values)))] for values in strata])
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), "stratified bootstrap")


def iqm_interval(scores: Scores, level: float = LEVEL, rng: np.random.Generator | None = None, resamples: int = RESAMPLES) -> Interval:
    """The interval of :func:`iqm`, stratified by environment; none below 4 runs, or below 3 in an environment."""
    if math.isnan(iqm(scores)):
        return Interval()

    def statistic(strata: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(stats.trim_mean(np.concatenate(strata, axis=1), 0.25, axis=1))

    return stratified_interval(statistic, list(scores.values()), level, rng, resamples)


def performance_profile(scores: Scores, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Share of runs with a score above each threshold, mean over environments (Agarwal et al. 2021, §4.2).

    Args:
        thresholds: τ, (K,).

    Returns:
        (K,), falling from 1 to 0.
    """
    above = [(values[:, None] > np.asarray(thresholds, float)).mean(axis=0) for values in scores.values()]
    return np.asarray(np.mean(above, axis=0))


def profile_band(
    scores: Scores, thresholds: ArrayLike, level: float = LEVEL, rng: np.random.Generator | None = None, resamples: int = 1_999
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pointwise interval of :func:`performance_profile`, stratified by environment; (K,) and (K,), NaN below three runs in one."""
    if min(map(len, scores.values())) < SMALLEST:
        return np.full(np.size(thresholds), math.nan), np.full(np.size(thresholds), math.nan)
    rng = np.random.default_rng(SEED) if rng is None else rng
    total = np.zeros((resamples, np.size(thresholds)))
    for values in scores.values():
        above = (values[:, None] > np.asarray(thresholds, float)).astype(float)  # (n, K)
        # Of n runs drawn with replacement: how often each.
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
        total += counts @ above / len(values)
    low, high = np.quantile(total / len(scores), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def probability_of_improvement(first: Scores, second: Scores) -> float:
    """P(a run of the first scores higher than one of the second), mean over environments (Agarwal et al. 2021, §4.3).

    In each environment the Mann–Whitney statistic U/(n·m), ties counted half.
    """
    return float(np.mean([_above(first[env][None], second[env][None])[0] for env in first])) if _same(first, second) else math.nan


def probability_interval(
    first: Scores, second: Scores, level: float = LEVEL, rng: np.random.Generator | None = None, resamples: int = RESAMPLES
) -> Interval:
    """The interval of :func:`probability_of_improvement`, both sides resampled within each environment."""
    if not _same(first, second):
        return Interval()
    count = len(first)

    def statistic(strata: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(np.mean([_above(a, b) for a, b in zip(strata[:count], strata[count:], strict=True)], axis=0))

    strata = [first[env] for env in first] + [second[env] for env in first]
    return stratified_interval(statistic, strata, level, rng, resamples)


def ranks(means: Mapping[str, float]) -> dict[str, float]:
    """Rank of each setting in one environment, 1 = highest mean; equal means share the mean of their ranks."""
    labels = [label for label, value in means.items() if math.isfinite(value)]
    placed = stats.rankdata([-means[label] for label in labels], method="average") if labels else []
    return {label: float(place) for label, place in zip(labels, placed, strict=True)}


def _above(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, n) against (R, m): share of pairs in which the first is higher, ties half; (R,)."""
    difference = a[:, :, None] - b[:, None, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2)))


def _pooled(scores: Scores) -> NDArray[np.float64]:
    return np.concatenate([*scores.values()]) if scores else np.empty(0)


def _complete(scores: Scores) -> bool:
    return bool(scores) and all(len(values) for values in scores.values())


def _same(first: Scores, second: Scores) -> bool:
    return first.keys() == second.keys() and _complete(first) and _complete(second)
