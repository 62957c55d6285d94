"""``scripts/fsck.py``: what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_sweep.runs.lock import RunLock
from tests.runs.toy_run import work

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fsck.py"


def fsck(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run and an unfinished one."""
    monkeypatch.chdir(tmp_path)
    work(tmp_path / "results" / "hopper" / "a=1" / "seed=0")
    work(tmp_path / "results" / "hopper" / "a=2" / "seed=0", until=8)
    return Path("results/hopper")


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3)


def test_a_healthy_study_is_said_to_be_and_exits_0(study: Path) -> None:
    ended = fsck(study)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "results/hopper: 2 runs checked: all is well\n", "")


def test_repairs_are_listed_and_exit_0_and_the_second_time_all_is_well(study: Path) -> None:
    tear(study / "a=2/seed=0/metrics.csv")
    ended = fsck(study)
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        "results/hopper: 2 runs checked: 1 repaired",
        "  a=2/seed=0/metrics.csv: its last line is torn after 48 bytes",
        "    repaired: cut to its 7 whole rows",
    ]
    assert fsck(study).stdout == "results/hopper: 2 runs checked: all is well\n"


def test_what_is_left_is_listed_with_what_to_do_and_exits_1(study: Path) -> None:
    (study / "a=1/seed=0/config.yaml").write_text("")
    for _ in range(2):
        ended = fsck(study)
        assert ended.returncode == 1
        assert "1 left" in ended.stdout and "force=true" in ended.stdout


def test_a_dry_run_says_what_would_be_repaired_and_changes_nothing(study: Path) -> None:
    tear(study / "a=2/seed=0/metrics.csv")
    torn = (study / "a=2/seed=0/metrics.csv").read_bytes()
    ended = fsck(study, "--dry-run")
    assert ended.returncode == 1
    assert "1 to repair" in ended.stdout and "to repair: cut to its 7 whole rows" in ended.stdout
    assert (study / "a=2/seed=0/metrics.csv").read_bytes() == torn


def test_json_is_one_document(study: Path) -> None:
    tear(study / "a=2/seed=0/metrics.csv")
    lock = RunLock(study / "a=1/seed=0")
    ended = fsck(study, "--json")
    lock.release()
    assert ended.returncode == 0
    [report] = json.loads(ended.stdout)["studies"]
    assert (report["study"], report["checked"], report["in_use"]) == ("results/hopper", 1, ["a=1/seed=0"])
    [finding] = report["findings"]
    assert (finding["path"], finding["outcome"]) == ("a=2/seed=0/metrics.csv", "repaired")


def test_a_run_in_use_is_said_to_be_skipped(study: Path) -> None:
    lock = RunLock(study / "a=1/seed=0")
    ended = fsck(study)
    lock.release()
    assert ended.returncode == 0 and "  a=1/seed=0: in use, skipped" in ended.stdout.splitlines()


def test_all_studies_and_single_runs_can_be_checked(study: Path) -> None:
    assert fsck(study.parent).stdout == "results/hopper: 2 runs checked: all is well\n"
    assert fsck(study / "a=1/seed=0").stdout == "results/hopper: 1 run checked: all is well\n"


@pytest.mark.parametrize("path", ["nowhere", "results/notes.txt"])
def test_a_path_that_is_no_study_exits_2(path: str, study: Path) -> None:
    (study.parent / "notes.txt").write_text("mine")
    ended = fsck(path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert path in ended.stderr and "Traceback" not in ended.stderr
