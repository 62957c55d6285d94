"""``scripts/report.py`` on whatever it may be pointed at."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppo_sweep.report.page.choosing import newest
from ppo_sweep.runs.status import Status, write_status
from tests.report.made_runs import made_study

ROOT = Path(__file__).resolve().parents[2]
STOPS = {"algo.max_kl=0.02,env=pendulum": {"algo.max_kl": 0.02}, "algo.max_kl=null,env=pendulum": {}}

FIGURES = "learning_curves diagnostics sensitivity final_scores profile speed".split()


def report(*words: str | Path, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "report.py", *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


def seen(study: Path) -> str:
    """The words of a page, without tags and without what is inlined."""
    html = (study / "report" / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(style|script)>.*?</\1>", " ", html)))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made_study(tmp_path / "results" / "pendulum", STOPS)
    return tmp_path / "results" / "pendulum"


@pytest.mark.slow
def test_a_report_has_page_figures_tables_and_scores(study: Path) -> None:
    ended = report(study)
    assert ended.returncode == 0, ended.stderr
    made = {path.relative_to(study / "report").as_posix() for path in (study / "report").rglob("*") if path.is_file()}
    missing = {name for name in FIGURES if f"figures/{name}.png" not in made}
    assert missing <= {"profile"}
    assert {f"figures/{name}.svg" for name in FIGURES if name not in missing} <= made
    assert {f"tables/{name}.{suffix}" for name in ("scores", "differences", "runs") for suffix in ("csv", "md", "tex")} <= made
    assert (study / "report" / "scores.csv").read_text().splitlines()[0] == (
        "algo.max_kl,env,n,mean,std,median,iqm,ci_low,ci_high,min,max,diverged,eval_mean"
    )
    assert str(study / "report" / "index.html") in ended.stdout


@pytest.mark.slow
def test_without_a_path_the_newest_study_below_results_is_taken(tmp_path: Path) -> None:
    for age, name in ((100, "newer"), (200, "older")):
        made_study(tmp_path / "results" / name, {"env=pendulum": {}}, seeds=[0], iterations=20)
        for path in (tmp_path / "results" / name).rglob("*.json"):
            os.utime(path, (time.time() - age, time.time() - age))
    (tmp_path / "results" / "notes").mkdir()
    assert newest(tmp_path / "results").name == "newer"
    ended = report(where=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "results" / "newer" / "report" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "no run below empty"),
        (["file"], "file is not a directory"),
        ([], "no results here"),
    ],
)
def test_an_unusable_path_is_a_sentence_and_exit_code_2(tmp_path: Path, words: list[str], sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for script in ("report.py", "doctor.py") if words else ("report.py",):
        command = [sys.executable, ROOT / "scripts" / script, *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert sentence in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_results_without_a_study_are_a_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "results" / "empty").mkdir(parents=True)
    ended = report(where=tmp_path)
    assert ended.returncode == 2 and "no study in results yet" in ended.stderr


@pytest.mark.slow
def test_a_part_of_a_study_does_not_overwrite_the_report_of_the_whole(study: Path) -> None:
    part = study / "algo.max_kl=null,env=pendulum"
    ended = report(part)
    assert ended.returncode == 2 and "--out" in ended.stderr
    ended = report(part, "--out", study.parent / "part")
    assert ended.returncode == 0, ended.stderr
    assert (study.parent / "part" / "index.html").exists() and not (study / "report").exists()


@pytest.mark.parametrize("below", [".", "figures", "checkpoint/deeper"])
def test_a_report_does_not_go_into_the_directory_of_a_run(study: Path, below: str) -> None:
    run = study / "algo.max_kl=null,env=pendulum" / "seed=0"
    before = sorted(run.rglob("*"))
    ended = report(study, "--out", run / below)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert "of a run; put" in ended.stderr if below == "." else "of the run seed=0; put" in ended.stderr
    assert sorted(run.rglob("*")) == before


def test_a_choice_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    for option, choices in (("--x", ("env_steps", "seconds", "updates")), ("--band", ("std", "interval", "range"))):
        ended = report("results/any", option, "other")
        (said,) = [line for line in ended.stderr.splitlines() if "invalid choice: 'other'" in line]
        assert ended.returncode == 2 and all(choice in said for choice in choices)


@pytest.mark.slow
def test_two_studies_need_a_place_and_share_a_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made_study(tmp_path / name, {"env=pendulum": {"algo.lr": 1e-3 if name == "one" else 3e-3}}, seeds=[0], iterations=20)
    ended = report(tmp_path / "one", tmp_path / "two")
    assert ended.returncode == 2 and "2 studies" in ended.stderr
    ended = report(tmp_path / "one", tmp_path / "two", "--out", tmp_path / "both")
    assert ended.returncode == 0, ended.stderr
    assert "one + two" in (tmp_path / "both" / "index.html").read_text()


@pytest.mark.slow
def test_a_row_cut_in_the_middle_is_noted_and_the_rest_is_shown(study: Path) -> None:
    path = study / "algo.max_kl=null,env=pendulum" / "seed=1" / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-20])
    ended = report(study)
    assert ended.returncode == 0 and "its last line is cut off" in ended.stderr
    assert "its last line is cut off; the 59 whole rows before it are used" in seen(study)


@pytest.mark.slow
def test_a_run_of_another_schema_is_noted_and_shown(study: Path) -> None:
    path = study / "algo.max_kl=null,env=pendulum" / "seed=1" / "config.yaml"
    path.write_text(path.read_text().replace("schema_version: 1", "schema_version: 7"))
    assert report(study).returncode == 0
    assert "schema_version 7 instead of 1" in seen(study)


@pytest.mark.slow
def test_a_single_seed_has_no_interval_and_says_so(tmp_path: Path) -> None:
    made_study(tmp_path / "pendulum", STOPS, seeds=[0])
    assert report(tmp_path / "pendulum").returncode == 0
    words = seen(tmp_path / "pendulum")
    assert "Fewer than 3 seeds: no interval and no comparison." in words
    assert "too few seeds" in words and "is better" not in words


@pytest.mark.slow
def test_a_study_in_progress_says_what_is_not_finished(study: Path) -> None:
    running = study / "algo.max_kl=null,env=pendulum" / "seed=1"
    write_status(running, Status("running", 30, 61440), durably=False)
    for name in ("metrics.csv", "timing.csv"):
        path = running / name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:31]))
    waiting = study / "algo.max_kl=null,env=pendulum" / "seed=2"
    write_status(waiting, Status("queued"), durably=False)
    for name in ("metrics.csv", "timing.csv", "episodes.csv"):
        (waiting / name).unlink()
    assert report(study).returncode == 0
    words = seen(study)
    assert "In progress: 2 runs are not finished." in words
    assert "6: 4 done, 1 interrupted, 1 queued" in words
    assert "without an iteration yet" in words


@pytest.mark.slow
def test_a_failed_and_a_diverged_run_are_listed_with_their_reasons(study: Path) -> None:
    one, two = (study / "algo.max_kl=null,env=pendulum" / f"seed={seed}" for seed in (1, 2))
    write_status(one, Status("failed", 12, 24576, error="Traceback\nValueError: <b>no</b> & nothing"), durably=False)
    write_status(two, Status("diverged", 40, 81920, reason="non-finite loss in epoch 3"), durably=False)
    assert report(study).returncode == 0
    html = (study / "report" / "index.html").read_text()
    assert "&lt;b&gt;no&lt;/b&gt; &amp; nothing" in html and "<b>no</b>" not in html
    assert "diverged after iteration 60: non-finite loss in epoch 3" in seen(study)
    assert "1 of 6 runs diverged" in seen(study)


@pytest.mark.slow
def test_a_second_report_replaces_the_first_and_leaves_other_files_alone(study: Path) -> None:
    assert report(study).returncode == 0
    own = [study / "report" / "notes.txt", study / "report" / "figures" / "mine.png", study / "report" / "tables" / "mine.csv"]
    for path in own:
        path.write_text("mine")
    stale = study / "report" / "figures" / "sensitivity.png"
    assert stale.exists()
    for directory in (study / "algo.max_kl=0.02,env=pendulum").iterdir():
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    (study / "algo.max_kl=0.02,env=pendulum").rmdir()
    (study / "study.json").unlink()
    (study / "report" / ".making-999999999").mkdir()
    assert report(study).returncode == 0
    assert all(path.read_text() == "mine" for path in own)
    assert not stale.exists(), "a figure of the earlier report would look like one of this"
    assert not list((study / "report").glob(".making-*"))


@pytest.mark.slow
def test_a_report_that_is_killed_leaves_no_page(study: Path) -> None:
    process = subprocess.Popen([sys.executable, ROOT / "scripts" / "report.py", study], stdout=subprocess.DEVNULL)
    while not list((study / "report").glob(".making-*/figures/*.png")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {path.name for path in (study / "report").iterdir()} == {f".making-{process.pid}"}


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_a_sentence(study: Path) -> None:
    (study / "report").write_text("a file")
    ended = report(study)
    assert ended.returncode == 2 and "cannot be written" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.slow
def test_the_options_reach_the_captions(study: Path) -> None:
    assert report(study, "--x", "updates", "--band", "range", "--seeds").returncode == 0
    assert "lowest" in seen(study)


def test_the_guide_names_every_option() -> None:
    options = set(re.findall(r"--[a-z]+", report("--help").stdout)) - {"--help"}
    guide = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    assert options and all(f"`{option}" in guide for option in options)
