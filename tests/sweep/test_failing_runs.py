"""Runs that fail, diverge or lose their disk end alone; the others have the bytes of a sweep without them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sweeping import alone, assert_as_alone, assert_same_bytes, go_wrong, states, sweep, walk

from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import DirectoryMismatch, StorageError
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep import ledger


def test_runs_that_diverge_or_raise_end_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    configs = [walk(seed, 5) for seed in range(7)]
    go_wrong(
        monkeypatch,
        {"seed": 1, "do": "nan"},
        {"seed": 2, "do": "raise"},
        {"seed": 3, "do": "memory"},
        {"seed": 4, "do": "raise", "episode": 0, "step": 0},
        {"seed": 5, "do": "print"},
    )
    study = tmp_path / "study"
    results = sweep(study, configs, slots=4)
    expected = ["done", "diverged", "failed", "failed", "failed", "done", "done"]
    assert states(results) == {f"walk/seed={seed}": state for seed, state in enumerate(expected)}
    assert [results[f"walk/seed={seed}"].exit_code for seed in range(7)] == [0, 3, 3, 3, 3, 0, 0]
    listed = read_study(study)
    assert listed is not None
    for seed, part in {2: "ValueError: the walker fell", 3: "MemoryError", 4: "ValueError: the walker fell"}.items():
        status = read_status(study / f"walk/seed={seed}")
        assert part in str(status.reason) and "faulty_environments.py" in str(status.error)
        assert [member.reason for member in listed.members if member.seed == seed] == [status.reason]
    assert [member.state for member in listed.members] == expected
    said = capsys.readouterr().out
    assert said.count("worker 1 says: chatter") == 1
    assert said.count("worker 1 says:") <= 20, "an environment that chatters does not drown the rest"
    monkeypatch.delenv("FAULTS")
    assert_as_alone(study, [configs[seed] for seed in (0, 5, 6)], tmp_path / "alone")


def test_the_same_sweep_again_does_what_is_missing_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [walk(seed) for seed in range(4)]
    study = tmp_path / "study"
    go_wrong(monkeypatch, {"seed": 1, "do": "nan"}, {"seed": 2, "do": "raise"})
    sweep(study, configs[:3])
    monkeypatch.delenv("FAULTS")
    before = {seed: files(study / f"walk/seed={seed}") for seed in range(3)}

    with RunDirectory.open(configs[3], study / "walk/seed=3"):
        pass  # begun, and left behind by a kill
    lazy = sweep(study, [config.replace(retry_failed=False) for config in configs])
    assert {name: (result.already, result.exit_code) for name, result in lazy.items()} == {
        "walk/seed=0": (True, 0),
        "walk/seed=1": (True, 3),
        "walk/seed=2": (True, 3),
        "walk/seed=3": (False, 0),
    }
    assert {seed: files(study / f"walk/seed={seed}") for seed in range(3)} == before, "no byte touched"

    again = sweep(study, {f"walk/seed={config.seed}": config for config in configs} | {"new/seed=0": walk(0, 7)})
    assert states(again) == {
        "walk/seed=0": "done",
        "walk/seed=1": "diverged",
        "walk/seed=2": "done",
        "walk/seed=3": "done",
        "new/seed=0": "done",
    }
    assert {name for name, result in again.items() if not result.already} == {"walk/seed=2", "new/seed=0"}
    assert files(study / "walk/seed=0") == before[0] and files(study / "walk/seed=1") == before[1]
    assert_as_alone(study, [configs[0], *configs[2:]], tmp_path / "alone")
    listed = read_study(study)
    assert listed is not None and len(listed.members) == 5


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below ``root``, with its time and bytes."""
    return {path.as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_full_disk_under_one_run_ends_that_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third row of metrics that this worker writes cannot be written: the first run's second iteration."""
    configs = [walk(seed, 3) for seed in range(2)]
    monkeypatch.setenv("PPO_SWEEP_FAULT", "enospc@metrics.write.middle:3")
    results = sweep(tmp_path / "study", configs)
    [full] = [name for name, result in results.items() if result.state == "interrupted"]
    assert "No space left on device" in str(results[full].reason) and results[full].exit_code == 3
    monkeypatch.delenv("PPO_SWEEP_FAULT")
    assert set(states(sweep(tmp_path / "study", configs)).values()) == {"done"}
    assert_as_alone(tmp_path / "study", configs, tmp_path / "alone")


def test_a_directory_of_another_configuration_stops_everything_before_it_begins(tmp_path: Path) -> None:
    study = tmp_path / "study"
    alone(tmp_path / "other", walk(5))
    shutil.copytree(next((tmp_path / "other").iterdir()), study / "walk/seed=1")
    with pytest.raises(DirectoryMismatch, match="another configuration"):
        sweep(study, [walk(0), walk(1)])
    assert not (study / "walk/seed=0").exists()
    assert not (study / "study.json").exists()


def test_a_study_file_that_cannot_be_written_is_said_once_and_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise StorageError("cannot write study.json: No space left on device")

    for name in ("update", "write_due"):
        monkeypatch.setattr(ledger.StudyFile, name, refuse)
    assert set(states(sweep(tmp_path / "study", [walk(0, 2)])).values()) == {"done"}
    assert capsys.readouterr().out.count("warning: cannot write study.json") == 1


def test_a_torn_study_file_is_set_aside_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").write_text('{"command": [')
    assert set(states(sweep(study, [walk(0, 1)])).values()) == {"done"}
    assert "study.json.damaged-1" in capsys.readouterr().out
    assert read_study(study) is not None


def test_a_run_whose_directory_cannot_be_written_at_its_beginning_ends_alone(tmp_path: Path) -> None:
    def refuse(job: int) -> None:
        if job == 0:
            raise OSError(28, os.strerror(28))

    results = sweep(tmp_path / "study", [walk(0, 1), walk(1, 1)], begun=refuse)
    assert states(results) == {"walk/seed=0": "interrupted", "walk/seed=1": "done"}
    assert "No space left on device" in str(results["walk/seed=0"].reason)


def test_a_run_in_use_by_somebody_else_is_left_to_them(tmp_path: Path) -> None:
    study = tmp_path / "study"
    with RunDirectory.open(walk(0, 1), study / "walk/seed=0"):
        results = sweep(study, [walk(0, 1), walk(1, 1)])
    assert states(results) == {"walk/seed=0": "interrupted", "walk/seed=1": "done"}
    assert "is in use by process" in str(results["walk/seed=0"].reason)


def test_a_run_that_waits_says_so_and_is_left_alone_when_somebody_has_it(tmp_path: Path) -> None:
    listed = ledger.Ledger(
        [ledger.Job(walk(seed), tmp_path / f"seed={seed}", {}) for seed in range(2)],
        tmp_path,
        command=(),
        max_restarts=3,
        ended=lambda job, result: None,
        note=print,
    )
    listed.announce(0)
    assert read_status(tmp_path / "seed=0").state == "queued"
    with RunDirectory.open(walk(1), tmp_path / "seed=1"):
        (tmp_path / "seed=1/status.json").unlink()
        listed.announce(1)
        assert read_status(tmp_path / "seed=1").state == "absent"


def test_sets_of_slots_and_workers_change_no_byte(tmp_path: Path) -> None:
    configs = [walk(seed, 2 + seed) for seed in range(3)]
    for workers, slots in ((1, 1), (2, 2)):
        assert set(states(sweep(tmp_path / f"{workers}", configs, workers=workers, slots=slots)).values()) == {"done"}
    for seed in range(3):
        assert_same_bytes(tmp_path / f"1/walk/seed={seed}", tmp_path / f"2/walk/seed={seed}")
