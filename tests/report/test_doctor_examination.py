"""The doctor on directories: where facts come from, what is printed, exit codes, calibration; and on short real runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ppo_sweep.config import Config
from ppo_sweep.report import ReportError, load
from ppo_sweep.report.doctor import examine
from ppo_sweep.report.doctor.calibration import changed, described, halves, judge, read_labels, table, tallies
from ppo_sweep.report.doctor.examination import records, seed_groups
from ppo_sweep.report.doctor.facts import half_range_of, horizon_of
from ppo_sweep.report.doctor.text import described as text_of
from ppo_sweep.report.doctor.text import summary
from ppo_sweep.runs import strict_json
from ppo_sweep.runs.status import Status, write_status
from ppo_sweep.runs.trainer import train
from ppo_sweep.sweep.command_line import check
from tests.report.made_runs import made_study
from tests.report.made_runs import table as made_table

ROOT = Path(__file__).resolve().parents[2]


def doctor(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "scripts" / "doctor.py", *words], capture_output=True, text=True, check=False)


def sick(study: Path, **columns: float) -> None:
    """Change columns of every run of a study."""
    for path in study.rglob("metrics.csv"):
        pd.read_csv(path).assign(**columns).to_csv(path, index=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made_study(tmp_path / "pendulum", {"env=pendulum": {}})
    # 600 episodes in 60 iterations.
    for path in (tmp_path / "pendulum").rglob("metrics.csv"):
        rows = pd.read_csv(path)
        rows.assign(episodes=rows["iteration"] * 100.0).to_csv(path, index=False)
    return tmp_path / "pendulum"


# --- facts


def test_the_action_range_is_read_from_the_final_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_bytes(strict_json.encode({"architecture": {"action_low": [-2.0, 0.0], "action_high": [2.0, 1.0]}}))
    assert half_range_of(tmp_path) == (2.0, 0.5)
    (tmp_path / "policy.json").write_text("{")
    assert half_range_of(tmp_path) is None


def test_the_horizon_is_the_length_of_the_longest_episode_that_was_cut_by_it() -> None:
    columns = ("length", "terminated", "partial")
    episodes = made_table(columns, [[300, 1, 0], [250, 0, 0], [400, 0, 1]])
    assert horizon_of({}, lambda: episodes) == 250
    assert horizon_of({"env.max_episode_steps": 1001, "env.action_repeat": 2}, lambda: episodes) == 501
    assert horizon_of({}, lambda: episodes[:1]) is None


def test_what_the_files_do_not_say_the_environment_is_asked(study: Path) -> None:
    [facts] = {record.environment for record in records(load(study))}
    assert facts.half_range == (2.0,) and facts.horizon == 200


# --- groups


def test_a_diverged_seed_is_in_its_group_with_what_it_counts_as(study: Path) -> None:
    write_status(study / "env=pendulum" / "seed=1", Status("diverged", 60, 60 * 2048), durably=False)
    [group] = seed_groups(load(study))
    assert group.scores["pendulum/env=pendulum/seed=1"] == pytest.approx(-1237.87)
    assert len(group.scores) == 3


# --- the command


def test_a_healthy_study_exits_with_0(study: Path) -> None:
    ended = doctor(study)
    assert ended.returncode == 0 and ended.stdout == "3 runs examined: nothing found\n", ended.stdout + ended.stderr


def test_notes_alone_are_healthy(study: Path) -> None:
    sick(study, reward_clip_fraction=0.5)
    ended = doctor(study, "--json")
    assert ended.returncode == 0
    assert [finding["symptom"] for finding in json.loads(ended.stdout)] == ["reward_clipped"] * 3


def test_a_warning_exits_with_1_and_json_has_the_agreed_keys(study: Path) -> None:
    sick(study, clip_fraction=0.6)
    ended = doctor(study / "env=pendulum" / "seed=2", "--json")
    assert ended.returncode == 1
    [finding] = json.loads(ended.stdout)
    assert list(finding) == ["symptom", "severity", "run", "iterations", "value", "threshold", "knob", "advice", "source"]
    assert finding["symptom"] == "clip_fraction_high" and finding["severity"] == "warning" and finding["iterations"] == [1, 60]
    assert (finding["value"], finding["threshold"]) == (0.6, 0.5) and finding["run"].endswith("seed=2")


def test_text_says_each_symptom_once_the_worst_first(study: Path) -> None:
    sick(study, clip_fraction=0.6, action_std_min=0.01, reward_clip_fraction=0.5)
    results = load(study)
    text = text_of(examine(results))
    assert text.startswith("3 runs examined: 3 severe findings, 3 warnings, 3 notes")
    assert [line.split()[:2] for line in text.splitlines() if line.startswith(("SEVERE", "WARNING", "NOTE"))] == [
        ["SEVERE", "entropy_collapse"], ["WARNING", "clip_fraction_high"], ["NOTE", "reward_clipped"],
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) <= 120


def test_a_run_without_an_iteration_is_counted_and_not_judged(study: Path) -> None:
    for path in (study / "env=pendulum").rglob("metrics.csv"):
        path.write_text(path.read_text().partition("\n")[0] + "\n")
    assert summary(examine(load(study))).startswith("nothing to examine: no run has finished an iteration")
    assert doctor(study).returncode == 0


# --- calibration


def labels(results: Path, *lines: str) -> Path:
    path = results / "labels.csv"
    path.write_text("\n".join(["run,expected,half", *lines]) + "\n")
    return path


def test_precision_and_recall_are_counted_per_symptom_and_half(tmp_path: Path) -> None:
    for name in ("ill", "well", "missed"):
        made_study(tmp_path / name, {"env=pendulum": {"algo.lr": {"ill": 1e-3, "well": 2e-3, "missed": 3e-3}[name]}}, seeds=[0, 1])
    sick(tmp_path / "ill", clip_fraction=0.95)
    sick(tmp_path / "well", clip_fraction=0.9, reward_clip_fraction=0.5)
    path = labels(tmp_path, "ill,clip_fraction_high,fit", "well,,fit", "missed,kl_spike|return_collapse,other")
    fit, other = halves(read_labels(path, tmp_path))
    [tally] = tallies(judge(fit))
    assert (tally.planted, tally.found, tally.false, tally.precision, tally.recall) == (2, 2, 2, "2/4", "2/2")
    text = described("fit", judge(fit))
    assert "| `clip_fraction_high` | 2 | 2 | 2 | 2/4 | 2/2 |" in text and "0 of 2 healthy ones" in text
    assert text.count("false `clip_fraction_high`: well/") == 2 and "`reward_clipped` on 2 runs" in text
    assert "| `kl_spike` or `return_collapse` | 2 | 0 | 0 | – | 0/2 |" in described("other", judge(other))
    better = judge(fit, changed(["clip_fraction=0.92"]))
    assert tallies(better)[0].precision == "2/2" and "2 of 2 healthy ones" in described("fit", better)


def test_either_of_two_symptoms_is_enough_and_a_consequence_is_no_false_alarm(tmp_path: Path) -> None:
    made_study(tmp_path / "ill", {"env=pendulum": {}}, seeds=[0])
    sick(tmp_path / "ill", kl=5.0, clip_fraction=0.95, mean_saturation=0.9)
    [half] = halves(read_labels(labels(tmp_path, "ill,kl_spike|return_collapse ?clip_fraction_high ?non_finite,fit"), tmp_path))
    assert [(tally.symptoms, tally.found, tally.false) for tally in tallies(judge(half))] == [
        (("kl_spike", "return_collapse"), 1, 0), (("action_saturation",), 0, 1),
    ]  # fmt: skip


def test_what_was_found_in_every_run_is_a_table(tmp_path: Path) -> None:
    made_study(tmp_path / "ill", {"env=pendulum": {}}, seeds=[0])
    sick(tmp_path / "ill", mean_saturation=0.9, episodes=9000.0)
    [half] = halves(read_labels(labels(tmp_path, "ill,kl_spike|return_collapse,fit"), tmp_path))
    lines = table([(half.name, judge(half))]).splitlines()
    assert lines[0] == "half,run,planted,found"
    assert lines[1].startswith("fit,ill/") and lines[1].endswith(",kl_spike|return_collapse,action_saturation too_few_episodes")


def test_the_shipped_list_of_runs_names_studies_that_an_experiment_trains_in_two_halves() -> None:
    labelled = read_labels(ROOT / "docs" / "doctor_runs.csv", Path())
    jobs = {str(item.path): check(["-m", f"experiment={item.path}"]).jobs for item in labelled}
    assert all(job.path.parts[:2] == ("results", study) for study, made in jobs.items() for job in made)
    assert sum(len(made) for made in jobs.values()) >= 60
    seeds, environments = (
        {half: {value(job) for item in labelled if item.half == half for job in jobs[str(item.path)]} for half in ("fit", "check")}
        for value in (lambda job: job.config.seed, lambda job: job.config.env.id)
    )
    assert seeds["fit"].isdisjoint(seeds["check"])
    assert len(environments["check"] - environments["fit"]) == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("run,expected,half\nx,no_such,fit\n", "no symptom no_such"), ("a,b\n1,2\n", "needs a first line"), ("", "needs a first line")],
)
def test_a_list_that_is_none_is_refused_with_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ReportError, match=sentence):
        read_labels(tmp_path / "labels.csv", tmp_path)


def test_a_threshold_that_does_not_exist_is_refused_with_a_sentence() -> None:
    with pytest.raises(ReportError, match="there is no threshold clip"):
        changed(["clip=1"])
    with pytest.raises(ReportError, match="must be a number"):
        changed(["clip_fraction=much"])


# --- real training


def trained(directory: Path, iterations: int = 24, **changes: Any) -> set[str]:
    """The symptoms of a short real run on Pendulum."""
    config = Config().replace(
        **{
            "algo.n_steps": 256, "algo.n_envs": 2, "algo.gamma": 0.9, "algo.epochs": 4, "total_steps": 512 * iterations,
            "env.score_random": -1237.87, "env.score_reference": -150.0, **changes,
        }
    )  # fmt: skip
    assert train(config, directory, console=False).exit_code == 0
    return {finding.symptom for finding in examine(load(directory)).findings}


@pytest.mark.slow
def test_a_short_healthy_real_run_has_nothing_above_a_note(tmp_path: Path) -> None:
    assert trained(tmp_path / "run") <= {"too_few_episodes"}


@pytest.mark.slow
def test_a_real_policy_without_noise_is_a_collapse(tmp_path: Path) -> None:
    assert "entropy_collapse" in trained(tmp_path / "run", **{"network.log_std_init": -14.0})


@pytest.mark.slow
def test_a_real_kl_stop_of_almost_nothing_is_too_small(tmp_path: Path) -> None:
    assert "max_kl_too_small" in trained(tmp_path / "run", **{"algo.max_kl": 1e-7})


@pytest.mark.slow
def test_a_real_kl_stop_of_far_too_much_has_no_effect(tmp_path: Path) -> None:
    assert "max_kl_no_effect" in trained(tmp_path / "run", **{"algo.max_kl": 50.0})


@pytest.mark.slow
def test_a_real_entropy_bonus_that_outweighs_the_return_makes_entropy_rise(tmp_path: Path) -> None:
    assert "entropy_rising" in trained(tmp_path / "run", 60, **{"algo.ent_coef": 0.5, "algo.lr": 3e-3})


@pytest.mark.slow
def test_real_terminal_time_limits_are_found(tmp_path: Path) -> None:
    assert "timeouts_terminal" in trained(tmp_path / "run", 30, **{"env.bootstrap_timeouts": False})
