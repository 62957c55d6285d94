"""Which knobs matter: PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), as Optuna computes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from ppo_sweep.report.study.searched import Search, Trial

#: Below so many complete trials the leading tenth is of three or fewer.
ENOUGH = 40
#: Fewer say nothing at all.
LEAST = 3


@dataclass(frozen=True)
class Importance:
    """Of one objective.

    Attributes:
        shares: label → share, summing to 1, the largest first; knobs that could not be assessed are missing.
        trials: complete trials that it is made of.
    """

    shares: Mapping[str, float]
    trials: int

    @property
    def warning(self) -> str:
        """A sentence where there are few trials."""
        if self.trials >= ENOUGH:
            return ""
        return f"Only {self.trials} complete trials: below {ENOUGH} these shares are mostly chance."


def importance(search: Search, objective: int = 0) -> Importance | None:
    """How much of being among the leading tenth of complete trials each knob explains; None below three trials or where all are equal.

    A default configuration that is outside the space is left out, and so are trials that repeat others.
    """
    trials = [trial for trial in search.complete if not trial.outside and trial.result.same_as is None]
    if len(trials) < LEAST:
        return None
    sign = -1.0 if search.objectives[objective].maximize else 1.0  # the evaluator takes the low values
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study()
            study.add_trials([_frozen(search, trial, sign * trial.value(objective)) for trial in trials])
            shares = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError, ZeroDivisionError):  # no knob that all complete trials share
        return None
    finally:
        optuna.logging.set_verbosity(level)
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return Importance(ordered, len(trials)) if sum(ordered.values()) > 0 else None


def _frozen(search: Search, trial: Trial, value: float) -> FrozenTrial:
    distributions = {knob.label: knob.domain.distribution() for knob in search.knobs if knob.label in trial.params}
    return create_trial(value=value, params={label: trial.params[label] for label in distributions}, distributions=distributions)


def most_important(search: Search, count: int) -> list[str]:
    """Labels of the leading knobs; in the order of the space where importance cannot be said."""
    found = importance(search)
    ordered = [*(found.shares if found is not None else {}), *(knob.label for knob in search.knobs)]
    return list(dict.fromkeys(ordered))[:count]
