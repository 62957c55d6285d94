"""Any results tree as tidy frames: what is there is loaded, what is wrong becomes a note."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppo_sweep.config import Config
from ppo_sweep.report import ReportError, episodes, evaluations, load
from ppo_sweep.report.frame import timing
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.tables import METRIC_COLUMNS
from tests.report.result_trees import STEPS, list_study, make_grid, make_run, make_settings


def test_a_study_is_a_row_per_run_and_a_row_per_iteration(tmp_path: Path) -> None:
    make_grid(tmp_path / "pendulum", {"algo.max_kl": [0.02, None]}, seeds=2, rows=4)
    results = load(tmp_path / "pendulum")
    assert list(results.runs.index) == [f"pendulum/algo.max_kl={kl},env=pendulum/seed={seed}" for kl in ("0.02", "null") for seed in (0, 1)]
    assert results.swept == ("algo.max_kl",)
    assert list(results.runs["algo.max_kl"]) == [0.02, 0.02, None, None]
    assert list(results.runs["group"]) == ["max_kl=0.02"] * 2 + ["max_kl=null"] * 2
    assert list(results.metrics.columns) == ["run", *METRIC_COLUMNS, "seconds"]
    assert len(results.metrics) == 16
    assert list(results.metrics["seconds"][:4]) == [2.0, 4.0, 6.0, 8.0]
    assert results.configs[results.runs.index[0]]["algo.max_kl"] == 0.02
    assert set(results.runs["env"]) == {"pendulum"} and set(results.runs["env_id"]) == {"Pendulum-v1"}
    assert results.notes == ()


@pytest.mark.parametrize("given", ["run", "study", "root", "pattern"])
def test_a_run_a_study_a_root_and_a_pattern_are_found(tmp_path: Path, given: str) -> None:
    run = make_run(tmp_path / "one")
    make_run(tmp_path / "other", overrides={"algo.lr": 0.001})
    paths = {"run": run, "study": tmp_path / "one", "root": tmp_path, "pattern": tmp_path / "*"}
    assert len(load(paths[given]).runs) == (1 if given in ("run", "study") else 2)
    assert len(load(tmp_path / "one", str(tmp_path / "one"), run).runs) == 1  # each run once


def test_the_working_directory_itself_can_be_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    assert len(load(".").runs) == 1


def test_unusable_paths_are_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no run")
    for path, said in (
        ("nowhere", "does not exist"),
        ("empty", "no run below"),
        ("file", "is not a directory"),
        ("no*thing", "does not exist"),
    ):
        with pytest.raises(ReportError, match=said) as caught:
            load(tmp_path / path)
        assert ("\n" not in str(caught.value) and "results/hopper" in str(caught.value)) or "directory" in str(caught.value)


def test_a_directory_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ReportError, match="Permission denied"):
        load(tmp_path)


def test_the_order_is_that_of_the_commands(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.lr": [0.001, 0.0001]}, seeds=2)
    typed = {"env": "pendulum"}
    list_study(tmp_path / "s", [({**typed, "algo.lr": 0.001}, 1), ({**typed, "algo.lr": 0.0001}, 0), ({**typed, "algo.lr": 0.001}, 0)])
    results = load(tmp_path / "s")
    assert [(lr, seed) for lr, seed in zip(results.runs["algo.lr"], results.runs["seed"], strict=True)] == [
        (0.001, 1), (0.0001, 0), (0.001, 0), (0.0001, 1),
    ]  # fmt: skip
    assert results.group_labels == ["lr=0.001", "lr=0.0001"]


def test_without_study_json_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.lr": [0.001, 0.0003, 2e-5]}, seeds=1)
    for seed in (10, 2):
        make_run(tmp_path / "s", iterations=12, seed=seed, overrides={"algo.lr": 0.001})
    assert load(tmp_path / "s").group_labels == ["lr=2e-5", "lr=0.0003", "lr=0.001"]
    assert list(load(tmp_path / "s").runs["seed"])[-3:] == [0, 2, 10]


def test_a_torn_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s", [-900.0, -500.0, -200.0])
    path = run / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-17])
    results = load(tmp_path)
    assert list(results.metrics["return_100"]) == [-900.0, -500.0]
    assert len(results.notes) == 1 and "last line is cut off" in results.notes[0] and "2 whole rows" in results.notes[0]


def test_a_damaged_line_ends_what_is_used_of_its_file_and_of_no_other(tmp_path: Path) -> None:
    damaged, sound = make_run(tmp_path / "s", seed=0), make_run(tmp_path / "s", seed=1)
    lines = (damaged / "metrics.csv").read_text().splitlines()
    lines[2] = lines[2][:40]
    (damaged / "metrics.csv").write_text("\n".join(lines) + "\n")
    results = load(tmp_path)
    assert len(results.rows[results.runs.index[0]]) == 1
    assert len(results.rows[results.runs.index[1]]) == 3
    assert "line 3 is damaged" in results.notes[0]
    garbled = (sound / "metrics.csv").read_text().replace("4096", "40x6")
    (sound / "metrics.csv").write_text(garbled)
    assert len(load(tmp_path).rows[results.runs.index[1]]) == 1


def test_columns_of_another_version_are_read_by_name(tmp_path: Path) -> None:
    older = make_run(tmp_path / "s", seed=0)
    make_run(tmp_path / "s", seed=1)
    table = pd.read_csv(older / "metrics.csv").drop(columns=["kl_beta", "epochs"]).assign(novelty=1.0)
    table.to_csv(older / "metrics.csv", index=False, lineterminator="\n")
    results = load(tmp_path)
    first, second = (results.rows[run] for run in results.runs.index)
    assert list(first["return_100"]) == list(second["return_100"])
    assert first["epochs"].isna().all() and (second["epochs"] == 10).all()
    assert "another version, without kl_beta, epochs" in results.notes[0]


def test_a_configuration_of_another_schema_is_read_and_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s", config={"algo.lr": 0.002})
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("schema_version: 1", "schema_version: 99"))
    results = load(tmp_path)
    assert results.configs[results.runs.index[0]]["algo.lr"] == 0.002
    assert "schema_version 99" in results.notes[0]


@pytest.mark.parametrize("content", ["", "[1, 2", "a: &b [1]\nc: *b\n", "x" * (2**20 + 1), "\x00"])
def test_a_damaged_configuration_leaves_the_run_without_knobs(tmp_path: Path, content: str) -> None:
    make_run(tmp_path / "s", seed=0, overrides={"algo.lr": 0.01})
    run = make_run(tmp_path / "s", seed=1)
    (run / "config.yaml").write_text(content)
    results = load(tmp_path / "s")
    assert len(results.runs) == 2 and len(results.rows) == 2
    assert any(str(run) in note for note in results.notes)
    assert set(results.runs["env"]) == {"pendulum"}  # known from what was typed
    assert results.swept == () and set(results.runs["group"]) == {"all runs"}


def test_a_run_of_unknown_configuration_has_of_the_swept_knobs_what_was_typed(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-3.0], 0.02: [-2.0]})
    for seed, overrides in enumerate(({"algo.max_kl": 0.02}, {"algo.gamma": 0.5}), start=1):
        run = make_run(tmp_path, [-1.0], seed=seed, overrides=overrides)
        (run / "config.yaml").write_text("")
    list_study(tmp_path, [({"env": "pendulum", "algo.max_kl": 0.02}, 1), ({"env": "pendulum", "algo.gamma": 0.5}, 2)])
    results = load(tmp_path)
    assert results.swept == ("algo.max_kl",)
    assert dict(zip(results.runs["seed"].astype(str) + results.runs["group"], results.runs["counted"], strict=True)) == {
        "0max_kl=null": -3.0, "0max_kl=0.02": -2.0, "1max_kl=0.02": -1.0, "2max_kl=?": -1.0
    }  # fmt: skip


def test_a_budget_that_is_not_known_is_what_was_reached(tmp_path: Path) -> None:
    for iterations in (3, 5):
        make_run(tmp_path, [-1.0], overrides={"total_steps": iterations * STEPS}, iterations=iterations)
    (make_run(tmp_path, [-1.0, -1.0], seed=1, overrides={"algo.gamma": 0.5}) / "config.yaml").write_text("")
    runs = load(tmp_path).runs
    assert sorted(zip(runs["group"], runs["total_steps"], strict=True)) == [
        ("total_steps=10240", 5 * STEPS), ("total_steps=6144", 3 * STEPS), ("total_steps=?", 2 * STEPS)
    ]  # fmt: skip


def test_settings_that_agree_in_four_digits_are_two(tmp_path: Path) -> None:
    for gamma in (0.9, 0.9999, 0.99991):
        for seed in range(2):
            make_run(tmp_path, seed=seed, overrides={"algo.gamma": gamma})
    assert sorted(set(load(tmp_path).runs["group"])) == ["gamma=0.9", "gamma=0.9999", "gamma=0.99991"]
    for gamma in (0.5, 0.50004):
        make_run(tmp_path / "other", overrides={"algo.gamma": gamma})
    assert sorted(set(load(tmp_path / "other").runs["group"])) == ["gamma=0.5", "gamma=0.50004"]


def test_the_same_training_on_two_scales_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "s", config={"env.score_random": -1200.0})
    make_run(tmp_path / "t", config={"env.score_random": -1100.0})
    assert len(load(tmp_path).runs) == 1


def test_runs_that_a_study_lists_and_that_have_no_directory_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "s", seed=0)
    make_run(tmp_path / "s", seed=1)
    list_study(tmp_path / "s", [({"env": "pendulum"}, seed) for seed in range(4)])
    for given in (tmp_path / "s", tmp_path):
        notes = load(given).notes
        assert notes == (
            f"{tmp_path / 's'}: 2 runs that its commands asked for have no directory, and so no part in anything here: "
            "env=pendulum/seed=2 (done) …",
        )
    assert load(tmp_path / "s" / "env=pendulum" / "seed=1").notes == (), "of one run that was asked for"


def test_files_that_are_missing_leave_blanks(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s", seed=0)
    make_run(tmp_path / "s", seed=1)
    for name in ("timing.csv", "eval.csv", "status.json"):
        (run / name).unlink()
    results = load(tmp_path)
    first = results.rows[results.runs.index[0]]
    assert len(first) == 3 and first["seconds"].isna().all()
    assert results.runs["state"].iloc[0] == "absent" and np.isnan(results.runs["counted"].iloc[0])
    assert results.runs["env_steps"].iloc[0] == 3 * STEPS
    (run / "metrics.csv").unlink()
    assert len(load(tmp_path).runs) == 2


def test_an_unreadable_status_is_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s")
    (run / "status.json").write_text("{")
    results = load(tmp_path)
    assert results.runs["state"].iloc[0] == "unreadable" and "status.json" in results.notes[0]


def test_a_damaged_study_json_is_a_note_and_the_study_stays_one(tmp_path: Path) -> None:
    make_run(tmp_path / "s")
    (tmp_path / "s" / "study.json").write_text("no json")
    results = load(tmp_path / "s")
    assert list(results.runs["study"]) == ["s"] and "study.json" in results.notes[0]


def test_a_study_in_progress_is_loaded(tmp_path: Path) -> None:
    running = make_run(tmp_path / "s", [-900.0], seed=0, state="running", iterations=10)
    make_run(tmp_path / "s", [], seed=1, state="queued", iterations=10)
    make_run(tmp_path / "s", [-950.0, -800.0], seed=2, state="running", iterations=10)
    lock = RunLock(running)
    results = load(tmp_path / "s")
    lock.release()
    assert list(results.runs["state"]) == ["running", "queued", "interrupted"]
    assert list(results.runs["env_steps"]) == [STEPS, 0, 2 * STEPS]
    assert set(results.runs["total_steps"]) == {10 * STEPS}
    assert results.runs["counted"].isna().all()


def test_the_budget_is_rounded_down_to_whole_rollouts(tmp_path: Path) -> None:
    make_run(tmp_path / "s", config={"total_steps": 3 * STEPS + 1000})
    assert list(load(tmp_path).runs["total_steps"]) == [3 * STEPS]


def test_a_diverged_run_counts_as_the_lower_of_its_last_and_the_random_score(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [-900.0, -300.0, None], seed=0, state="diverged")  # random: -1200
    make_run(tmp_path / "s", [-900.0, -1500.0], seed=1, state="diverged")
    make_run(tmp_path / "s", [], seed=2, state="diverged")
    make_run(tmp_path / "s", [-900.0], seed=3, state="failed")
    make_run(tmp_path / "s", [-900.0], seed=4, state="pruned", score=-900.0)
    runs = load(tmp_path).runs
    assert list(runs["counted"][:3]) == [-1200.0, -1500.0, -1200.0]
    assert runs["counted"][3:].isna().all() and runs["final_score"][:3].isna().all()
    assert runs["reason"].iloc[3] == "ValueError: no"


def test_where_the_random_score_cannot_be_measured_the_last_score_counts_and_that_is_said(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [-900.0], env="unknown", seed=0, state="diverged")
    make_run(tmp_path / "s", [], env="unknown", seed=1, state="diverged")
    results = load(tmp_path)
    assert results.runs["counted"].iloc[0] == -900.0 and np.isnan(results.runs["counted"].iloc[1])
    assert "Any" in results.notes[0] and "counts as -900" in results.notes[0] and "is in no mean" in results.notes[1]


def test_where_the_random_score_is_not_set_it_is_measured(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [-100.0], state="diverged", config={"env.score_random": None})
    assert load(tmp_path).runs["counted"].iloc[0] == pytest.approx(-1237.87, abs=60)  # conf/env/pendulum.yaml, other seeds


def test_the_same_run_in_two_studies_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [-900.0], state="stopped", config={"total_steps": 3 * STEPS})
    make_run(tmp_path / "b")
    results = load(tmp_path / "a", tmp_path / "b")
    assert list(results.runs["study"]) == ["b"]  # it has got further
    assert "left out, so that it does not count twice" in results.notes[0]


def test_a_task_has_one_name_however_it_was_typed(tmp_path: Path) -> None:
    make_run(tmp_path / "s", env="hopper", seed=0)
    directory = make_run(tmp_path / "s", env="hopper", seed=1)
    status = (directory / "status.json").read_text().replace('"env=hopper"', '"env.id=Hopper-v5"')
    (directory / "status.json").write_text(status)
    assert set(load(tmp_path).runs["env"]) == {"hopper"}


def test_without_a_choice_the_environment_is_called_by_its_id(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "s", env="unknown")
    (directory / "status.json").write_text((directory / "status.json").read_text().replace('"env=unknown"', '"env=any"'))
    assert list(load(tmp_path).runs["env"]) == ["Any-v0"]


def test_budgets_and_values_of_a_task_are_not_swept(tmp_path: Path) -> None:
    make_run(tmp_path / "s", env="pendulum", config={"algo.gamma": 0.9})
    make_run(tmp_path / "s", [1.0, 2.0, 3.0, 4.0], env="hopper")
    results = load(tmp_path)
    assert results.swept == () and results.group_labels == ["all runs"]


def test_a_swept_choice_is_one_knob_not_the_twenty_values_behind_it(tmp_path: Path) -> None:
    strong = {"algo.n_envs": 64, "algo.n_steps": 32, "algo.vf_clip": None, "network.log_std_init": -0.5}
    make_run(tmp_path / "s", config={**strong, "algo.lr": 0.001}, seed=0)
    make_run(tmp_path / "s", overrides={"algo.lr": 0.01}, config=strong)
    make_run(tmp_path / "s", overrides={"recipe": "standard"})
    results = load(tmp_path)
    assert results.swept == ("recipe", "algo.lr")
    assert set(results.runs["recipe"]) == {"strong", "standard"}  # the first is what conf/config.yaml chooses


def test_seeds_of_confirmation_are_not_mixed_with_those_of_tuning(tmp_path: Path) -> None:
    study = tmp_path / "hopper-tpe"
    for place, seed in (("trial=0000", 0), ("confirm/default", 1000), ("confirm/default", 2000)):
        run = make_run(tmp_path / "made", env="hopper", seed=seed)
        target = study / place / f"seed={seed}"
        target.parent.mkdir(parents=True, exist_ok=True)
        run.rename(target)
    (study / "study.json").write_text("{}")
    results = load(study)
    assert sorted(results.group_labels) == ["seeds=confirmation", "seeds=report", "seeds=tuning"]


def test_episodes_evaluations_and_timing_are_read_on_demand(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s", evaluation=-140.0)
    (run / "episodes.csv").write_text("env_steps,env,return,length,terminated,final_reward,partial\n200,0,-900.5,200,0,-1,0\n")
    results = load(tmp_path)
    name = results.runs.index[0]
    assert list(episodes(results, name)["return"]) == [-900.5]
    assert list(evaluations(results, name)["mode"]) == ["deterministic"] and list(evaluations(results, name)["return_mean"]) == [-140.0]
    assert list(timing(results)["seconds"]) == [2.0, 2.0, 2.0]
    (run / "episodes.csv").unlink()
    assert len(episodes(results, name)) == 0


def test_a_part_of_the_runs_keeps_what_was_swept(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.lr": [0.001, 0.0001]}, seeds=1)
    results = load(tmp_path)
    part = results.select([results.runs.index[0]])
    assert len(part.runs) == 1 and part.swept == ("algo.lr",) and set(part.metrics["run"]) == {part.runs.index[0]}
    assert list(part.rows) == [part.runs.index[0]]


def test_loading_needs_no_torch() -> None:
    code = "import sys, ppo_sweep.report, ppo_sweep.report.figures, ppo_sweep.report.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_thousand_runs_of_five_hundred_rows_load_in_ten_seconds(tmp_path: Path) -> None:
    # Numbers of full length, as training writes them; equal rows would flatter no parser, but equal files need to be made once only.
    random = np.random.default_rng(0)
    columns = {name: list(random.normal(size=500)) for name in METRIC_COLUMNS[3:]}
    run = make_run(tmp_path / "made", list(random.normal(size=500)), columns=columns)
    text = (run / "config.yaml").read_text()
    for lr in range(100):
        for seed in range(10):
            directory = tmp_path / "study" / f"algo.lr={1 + lr}e-5" / f"seed={seed}"
            directory.mkdir(parents=True)
            for name in ("metrics.csv", "timing.csv", "status.json"):
                (directory / name).hardlink_to(run / name)
            (directory / "config.yaml").write_text(text.replace("seed: 0", f"seed: {seed}").replace("lr: 0.0003", f"lr: {1 + lr}.0e-05"))
    assert f"lr: {Config().algo.lr}" in text
    started = time.monotonic()
    results = load(tmp_path / "study")
    assert time.monotonic() - started < 10
    assert len(results.metrics) == 500_000 and len(results.group_labels) == 100


def test_a_swept_score_does_not_hide_what_the_runs_scored(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [-900.0], seed=0, score=-900.0)
    make_run(tmp_path / "s", [-800.0], seed=0, score=-800.0, overrides={"score": "auc"}, config={"score": "auc"})
    results = load(tmp_path)
    assert results.swept == ("score",) and list(results.runs["score"]) == ["return_100", "auc"]
    assert list(results.runs["final_score"]) == [-900.0, -800.0]
