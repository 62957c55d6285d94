"""Whole studies, with real training: what comes of them, what goes wrong in them, and taking them up again."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from studies import attempts, killed, runs, study, table, trials
from sweeping import TRAIN, assert_same_bytes, environment, go_wrong, processes, wait_for

from ppo_sweep.config import EnvConfig
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep.study import conduct, improvement, pieces, search
from ppo_sweep.sweep.study.timeline import Event

Train = Callable[[str], int]


def assert_same_study(one: str, other: str) -> None:
    """The same trials, the same values, the same runs to the last byte."""
    assert trials(one) == trials(other)
    assert Path("results", one, "trials.csv").read_text() == Path("results", other, "trials.csv").read_text()
    assert runs(one) == runs(other)
    for run in runs(one):
        assert_same_bytes(Path("results", one, run), Path("results", other, run))


@pytest.mark.slow
def test_a_study_prunes_confirms_and_exports_its_winner(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    line = study("walk", "sweep.confirm_top=2 sweep.confirm_seeds=2 sweep.report_seeds=3")
    assert train(line) == 0
    rows = table("walk")
    assert [int(row["number"]) for row in rows] == list(range(7))
    states = [row["state"] for row in rows]
    assert states[0] == "COMPLETE" and states.count("PRUNED") >= 1 and set(states) == {"COMPLETE", "PRUNED"}
    assert all("at 192 steps" in row["reason"] for row in rows if row["state"] == "PRUNED")
    said = capsys.readouterr().out
    assert "the winner on the confirmation seeds" in said and "On report seeds" in said
    assert (Path("results/walk/confirm/default/seed=1001/policy.json")).exists()
    exported = yaml.safe_load(Path("results/walk/best.yaml").read_text())
    assert exported["study"] == "walk-best"
    assert train("--config-dir results/walk --config-name best") == 0
    assert train(line) == 0, "nothing is left to do"
    listed = read_study(Path("results/walk"))
    assert listed is not None and {member.state for member in listed.members} == {"done", "pruned"}


@pytest.mark.slow
def test_a_study_is_the_same_whatever_the_speed_of_its_workers(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(study("even")) == 0
    order = search.WorkerProcess.order

    def throttled(self: search.WorkerProcess, orders: object) -> None:
        time.sleep(0.05 * self.number)
        order(self, orders)  # type: ignore[arg-type]

    monkeypatch.setattr(search.WorkerProcess, "order", throttled)
    assert train(study("uneven")) == 0
    assert_same_study("even", "uneven")


#: Between ask, place, launch, report, judge, prune and tell.
POINTS = [
    ('middle:"state": 4', 1), ("after:op_code", 2), ("before:algo.epochs", 2), ("after:placed", 3), ("begin", 4),
    ("before:rung 0", 2), ('middle:"intermediate_value"', 1), ("train", 5), ("after:reason", 1), ("prune", 1),
    ("before:env_steps", 1), ("before:datetime_complete", 1), ("after:datetime_complete", 1),
]  # fmt: skip


@pytest.mark.slow
def test_a_study_killed_at_any_point_is_the_undisturbed_one(train: Train) -> None:
    assert train(study("whole")) == 0
    survived = [point for point in POINTS if not killed(study("killed"), *point)]
    assert not survived, "there was nothing left to kill"
    assert train(study("killed")) == 0
    assert_same_study("killed", "whole")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.slow
def test_random_deaths_of_parent_and_workers_change_nothing(train: Train) -> None:
    """Most come after a random share of a study's changes to its journal, so that they fall into its work and not into its start."""
    changes = "total_steps=1920 sweep.n_trials=10"
    assert train(study("whole", changes)) == 0
    rng, journal = random.Random(0), Path("results/killed/optuna.log")
    share = Path("results/whole/optuna.log").stat().st_size / 16
    command, kills = [sys.executable, str(TRAIN), *study("killed", changes).split()], 0
    while kills < 20:
        until = _size(journal) + rng.uniform(0.0, share)
        with Path("said.txt").open("ab") as said:
            process = subprocess.Popen(command, env=environment(), stdout=said, stderr=said)
        if rng.random() < 0.2:
            wait_for(lambda: processes(process.pid) or process.poll() is not None, 240)  # noqa: B023
            time.sleep(rng.uniform(0.0, 1.0))
        else:
            wait_for(lambda: _size(journal) >= until or process.poll() is not None, 240)  # noqa: B023
        if process.poll() is not None:  # it came to its end: once more
            assert process.returncode == 0
            assert_same_study("killed", "whole")
            shutil.rmtree("results/killed")
            continue
        workers = processes(process.pid)
        if workers and rng.random() < 0.3:
            os.kill(rng.choice(workers), signal.SIGKILL)
            time.sleep(rng.uniform(0.0, 1.0))
        process.kill()
        process.wait()
        kills += 1
    assert train(study("killed", changes)) == 0
    assert "Traceback" not in Path("said.txt").read_text(errors="replace")
    assert_same_study("killed", "whole")


