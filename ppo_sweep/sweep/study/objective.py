"""What a trial is worth: a statistic of the scores of its seeds, and of its environments."""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ppo_sweep import config

#: Least seeds of each statistic. An interquartile mean of fewer than 4 would be a mean.
STATISTICS: Mapping[str, int] = {"mean": 1, "iqm": 4, "mean_minus_std": 2, "std": 2, "min": 1}


@dataclass(frozen=True)
class Objective:
    """One number to optimise.

    Attributes:
        statistic: out of :data:`STATISTICS`, over the seeds of a trial.
        score: which ``score=`` of a run it is taken of; None = the run's own.
        maximize: or minimise.
        std_weight: of ``mean_minus_std``.
    """

    statistic: str
    score: str | None = None
    maximize: bool = True
    std_weight: float = 1.0

    @classmethod
    def of(cls, metric: str, direction: str, std_weight: float = 1.0) -> Objective:
        """From an entry of ``sweep.metric`` (``mean``, ``auc.mean``) and of ``sweep.direction``."""
        score, _, statistic = metric.rpartition(".")
        return cls(statistic, score or None, direction == "maximize", std_weight)

    @property
    def least_seeds(self) -> int:
        """Seeds that the statistic needs."""
        return STATISTICS[self.statistic]

    def value(self, scores: Sequence[float]) -> float:
        """The statistic of scores, one per seed.

        ``iqm`` is the interquartile mean (Agarwal et al. 2021, arXiv 2108.13264); ``std`` has ddof = 1; ``mean_minus_std`` of scores that
        are minimised is their mean plus it: spread is bad both ways.

        Raises:
            ValueError: fewer scores than it needs.
        """
        if len(scores) < self.least_seeds:
            raise ValueError(f"{self.statistic} of {len(scores)} scores is not defined")
        if self.statistic == "mean_minus_std":
            spread = self.std_weight * statistics.stdev(scores)
            return statistics.fmean(scores) - (spread if self.maximize else -spread)
        return _VALUES[self.statistic](scores)

    def over_environments(self, scores: Mapping[str, Sequence[float]]) -> float:
        """The mean over environments of the statistic of (normalised) scores."""
        return statistics.fmean(self.value(values) for values in scores.values())

    def worse_score(self, one: float, other: float) -> float:
        """The worse score of two runs: the higher one where scores are costs, that is where a statistic of their height is minimised."""
        return max(one, other) if not self.maximize and self.statistic != "std" else min(one, other)

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is strictly better."""
        return one > other if self.maximize else one < other


def check(metric: object) -> str:
    """One entry of ``sweep.metric``, as it is.

    Raises:
        ValueError: with what would be one.
    """
    scores = next(knob.choices for name, knob, _ in config.knobs() if name == "score")
    text = str(metric)
    score, dot, statistic = text.rpartition(".")
    if isinstance(metric, str) and statistic in STATISTICS and (score in scores if dot else True):
        return metric
    names = [*STATISTICS, *(f"{name}.{statistic}" for name in scores for statistic in STATISTICS)]
    near = difflib.get_close_matches(text.lower(), names, n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{metric!r} is not one of {' | '.join(STATISTICS)}, nor one of those of another score (auc.mean){hint}")


def normalised(score: float, random: float, reference: float) -> float:
    """(x − random) / (reference − random), never clipped (docs/numbers.md §2)."""
    return (score - random) / (reference - random)


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the ⌊n/4⌋ lowest and highest, as the report's (``report.environments.iqm``), which needs SciPy: no command waits for
    that here."""
    ordered, cut = sorted(values), len(values) // 4
    return statistics.fmean(ordered[cut : len(ordered) - cut])


_VALUES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "iqm": interquartile_mean,
    "std": statistics.stdev,
    "min": min,
}
