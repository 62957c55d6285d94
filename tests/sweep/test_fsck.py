"""``fsck``: a healthy study is only read, a damaged one is repaired so that the same command ends it with the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium.envs.classic_control import PendulumEnv

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.status import read_status, write_status
from ppo_sweep.runs.study_file import StudyFile, StudyMember, read_study
from ppo_sweep.runs.trainer import Trainer, train
from ppo_sweep.sweep.fsck import Report, fsck
from tests.runs import toy_run
from tests.runs.training_processes import assert_same_bytes, contents

ROOT = Path(__file__).resolve().parents[2]

#: Twelve short iterations of Pendulum, a checkpoint after every second.
CONFIG = Config().replace(
    **{"algo.n_steps": 120, "algo.epochs": 3, "total_steps": 12 * 120, "checkpoint_every": 2, "eval.every": 3, "eval.episodes": 1}
)


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Every file below ``root``: time of change and hash; directories count by their names."""
    return {
        path.relative_to(root).as_posix(): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


def half_way(config: Config, path: Path, iterations: int = 7) -> None:
    """Train some iterations and leave as a kill would, an odd number of them after the last checkpoint."""
    trainer = Trainer(config)
    trainer.start(RunDirectory.open(config, path))
    for _ in range(iterations):
        trainer.iterate()
    trainer.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two runs: seed 0 done, seed 1 left half-way."""
    study = tmp_path_factory.mktemp("results") / "pendulum"
    train(CONFIG, study / "default" / "seed=0", console=False)
    half_way(CONFIG.replace(seed=1), study / "default" / "seed=1")
    members = [
        StudyMember(f"default/seed={seed}", seed, {"seed": seed}, CONFIG.replace(seed=seed).hash, CONFIG.total_steps, state)
        for seed, state in ((0, "done"), (1, "running"))
    ]
    StudyFile.open(study, command=["-m", "seed=0,1"], members=members)
    return study


@pytest.fixture(scope="module")
def undisturbed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    path = tmp_path_factory.mktemp("undisturbed")
    train(CONFIG.replace(seed=1), path / "1", console=False)
    return {0: shutil.copytree(trained / "default" / "seed=0", path / "0"), 1: path / "1"}


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(trained, tmp_path / "results" / "pendulum")


def flip(path: Path, place: int = -1) -> None:
    """Change one byte (in the middle unless told otherwise)."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place < 0 else place] ^= 0x11
    path.write_bytes(content)


def tear(path: Path, bytes_: int) -> None:
    os.truncate(path, path.stat().st_size - bytes_)


def outcomes(report: Report) -> dict[str, str]:
    return {finding.path: finding.outcome for finding in report.findings}


def assert_repaired_and_clean(study: Path) -> Report:
    """Everything found is repaired, and the second look finds nothing and changes nothing."""
    report = fsck(study)
    assert report.findings and report.clean, report
    before = tree(study)
    assert fsck(study).findings == []
    assert tree(study) == before
    return report


def test_a_healthy_study_is_not_changed_by_a_byte(study: Path) -> None:
    before = tree(study)
    report = fsck(study)
    assert (report.checked, report.findings, report.in_use, report.clean) == (2, [], [], True)
    assert tree(study) == before


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def remove(run: Path, *names: str) -> None:
    for name in names:
        (run / name).unlink()


def leave_temporaries(run: Path) -> None:
    for name in (".status.json.tmp", "checkpoint/.a.json.tmp", ".policy.safetensors.tmp"):
        (run / name).write_text("half")


def lose_last_row(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def slots(run: Path) -> list[str]:
    """Checkpoints, the older first."""
    return sorted("ab", key=lambda slot: json.loads((run / "checkpoint" / f"{slot}.json").read_text())["sequence"])


def flip_between_checkpoints(run: Path) -> None:
    """A byte of a row that the newer checkpoint knows and the older does not."""
    older, newer = (json.loads((run / "checkpoint" / f"{slot}.json").read_text())["tables"]["metrics"]["bytes"] for slot in slots(run))
    flip(run / "metrics.csv", (older + newer) // 2)


#: Name → seed of the run (0 is done, 1 half-way), the damage, the start of the file's name that is found damaged.
DAMAGE: dict[str, tuple[int, Callable[[Path], object], str]] = {
    "torn line of an unfinished run": (1, lambda run: tear(run / "metrics.csv", 20), "metrics.csv"),
    "garbage behind the rows": (1, lambda run: append(run / "episodes.csv", b"\0\0\0\nx,y\n"), "episodes.csv"),
    "gap in the rows": (1, lambda run: append(run / "metrics.csv", b"9" + b"," * 36 + b"\n"), "metrics.csv"),
    "rows that one checkpoint knows otherwise": (1, flip_between_checkpoints, "checkpoint/"),
    "rows lost that the newest checkpoint knows": (1, lambda run: tear(run / "metrics.csv", 800), "checkpoint/"),
    "newest checkpoint": (1, lambda run: flip(run / f"checkpoint/{slots(run)[1]}.safetensors"), "checkpoint/"),
    "header of the newest checkpoint": (1, lambda run: flip(run / f"checkpoint/{slots(run)[1]}.json"), "checkpoint/"),
    "half a status": (1, lambda run: tear(run / "status.json", 40), "status.json"),
    "no status": (1, lambda run: remove(run, "status.json"), "status.json"),
    "half a status of a finished run": (0, lambda run: tear(run / "status.json", 40), "status.json"),
    "no policy": (0, lambda run: remove(run, "policy.json", "policy.safetensors"), "policy.json"),
    "half a policy": (0, lambda run: remove(run, "policy.safetensors"), "policy.safetensors"),
    "policy": (0, lambda run: flip(run / "policy.safetensors"), "policy.safetensors"),
    "torn line of a finished run": (0, lambda run: tear(run / "metrics.csv", 20), "metrics.csv"),
    "rows of a finished run": (0, flip_between_checkpoints, "metrics.csv"),
    "torn line behind a finished run": (0, lambda run: append(run / "metrics.csv", b"13,1"), "metrics.csv"),
    "torn evaluation of a finished run": (0, lambda run: tear(run / "eval.csv", 5), "eval.csv"),
    "lost evaluation of a finished run": (0, lambda run: lose_last_row(run / "eval.csv"), "eval.csv"),
    "older checkpoint of a finished run": (0, lambda run: flip(run / f"checkpoint/{slots(run)[0]}.safetensors"), "checkpoint/"),
    "torn times": (0, lambda run: tear(run / "timing.csv", 3), "timing.csv"),
    "no times": (0, lambda run: remove(run, "timing.csv"), "timing.csv"),
    "stale temporary files": (0, leave_temporaries, ".status.json.tmp"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_repaired_run_is_ended_by_the_same_command_with_the_bytes_of_an_undisturbed_one(
    name: str, study: Path, undisturbed: dict[int, Path]
) -> None:
    seed, damage, file = DAMAGE[name]
    run = study / "default" / f"seed={seed}"
    damage(run)
    before = tree(study)
    planned = fsck(study, dry_run=True)
    assert tree(study) == before
    assert "repairable" in outcomes(planned).values() and not planned.clean
    report = assert_repaired_and_clean(study)
    assert any(path.startswith(f"default/seed={seed}/{file}") for path in outcomes(report)), report
    assert all(path.startswith(f"default/seed={seed}/") for path in outcomes(report))
    result = train(CONFIG.replace(seed=seed), run, console=False)
    assert result.state == "done" and "warning" not in "".join(RunDirectory.open(CONFIG.replace(seed=seed), run).notes)
    assert_same_bytes(undisturbed[seed], run)
    assert fsck(study).findings == []


def test_a_torn_line_is_cut_to_the_last_whole_one(study: Path) -> None:
    run = study / "default" / "seed=1"
    whole = (run / "metrics.csv").read_bytes()
    (run / "metrics.csv").write_bytes(whole + b"8,960,")
    [finding] = fsck(study).findings
    assert (finding.path, finding.what) == ("default/seed=1/metrics.csv", "its last line is torn after 6 bytes")
    assert (finding.outcome, finding.remedy) == ("repaired", "cut to its 7 whole rows")
    assert (run / "metrics.csv").read_bytes() == whole
    assert not list(run.glob("damaged-*"))


def test_what_is_taken_out_of_use_is_kept(study: Path) -> None:
    run = study / "default" / "seed=1"
    slot = slots(run)[1]
    flip(run / "checkpoint" / f"{slot}.safetensors")
    damaged = (run / "checkpoint" / f"{slot}.safetensors").read_bytes()
    append(run / "metrics.csv", b"9" + b"," * 36 + b"\n")
    table = (run / "metrics.csv").read_bytes()
    fsck(study)
    assert not (run / "checkpoint" / f"{slot}.safetensors").exists()
    kept = {path.name: path.read_bytes() for path in (run / "damaged-1").iterdir()}
    assert kept.keys() == {f"{slot}.json", f"{slot}.safetensors", "metrics.csv"}
    assert (kept[f"{slot}.safetensors"], kept["metrics.csv"]) == (damaged, table)


def test_a_run_without_a_usable_checkpoint_is_left_with_what_to_do_and_starts_from_nothing(
    study: Path, undisturbed: dict[int, Path]
) -> None:
    run = study / "default" / "seed=1"
    for slot in "ab":
        flip(run / "checkpoint" / f"{slot}.json")
    before = tree(study)
    report = fsck(study)
    assert not report.clean and tree(study) == before
    assert {finding.path for finding in report.findings} == {f"default/seed=1/checkpoint/{slot}.json" for slot in "ab"}
    assert all("starts the run from nothing, to the same bytes" in finding.remedy for finding in report.findings)
    assert train(CONFIG.replace(seed=1), run, console=False).state == "done"
    assert_same_bytes(undisturbed[1], run)
    assert fsck(study).findings == []


def test_a_finished_run_that_no_checkpoint_can_mend_needs_force(study: Path, undisturbed: dict[int, Path]) -> None:
    run = study / "default" / "seed=0"
    flip(run / "metrics.csv", 800)
    before = tree(study)
    for _ in range(2):
        report = fsck(study)
        assert outcomes(report) == {"default/seed=0/metrics.csv": "left"} and tree(study) == before
    assert "force=true" in report.findings[0].remedy
    assert train(CONFIG.replace(force=True), run, console=False).state == "done"
    assert_same_bytes(undisturbed[0], run)
    assert fsck(study).clean


def test_a_pruned_run_with_damaged_rows_is_left_and_found_damaged_every_time(study: Path) -> None:
    run = study / "default" / "seed=0"
    write_status(run, dataclasses.replace(read_status(run), state="pruned"))
    flip_between_checkpoints(run)
    before = tree(study)
    for _ in range(2):
        assert outcomes(fsck(study)) == {"default/seed=0/metrics.csv": "left"} and tree(study) == before


def test_a_finished_run_whose_checkpoints_were_removed_to_save_space_is_well(study: Path) -> None:
    shutil.rmtree(study / "default" / "seed=0" / "checkpoint")
    assert fsck(study).findings == []


def test_a_damaged_configuration_is_written_anew_from_hydras_if_the_checkpoint_knows_it(study: Path, undisturbed: dict[int, Path]) -> None:
    run = study / "default" / "seed=1"
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(CONFIG.replace(seed=1).to_dict()))
    flip(run / "config.yaml", 400)
    report = assert_repaired_and_clean(study)
    assert outcomes(report) == {"default/seed=1/config.yaml": "repaired"}
    assert train(CONFIG.replace(seed=1), run, console=False).state == "done"
    assert_same_bytes(undisturbed[1], run)


@pytest.mark.parametrize("beside", ["nothing", "another", "no mapping"])
def test_a_damaged_configuration_without_a_vouched_copy_is_left(beside: str, study: Path) -> None:
    run = study / "default" / "seed=1"
    if beside != "nothing":
        (run / ".hydra").mkdir()
        text = yaml.safe_dump(CONFIG.replace(seed=2).to_dict()) if beside == "another" else "[1, 2]"
        (run / ".hydra" / "config.yaml").write_text(text)
    flip(run / "config.yaml", 400)
    before = tree(study)
    report = fsck(study)
    assert outcomes(report) == {"default/seed=1/config.yaml": "left"} and tree(study) == before
    assert "force=true" in report.findings[0].remedy


def test_another_configuration_than_the_listed_one_is_said(study: Path) -> None:
    other = CONFIG.replace(**{"seed": 1, "algo.lr": 1e-3})
    StudyFile.open(study, command=["x"], members=[StudyMember("default/seed=1", 1, {}, other.hash, 1440, "queued")])
    [finding] = fsck(study).findings
    assert finding.outcome == "left" and "another configuration" in finding.what and other.hash[:8] in finding.what


def test_a_run_in_use_is_skipped_and_not_touched(study: Path) -> None:
    run = study / "default" / "seed=1"
    tear(run / "metrics.csv", 20)
    lock = RunLock(run)
    before = tree(study)
    report = fsck(study)
    assert (report.in_use, report.checked, report.findings) == (["default/seed=1"], 1, [])
    assert tree(study) == before
    lock.release()
    assert outcomes(fsck(study)) == {"default/seed=1/metrics.csv": "repaired"}


def test_while_a_sweep_is_at_work_nothing_of_the_study_is_repaired(study: Path) -> None:
    tear(study / "default" / "seed=1" / "metrics.csv", 20)
    append(study / "default" / "seed=0" / "metrics.csv", b"13,1")
    (study / ".study.json.tmp").write_text("half")
    lock = RunLock(study)
    before = tree(study)
    report = fsck(study)
    assert report.in_use == ["default/seed=1"], "a worker may take it up at any moment"
    assert outcomes(report) == {"default/seed=0/metrics.csv": "left"} and "a sweep is at work" in report.findings[0].remedy
    assert tree(study) == before
    lock.release()
    assert_repaired_and_clean(study)


def test_locks_are_held_while_repairing_and_released_after(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    run = study / "default" / "seed=1"
    write_status_before = write_status

    def watched(directory: Path, *args: object, **kwargs: object) -> None:
        held.append((is_locked(study), is_locked(directory)))
        write_status_before(directory, *args, **kwargs)

    monkeypatch.setattr("ppo_sweep.sweep.fsck_repairs.write_status", watched)
    (run / "status.json").write_text("{")
    fsck(study)
    assert held == [(True, True)]
    assert not is_locked(study) and not is_locked(run)
    assert read_status(run).state == "interrupted"


def test_a_disk_that_refuses_a_repair_is_said_and_the_rest_goes_on(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise StorageError("cannot write: No space left on device")

    monkeypatch.setattr("ppo_sweep.sweep.fsck_repairs.write_status", refused)
    (study / "default" / "seed=0" / "status.json").write_text("{")
    tear(study / "default" / "seed=1" / "metrics.csv", 20)
    report = fsck(study)
    assert outcomes(report) == {"default/seed=0/status.json": "left", "default/seed=1/metrics.csv": "repaired"}
    assert "No space left" in report.findings[0].what


def test_a_damaged_study_file_is_set_aside_and_its_runs_are_still_checked(study: Path) -> None:
    tear(study / "study.json", 30)
    damaged = (study / "study.json").read_bytes()
    report = assert_repaired_and_clean(study)
    assert outcomes(report) == {"study.json": "repaired"} and report.checked == 2
    assert (study / "study.json.damaged-1").read_bytes() == damaged
    assert read_study(study) is None


def test_a_listed_result_whose_directory_is_gone_is_left_and_one_never_begun_is_not(study: Path) -> None:
    for seed in (0, 1):
        shutil.rmtree(study / "default" / f"seed={seed}")
    [finding] = fsck(study).findings
    assert (finding.path, finding.outcome) == ("default/seed=0", "left") and "trains it again" in finding.remedy


def test_runs_of_trials_and_confirmations_are_checked(study: Path) -> None:
    for place in ("trial=0007/env=hopper/seed=1", "trial=0008/seed=1", "confirm/rank=1/seed=1000", "confirm/default/seed=1000"):
        shutil.copytree(study / "default" / "seed=1", study / place)
        tear(study / place / "metrics.csv", 20)
    report = fsck(study)
    assert report.checked == 6 and report.count("repaired") == 4 and report.clean


def test_a_part_of_a_study_is_checked_alone(study: Path) -> None:
    for seed in (0, 1):
        tear(study / "default" / f"seed={seed}" / "timing.csv", 3)
    report = fsck(study, "default/seed=1")
    assert (report.checked, list(outcomes(report))) == (1, ["default/seed=1/timing.csv"])
    shutil.copytree(study / "default" / "seed=0", study / "a=1" / "seed=0")
    assert (fsck(study, "a=1").checked, fsck(study).checked) == (1, 3)


class Poisoned(PendulumEnv):
    """Pendulum, but for about one episode in ten, in which the 50th reward is NaN."""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        result = super().reset(**kwargs)
        self.poisoned, self.steps = self.np_random.random() < 0.1, 0
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, more = super().step(action)
        self.steps += 1
        bad = self.poisoned and self.steps == 50
        return seen, float("nan") if bad else float(reward), terminated, truncated, more


@pytest.mark.parametrize("lost", ["policy.json", "metrics.csv"])
def test_a_diverged_run_that_is_not_whole_is_opened_again_and_diverges_again(lost: str, tmp_path: Path) -> None:
    gymnasium.register("Poisoned-v0", entry_point=Poisoned, max_episode_steps=200)
    try:
        config = CONFIG.replace(**{"env.id": "Poisoned-v0", "total_steps": 60 * 120, "eval.every": 0})
        run = tmp_path / "poisoned" / "default" / "seed=0"
        assert train(config, run, console=False).state == "diverged"
        assert read_status(run).iteration > 4, "nothing to continue from"
        assert fsck(tmp_path / "poisoned").findings == []
        before = contents(run)
        if lost == "policy.json":
            (run / lost).unlink()
        else:
            tear(run / lost, 20)
        assert set(outcomes(assert_repaired_and_clean(tmp_path / "poisoned")).values()) == {"repaired"}
        assert read_status(run).state == "interrupted"
        assert train(config, run, console=False).state == "diverged"
        assert contents(run) == before
    finally:
        del gymnasium.registry["Poisoned-v0"]


@pytest.mark.slow
def test_the_same_command_line_ends_a_repaired_study(tmp_path: Path) -> None:
    def command(seed: int, study: str) -> int:
        words = [
            "algo.n_envs=1",
            "algo.n_steps=120",
            "algo.epochs=2",
            "total_steps=1440",
            "checkpoint_every=2",
            f"seed={seed}",
            f"study={study}",
        ]
        return subprocess.run([sys.executable, ROOT / "train.py", *words], cwd=tmp_path, capture_output=True, check=False).returncode

    for study in ("undisturbed", "damaged"):
        assert [command(seed, study) for seed in range(4)] == [0] * 4
    damaged = tmp_path / "results" / "damaged"
    runs = sorted(path.parent for path in damaged.rglob("config.yaml") if path.parent.name != ".hydra")
    tear(runs[0] / "metrics.csv", 10)
    flip(runs[1] / "checkpoint" / f"{slots(runs[1])[1]}.safetensors")
    tear(runs[2] / "status.json", 30)
    (runs[3] / "policy.json").unlink()
    flip(runs[1] / "config.yaml", 200)
    checked = subprocess.run([sys.executable, ROOT / "scripts" / "fsck.py", damaged], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert [command(seed, "damaged") for seed in range(4)] == [0] * 4
    for run in runs:
        assert_same_bytes(tmp_path / "results" / "undisturbed" / run.relative_to(damaged), run)
    again = subprocess.run([sys.executable, ROOT / "scripts" / "fsck.py", damaged], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.count("\n")) == (0, 1)


FILES = (
    "metrics.csv", "episodes.csv", "eval.csv", "timing.csv", "status.json", "config.yaml", "policy.json", "policy.safetensors",
    "checkpoint/a.json", "checkpoint/a.safetensors", "checkpoint/b.json", "checkpoint/b.safetensors",
)  # fmt: skip


STATES = {"done": None, "half-way": 8, "before the first checkpoint": 2}


@pytest.mark.parametrize("state", STATES)
def test_a_run_damaged_at_random_ends_with_the_same_bytes_or_is_said_to_need_force(state: str, tmp_path: Path) -> None:
    damage_and_mend(STATES[state], tmp_path, trials=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_many_runs_damaged_at_random_end_with_the_same_bytes_or_are_said_to_need_force(state: str, tmp_path: Path) -> None:
    damage_and_mend(STATES[state], tmp_path, trials=150, seed=2)


def damage_and_mend(until: int | None, place: Path, trials: int, seed: int) -> None:
    """Files cut, flipped, emptied, removed or prolonged at random, one to three at a time."""
    toy_run.work(place / "reference")
    toy_run.work(place / "study" / "default" / "seed=3", until=until)
    rng = np.random.default_rng(seed)
    # What nothing can bring back: a configuration without a copy; rows of a finished run, once its checkpoints do not fit them.
    precious = {"config.yaml"} if until is not None else {"config.yaml", *FILES[:3], *FILES[-4:]}
    for trial in range(trials):
        study = shutil.copytree(place / "study", place / f"study-{trial}")
        run = study / "default" / "seed=3"
        damaged = {str(name) for name in rng.choice(FILES, size=rng.integers(1, 4), replace=False)}
        for name in sorted(damaged):
            if (run / name).exists():
                damage(run / name, rng)
        fsck(study)
        before = tree(study)
        again = fsck(study)
        assert again.count("repaired") == 0 and tree(study) == before, again
        force = any("force=true" in finding.remedy for finding in again.findings)
        assert not force or damaged & precious
        toy_run.work(run, toy_run.CONFIG.replace(force=force))
        assert read_status(run).state == "done"
        assert toy_run.bytes_of(run) == toy_run.bytes_of(place / "reference"), again
        assert fsck(study).clean
        shutil.rmtree(study)


def damage(path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    kind = rng.integers(5)
    if kind == 0:
        path.write_bytes(content[: rng.integers(len(content))])
    elif kind == 1:
        flip(path, int(rng.integers(len(content))))
    elif kind == 2:
        path.write_bytes(b"")
    elif kind == 3:
        path.unlink()
    else:
        path.write_bytes(content + rng.bytes(30))
