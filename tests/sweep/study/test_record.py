"""What the storage holds of trials that are taken up again."""

from __future__ import annotations

from pathlib import Path

from optuna import Study
from optuna.trial import TrialState
from spaces import space

from ppo_sweep.sweep.study import asking, stored_trials
from ppo_sweep.sweep.study.kept import JOURNAL
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.storage import open_study

SPACE = space({"algo.lr": {"low": 1e-5, "high": 1e-2, "log": True}})


def begun(study: Study) -> int:
    """A trial that has reported at 10 and 20 steps; its id."""
    asked = asking.ask(study, SPACE, "random", 0)
    for step in (10, 20):
        study._storage.set_trial_intermediate_value(asked.trial_id, step, float(step))
    return asked.trial_id


def test_of_a_trial_that_has_ended_its_outcome_is_known_and_nothing_is_written(tmp_path: Path) -> None:
    study = open_study(tmp_path, "test", ["maximize"]).study
    pruned, complete = begun(study), begun(study)
    study._storage.set_trial_user_attr(pruned, stored_trials.REASON, "at 20 steps: it was behind")
    study._storage.set_trial_state_values(pruned, TrialState.PRUNED, [20.0])
    study._storage.set_trial_state_values(complete, TrialState.COMPLETE, [25.0])
    before = (tmp_path / JOURNAL).read_bytes()
    record = Record(study, SPACE, "random", 0, before=study.get_trials())
    assert [taken.number for _ in range(2) if (taken := record.next(lambda _: False))] == [0, 1]
    assert [record.pruned_at(0, step) for step in (10, 20)] == [None, "at 20 steps: it was behind"]
    assert [record.pruned_at(1, step) for step in (10, 20)] == [None, None]
    record.note(0, stored_trials.REASON, "another one")
    record.report(0, 30, 1.0)
    record.tell(0, "COMPLETE", [1.0])
    assert record.noted(0, stored_trials.REASON) == "another one"
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_trial_that_runs_was_judged_to_go_on_at_every_rung_before_its_last(tmp_path: Path) -> None:
    study = open_study(tmp_path, "test", ["maximize"]).study
    begun(study)
    record = Record(study, SPACE, "random", 0, before=study.get_trials())
    assert record.next(lambda _: False) is not None
    assert [record.went_on(0, step) for step in (10, 20)] == [True, False]
    assert not record.is_told(0)
