"""What is computed of a study, against Optuna, scipy and hand-made numbers."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy import stats

from ppo_sweep.report.study import noise
from ppo_sweep.report.study.audit import audit, rank_correlation
from ppo_sweep.report.study.importance import importance, most_important
from tests.report.study.made_searches import Made, made_search, params


def rising(count: int, sign: float = 1.0) -> list[Made]:
    """Values that follow the learning rate and a little the number of epochs."""
    return [
        Made((sign * (100 * math.log10(params(number)["algo.lr"]) + params(number)["algo.epochs"]),)) for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1.0), ("minimize", -1.0)])
def test_importance_is_optunas_own(tmp_path: Path, direction: str, sign: float) -> None:
    search = made_search(tmp_path / "s", [*rising(45, sign), Made((0.0,), "PRUNED")], direction=[direction])
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "s" / "optuna.log"))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    found = importance(search)
    assert found is not None and found.trials == 45 and found.warning == ""
    assert found.shares == pytest.approx(expected)
    assert most_important(search, 1) == ["algo.lr"]


def test_few_trials_are_warned_about_and_hardly_any_have_no_importance(tmp_path: Path) -> None:
    few = importance(made_search(tmp_path / "few", rising(39)))
    assert few is not None and few.warning.startswith("Only 39 complete trials")
    assert importance(made_search(tmp_path / "two", rising(2))) is None


def test_a_default_outside_the_space_teaches_nothing(tmp_path: Path) -> None:
    inside = rising(12)
    outside = [Made((1e6,), outside=("algo.lr",)), *inside[1:]]
    found = importance(made_search(tmp_path / "s", outside))
    assert found is not None and found.trials == 11


def test_rank_correlation_is_spearmans() -> None:
    early, late = [1.0, 2.0, 2.0, 5.0, 4.0, 9.0], [3.0, 1.0, 4.0, 4.0, 8.0, 7.0]
    assert rank_correlation(early, late) == pytest.approx(stats.spearmanr(early, late).statistic)
    # Without ties 1 − 6 Σd² / (n (n² − 1)); ranks 1 2 3 4 and 2 1 4 3: Σd² = 4.
    assert rank_correlation([10, 20, 30, 40], [2, 1, 4, 3]) == pytest.approx(1 - 6 * 4 / (4 * 15))
    assert math.isnan(rank_correlation([1, 2], [1, 2])) and math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_a_late_bloomer_is_counted_where_the_rung_would_have_killed_it(tmp_path: Path) -> None:
    # Five trials complete at 1 … 5, then one that is last at the first rung, first at the second and in the end.
    trials = [Made((float(value),), at={100: float(value), 200: float(value)}) for value in range(1, 6)]
    trials.append(Made((9.0,), at={100: 0.0, 200: 8.0}))
    first, second = audit(made_search(tmp_path / "s", trials))
    assert (first.steps, first.reached, first.audited, first.top, first.killed) == (100, 6, 5, 1, 1)  # trial 0 is not audited
    assert (second.top, second.killed) == (1, 0)
    # Audited: 2 3 4 5 0 at the first rung, 2 3 4 5 9 at the end.
    assert first.correlation == pytest.approx(stats.spearmanr([2, 3, 4, 5, 0], [2, 3, 4, 5, 9]).statistic)
    assert second.correlation == pytest.approx(1.0)


def test_a_rung_before_is_not_judged_by_what_came_after_it(tmp_path: Path) -> None:
    # Only trials before a trial are known to its rungs: the first of all is never killed.
    trials = [Made((float(value),), at={100: float(value)}) for value in (9, 8, 7, 6, 5, 4)]
    assert audit(made_search(tmp_path / "s", trials))[0].killed == 0


def test_brackets_are_those_of_the_study_s_rungs_before_a_trial_has_come_to_all_of_them(tmp_path: Path) -> None:
    trials = [Made((float(value),), at={100: float(-value)}) for value in range(50)]
    one, four = (
        audit(made_search(tmp_path / f"{len(rungs)}", trials, rungs=rungs, pruner="hyperband")) for rungs in ([0.5], [0.1, 0.2, 0.4, 0.8])
    )
    # The audited top is 45 … 49. Bracket 0 alone is judged at the first rung; of two brackets (one rung) four of these are in it, of five
    # (four rungs) two: Judge.bracket of seed 0.
    assert [(found.top, found.killed) for found in (*one, *four)] == [(5, 4), (5, 2)]


def test_pruned_trials_are_counted_at_their_last_rung(tmp_path: Path) -> None:
    trials = [Made((1.0,), at={100: 1.0, 200: 1.0}), Made((0.0,), "PRUNED", at={100: 0.0}), Made((0.5,), "PRUNED", at={100: 1.0, 200: 0.5})]
    assert [(one.reached, one.pruned) for one in audit(made_search(tmp_path / "s", trials))] == [(3, 1), (2, 1)]


def test_no_improvement_is_said_below_two_pooled_standard_errors(tmp_path: Path) -> None:
    # Two seeds 5 below and above: variance 50 in every trial, so a mean of two has a standard error of 5, and 10 are needed.
    before = [Made((0.0,)) for _ in range(5)]
    still = made_search(tmp_path / "still", [*before, *[Made((9.9,)) for _ in range(20)]])
    assert noise.sentence(still) == (
        "No improvement beyond noise: in the last 20 trials the highest value rose by 9.90, and 2 pooled standard errors (10.00) would be "
        "needed."
    )
    more = made_search(tmp_path / "more", [*before, *[Made((10.0,)) for _ in range(20)]])
    assert "more trials may find more" in noise.sentence(more)


def test_the_window_is_a_quarter_of_many_trials_and_falls_are_no_improvement(tmp_path: Path) -> None:
    values = [*np.linspace(0, 100, 90), *[50.0] * 30]
    search = made_search(tmp_path / "s", [Made((float(value),)) for value in values])
    assert "in the last 30 trials the highest value did not rise" in noise.sentence(search)
    down = made_search(tmp_path / "down", [Made((-float(value),)) for value in values], direction=["minimize"])
    assert "the lowest value did not fall" in noise.sentence(down)


@pytest.mark.parametrize(
    ("trials", "options", "words"),
    [
        ([Made((1.0,))] * 20, {}, "once a complete one lies before the last 20"),
        ([Made((1.0,), scores=(1.0,))] * 30, {"seeds": 1}, "no complete trial has two seeds"),
        ([Made((1.0, 2.0))] * 30, {"metric": ["mean", "std"], "direction": ["maximize", "minimize"]}, "several objectives"),
    ],
)  # fmt: skip
def test_where_noise_cannot_be_said_that_is_said(tmp_path: Path, trials: list[Made], options: dict[str, object], words: str) -> None:
    assert words in noise.sentence(made_search(tmp_path / "s", trials, **options))
