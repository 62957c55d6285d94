"""Whether a study still improves on its best trial, or only moves within the noise of its seeds (docs/studies.md)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: The last trials that are looked at: at least so many, and at least this share of all.
LEAST_TRIALS, SHARE = 20, 4

#: Pooled standard errors by which the best must have been raised.
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class NoImprovement:
    """The best was not raised beyond noise.

    Attributes:
        trials: the last so many, pruned and failed ones included, did not.
        raised: by which they raised it nevertheless, 0 or more, in the objective's unit and in its direction.
        noise: what would have counted: 2 pooled standard errors of a trial's mean.
    """

    trials: int
    raised: float
    noise: float

    def __str__(self) -> str:
        return (
            f"no improvement beyond noise: the last {self.trials} trials raised the best by {self.raised:.4g}, "
            f"and 2 standard errors of a trial are {self.noise:.4g}"
        )


def no_improvement(
    values: Sequence[float | None], stds: Sequence[float | None], n_seeds: int, *, maximize: bool = True
) -> NoImprovement | None:
    """Whether the last max(20, n/4) of n trials have not raised the best by 2 pooled standard errors.

    Args:
        values: what each trial is worth, in order of their numbers; None for one that is not COMPLETE.
        stds: standard deviation over its seeds (ddof = 1), likewise; None also where it has a single seed or repeats another one.
        n_seeds: S, seeds of a trial.
        maximize: or minimise.

    Returns:
        None if they have, or if it cannot be told: no complete trial before the last ones, or one seed each.

    Raises:
        ValueError: not as many standard deviations as values.
    """
    spread = [std for value, std in zip(values, stds, strict=True) if value is not None and std is not None]
    last = max(LEAST_TRIALS, math.ceil(len(values) / SHARE))
    sign = 1.0 if maximize else -1.0
    before = [sign * value for value in values[:-last] if value is not None]
    if not before or not spread:
        return None
    noise = STANDARD_ERRORS * math.sqrt(statistics.fmean(std**2 for std in spread) / n_seeds)
    raised = max([sign * value for value in values if value is not None]) - max(before)
    return NoImprovement(last, raised, noise) if raised < noise or raised == 0 else None
