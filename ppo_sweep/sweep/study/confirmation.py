"""After the search: which configurations are tried on fresh seeds, which of them wins, and what may be said of it.

The best of many noisy means is too good: it was chosen for its luck as well. So what the search found is run again on
seeds that it never saw; these choose the winner, and a third set of seeds gives the numbers (docs/studies.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ppo_sweep.sweep.study import intervals
from ppo_sweep.sweep.study.intervals import Mean
from ppo_sweep.sweep.study.objective import Objective

COMPLETE, PRUNED, FAIL = "COMPLETE", "PRUNED", "FAIL"

#: The default configuration among the confirmed ones.
DEFAULT = "default"

#: What report seeds say of the winner against the default configuration.
BETTER, WORSE, OPEN, TOO_FEW = "better", "worse", "not separated", "too few seeds"


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended.

    Attributes:
        number: 0 is the default configuration.
        state: COMPLETE, PRUNED or FAIL.
        values: one per objective; where it was pruned, what it was worth there; None if it failed.
        scores: of its seeds (means over environments, normalised, if there are several); a diverged one as what it counts.
        overrides: full key → value of the searched knobs.
        env_steps: that all its seeds took together.
        diverged: how many of its runs diverged.
        reason: why it was pruned or failed.
        same_as: the earlier trial of the same configuration, of which it has all this; None if its runs were trained.
    """

    number: int
    state: str
    values: tuple[float, ...] | None
    scores: tuple[float, ...]
    overrides: Mapping[str, Any]
    env_steps: int
    diverged: int = 0
    reason: str | None = None
    same_as: int | None = None

    @property
    def own_std(self) -> float | None:
        """Standard deviation over its seeds (ddof = 1); None with one seed, or where it repeats another trial."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 and self.same_as is None else None


def pooled_standard_error(results: Sequence[TrialResult]) -> float | None:
    """Standard error of a trial's mean, from the spread of seeds within all complete trials; None with one seed each."""
    squares, freedom, seeds = 0.0, 0, 0
    for result in results:
        if result.state == COMPLETE and len(result.scores) > 1 and result.same_as is None:
            squares += statistics.variance(result.scores) * (len(result.scores) - 1)
            freedom += len(result.scores) - 1
            seeds = max(seeds, len(result.scores))
    return math.sqrt(squares / freedom / seeds) if freedom else None


def candidates(
    results: Sequence[TrialResult],
    objectives: Sequence[Objective],
    limit: int,
    configuration: Callable[[Mapping[str, Any]], Hashable],
) -> tuple[int, ...]:
    """The trials to confirm, best first; trial 0 is not among them, because the default is confirmed in any case.

    With one objective: those within one pooled standard error of the best value (with one seed per trial: the best ones).
    With several: the Pareto set, best first by the first objective. Equal configurations count once, and not at all if
    they are equal to the default one.

    Args:
        limit: at most so many.
        configuration: overrides → what is equal for those that amount to one configuration.
    """
    complete = [result for result in results if result.state == COMPLETE and result.values is not None]
    if not complete:
        return ()
    if len(objectives) > 1:
        chosen = _ranked(pareto(complete, objectives), objectives[0])  # which the limit cuts from its end
    else:
        ranked = _ranked(complete, objectives[0])
        error = pooled_standard_error(results)
        near = math.inf if error is None else error
        chosen = [result for result in ranked if abs(_first(ranked[0]) - _first(result)) <= near]
    different: dict[Hashable, int] = {configuration({}): 0}
    for result in chosen:
        different.setdefault(configuration(result.overrides), result.number)
    return tuple(number for number in different.values() if number != 0)[:limit]


def best(results: Sequence[TrialResult], objective: Objective) -> int:
    """The complete trial with the best first value; of equal ones the first.

    Raises:
        IndexError: no trial is complete.
    """
    return _ranked([result for result in results if result.state == COMPLETE and result.values is not None], objective)[0].number


def _ranked(complete: Sequence[TrialResult], objective: Objective) -> list[TrialResult]:
    sign = 1.0 if objective.maximize else -1.0
    return sorted(complete, key=lambda result: (-sign * _first(result), result.number))


def pareto(results: Sequence[TrialResult], objectives: Sequence[Objective]) -> list[TrialResult]:
    """The complete trials that no other one beats in one objective without losing in another, by number."""
    complete = [result for result in results if result.state == COMPLETE and result.values is not None]
    return [one for one in complete if not any(_dominates(other, one, objectives) for other in complete)]


