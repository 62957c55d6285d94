"""Intervals, differences and Holm's correction, on plain arrays (docs/numbers.md §2).

Which interval is used when is written here once, for studies and reports: Student's t below ten values, the BCa bootstrap
from ten on, none below three. A percentile bootstrap covers 73 % at n = 3 and 90 % at n = 10 where it says 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

#: Coverage of every interval.
LEVEL = 0.95
#: Fewest values that an interval is given for.
SMALLEST = 3
#: From here on the BCa bootstrap; below, an interval is only indicative.
ENOUGH = 10
#: Resamples of a bootstrap.
RESAMPLES = 9_999
#: Every bootstrap of a report starts here, so that the same runs give the same page.
SEED = 20_240_201


@dataclass(frozen=True)
class Interval:
    """An interval of a mean or of a difference of means.

    Attributes:
        low, high: its ends; NaN where there is none.
        method: ``t``, ``BCa``, or empty where there is none.
    """

    low: float = math.nan
    high: float = math.nan
    method: str = ""


def mean_interval(values: ArrayLike, level: float = LEVEL, rng: np.random.Generator | None = None) -> Interval:
    """The interval of a mean: Student's t for n < 10, BCa bootstrap from n = 10, none for n < 3.

    Args:
        values: (n,).
        rng: of the bootstrap; the report's own by default.
    """
    low, high, method = mean_intervals(np.asarray(values, float)[:, None], level, rng)
    return Interval(float(low[0]), float(high[0]), method)


def mean_intervals(
    values: NDArray[np.float64], level: float = LEVEL, rng: np.random.Generator | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """:func:`mean_interval` of every column.

    Args:
        values: (n, M), M independent questions of the same n runs.

    Returns:
        Lower ends (M,), upper ends (M,), the method.
    """
    n = len(values)
    if n < SMALLEST:
        return np.full(values.shape[1], math.nan), np.full(values.shape[1], math.nan), ""
    if n < ENOUGH:
        return *t_interval(values, level), "t"
    return *bca_interval(values, level, rng), "BCa"


def t_interval(values: NDArray[np.float64], level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Student 1908: x̄ ± t_{n−1} s/√n, along the first axis.

    Args:
        values: (n, M).

    Returns:
        Both ends, (M,).
    """
    n = len(values)
    half = stats.t.ppf((1 + level) / 2, n - 1) * values.std(axis=0, ddof=1) / math.sqrt(n)
    mean = values.mean(axis=0)
    return mean - half, mean + half


