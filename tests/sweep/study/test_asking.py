"""Asking for trials: repeatable from the storage alone, whatever was killed when."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from spaces import default_space, space

from ppo_sweep.sweep.study import asking, samplers
from ppo_sweep.sweep.study.kept import JOURNAL
from ppo_sweep.sweep.study.space import Space
from ppo_sweep.sweep.study.storage import mend, open_study

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2")
SEED = 3

#: Has numbers, whole numbers, choices, a transformed knob and a conditional one.
MIXED: dict[str, Any] = {
    "algo.lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "algo.gamma": {"low": 1e-3, "high": 0.1, "log": True, "one_minus": True},
    "algo.epochs": {"low": 2, "high": 20},
    "algo.max_kl": {"choices": [None, 0.01, 0.02]},
    "algo.ent_coef": {"low": 1e-5, "high": 0.02, "log": True, "zero": True},
    "algo.max_kl_on": {"choices": ["epoch", "minibatch"], "when": {"algo.max_kl": [0.01, 0.02]}},
}
FINITE: dict[str, Any] = {
    "algo.epochs": {"low": 5, "high": 20, "step": 5},
    "algo.clip_eps": {"choices": [0.1, 0.2, 0.3]},
    "algo.max_kl": {"choices": [None, 0.02]},
    "algo.max_kl_on": {"choices": ["epoch", "minibatch"], "when": {"algo.max_kl": 0.02}},
}


def needs(sampler: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")


def space_for(sampler: str) -> Space:
    return space(FINITE if sampler == "grid" else MIXED)


def worth(overrides: Any) -> float:
    """A value that a sampler can learn."""
    return float(
        overrides.get("algo.epochs", 10) - 1000 * abs(overrides.get("algo.lr", 3e-4) - 1e-3) + 5 * overrides.get("algo.gamma", 0.99)
    )


def ended(study: optuna.Study, asked: asking.Asked) -> None:
    """End a trial: every seventh is pruned, every eleventh fails."""
    if asked.number % 11 == 10:
        study.tell(asked.number, state=TrialState.FAIL)
        return
    study._storage.set_trial_intermediate_value(asked.trial_id, 100, worth(asked.overrides) / 2)
    if asked.number % 7 == 6:
        study.tell(asked.number, state=TrialState.PRUNED)
    else:
        study.tell(asked.number, worth(asked.overrides))


def history(directory: Path, sampler: str, made: Space, count: int, *, anew: bool, running: int = 3) -> list[dict[str, Any]]:
    """Ask for trials, of which ``running`` are under way at a time; ``anew``: everything is loaded from the disk for each."""
    directory.mkdir(exist_ok=True)
    study = open_study(directory, "test", ["maximize"]).study
    open_trials: list[asking.Asked] = []
    for _ in range(count):
        if anew:
            study = open_study(directory, "test", ["maximize"]).study
        if len(open_trials) == running:
            ended(study, open_trials.pop(0))
        open_trials.append(asking.ask(study, made, sampler, SEED))
    return [dict(trial.params) for trial in study.trials]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_thirty_trials_are_the_same_in_one_go_and_with_everything_reloaded_for_each(sampler: str, tmp_path: Path) -> None:
    needs(sampler)
    made = space_for(sampler)
    count = 14 if sampler == "gp" else 19 if sampler == "grid" else 30
    one_go = history(tmp_path / "one", sampler, made, count, anew=False)
    assert history(tmp_path / "anew", sampler, made, count, anew=True) == one_go
    assert len({repr(params) for params in one_go}) > count * 0.9


_FRESH = """
import sys; sys.path[:0] = {path!r}
from pathlib import Path
from spaces import space
import test_asking as here
from ppo_sweep.sweep.study import asking
from ppo_sweep.sweep.study.storage import open_study
made = here.space_for({sampler!r})
study = open_study(Path({directory!r}), "test", ["maximize"]).study
running = [trial for trial in study.trials if not trial.state.is_finished()]
if len(running) == 3:
    here.ended(study, asking.Asked(running[0].number, running[0]._trial_id, running[0].user_attrs["overrides"], {{}}))
