"""Steps to a threshold: censored times, and the share of seeds that got there (Kaplan & Meier 1958, JASA 53:457)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ppo_sweep.statistics import LEVEL

#: Returns that enter ``return_100`` at least, before a crossing counts.
FEWEST_EPISODES = 10


@dataclass(frozen=True)
class Reached:
    """The Kaplan–Meier estimate of the share that has reached the threshold.

    Attributes:
        steps: (K,), where at least one reached it, rising.
        share: (K,), 1 − S from each of them on.
        low, high: (K,), its pointwise interval: Greenwood 1926 on the scale log(−log S), which keeps it inside 0 … 1.
        median: the first step at which at least half have reached it; NaN if that never happens.
        n, events: runs, and how many of them reached it.
    """

    steps: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    median: float
    n: int
    events: int


def kaplan_meier(steps: ArrayLike, reached: ArrayLike, level: float = LEVEL) -> Reached:
    """S(t) = Π over tᵢ ≤ t of (1 − dᵢ/nᵢ), as the share 1 − S that has reached the threshold.

    Args:
        steps: (n,), where each run reached the threshold, or how far it was followed without.
        reached: (n,), whether it did. At equal steps those that reached it come first.
    """
    times, events = np.asarray(steps, float), np.asarray(reached, bool)
    at = np.unique(times[events])
    risk = (times[None, :] >= at[:, None]).sum(axis=1)
    deaths = ((times[None, :] == at[:, None]) & events[None, :]).sum(axis=1)
    survival = np.cumprod(1 - deaths / risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (risk * (risk - deaths)))
        half = stats.norm.ppf((1 + level) / 2) * np.sqrt(greenwood) / np.abs(np.log(survival))
        low, high = survival ** np.exp(half), survival ** np.exp(-half)
    crossed = np.flatnonzero(survival <= 0.5 + 1e-12)
    median = float(at[crossed[0]]) if len(crossed) else math.nan
    return Reached(at, 1 - survival, 1 - high, 1 - low, median, len(times), int(events.sum()))


def first_crossing(steps: NDArray[np.float64], returns: NDArray[np.float64], threshold: float) -> tuple[float, bool]:
    """Where a run reaches a threshold for the first time, or how far it was followed without.

    Args:
        steps, returns: (I,), the environment steps and return of each iteration; blank returns are NaN.
    """
    above = np.flatnonzero(returns >= threshold)
    if len(above):
        return float(steps[above[0]]), True
    return (float(steps[-1]) if len(steps) else 0.0), False
