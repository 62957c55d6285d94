"""Means of scores over seeds and their differences as a study tells them: each with its interval, in words (docs/numbers.md §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppo_sweep import randomness, statistics


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, or a difference of two, with its 95 % interval.

    Attributes:
        mean: of the scores, or the difference.
        low, high: None where there are too few.
        seeds: how many; of two sides, the smaller one's.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.4g} ({self.seeds} seed{'s' * (self.seeds != 1)}, too few for an interval)"
        indicative = ", interval only indicative" if self.seeds < statistics.ENOUGH else ""
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] ({self.seeds} seeds{indicative})"


def mean(values: Sequence[float], seed: int = 0) -> Mean:
    """The mean with its interval (:func:`ppo_sweep.statistics.mean_interval`).

    Args:
        seed: of the bootstrap.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    found = statistics.mean_interval(values, rng=_bootstrap(seed))
    return _mean(float(np.mean(values)), found, len(values))


def paired(one: Mapping[int, float], other: Mapping[int, float], seed: int = 0) -> Mean:
    """The mean of the differences ``one − other`` over the seeds of both (:func:`ppo_sweep.statistics.paired`).

    Raises:
        ValueError: no seed in common.
    """
    found = statistics.paired(one, other, rng=_bootstrap(seed))
    if not found.n:
        raise ValueError("no seed in common")
    return _mean(found.value, found, found.n)


def welch(one: Sequence[float], other: Sequence[float]) -> Mean:
    """The difference of two means without pairing (:func:`ppo_sweep.statistics.welch`).

    Raises:
        ValueError: no values.
    """
    if not one or not other:
        raise ValueError("the mean of no values")
    found = statistics.welch(one, other)
    return _mean(found.value, found, found.n)


def _bootstrap(seed: int) -> np.random.Generator:
    return randomness.generator(seed, "bootstrap")


def _mean(value: float, interval: statistics.Interval | statistics.Difference, seeds: int) -> Mean:
    enough = seeds >= statistics.SMALLEST
    return Mean(value, interval.low if enough else None, interval.high if enough else None, seeds)