asking.ask(study, made, {sampler!r}, here.SEED)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_thirty_trials_are_the_same_with_a_process_of_its_own_for_each(sampler: str, tmp_path: Path) -> None:
    needs(sampler)
    count = 14 if sampler == "gp" else 19 if sampler == "grid" else 30
    one_go = history(tmp_path / "one", sampler, space_for(sampler), count, anew=False)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    code = _FRESH.format(path=[str(Path(__file__).parent)], sampler=sampler, directory=str(fresh))
    for _ in range(count):
        subprocess.run([sys.executable, "-c", code], check=True)
    assert [dict(trial.params) for trial in open_study(fresh, "test", ["maximize"]).study.trials] == one_go


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsga2"])
def test_an_ask_that_was_killed_anywhere_is_completed_with_the_same_parameters(sampler: str, tmp_path: Path) -> None:
    """Cut the journal after every line, and in the middle of every line, of one ask."""
    needs(sampler)
    made, whole = space_for(sampler), tmp_path / "whole"
    history(whole, sampler, made, 24 if sampler != "gp" else 13, anew=False)
    before = (whole / JOURNAL).read_bytes()
    wanted = asking.ask(open_study(whole, "test", ["maximize"]).study, made, sampler, SEED)
    after = (whole / JOURNAL).read_bytes()
    ends = [index + 1 for index in range(len(before), len(after)) if after[index : index + 1] == b"\n"]
    places = [len(before), *ends] if sampler == "tpe" else ends[:: max(1, len(ends) // 4)]
    for end in [place + offset for place in places for offset in (0, 5) if place + offset <= len(after)]:
        cut = tmp_path / f"cut{end}"
        cut.mkdir()
        (cut / JOURNAL).write_bytes(after[:end])
        study = open_study(cut, "test", ["maximize"]).study
        waiting = study.get_trials(states=(TrialState.WAITING,))
        if waiting:
            found = asking.complete(study, waiting[0]._trial_id, made, sampler, SEED)
        elif len(study.trials) == wanted.number:
            found = asking.ask(study, made, sampler, SEED)
        else:
            trial = study.trials[-1]
            assert trial.state == TrialState.RUNNING
            found = asking.Asked(trial.number, trial._trial_id, trial.user_attrs["overrides"], trial.params)
        assert (found.number, dict(found.params), dict(found.overrides)) == (wanted.number, dict(wanted.params), dict(wanted.overrides))
        assert len(study.trials) == wanted.number + 1
        assert not study.get_trials(states=(TrialState.WAITING,))


def test_what_another_process_has_written_of_a_trial_is_what_is_trained(tmp_path: Path) -> None:
    made = space(MIXED)
    study = open_study(tmp_path, "test", ["maximize"]).study
    for _ in range(3):
        ended(study, asking.ask(study, made, "random", SEED))
    storage, lr = study._storage, made.distributions()["algo.lr"]
    waiting = storage.create_new_trial(study._study_id, create_trial(state=TrialState.WAITING))
    storage.set_trial_param(waiting, "algo.lr", lr.to_internal_repr(0.005), lr)
    asked = asking.complete(study, waiting, made, "random", SEED)
    stored = storage.get_trial(waiting)
    assert asked.overrides["algo.lr"] == pytest.approx(0.005)
    assert stored.params == asked.params
    assert stored.user_attrs["overrides"] == asked.overrides == made.overrides(stored.params)


def test_trial_0_is_the_default_configuration(tmp_path: Path) -> None:
    made = default_space()
    study = open_study(tmp_path, "test", ["maximize"]).study
    first = asking.ask(study, made, "tpe", 0)
    assert (first.number, first.overrides) == (0, {})
    assert made.config(made.overrides(first.params)) == made.config({})
    assert study.trials[0].state == TrialState.RUNNING
    assert asking.ask(study, made, "tpe", 0).overrides.keys() == made.overrides(first.params).keys()


def test_samplers_do_not_learn_from_a_default_that_the_space_does_not_hold(tmp_path: Path) -> None:
    made = default_space(recipe="article")
    study = open_study(tmp_path, "test", ["maximize"]).study
    first = asking.ask(study, made, "tpe", 0)
    assert "algo.max_kl" not in first.params
    assert study.trials[0].user_attrs[asking.OUTSIDE] == ["algo.max_kl"]
    study.tell(0, 10.0)
    seen: list[FrozenTrial] = []

    class Spy(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
            seen.extend(study.get_trials(states=(TrialState.COMPLETE,)))
            return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(samplers._SAMPLERS, "random", lambda *_: Spy())  # type: ignore[arg-type]
        asking.ask(study, made, "random", 0)
    assert seen == []


def test_proposing_changes_nothing(tmp_path: Path) -> None:
    made = space_for("nsga2")
    history(tmp_path, "nsga2", made, 25, anew=False)
    study = open_study(tmp_path, "test", ["maximize"]).study
    before = (tmp_path / JOURNAL).read_bytes()
    made_twice = [asking.propose(study.trials, made, "nsga2", SEED, study.directions) for _ in range(2)]
    assert made_twice[0] == made_twice[1]
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_another_seed_asks_for_other_trials(tmp_path: Path) -> None:
    made = space_for("tpe")
    studies = []
    for seed in (0, 1):
        directory = tmp_path / str(seed)
        directory.mkdir()
        study = open_study(directory, "test", ["maximize"]).study
        studies.append([dict(asking.ask(study, made, "tpe", seed).params) for _ in range(5)])
    assert studies[0][0] == studies[1][0]  # the default configuration
    assert all(one != other for one, other in zip(studies[0][1:], studies[1][1:], strict=True))


def test_a_grid_is_every_configuration_once_and_skips_inactive_knobs(tmp_path: Path) -> None:
    made = space_for("grid")
    assert samplers.most_trials("grid", made) == 1 + 4 * 3 * 3 - 1  # the default is one of them; (null), (0.02, epoch), (0.02, minibatch)
    assert samplers.most_trials("tpe", made) is None
    asked = history(tmp_path, "grid", made, 36, anew=False)
    assert len({repr(sorted(params.items())) for params in asked}) == 36
    assert all(("algo.max_kl_on" in params) == (params["algo.max_kl"] is not None) for params in asked)


def test_sobol_points_cover_the_space_evenly(tmp_path: Path) -> None:
    made = space({"algo.gamma": {"low": 0.8, "high": 0.96}, "algo.gae_lambda": {"low": 0.8, "high": 0.96}})
    asked = history(tmp_path, "qmc", made, 17, anew=False)[1:]
    for key in ("algo.gamma", "algo.gae_lambda"):
        cells = sorted(int((params[key] - 0.8) / 0.01) for params in asked)
        assert len(set(cells)) >= 15  # 16 points of a Sobol sequence fall into 16 cells, one (the 0th is the default's) left out


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "cmaes"])
def test_samplers_that_learn_find_better_values_than_chance(sampler: str, tmp_path: Path) -> None:
    needs(sampler)
    made = space({"algo.gamma": {"low": 0.5, "high": 0.99}, "algo.gae_lambda": {"low": 0.5, "high": 0.99}})

    def best(name: str) -> float:
        directory = tmp_path / name
        directory.mkdir()
        study = open_study(directory, "test", ["maximize"]).study
        for _ in range(25 if sampler == "gp" else 60):
            asked = asking.ask(study, made, name, 0)
            config = made.config(asked.overrides)
            study.tell(asked.number, -((config.algo.gamma - 0.7) ** 2) - (config.algo.gae_lambda - 0.6) ** 2)
        return study.best_value

    assert best(sampler) > best("random")


def test_cmaes_keeps_no_pickle_in_the_storage(tmp_path: Path) -> None:
    needs("cmaes")
    history(tmp_path, "cmaes", space_for("cmaes"), 30, anew=False)
    text = (tmp_path / JOURNAL).read_text()
    assert "cmaes:told" in text
    assert "cma:optimizer" not in text


def test_several_objectives_are_asked_for_by_every_sampler_that_takes_them(tmp_path: Path) -> None:
    for sampler in ("tpe", "qmc", "random", "nsga2"):
        directory = tmp_path / sampler
        directory.mkdir()
        study = open_study(directory, "test", ["maximize", "minimize"]).study
        made = space_for(sampler)
        for number in range(24):
            asked = asking.ask(study, made, sampler, 0)
            study.tell(asked.number, [worth(asked.overrides), float(number % 5)])
        assert len({repr(trial.params) for trial in study.trials}) > 22


def test_trials_can_be_asked_for_in_a_database(tmp_path: Path) -> None:
    made, url = space_for("tpe"), f"sqlite:///{tmp_path / 'study.db'}"
    journal = history(tmp_path / "journal", "tpe", made, 16, anew=False)
    study, running = open_study(tmp_path, "test", ["maximize"], url).study, []
    for _ in range(16):
        if len(running) == 3:
            ended(study, running.pop(0))
        running.append(asking.ask(study, made, "tpe", SEED))
    assert [dict(trial.params) for trial in study.trials] == journal


def test_a_torn_journal_is_mended_in_a_copy_before_it_is_read(tmp_path: Path) -> None:
    made = space_for("random")
    history(tmp_path / "whole", "random", made, 3, anew=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    with (tmp_path / "torn" / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4')
    [note] = mend(tmp_path / "torn" / JOURNAL)
    assert "its last line was torn by an interruption; 13 bytes were cut off" in note
    assert (tmp_path / "torn" / JOURNAL).read_bytes() == (tmp_path / "whole" / JOURNAL).read_bytes()