def winner(confirmed: Mapping[str, Mapping[str, Sequence[float]]], objective: Objective) -> str | None:
    """Which configuration is worth most on the confirmation seeds, by the same number as in the search.

    Args:
        confirmed: name (``rank=1``, :data:`DEFAULT`) → environment → scores on one scale, one per seed. Only those with the most
            seeds can win: what failed on a seed must not win by the others.

    Returns:
        A name; of equal ones the default, then the lower rank. None if nothing has the scores that the objective needs.
    """
    seeds = {name: min(map(len, scores.values()), default=0) for name, scores in confirmed.items()}
    enough = max([objective.least_seeds, *seeds.values()])
    values = {name: objective.over_environments(scores) for name, scores in confirmed.items() if seeds[name] >= enough}
    if not values:
        return None
    best = max(values.values()) if objective.maximize else min(values.values())
    return min((name for name, value in values.items() if value == best), key=lambda name: (name != DEFAULT, _rank(name)))


@dataclass(frozen=True)
class Report:
    """What may be quoted of a study.

    Attributes:
        winner: the winner's trial; 0 if it is the default configuration.
        best, default: means on the report seeds.
        difference: winner − default, seed by seed.
        welch: the same without pairing, which stands beside it; the words follow ``difference``.
        selection_bias: the winner's tuning mean − its report mean: by how much it looked better while it was being selected than it
            is (below 0 where less is better); None without its tuning scores.
        control_bias: the same of trial 0, which nobody selected.
        maximize: whether more is better.
    """

    winner: int
    best: Mean
    default: Mean
    difference: Mean
    welch: Mean
    selection_bias: float | None
    control_bias: float | None
    maximize: bool = True

    @property
    def word(self) -> str:
        """Of the winner against the default, by the interval of the paired difference: :data:`BETTER`, :data:`WORSE`, :data:`OPEN` or
        :data:`TOO_FEW`; empty where the default won."""
        if self.winner == 0:
            return ""
        if self.difference.low is None:
            return TOO_FEW
        if not self.difference.excludes_zero:
            return OPEN
        return BETTER if (self.difference.mean > 0) == self.maximize else WORSE

    @property
    def beaten(self) -> bool:
        """Whether the default configuration is beaten."""
        return self.word == BETTER

    def lines(self) -> list[str]:
        """The report in sentences, the verdict first: for the terminal, ``best.yaml`` and the page."""
        if self.winner == 0:
            return [
                "The default configuration leads on the confirmation seeds: nothing that was tried beats it there.",
                f"On report seeds: {self.default}.",
            ]
        name = f"Trial {self.winner}"
        first = {
            BETTER: f"{name} is better than the default configuration: on the report seeds the interval of their difference excludes 0.",
            WORSE: f"{name} led on the confirmation seeds and is worse than the default configuration on the report seeds.",
            OPEN: f"{name} led on the confirmation seeds and is not separated from the default configuration on the report seeds: the "
            "interval of their difference holds 0, and the study does not show that it beats it.",
            TOO_FEW: f"{name} led on the confirmation seeds; there are too few report seeds to say how sure that is.",
        }[self.word]
        lines = [
            first,
            f"On report seeds: {name.lower()} {self.best}; the default {self.default}; difference, seed by seed, {self.difference}; "
            f"without pairing (Welch), {self.welch}.",
        ]
        if self.selection_bias is not None and self.control_bias is not None:
            lines.append(
                f"Selection bias (tuning mean − report mean): {self.selection_bias:.4g} for {name.lower()}, which was selected by its "
                f"tuning mean; {self.control_bias:.4g} for the default, which nobody selected."
            )
        return lines


def report(
    trial: int,
    best: Mapping[int, float],
    default: Mapping[int, float],
    results: Sequence[TrialResult],
    objective: Objective,
    seed: int = 0,
) -> Report:
    """Compare the winner with the default configuration on the report seeds.

    Args:
        trial: the winner; 0 if that is the default.
        best, default: report seed → score.
        results: of the search, for the selection bias.
        seed: of the bootstrap.

    Raises:
        ValueError: one of them has no scores.
    """
    of_best, of_default = intervals.mean(list(best.values()), seed), intervals.mean(list(default.values()), seed)
    tuning = {result.number: statistics.fmean(result.scores) for result in results if result.scores and result.state == COMPLETE}
    return Report(
        winner=trial,
        best=of_best,
        default=of_default,
        difference=intervals.paired(best, default, seed),
        welch=intervals.welch(list(best.values()), list(default.values())),
        selection_bias=tuning[trial] - of_best.mean if trial in tuning else None,
        control_bias=tuning[0] - of_default.mean if 0 in tuning else None,
        maximize=objective.maximize,
    )


def _first(result: TrialResult) -> float:
    assert result.values is not None
    return result.values[0]


def _dominates(one: TrialResult, other: TrialResult, objectives: Sequence[Objective]) -> bool:
    assert one.values is not None and other.values is not None
    pairs = list(zip(objectives, one.values, other.values, strict=True))
    return any(objective.better(a, b) for objective, a, b in pairs) and not any(objective.better(b, a) for objective, a, b in pairs)


def _rank(name: str) -> int:
    return int(name.partition("=")[2] or 0)
