"""``scripts/status.py``: what is printed for a study, a run and all studies, and for paths that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.study_file import StudyFile, StudyMember
from tests.runs.terminals import terminal, without_escapes
from tests.runs.toy_run import CONFIG, work

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "status.py"

NAMES = ("algo.max_kl=0.02,env=hopper,total_steps=24576/seed=0", "algo.max_kl=0.07,env=hopper,total_steps=24576/seed=0")


def status(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    values = {"capture_output": True, "text": True, "timeout": 60, "check": False, **options}
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], **values)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One study of two runs, a done one and a failed one, and one with a run that is not begun."""
    monkeypatch.chdir(tmp_path)
    work(tmp_path / "results" / "hopper" / NAMES[0])
    with RunDirectory.open(CONFIG, tmp_path / "results" / "hopper" / NAMES[1]) as run:
        run.finish("failed", score=None, reason="the environment raised ValueError: no such joint")
    (tmp_path / "results" / "swimmer").mkdir()
    StudyFile.open(
        tmp_path / "results" / "swimmer", command=["-m", "env=swimmer"], members=[StudyMember("default/seed=0", 0, {}, "0", 1000, "queued")]
    )
    return Path("results")


def test_a_study_is_a_line_of_summary_and_a_line_for_each_run(results: Path) -> None:
    printed = status(results / "hopper")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.splitlines()[:2] == [
        "results/hopper: 2 runs: 1 done, 1 failed · 24,576 of 24,576 steps (100 %) · no sweep is at work on it",
        f"run{' ' * (len(NAMES[0]) - 3)}  state    steps  return      KL  entropy  score  reason",
    ]
    done, failed = printed.stdout.splitlines()[2:]
    assert done.split() == [NAMES[0], "done", "24,576", "–", "1.2000", "–", "-1.25"]
    assert failed.endswith("the environment raised ValueError: no such joint")


def test_who_is_at_work_is_said(results: Path) -> None:
    lock = RunLock(results / "swimmer")
    printed = status(results / "swimmer").stdout
    lock.release()
    assert "1 run: 1 queued · 0 of 1,000 steps (0 %) · a sweep is at work on it: process" in printed and str(os.getpid()) in printed


def test_json_is_one_document_with_everything(results: Path) -> None:
    printed = status(results / "hopper", results / "swimmer", "--json")
    assert printed.returncode == 0
    hopper, swimmer = json.loads(printed.stdout)["studies"]
    assert (hopper["study"], hopper["counts"], hopper["sweep"], hopper["command"]) == (
        "results/hopper",
        {"done": 1, "failed": 1},
        None,
        None,
    )
    assert (hopper["env_steps"], hopper["total_steps"]) == (24576, 24576)
    done = hopper["runs"][0]
    assert (done["path"], done["state"], done["score"], done["kl"]) == (NAMES[0], "done", -1.25, pytest.approx(1.2))
    assert swimmer["command"] == ["-m", "env=swimmer"]
    assert swimmer["runs"][0]["state"] == "queued"


def test_the_results_root_is_a_line_for_each_study(results: Path) -> None:
    lines = status(results).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["results/hopper", "results/swimmer"]


def test_a_run_is_shown_alone(results: Path) -> None:
    lines = status(results / "hopper" / NAMES[0]).stdout.splitlines()
    assert len(lines) == 3 and lines[0].startswith(f"results/hopper/{NAMES[0]}: 1 run: 1 done")


def test_several_paths_are_shown_one_after_another_and_an_unusable_one_is_said(results: Path) -> None:
    printed = status(results / "hopper", results / "nowhere", results / "swimmer")
    assert printed.returncode == 2
    assert printed.stdout.count("sweep is at work") == 2
    assert printed.stderr == "results/nowhere does not exist; give the directory of a study, for example results/hopper\n"


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_path_that_is_no_study_exits_2(option: list[str], results: Path) -> None:
    (results / "notes.txt").write_text("mine")
    printed = status(results / "notes.txt", *option)
    assert (printed.returncode, printed.stdout) == (2, "")
    assert "is a file" in printed.stderr and "Traceback" not in printed.stderr


def test_damage_is_reported_with_what_to_do_and_exits_0(results: Path) -> None:
    (results / "hopper" / NAMES[1] / "status.json").write_text("{")
    printed = status(results / "hopper")
    assert printed.returncode == 0
    assert f"warning: results/hopper/{NAMES[1]}/status.json: JSON: expected an object" in printed.stdout
    assert "fsck.py results/hopper checks it" in printed.stdout.splitlines()[-1]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_in_a_terminal_the_table_fits_its_width_and_says_once_what_all_runs_share(
    columns: int, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch, columns) as screen:
        # Python's environment, not the process's: readline, which pytest loads, has put COLUMNS into that one.
        options = {"stdout": screen.stream, "stdin": subprocess.DEVNULL, "env": dict(os.environ), "check": True}
        subprocess.run([sys.executable, SCRIPT, results / "hopper"], **options)
        printed = without_escapes(screen.read())
    summary, shared, header, *rows = printed.replace("\n\n", "\n").splitlines()
    assert summary.startswith("results/hopper: 2 runs")
    assert all(len(line) <= columns for line in (shared, header, *rows)), printed
    assert "env=hopper,total_steps=24576" in shared
    joined = "".join(row.split("  ")[0].strip() for row in rows)
    assert "algo.max_kl=0.02" in joined and "algo.max_kl=0.07" in joined
    assert ("entropy" in header) == (columns >= 90)


def test_an_ascii_terminal_and_a_closed_pipe_are_no_reason_to_crash(results: Path) -> None:
    ascii_ = status(results / "hopper", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (ascii_.returncode, ascii_.stderr) == (0, "")
    closed = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' '{SCRIPT}' results/hopper results/hopper | true"], capture_output=True, check=False
    )
    assert closed.stderr == b""


def test_nothing_heavy_is_imported(results: Path) -> None:
    traced = subprocess.run([sys.executable, "-X", "importtime", SCRIPT, results / "hopper"], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert "ppo_sweep.sweep.overview" in imported
    assert not {"torch", "gymnasium", "mujoco", "hydra", "pandas", "matplotlib"} & imported
