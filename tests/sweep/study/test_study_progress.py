"""How far a study has got, by its files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from studies import study
from sweeping import TRAIN, environment, wait_for

from ppo_sweep.runs.errors import CorruptFile
from ppo_sweep.sweep.overview import RunOverview, look_at
from ppo_sweep.sweep.overview_text import search_lines
from ppo_sweep.sweep.study.progress import progress, read_table

Train = Callable[[str], int]

TABLE = """number,state,value,value_std,seeds,env_steps,diverged,reason
0,COMPLETE,1.0,0.5,2,800,0,
1,PRUNED,-3.0,1.0,2,200,0,at 100 steps
2,COMPLETE,2.5,0.25,2,800,1,
3,FAIL,,,0,600,0,seed=1: it fell
"""


def run(path: str, state: str = "done", steps: int = 400, of: int = 400) -> RunOverview:
    return RunOverview(path, state, 0, steps, of, True, None, None, None, None, None, None, "", 0, "")


def kept(direction: str = "maximize", **more: object) -> dict[str, object]:
    return {"optuna": {"options": {"direction": [direction], "seeds": 2}}, "aim": {"n_trials": 10, "rungs": [0.25, 0.5, 0.75]}, **more}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "trials.csv").write_text(TABLE)
    return tmp_path


def test_trials_are_counted_and_the_best_is_the_best_complete_one(directory: Path) -> None:
    found = progress(directory, kept(), [])
    assert found is not None
    assert (found.n_trials, found.counts) == (10, {"COMPLETE": 2, "PRUNED": 1, "FAIL": 1})
    assert found.best == (2, 2.5, 0.25)
    minimised = progress(directory, kept("minimize"), [])
    assert minimised is not None and minimised.best == (0, 1.0, 0.5)


def test_a_running_trial_has_passed_the_rungs_that_all_its_runs_have(directory: Path) -> None:
    runs = [run("trial=0004/seed=0", "running", 300), run("trial=0004/seed=1", "running", 200), run("trial=0000/seed=0")]
    found = progress(directory, kept(), runs)
    assert found is not None
    [trial] = found.running
    assert (trial.number, trial.rung, trial.rungs) == (4, 2, 3)


def test_a_trial_with_runs_that_have_not_begun_has_passed_no_rung(directory: Path) -> None:
    runs = [run("trial=0004/seed=0", "running", 300), run("trial=0005/env=a/seed=0", "running", 300)]
    found = progress(directory, kept(), runs)
    assert found is not None and [trial.rung for trial in found.running] == [0, 0]
    several = kept()
    several["optuna"]["options"]["env"] = ["a", "b"]  # type: ignore[index]
    of_seeds = [run(f"trial=0005/env=a/seed={seed}", "running", 300) for seed in (0, 1)]
    found = progress(directory, several, of_seeds)
    assert found is not None and [trial.rung for trial in found.running] == [0]


def test_the_search_takes_as_long_as_its_trials_did_so_far(directory: Path) -> None:
    found = progress(directory, kept(), [run("trial=0004/seed=0", "running", 300)])
    assert found is not None and found.steps_left == 600 * 6 - 300, "2,400 steps in four trials, six are to come"


def test_a_search_with_a_limit_of_steps_ends_there(directory: Path) -> None:
    limited = {**kept(), "aim": {"n_trials": 10, "max_env_steps": 5000, "rungs": [0.25]}}
    found = progress(directory, limited, [run("trial=0004/seed=0", "running", 300)])
    assert found is not None and found.steps_left == 5000 - 2400 - 300
    begun = [run("trial=0004/seed=0", "running", 300), run("trial=0004/seed=1", "running", 100)]
    found = progress(directory, {**kept(), "aim": {"n_trials": 10, "max_env_steps": 2500}}, begun)
    assert found is not None and found.steps_left == 2 * 400 - 400, "a trial that has begun is finished"


def test_what_follows_the_search_is_told(directory: Path) -> None:
    def stage(*runs: RunOverview, **more: object) -> str:
        found = progress(directory, kept(**more), runs)
        assert found is not None
        return found.stage

    fresh = run("confirm/rank=1/seed=1000"), run("confirm/default/seed=1000", "running", 100)
    assert stage() == ""
    assert stage(*fresh) == "confirmation seeds: 1 of 2 runs"
    assert stage(*fresh, run("confirm/rank=1/seed=2000", "queued", 0)) == "report seeds: 0 of 1 runs"
    confirmed = {"of": 4, "trials": {"rank=1": 2, "default": 0}, "winner": "rank=1"}
    over = fresh[0], run("confirm/rank=1/seed=2000")
    assert stage(*over, confirmed=confirmed) == "confirmed: trial 2"
    assert stage(*over, confirmed=confirmed | {"of": 3}) == "", "a study that was made longer searches again"
    assert stage(*over, run("trial=0004/seed=0", "running", 300), confirmed=confirmed) == ""


def test_a_grid_is_no_study_and_a_damaged_table_is_named(directory: Path) -> None:
    assert progress(directory, {}, []) is None
    (directory / "trials.csv").write_text(TABLE.replace("800,0,", "many,0,"))
    with pytest.raises(CorruptFile, match=r"trials\.csv: rows: "):
        read_table(directory)
    (directory / "study.json").write_text("{}")
    assert look_at(directory).search is None


@pytest.mark.slow
def test_status_and_the_board_of_a_study_at_work_say_how_far_it_is(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    line = study("walk", "total_steps=3200 sweep.n_trials=7 sweep.confirm_top=1 sweep.confirm_seeds=1 sweep.report_seeds=1")
    with Path("said.txt").open("wb") as said:
        process = subprocess.Popen([sys.executable, str(TRAIN), *line.split()], env=environment(), stdout=said, stderr=said)
    wait_for(lambda: Path("results/walk/trials.csv").exists(), 240)
    found = look_at(Path("results/walk"))
    assert found.search is not None and found.sweep is not None
    assert found.search.n_trials == 7 and found.search.best is not None and found.search.steps_left is not None
    first = search_lines(found)[0]
    assert "of 7 trials have ended: " in first and " · best: trial " in first
    assert process.wait(120) == 0
    document = json.loads(subprocess.check_output([sys.executable, str(TRAIN.parent / "scripts/status.py"), "results/walk", "--json"]))
    [search] = [document["studies"][0]["search"]]
    assert sum(search["counts"].values()) == 7 and search["running"] == [] and search["stage"].startswith("confirmed: ")
    assert "best: trial " in Path("said.txt").read_text()