def bca_interval(
    values: NDArray[np.float64], level: float = LEVEL, rng: np.random.Generator | None = None, resamples: int = RESAMPLES
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bias-corrected and accelerated bootstrap of the mean (Efron 1987, JASA 82:171, eq. 2.3 and 7.3).

    As ``scipy.stats.bootstrap(method="BCa")``, for many columns at once: a resample is a row of counts, so
    that all resampled means are one matrix product.

    Args:
        values: (n, M).

    Returns:
        Both ends, (M,); a column without spread has both at its value.
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    n, mean = len(values), values.mean(axis=0)
    chosen = rng.integers(0, n, (resamples, n))
    counts = np.zeros((resamples, n))
    np.add.at(counts, (np.arange(resamples)[:, None], chosen), 1)
    means = np.sort(counts @ values / n, axis=0)  # (R, M)
    # Summed in another order, equal means differ in their last bits: they count as ties.
    slack = 1e-12 * np.abs(values).max(axis=0)
    below = ((means < mean - slack).sum(axis=0) + (means <= mean + slack).sum(axis=0)) / (2 * resamples)
    centred = values - mean
    spread = (centred**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of the mean, the jackknife's differences are (x − x̄)/(n − 1).
        acceleration = (centred**3).sum(axis=0) / (6 * spread**1.5)
        bias = stats.norm.ppf(below)
        ends = []
        for z in stats.norm.ppf([(1 - level) / 2, (1 + level) / 2]):
            share = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
            ends.append(_percentiles(means, share))
    flat = spread <= n * slack**2
    return np.where(flat, mean, ends[0]), np.where(flat, mean, ends[1])


def _percentiles(ordered: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share-th quantile of each sorted column, linear between neighbours (numpy's default)."""
    place = np.nan_to_num(share, nan=0.5) * (len(ordered) - 1)
    under = np.floor(place).astype(int)
    over = np.minimum(under + 1, len(ordered) - 1)
    columns = np.arange(ordered.shape[1])
    low, high = ordered[under, columns], ordered[over, columns]
    return np.asarray(low + (place - under) * (high - low))


@dataclass(frozen=True)
class Difference:
    """A difference of two means.

    Attributes:
        value: first minus second; NaN if one of them is empty.
        low, high: its interval; NaN below three values on a side.
        p: two-sided; NaN below three values on a side, and of pairs.
        df: degrees of freedom; NaN as p.
        error: its standard error; NaN as p.
        n: values (pairs) that it is made of; of two sides, the smaller one's.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    df: float = math.nan
    error: float = math.nan
    n: int = 0

    def at(self, level: float) -> Interval:
        """The interval of another coverage."""
        if not math.isfinite(self.error):
            return Interval()
        half = stats.t.ppf((1 + level) / 2, self.df) * self.error if self.error > 0 else 0.0
        return Interval(self.value - half, self.value + half, "t")


def welch(first: ArrayLike, second: ArrayLike, level: float = LEVEL) -> Difference:
    """The difference of two means without assuming equal variances (Welch 1947, Biometrika 34:28).

    Degrees of freedom by Satterthwaite: (v₁ + v₂)² / (v₁²/(n₁ − 1) + v₂²/(n₂ − 1)), vᵢ = sᵢ²/nᵢ.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if not len(a) or not len(b):
        return Difference()
    value, n = float(a.mean() - b.mean()), min(len(a), len(b))
    if n < SMALLEST:
        return Difference(value, n=n)
    v1, v2 = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if v1 + v2 == 0:
        return _certain(value, n)
    df = (v1 + v2) ** 2 / (v1**2 / (len(a) - 1) + v2**2 / (len(b) - 1))
    return _difference(value, math.sqrt(v1 + v2), df, n, level)


def paired(
    first: Mapping[int, float], second: Mapping[int, float], level: float = LEVEL, rng: np.random.Generator | None = None
) -> Difference:
    """The mean difference over the seeds that both have, with the interval of a mean (:func:`mean_interval`); no test goes with it.

    Args:
        first, second: seed → score. Equal seeds share little (initial weights and start states), so this
            interval need not be narrower than Welch's.
        rng: of the bootstrap; the report's own by default.
    """
    differences = [first[seed] - second[seed] for seed in sorted(set(first) & set(second))]
    if not differences:
        return Difference()
    interval = mean_interval(differences, level, rng)
    return Difference(float(np.mean(differences)), interval.low, interval.high, n=len(differences))


def _difference(value: float, error: float, df: float, n: int, level: float) -> Difference:
    p = 2 * float(stats.t.sf(abs(value) / error, df))
    plain = Difference(value, p=p, df=float(df), error=error, n=n)
    interval = plain.at(level)
    return Difference(value, interval.low, interval.high, p, float(df), error, n)


def _certain(value: float, n: int) -> Difference:
    """No spread on either side."""
    return Difference(value, value, value, 1.0 if value == 0 else 0.0, math.inf, 0.0, n)


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p values adjusted for their number (Holm 1979, Scand. J. Statist. 6:65): max over j ≤ i of (m − j + 1) p₍ⱼ₎.

    NaN stays NaN and is not counted.
    """
    values = np.asarray(p, float)
    adjusted = np.full(values.shape, math.nan)
    order = [index for index in np.argsort(values) if math.isfinite(values[index])]
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(values[index])))
        adjusted[index] = largest
    return adjusted


def holm_levels(p: Sequence[float], level: float = LEVEL) -> NDArray[np.float64]:
    """The coverage at which each comparison's interval excludes 0 exactly when Holm's procedure rejects it.

    1 − α/(m − i + 1) for the i-th smallest p; from the first that is not rejected on, that one's. (Holm's is a
    procedure of tests: together these intervals do not cover all true differences with 95 %.)
    """
    values, alpha = np.asarray(p, float), 1 - level
    levels = np.full(values.shape, level)
    order = [index for index in np.argsort(values) if math.isfinite(values[index])]
    stopped: float | None = None
    for rank, index in enumerate(order):
        own = alpha / (len(order) - rank)
        share = own if stopped is None else stopped
        if stopped is None and values[index] > own:
            stopped = own
        levels[index] = 1 - share
    return levels


def smallest_rank_p(n: int, m: int) -> float:
    """The smallest two-sided p that a rank test of n against m values can reach: 2 / C(n + m, n) (0.1 for 3 against 3)."""
    return min(1.0, 2 / math.comb(n + m, n))
