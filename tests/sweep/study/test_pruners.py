"""Which trials are stopped: as Optuna's pruners do, and the same whenever they are asked."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from ppo_sweep.sweep.study.objective import Objective
from ppo_sweep.sweep.study.pruners import KEPT_PERCENT, Course, Judge

MAXIMIZE, MINIMIZE = Objective("mean"), Objective("mean", maximize=False)
RUNGS = 4


def courses(count: int, seed: int, *, complete: float = 1.0) -> list[Course]:
    """Random trials; some are still on their way."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        values = {rung: float(random.normal()) for rung in range(RUNGS)}
        done = random.random() < complete
        reached = values if done else {rung: values[rung] for rung in range(int(random.integers(0, RUNGS)))}
        made.append(Course(number, reached, final=float(random.normal()) if done else None))
    return made


def optuna_study(others: list[Course], trial: Course, direction: str, pruner: optuna.pruners.BasePruner) -> tuple[optuna.Study, int]:
    """The same trials in Optuna, where rung r is step 2^r."""
    storage = optuna.storages.InMemoryStorage()
    wanted = optuna.study.StudyDirection.MAXIMIZE if direction == "maximize" else optuna.study.StudyDirection.MINIMIZE
    storage.create_new_study([wanted], "test")
    study = optuna.Study("test", storage, pruner=pruner)
    for course in [*others, trial]:
        state = TrialState.RUNNING if course.final is None else TrialState.COMPLETE
        steps = {2**rung: value for rung, value in course.values.items()}
        study.add_trial(create_trial(state=state, value=course.final, intermediate_values=steps))
    return study, len(others)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(("name", "percentile"), [("median", 50.0), ("percentile", KEPT_PERCENT)])
def test_median_and_percentile_judge_as_optuna_s(name: str, percentile: float, direction: str) -> None:
    judge = Judge(name, MAXIMIZE if direction == "maximize" else MINIMIZE, 0, RUNGS)
    verdicts = []
    for seed in range(60):
        *others, last = courses(4 + seed % 12, seed, complete=0.8)
        trial = Course(last.number, {rung: last.values.get(rung, 0.1 * rung) for rung in range(1 + seed % RUNGS)})
        study, number = optuna_study(others, trial, direction, optuna.pruners.PercentilePruner(percentile, n_startup_trials=5))
        theirs = study.pruner.prune(study, study.trials[number])
        ours = judge.reason(trial, max(trial.values), others)
        assert (ours is not None) == theirs
        verdicts.append(theirs)
    assert 1 < sum(verdicts) < 59


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_asha_judges_as_optuna_s(direction: str) -> None:
    """Fed one report at a time, because Optuna's keeps notes."""
    judge = Judge("asha", MAXIMIZE if direction == "maximize" else MINIMIZE, 0, RUNGS)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2, min_early_stopping_rate=0)
    storage = optuna.storages.InMemoryStorage()
    wanted = optuna.study.StudyDirection.MAXIMIZE if direction == "maximize" else optuna.study.StudyDirection.MINIMIZE
    storage.create_new_study([wanted], "test")
    study = optuna.Study("test", storage, pruner=pruner)
    random = np.random.default_rng(1)
    known: list[Course] = []
    verdicts = []
    for number in range(40):
        trial = study.ask()
        values: dict[int, float] = {}
        for rung in range(RUNGS):
            values[rung] = float(random.normal())
            trial.report(values[rung], 2**rung)
            reason = judge.reason(Course(number, values), rung, known)
            theirs = trial.should_prune()
            assert (reason is not None) == theirs
            verdicts.append(theirs)
            if theirs:
                break
        known.append(Course(number, values, final=None if verdicts[-1] else 0.0))
        study.tell(trial, state=TrialState.PRUNED if verdicts[-1] else TrialState.COMPLETE, values=None if verdicts[-1] else 0.0)
    assert 10 < sum(verdicts) < len(verdicts)


@pytest.mark.parametrize("name", ["median", "percentile", "asha", "hyperband", "wilcoxon", "none"])
def test_a_judgement_depends_on_no_order_and_may_be_repeated(name: str) -> None:
    judge = Judge(name, MAXIMIZE, 5, RUNGS)
    random = np.random.default_rng(0)
    others = [
        Course(
            course.number,
            course.values,
            {rung: {seed: float(random.normal()) for seed in range(5)} for rung in course.values},
            course.final,
        )
        for course in courses(15, 3, complete=0.7)
    ]
    trial = Course(99, {0: -0.5, 1: -0.4}, {rung: {seed: -5.0 - seed for seed in range(5)} for rung in range(2)})
    first = judge.reason(trial, 1, others)
    assert judge.reason(trial, 1, others[::-1]) == first
    assert judge.reason(trial, 1, others) == first


def test_nothing_is_pruned_before_five_trials_are_complete() -> None:
    judge = Judge("median", MAXIMIZE, 0, RUNGS)
    worst = Course(9, {0: -100.0})
    assert judge.reason(worst, 0, courses(4, 0)) is None
    assert "is behind the median" in str(judge.reason(worst, 0, courses(5, 0)))


def pairs(own: list[float], best: list[float]) -> str | None:
    judge = Judge("wilcoxon", MAXIMIZE, 0, RUNGS)
    trial = Course(2, {0: 0.0}, {0: dict(enumerate(own))})
    others = [Course(0, {0: 0.0}, {0: dict(enumerate(best))}, final=10.0), Course(1, {0: 9.0}, {0: {0: 99.0}}, final=5.0)]
    return judge.reason(trial, 0, others)


def test_wilcoxon_compares_seed_by_seed_with_the_best_trial() -> None:
    assert "behind trial 0, the best, seed by seed (p = 0.0625, 4 pairs)" in str(pairs([1, 11, 101, 1001], [2, 13, 104, 1005]))
    assert pairs([1, 11, 101, 1001], [2, 13, 104, 1000]) is None  # one seed ahead: p = 0.125
    assert pairs([3, 14, 105, 1006], [2, 13, 104, 1005]) is None
    assert pairs([1, 11, 101], [2, 13, 104]) is None  # three pairs cannot reach p < 0.1


def test_hyperband_judges_each_bracket_by_itself_and_the_last_one_never() -> None:
    judge = Judge("hyperband", MAXIMIZE, 0, RUNGS)
    brackets = [judge.bracket(number) for number in range(400)]
    assert set(brackets) == set(range(RUNGS + 1))
    assert brackets.count(0) > brackets.count(RUNGS)
    first, last = (next(number for number in range(400) if brackets[number] == bracket) for bracket in (0, RUNGS))
    ahead = [Course(number, {0: 100.0, 1: 100.0}) for number in range(400) if brackets[number] == 0 and number != first]
    assert judge.reason(Course(first, {0: 0.0}), 0, ahead) is not None
    assert judge.reason(Course(last, dict.fromkeys(range(RUNGS), 0.0)), RUNGS - 1, ahead) is None
    second = brackets.index(1)
    assert judge.reason(Course(second, {0: 0.0}), 0, ahead) is None  # not judged at its first rung
    assert judge.reason(Course(second, {0: 0.0, 1: 0.0}), 1, ahead) is None  # the others are of another bracket
