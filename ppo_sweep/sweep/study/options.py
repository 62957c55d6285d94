"""The options of a study: ``sweep.*``, checked as a whole."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.sweep.options import option
from ppo_sweep.sweep.study import objective
from ppo_sweep.sweep.study.kept import CONFIRM_FROM, REPORT_FROM

#: Name → what it is, in the order of the documentation.
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2")
PRUNERS = ("median", "asha", "hyperband", "percentile", "wilcoxon", "none")
DIRECTIONS = ("maximize", "minimize")

#: Samplers that handle several objectives.
_PARETO_SAMPLERS = ("tpe", "gp", "qmc", "random", "grid", "nsga2")

#: A signed-rank test of fewer pairs cannot reach p < 0.1 (its smallest one-sided p is 2⁻ⁿ).
WILCOXON_SEEDS = 4


@dataclass(frozen=True)
class StudyOptions:
    """What ``sweep.*`` holds beside the search space; None is null on the command line, and a tuple a list."""

    sampler: str = option("tpe", f"what proposes configurations: {', '.join(SAMPLERS)}; chosen by sweep=NAME")
    n_trials: int = option(60, "trials of the study in all, trial 0 (the default configuration) included")
    seeds: int = option(3, "S: every trial is trained under the seeds 0 … S − 1")
    metric: tuple[str, ...] = option(
        ("mean",), f"what a trial is worth, of its seeds' scores: {', '.join(objective.STATISTICS)}; of another score: auc.mean; or a list"
    )
    std_weight: float = option(1.0, "of mean_minus_std")
    direction: tuple[str, ...] = option(("maximize",), "or minimize; one per objective")
    pruner: str = option("median", f"which trials are stopped at a rung: {', '.join(PRUNERS)}")
    rungs: int | tuple[float, ...] | None = option(
        None, "where trials are compared: a number of rungs, or shares of the budget (below 1), or environment steps; null = by the pruner"
    )
    prune_audit: float = option(0.1, "share of the trials that is never pruned, at random, to see what pruning costs")
    confirm_top: int = option(8, "configurations that are confirmed at most, beside the default one; 0 = none")
    confirm_seeds: int = option(5, f"seeds that choose the winner: {CONFIRM_FROM} …")
    report_seeds: int = option(10, f"seeds that give the numbers to quote: {REPORT_FROM} …")
    timeout: float | None = option(None, "seconds after which no trial is begun")
    max_env_steps: int | None = option(None, "environment steps after which no trial is begun")
    storage: str | None = option(None, "URL of a database, which several processes may share; null = a journal in the study's directory")
    env: tuple[str, ...] = option((), "choices of env that every configuration is tried on, by normalised score; none = the one of env=")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> StudyOptions:
        """The options in ``given`` (the composed ``sweep.*``; its ``space`` is for :class:`~ppo_sweep.sweep.study.space.Space`).

        Raises:
            ConfigError: with every fault.
        """
        faults: list[Fault] = []
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name == "space":
                continue
            if name not in _CHECKS:
                faults.append(_unknown(str(name)))
                continue
            try:
                values[name] = _CHECKS[name](value)
            except ValueError as error:
                faults.append(Fault(f"sweep.{name}", str(error)))
        options = cls(**values)
        right = cls.__dataclass_fields__.keys() - {fault.key.removeprefix("sweep.") for fault in faults}
        faults += options._combination_faults(right)
        if faults:
            raise ConfigError(faults)
        return options

    @property
    def objectives(self) -> tuple[objective.Objective, ...]:
        """What is optimised: one, or several for a Pareto set."""
        return tuple(
            objective.Objective.of(metric, direction, self.std_weight)
            for metric, direction in zip(self.metric, self.direction, strict=True)
        )

    @property
    def tuning_seeds(self) -> range:
        """Seeds of every trial."""
        return range(self.seeds)

    @property
    def confirmation_seeds(self) -> range:
        """Seeds that choose the winner; nothing else uses them."""
        return range(CONFIRM_FROM, CONFIRM_FROM + self.confirm_seeds)

    @property
    def reporting_seeds(self) -> range:
        """Seeds that give the numbers to quote; nothing else uses them."""
        return range(REPORT_FROM, REPORT_FROM + self.report_seeds)

    def _combination_faults(self, right: Set[str]) -> Iterator[Fault]:
        """Options that are each fine but do not go together.

        Args:
            right: those that are fine by themselves; of the others nothing is concluded.
        """
        paired = len(self.metric) == len(self.direction)
        if {"metric", "direction"} <= right and not paired:
            yield Fault(
                "sweep.direction",
                f"{len(self.metric)} objectives need as many directions, not {len(self.direction)}; for example "
                f"sweep.direction=[{','.join(['maximize', *['minimize'] * (len(self.metric) - 1)])}]",
            )
        if {"metric", "seeds"} <= right:
            for metric in self.metric:
                made = objective.Objective.of(metric, DIRECTIONS[0])
                if self.seeds < made.least_seeds:
                    yield Fault(
                        "sweep.metric",
                        f"{made.statistic} of sweep.seeds={self.seeds} is not defined; use sweep.seeds={made.least_seeds} or more, "
                        "or sweep.metric=mean",
                    )
        if "metric" in right and objective.Objective.of(self.metric[0], DIRECTIONS[0]).statistic == "std":
            yield Fault(
                "sweep.metric",
                f"{self.metric[0]} says how far scores spread, not how good they are, and the first objective chooses what is confirmed; "
                "for example sweep.metric=[mean,std] sweep.direction=[maximize,minimize]",
            )
        several = "metric" in right and len(self.metric) > 1
        if several and "pruner" in right and self.pruner != "none":
            yield Fault(
                "sweep.pruner", f"{self.pruner} compares one number, but there are {len(self.metric)} objectives; use sweep.pruner=none"
            )
        if several and "sampler" in right and self.sampler not in _PARETO_SAMPLERS:
            yield Fault(
                "sweep.sampler",
                f"{self.sampler} optimises one objective, not {len(self.metric)}; use sweep.sampler=nsga2 or sweep.sampler=tpe",
            )
        if {"pruner", "seeds"} <= right and self.pruner == "wilcoxon" and self.seeds < WILCOXON_SEEDS:
            yield Fault(
                "sweep.pruner",
                f"wilcoxon compares seeds pair by pair and needs at least {WILCOXON_SEEDS} of them: with sweep.seeds={self.seeds} its "
                f"smallest p is {0.5**self.seeds:g}; use sweep.seeds={WILCOXON_SEEDS} or more, or sweep.pruner=median",
            )
        if {"pruner", "env"} <= right and self.pruner == "wilcoxon" and len(self.env) > 1:
            yield Fault(
                "sweep.pruner",
                f"wilcoxon ranks differences of raw scores, which {' and '.join(self.env)} have on different scales; use median",
            )
        if {"pruner", "rungs"} <= right and self.pruner == "none" and self.rungs is not None:
            yield Fault("sweep.rungs", "nothing is pruned with sweep.pruner=none; leave it out")


def sampler_seed(seeds: object) -> int:
    """The one ``seed=`` of a study, which seeds its sampler.

    Args:
        seeds: what ``seed=`` holds: a number, or a sequence of what it was swept over.

    Raises:
        ConfigError: if there are several.
    """
    values = list(seeds) if isinstance(seeds, (list, tuple, range)) else [seeds]
    if len(values) == 1 and isinstance(values[0], int) and not isinstance(values[0], bool) and values[0] >= 0:
        return values[0]
    shown = ",".join(map(str, values))
    how_many = f"sweep.seeds={len(values)}" if len(values) > 1 else "sweep.seeds"
    raise ConfigError(
        [Fault("seed", f"{shown}: one seed, a whole number, seeds the study's sampler; how many each trial gets is {how_many}")]
    )


def seed_warnings(seeds: Iterable[int]) -> list[str]:
    """What is unwise about runs' own ``seed=``: those of a study's last two stages choose and report nothing any more once tuned on."""
    given, found = sorted(set(seeds)), []
    for start, use in ((CONFIRM_FROM, "confirm"), (REPORT_FROM, "report")):
        own = [seed for seed in given if start <= seed < start + 1000]
        if own:
            which = f"seed={own[0]} is one" if len(own) == 1 else f"seed={own[0]} and {len(own) - 1} more are"
            found.append(f"{which} of those that studies {use} configurations with ({start} …): choose knobs on other seeds, 0 … 19")
    return found


def _unknown(name: str) -> Fault:
    near = difflib.get_close_matches(name, _CHECKS, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(f'sweep.{other}' for other in near)}?" if near else f"there are {', '.join(_CHECKS)}"
    return Fault(f"sweep.{name}", f"no such option of a study; {hint}")


def _name(names: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value in names and isinstance(value, str):
            return value
        near = difflib.get_close_matches(str(value).lower(), names, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"{_shown(value)} is not one of {' | '.join(names)}{hint}")

    return check


def _number(example: float, *, low: float, high: float = math.inf, whole: bool = False, nullable: bool = False) -> Callable[[Any], Any]:
    kind = "a whole number" if whole else "a number"
    allowed = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"

    def check(value: Any) -> Any:
        if value is None and nullable:
            return None
        if isinstance(value, float) and whole and value.is_integer():
            value = int(value)  # 1e6 is a whole number, written as a float
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if good and math.isfinite(value) and low <= value <= high:
            return value
        null = ", or null" if nullable else ""
        raise ValueError(f"{_shown(value)} is not {kind} {allowed}{null}; for example {example}")

    return check


def _several(check: Callable[[Any], str], example: str) -> Callable[[Any], tuple[str, ...]]:
    """One, or a list of different ones."""

    def checked(value: Any) -> tuple[str, ...]:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if not items:
            raise ValueError(f"the list is empty; for example {example}")
        return tuple(check(item) for item in items)

    return checked


def _metric(value: Any) -> tuple[str, ...]:
    names = _several(objective.check, "mean")(value)
    if len(set(names)) != len(names):
        raise ValueError(f"{','.join(names)} names one objective twice; keep one")
    return names


def _direction(value: Any) -> str:
    # Both spellings, because both are typed.
    return _name(DIRECTIONS)(value.replace("mise", "mize") if isinstance(value, str) else value)


def _environments(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{_shown(value)} is not a list of choices of env; for example [hopper,walker2d]")
    if len(set(names)) != len(names):
        raise ValueError(f"{_shown(value)} names an environment twice; keep one")
    return tuple(names)


def _rungs(value: Any) -> int | tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        checked = [_number(0.2, low=0)(item) for item in value]
        if not checked or 0 in checked or any(a >= b for a, b in pairwise(checked)):
            raise ValueError(f"{_shown(value)} is not a rising list of places; for example [0.25,0.5,0.75], or [100000,200000]")
        if any(item < 1 for item in checked) and any(item >= 1 for item in checked):
            raise ValueError(f"{_shown(value)} mixes shares of the budget (below 1) with environment steps; use one of them")
        return tuple(checked)
    return int(_number(4, low=1, high=100, whole=True, nullable=True)(value))


def _storage(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and "://" in value and not value.startswith(("journal", "redis")):
        return value
    raise ValueError(
        f"{_shown(value)} is not the URL of a database, or null for a journal in the study's directory; for example "
        "postgresql://user:password@host/optuna"
    )


#: Option → what checks it and returns it in its own type.
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "sampler": _name(SAMPLERS),
    "pruner": _name(PRUNERS),
    "n_trials": _number(60, low=1, high=100_000, whole=True),
    "seeds": _number(3, low=1, high=CONFIRM_FROM, whole=True),
    "confirm_top": _number(8, low=0, high=8, whole=True),
    "confirm_seeds": _number(5, low=1, high=REPORT_FROM - CONFIRM_FROM, whole=True),
    "report_seeds": _number(10, low=1, high=1000, whole=True),
    "metric": _metric,
    "std_weight": _number(1, low=0),
    "direction": _several(_direction, "maximize"),
    "rungs": _rungs,
    "prune_audit": _number(0.1, low=0, high=1),
    "timeout": _number(3600, low=1, nullable=True),
    "max_env_steps": _number(10_000_000, low=1, whole=True, nullable=True),
    "storage": _storage,
    "env": _environments,
}
assert set(_CHECKS) == {field.name for field in fields(StudyOptions)}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
