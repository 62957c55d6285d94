"""The random policy's score where a configuration sets none: measured where it is needed, and kept in ``study.json``."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo_sweep.report import load, random_scores
from ppo_sweep.report.scores import scores
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.study_file import StudyFile, read_study
from tests.report.result_trees import list_study, make_run

UNSET = {"env.score_random": None}
OVERRIDES = {"env": "pendulum"}


def diverged_study(study: Path) -> None:
    make_run(study, [-900.0, -300.0], config=UNSET)
    make_run(study, [-100.0], seed=1, state="diverged", iterations=2, config=UNSET)
    list_study(study, [(OVERRIDES, 0), (OVERRIDES, 1)])


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverged_study(tmp_path)
    first = load(tmp_path)
    measured = first.measured[tmp_path]["Pendulum-v1"]
    assert measured == pytest.approx(-1237.87, abs=60)  # conf/env/pendulum.yaml, other seeds
    assert list(first.runs["random"]) == [measured, measured]
    assert first.runs["counted"].iloc[1] == measured
    random_scores.keep(first.measured)
    kept = read_study(tmp_path)
    assert kept is not None and kept.other[random_scores.KEY] == {"Pendulum-v1": measured}
    assert len(kept.members) == 2 and kept.command == ("-m",)

    def refuse(run: Path) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(random_scores, "_measure", refuse)
    second = load(tmp_path)
    assert list(second.runs["random"]) == [measured, measured] and not second.measured and second.notes == ()


def test_a_study_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    diverged_study(tmp_path)
    before = (tmp_path / "study.json").read_bytes()
    lock = RunLock(tmp_path)
    try:
        random_scores.keep({tmp_path: {"Pendulum-v1": -1.0}})
    finally:
        lock.release()
    assert (tmp_path / "study.json").read_bytes() == before


def test_nothing_is_measured_where_nothing_needs_it(tmp_path: Path) -> None:
    make_run(tmp_path, [-900.0], config=UNSET)
    results = load(tmp_path)
    assert results.runs["random"].isna().all() and not results.measured


def test_a_reference_beside_other_environments_is_normalised_by_the_kept_score(tmp_path: Path) -> None:
    make_run(tmp_path, [-400.0], config=UNSET)  # the reference is −150
    make_run(tmp_path, [17.0], env="hopper")
    list_study(tmp_path, [(OVERRIDES, 0), ({"env": "hopper"}, 0)])
    StudyFile.open(tmp_path, command=["-m"], members=[], other={random_scores.KEY: {"Pendulum-v1": -1150.0}}).flush()
    table = scores(load(tmp_path))
    assert table[table["env"] == "all"]["mean"].iloc[0] == pytest.approx((0.75 + 0.0) / 2)


@pytest.mark.parametrize("content", ['{"score_random": 3}', "{", '{"score_random": {"Pendulum-v1": "high"}}'])
def test_a_damaged_entry_is_no_score(tmp_path: Path, content: str) -> None:
    make_run(tmp_path, [-900.0], config=UNSET)
    (tmp_path / "study.json").write_text(content)
    assert load(tmp_path).runs["random"].isna().all()


def test_an_environment_is_called_by_what_changes_its_random_score() -> None:
    plain = {"env.id": "Any-v0", "env.max_episode_steps": None, "env.action_repeat": 1, "env.clip_action": False}
    assert random_scores.environment(plain) == "Any-v0"
    changed = plain | {"env.action_repeat": 2, "env.kwargs.xml_file": "a.xml"}
    assert random_scores.environment(changed) == "Any-v0, action_repeat=2, kwargs.xml_file=a.xml"
