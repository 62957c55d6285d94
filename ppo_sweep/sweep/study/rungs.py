"""Rungs: the places in a trial's budget where it is compared with others, and pruned if it is behind (docs/studies.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ppo_sweep import randomness
from ppo_sweep.config import Config, ConfigError, Fault

#: Each rung is this many times as far as the one before it, for pruners that halve.
REDUCTION = 2

#: Rungs of the other pruners.
EVENLY = 4

_HALVING = ("asha", "hyperband")


@dataclass(frozen=True)
class Rung:
    """One place in the budget.

    Attributes:
        share: of a run's iterations, 0 … 1.
        steps: of the default configuration, in environment steps; what Optuna and the reports call it by.
    """

    share: float
    steps: int

    def iteration(self, config: Config) -> int:
        """After which iteration of a run it is passed: the first one that is not before it."""
        return max(1, math.ceil(round(self.share * config.iterations, 9)))


@dataclass(frozen=True)
class Rungs:
    """The rungs of a study, first to last; none of them: nothing is pruned.

    Attributes:
        note: what is unusual about them, in words.
    """

    rungs: tuple[Rung, ...] = ()
    note: str | None = None

    def __iter__(self) -> Iterator[Rung]:
        return iter(self.rungs)

    def __len__(self) -> int:
        return len(self.rungs)


@dataclass(frozen=True)
class Budget:
    """What rungs must know of one configuration in its environment; the first one of a study is the default's.

    Attributes:
        config: its configuration.
        horizon: time limit of its environment, in agent steps.
    """

    config: Config
    horizon: int

    @property
    def steps(self) -> int:
        """Environment steps of a whole run."""
        return self.config.iterations * self.config.steps_per_iteration

    @property
    def episodes(self) -> int:
        """N × horizon in environment steps: each environment has ended an episode by then."""
        return self.config.algo.n_envs * self.horizon * self.config.env.action_repeat

    @property
    def first(self) -> float:
        """The least first rung, as a share: max(20 %, 2 × N × horizon, min(100 × horizon, half the budget))."""
        some = min(100 * self.horizon * self.config.env.action_repeat, self.steps / 2)
        return max(0.2 * self.steps, 2 * self.episodes, some) / self.steps

    def reaches_the_end(self, share: float) -> bool:
        """Whether a rung there would be passed only with a run's last iteration."""
        return Rung(share, 0).iteration(self.config) >= self.config.iterations


def place(budgets: Sequence[Budget], pruner: str, requested: int | tuple[float, ...] | None) -> Rungs:
    """The rungs of a study.

    Args:
        budgets: of every different configuration that a trial may have, the default one first.
        pruner: a name.
        requested: ``sweep.rungs``.

    Raises:
        ConfigError: a rung is too early or too late.
    """
    if pruner == "none":
        return Rungs()
    if isinstance(requested, tuple):
        return _stated(budgets, requested)
    first = max(budget.first for budget in budgets)
    if any(budget.reaches_the_end(first) for budget in budgets):
        longest = max(budgets, key=lambda budget: budget.first)
        return Rungs(
            note=f"nothing is pruned: the first comparison would mean something after {_steps(longest, first)} environment steps, "
            f"and a run has {longest.steps}; a longer total_steps allows pruning"
        )
    if pruner in _HALVING:
        count = requested or math.ceil(round(math.log(1 / first, REDUCTION), 9))
        shares = [first * REDUCTION**index for index in range(count)]
    else:
        count = requested or EVENLY
        shares = [first + index * (1 - first) / count for index in range(count)]
    return _made(budgets, [share for share in shares if not any(budget.reaches_the_end(share) for budget in budgets)])


def with_scores(made: Rungs, budgets: Sequence[Budget], score: str | None) -> Rungs:
    """The rungs that a run has a score at: under ``score=eval``, those that an evaluation comes before.

    Args:
        made, budgets: see :func:`place`.
        score: that the objective is taken of; None = that of each configuration.
    """
    evaluated = [budget.config for budget in budgets if (score or budget.config.score) == "eval"]
    kept = tuple(rung for rung in made if all(0 < config.eval.every <= rung.iteration(config) for config in evaluated))
    if len(kept) == len(made):
        return made
    every = f"score=eval, and eval.every={evaluated[0].eval.every} makes no evaluation before"
    if not kept:
        return Rungs(note=f"nothing is pruned: {every} the last rung; eval.every=1 allows it at every one")
    left_out = ", ".join(str(rung.steps) for rung in made if rung not in kept)
    notes = [made.note, f"there is no rung at {left_out} environment steps: {every} it"]
    return Rungs(kept, "; ".join(filter(None, notes)))


def never_pruned(seed: int, number: int, share: float) -> bool:
    """Whether a trial runs to its end whatever its rungs say: trial 0, the control, and the audited ones."""
    return number == 0 or audited(seed, number, share)


def audited(seed: int, number: int, share: float) -> bool:
    """Whether a trial is one of the random ``share`` (``sweep.prune_audit``) that show what pruning costs; trial 0 is none."""
    return number > 0 and bool(randomness.generator(seed, "prune_audit", number).random() < share)


def _stated(budgets: Sequence[Budget], requested: tuple[float, ...]) -> Rungs:
    default = budgets[0]
    shares = [item if item < 1 else item / default.steps for item in requested]
    faults = []
    for item, share in zip(requested, shares, strict=True):
        short = [
            budget for budget in budgets if Rung(share, 0).iteration(budget.config) * budget.config.steps_per_iteration < budget.episodes
        ]
        if short:
            faults.append(
                Fault(
                    "sweep.rungs",
                    f"a rung at {item:g} is shorter than one episode in each environment (N × horizon = {short[0].episodes} environment "
                    f"steps): no score means anything there; begin at {short[0].episodes} or later",
                )
            )
        elif any(budget.reaches_the_end(share) for budget in budgets):
            faults.append(
                Fault(
                    "sweep.rungs", f"a rung at {item:g} is at or behind the end of a run ({default.steps} environment steps); leave it out"
                )
            )
    if faults:
        raise ConfigError(faults)
    early = max(budget.first for budget in budgets)
    note = None
    if shares[0] < early:
        note = (
            f"the first rung is at {_steps(default, shares[0])} environment steps; before {_steps(default, early)} "
            "a comparison says little (docs/studies.md)"
        )
    return _made(budgets, shares, note)


def _made(budgets: Sequence[Budget], shares: Sequence[float], note: str | None = None) -> Rungs:
    """Rungs without those that one iteration of the default configuration passes together."""
    default = budgets[0]
    rungs: dict[int, Rung] = {}
    for share in shares:
        rungs.setdefault(_steps(default, share), Rung(share, _steps(default, share)))
    return Rungs(tuple(rungs.values()), note)


def _steps(budget: Budget, share: float) -> int:
    """Environment steps at the end of the iteration that passes a rung."""
    return Rung(share, 0).iteration(budget.config) * budget.config.steps_per_iteration