@pytest.mark.slow
def test_a_study_whose_journal_was_lost_or_is_an_older_one_is_made_again_from_its_runs(train: Train) -> None:
    assert train(study("whole")) == 0
    for name, share in (("renamed", 1.0), ("older", 0.6), ("lost", 0.0)):
        shutil.copytree("results/whole", f"results/{name}")
        journal = Path("results", name, "optuna.log")
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.unlink()
        if share:
            journal.write_bytes(b"".join(lines[: round(share * len(lines))]))
        assert train(study(name)) == 0
        assert_same_study(name, "whole")
        assert attempts(name) == attempts("whole"), "no run was trained again"


@pytest.mark.slow
def test_a_study_that_is_told_to_stop_while_it_asks_is_the_undisturbed_one(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(study("whole")) == 0
    ask, handle = conduct.Conductor._ask, conduct.Conductor._handle
    told: list[bool] = []
    late: list[bool] = []

    def handles(self: conduct.Conductor, event: Event) -> None:
        late.append(bool(told))
        handle(self, event)

    monkeypatch.setattr(conduct.Conductor, "_handle", handles)
    for last in (4, 6, 8):
        calls = itertools.count(1)

        def asks(self: conduct.Conductor, worker: int) -> object:
            if next(calls) == last:  # noqa: B023
                os.kill(os.getpid(), signal.SIGTERM)
                told.append(True)
            return ask(self, worker)

        monkeypatch.setattr(conduct.Conductor, "_ask", asks)
        assert train(study("stopped")) == 143
        assert told and not any(late), "nothing is decided after the signal"
        told.clear()
    monkeypatch.setattr(conduct.Conductor, "_ask", ask)
    assert train(study("stopped")) == 0
    assert_same_study("stopped", "whole")


@pytest.mark.slow
def test_runs_whose_tables_were_damaged_in_between_go_on_from_the_checkpoint_before(train: Train) -> None:
    assert train(study("whole")) == 0
    assert killed(study("damaged"), "train", 20)
    unfinished = [run for run in runs("damaged") if not read_status(Path("results/damaged", run)).finished]
    tables = [Path("results/damaged", run, "metrics.csv") for run in unfinished]
    assert any(path.read_bytes().count(b"\n") > 5 for path in tables), "none has two checkpoints"
    for path in tables:
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert train(study("damaged", "hydra.launcher.max_restarts=0")) == 0
    assert_same_study("damaged", "whole")


@pytest.mark.slow
def test_the_runs_of_a_lost_worker_continue_and_the_study_is_the_same(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(study("whole")) == 0
    go_wrong(monkeypatch, {"seed": 1, "do": "kill", "episode": 15, "once": str(tmp_path / "happened")})
    assert train(study("lost")) == 0
    assert "was lost: killed by SIGKILL" in capsys.readouterr().out
    assert_same_study("lost", "whole")


def test_a_diverged_seed_counts_and_the_trial_is_complete_with_a_flag(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": "nan", "episode": 20})
    assert train(study("diverged", "sweep.n_trials=2 hydra.launcher.workers=1")) == 0
    for row in table("diverged"):
        assert row["state"] == "COMPLETE" and row["diverged"] == "1" and float(row["value"]) < 0
    assert train(study("diverged", "sweep.n_trials=2 hydra.launcher.workers=1")) == 0


@pytest.mark.slow
def test_a_diverged_seed_counts_as_the_worse_of_its_last_score_and_chance_whichever_is_worse(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": "nan", "episode": 20})
    counted = {}
    for direction in ("maximize", "minimize"):
        assert train(study(direction, f"sweep.n_trials=1 sweep.direction={direction}")) == 0
        [[_, _, [value], _, _, attributes]] = trials(direction)
        assert attributes["diverged"] == 1 and value == pytest.approx(sum(attributes["scores"]) / 2)
        counted[direction] = attributes["scores"]
    assert counted["maximize"][0] == counted["minimize"][0]
    assert counted["maximize"][1] < counted["minimize"][1]


def test_a_study_in_which_every_trial_fails_says_why(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": "raise"})
    assert train(study("bad", "sweep.n_trials=2 hydra.launcher.workers=1")) == 3
    assert [row["state"] for row in table("bad")] == ["FAIL", "FAIL"]
    said = capsys.readouterr().out
    assert "trial 0 failed: seed=1: " in said and "the walker fell" in said
    assert "no trial is complete, so there is nothing to confirm" in said
    assert train(study("bad", "sweep.n_trials=2 hydra.launcher.workers=1")) == 3, "failed trials are told, not tried again"


@pytest.mark.slow
def test_a_run_that_always_kills_its_worker_fails_its_trial_and_nothing_else(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    go_wrong(monkeypatch, {"seed": 2, "do": "kill", "episode": 15})
    line = study("deadly", "sweep.n_trials=2 sweep.seeds=3 hydra.launcher.max_restarts=1 sweep.pruner=none")
    assert train(line) == 3
    rows = table("deadly")
    assert [row["state"] for row in rows] == ["FAIL", "FAIL"]
    assert all("seed=2: its worker was lost 2 times, the last time: killed by SIGKILL" in row["reason"] for row in rows)
    assert all(read_status(Path("results/deadly", run)).state == ("failed" if run.name == "seed=2" else "done") for run in runs("deadly"))
    kept = trials("deadly")
    assert train(line) == 3
    assert trials("deadly") == kept


def test_one_failed_trial_leaves_the_others_alone_and_exits_3(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_wrong(monkeypatch, {"seed": 1, "do": "raise", "once": str(tmp_path / "happened")})
    assert train(study("one", "sweep.n_trials=3 hydra.launcher.workers=1")) == 3
    assert sorted(row["state"] for row in table("one")).count("FAIL") == 1


#: Three configurations, the default included, for nine trials, one after another.
FEW = (
    "sweep=random sweep/space=none algo.lr=choice(1e-3,3e-3) sweep.pruner=asha sweep.n_trials=9 "
    "hydra.launcher.workers=1 hydra.launcher.slots=2"
)


@pytest.mark.slow
def test_a_configuration_that_comes_again_is_not_trained_again(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(study("few", FEW)) == 0
    rows = table("few")
    trained = [row for row in rows if int(row["env_steps"])]
    assert len(rows) == 9 > len(trained) and {row["algo.lr"] for row in trained} == {row["algo.lr"] for row in rows}
    assert {str(run).split("/")[0] for run in runs("few")} == {f"trial={int(row['number']):04d}" for row in trained}
    for row in rows:
        if row not in trained:
            [same] = [other for other in trained if row["reason"] == f"the same configuration as trial {other['number']}"]
            assert [row[name] for name in ("state", "value", "value_std", "algo.lr")] == [
                same[name] for name in ("state", "value", "value_std", "algo.lr")
            ]
    [best] = [line for line in capsys.readouterr().out.splitlines() if "best.yaml: trial" in line or "best.yaml: the default" in line]
    complete = [(-float(row["value"]), int(row["number"])) for row in rows if row["state"] == "COMPLETE"]
    assert best.endswith(f"trial {min(complete)[1]}" if min(complete)[1] else "the default configuration")


@pytest.mark.slow
@pytest.mark.parametrize("point", [("before:same_as", 1), ("after:same_as", 2), ("after:same_as", 3)])
def test_a_study_killed_while_it_repeats_a_trial_is_the_undisturbed_one(train: Train, point: tuple[str, int]) -> None:
    assert train(study("whole", FEW)) == 0
    assert killed(study("killed", FEW), *point)
    assert train(study("killed", FEW)) == 0
    assert_same_study("killed", "whole")


@pytest.mark.slow
def test_runs_that_are_no_trials_are_kept_out_of_the_directory(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    few = "sweep=random sweep.n_trials=1 sweep.seeds=1"
    assert train(study("few", few)) == 0
    capsys.readouterr()
    for line in ("study=few", "-m study=few seed=0,1"):
        assert train(line) == 4
        assert "results/few belongs to an Optuna study, whose runs are its trials; give another study=" in capsys.readouterr().err
    assert runs("few") == [Path("trial=0000/seed=0")]
    assert train("env=pendulum total_steps=4096 study=other") == 0
    assert train(study("other", few)) == 4
    assert "results/other holds runs of another command, which are no trials" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_that_comes_upon_nothing_new_ends(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(study("few", f"{FEW} sweep.n_trials=99999 sweep.max_env_steps=5000")) == 0
    rows = table("few")
    assert 50 < len(rows) < 150 and all(row["reason"].startswith("the same") for row in rows[-50:])
    said = capsys.readouterr().out
    assert "the last 50 trials were configurations that had been tried: the search ends here" in said
    assert f"{len([row for row in rows if row['reason'].startswith('the same')])} of them had the configuration of an earlier one" in said


@pytest.mark.slow
def test_more_trials_later_continue_the_study(train: Train) -> None:
    assert train(study("more", "sweep.n_trials=3")) == 0
    before = table("more")
    assert train(study("more", "sweep.n_trials=5")) == 0
    assert table("more")[:3] == before and len(table("more")) == 5
    assert set(attempts("more").values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_study_of_limited_steps_can_be_gone_through_again_and_made_longer(seed: int, train: Train) -> None:
    """What is pruned after the limit was reached leaves room below it, and what is added later reports before trials that were judged."""
    line = study("some", f"sweep.n_trials=30 sweep.prune_audit=0 sweep.max_env_steps=3000 seed={seed}")
    assert train(line) == 0
    before = trials("some")
    assert train(line) == 0
    assert trials("some") == before
    more = line.replace("=3000", "=5000")
    assert train(more) == 0
    longer = trials("some")
    assert longer[: len(before)] == before and len(longer) > len(before)
    assert "PRUNED" in {row["state"] for row in table("some")}, "otherwise nothing is tested"
    assert train(more) == 0
    assert trials("some") == longer


@pytest.mark.slow
def test_a_longer_study_confirms_anew_and_what_was_confirmed_keeps_its_place(train: Train) -> None:
    confirm = "sweep.pruner=none sweep.confirm_top=8 sweep.confirm_seeds=1 sweep.report_seeds=1 sweep.seeds=2"
    assert train(study("grown", f"{confirm} sweep.n_trials=2")) == 0
    root = Path("results/grown")
    first = read_study(root)
    assert first is not None
    earlier = {number: name for name, number in first.other["confirmed"]["trials"].items()}
    begun = attempts("grown")
    assert train(study("grown", f"{confirm} sweep.n_trials=8")) == 0
    then = read_study(root)
    assert then is not None
    later = {number: name for name, number in then.other["confirmed"]["trials"].items()}
    assert len(later) > len(earlier), "otherwise nothing is tested"
    assert all(later.get(number, name) == name for number, name in earlier.items())
    assert {run: attempts("grown")[run] for run in begun} == begun, "nothing is trained twice"
    assert all((root / "confirm" / name / "seed=1000/policy.json").exists() for name in later.values())


def test_another_study_in_the_same_directory_is_refused_with_the_difference(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(study("mine", "sweep.n_trials=1")) == 0
    assert train(study("mine", "sweep.n_trials=1 sweep.sampler=random")) == 4
    assert "sweep.sampler was tpe, now random" in capsys.readouterr().err
    assert train(study("mine", "sweep.n_trials=1 algo.lr=interval(1e-4,1e-3)")) == 4
    assert "space of algo.lr" in capsys.readouterr().err


def test_a_wrong_definition_makes_nothing(train: Train) -> None:
    assert train(study("wrong", "algo.lr=interval(1,0)")) == 2
    assert train(study("wrong", "force=true")) == 2
    assert not Path("results").exists()


def test_a_study_that_no_longer_improves_says_so_at_its_end(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(improvement, "LEAST_TRIALS", 1)
    assert train(study("stalled", "sweep.n_trials=3 sweep.pruner=none hydra.launcher.workers=1")) == 0
    values = [float(row["value"]) for row in table("stalled")]
    assert values[2] < max(values[:2]), "otherwise it has improved"
    assert "no improvement beyond noise: the last 1 trials raised the best by 0, " in capsys.readouterr().out


def test_more_seeds_than_slots_take_turns(train: Train) -> None:
    assert train(study("many", "sweep.n_trials=2 sweep.seeds=5 hydra.launcher.workers=1 hydra.launcher.slots=2")) == 0
    assert [row["seeds"] for row in table("many")] == ["5", "5"]


@pytest.mark.slow
def test_several_objectives_give_a_pareto_set(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    changes = "sweep.metric=[mean,std] sweep.direction=[maximize,minimize] sweep.pruner=none sweep.sampler=nsga2 sweep.n_trials=3"
    assert train(study("pareto", f"{changes} sweep.confirm_top=2 sweep.confirm_seeds=2 sweep.report_seeds=2")) == 0
    assert all(float(row["value_2"]) >= 0 for row in table("pareto"))
    assert "the Pareto set: trial" in capsys.readouterr().out


def test_a_database_keeps_the_trials(train: Train) -> None:
    url = "sweep.storage=sqlite:///study.db sweep.n_trials=1 hydra.launcher.workers=1"
    assert train(study("kept", url)) == 0
    before = table("kept")
    assert train(study("kept", url)) == 0
    assert table("kept") == before and len(before) == 1


@pytest.mark.slow
def test_several_environments_are_compared_on_one_scale(train: Train) -> None:
    line = (
        "-m sweep=random sweep.env=[pendulum,hopper] total_steps=8192 algo.n_envs=1 algo.n_steps=512 sweep.pruner=none sweep.n_trials=2 "
        "sweep.seeds=2 sweep.confirm_top=1 sweep.confirm_seeds=1 sweep.report_seeds=1 study=two"
    )
    assert train(line) == 0
    assert all(abs(float(row["value"])) < 10 for row in table("two"))
    assert Path("results/two/trial=0001/env=hopper/seed=1/policy.json").exists()


@pytest.mark.slow
def test_ctrl_c_stops_a_study_which_continues(train: Train) -> None:
    changes = "total_steps=960 sweep.n_trials=3"
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *study("stopped", changes).split()], env=environment(), stdout=subprocess.DEVNULL
    )
    while not list(Path().glob("results/stopped/trial=*/seed=*/checkpoint/*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert train(study("stopped", changes)) == 0
    assert train(study("whole", changes)) == 0
    assert_same_study("stopped", "whole")


@pytest.mark.parametrize("seeds", [1, 2])
def test_confirmation_runs_that_fail_are_named(
    seeds: int, train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_wrong(monkeypatch, {"seed": 1000, "do": "raise"})
    line = f"sweep.n_trials=1 sweep.confirm_top=1 sweep.confirm_seeds={seeds} sweep.report_seeds=1 hydra.launcher.workers=1"
    assert train(study("bad", line)) == 3
    said = capsys.readouterr().out
    assert "results/bad/confirm/default/seed=1000 failed: " in said
    assert ("the confirmation seeds have no scores" in said) == (seeds == 1)
    assert Path("results/bad/best.yaml").exists() == (seeds == 2)


@pytest.mark.slow
def test_environments_that_cannot_be_put_on_one_scale_fail_the_trial_and_say_which(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(env: EnvConfig) -> float:
        raise ValueError("a random episode's return is not finite")

    monkeypatch.setattr(pieces, "random_score", unknown)
    line = (
        "-m sweep=tpe study=scales sweep.env=[pendulum,hopper] total_steps=2048 algo.n_envs=1 algo.n_steps=512 network.hidden=[8] "
        "sweep.seeds=1 sweep.n_trials=1 sweep.pruner=none sweep.confirm_top=0 hydra.launcher.workers=1"
    )
    assert train(line) == 3
    assert table("scales")[0]["reason"] == "env.score_random of pendulum is not set, and a random episode's return is not finite"


def test_a_study_stays_in_the_storage_it_was_begun_with(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    short, url = "sweep.n_trials=1 sweep.seeds=1 hydra.launcher.workers=1", "sweep.storage=sqlite:///study.db"
    assert train(study("shared", f"{short} {url}")) == 0
    assert train(study("shared", short)) == 4
    assert "its trials are in a database; give the sweep.storage it was begun with" in _unfolded(capsys.readouterr().err)
    assert not Path("results/shared/optuna.log").exists()
    assert train(study("shared", f"{short} sweep.storage=sqlite:///another.db")) == 4
    assert "its trials are in another database, or had another name there; give the sweep.storage and the study=" in _unfolded(
        capsys.readouterr().err
    )
    assert train(study("own", short)) == 0
    for damage in ("", "{"):
        with Path("results/own/study.json").open("a") as file:
            file.write(damage)
        assert train(study("own", f"{short} {url}")) == 4
        assert "its trials are in its journal, optuna.log; leave sweep.storage out" in _unfolded(capsys.readouterr().err)


def _unfolded(text: str) -> str:
    return " ".join(text.split())
