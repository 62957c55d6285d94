"""Intervals of means and of differences over seeds (docs/numbers.md §2)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ppo_sweep import randomness

LEVEL = 0.95

#: Below this no interval is given; from :data:`BOOTSTRAP_SEEDS` on it is a bootstrap instead of Student's t.
LEAST_SEEDS = 3
BOOTSTRAP_SEEDS = 10

_RESAMPLES = 9999


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % interval.

    Attributes:
        mean: of the scores, or of the differences.
        low, high: None where there are too few.
        seeds: how many.
        method: ``t``, ``BCa``, ``Welch`` or ``none``.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    method: str

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.4g} ({self.seeds} seed{'s' * (self.seeds != 1)}, too few for an interval)"
        indicative = ", interval only indicative" if self.seeds < BOOTSTRAP_SEEDS else ""
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] ({self.seeds} seeds{indicative})"


def mean(values: Sequence[float], seed: int = 0) -> Mean:
    """The mean with its interval: Student's t for fewer than 10 values, BCa bootstrap from 10 on, none for fewer than 3.

    Args:
        seed: of the bootstrap.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    centre, n = statistics.fmean(values), len(values)
    if n < LEAST_SEEDS:
        return Mean(centre, None, None, n, "none")
    if len(set(values)) == 1:
        return Mean(centre, centre, centre, n, "t")
    if n < BOOTSTRAP_SEEDS:
        half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
        return Mean(centre, centre - half, centre + half, n, "t")
    drawn = stats.bootstrap(
        (np.asarray(values, float),),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=_RESAMPLES,
        method="BCa",
        random_state=randomness.generator(seed, "bootstrap"),
    )
    return Mean(centre, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high), n, "BCa")


def paired(one: Mapping[int, float], other: Mapping[int, float], seed: int = 0) -> Mean:
    """The mean of the differences ``one − other``, seed by seed, over the seeds of both.

    Raises:
        ValueError: no seed in common.
    """
    return mean([one[number] - other[number] for number in one if number in other], seed)


def welch(one: Sequence[float], other: Sequence[float]) -> Mean:
    """The difference of two means with Welch's interval; none with fewer than 3 values on a side.

    Raises:
        ValueError: no values.
    """
    if not one or not other:
        raise ValueError("the mean of no values")
    difference, n = statistics.fmean(one) - statistics.fmean(other), min(len(one), len(other))
    if n < LEAST_SEEDS:
        return Mean(difference, None, None, n, "none")
    parts = [statistics.variance(values) / len(values) for values in (one, other)]
    if sum(parts) == 0:
        return Mean(difference, difference, difference, n, "Welch")
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(sum(parts))
    return Mean(difference, difference - half, difference + half, n, "Welch")
