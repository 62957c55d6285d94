"""Signals, full disks and kills at named points during real training: nothing torn, everything continued."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from ppo_sweep.config import Config
from ppo_sweep.envs import Environment
from ppo_sweep.runs.directory import RunDirectory, read_status
from ppo_sweep.runs.errors import DirectoryBusy
from ppo_sweep.runs.fault_points import APPENDED, FAULT_POINTS, arm
from ppo_sweep.runs.trainer import Trainer, train
from tests.runs.training_processes import assert_same_bytes, rows, start, train_to_the_end

CONFIG = Config().replace(
    **{"algo.n_steps": 120, "algo.epochs": 3, "total_steps": 12 * 120, "checkpoint_every": 2, "eval.every": 3, "eval.episodes": 1}
)
#: Points that training passes; the others belong to ``force``, to a fresh directory's leftovers and to sweeps.
PASSED = tuple(point for point in FAULT_POINTS if not point.startswith(("force", "checkpoint.delete", "study")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train(CONFIG, path, console=False)
    return path


def wait_for(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while rows(path) < count:
        assert time.monotonic() < deadline, f"{path} has {rows(path)} rows after a minute"
        time.sleep(0.001)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_stops_at_the_next_boundary_and_loses_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    # Only the signal itself makes a checkpoint, and it comes long before the end.
    config = CONFIG.replace(checkpoint_every=1000, total_steps=60 * 120)
    process = start(config, tmp_path / "run")
    wait_for(tmp_path / "run", 3)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == code
    assert read_status(tmp_path / "run").state == "stopped"
    stopped_at = rows(tmp_path / "run")
    assert 3 <= stopped_at < 60
    assert train_to_the_end(config, tmp_path / "run") == 0
    assert train_to_the_end(config, tmp_path / "undisturbed") == 0
    assert_same_bytes(tmp_path / "undisturbed", tmp_path / "run")
    assert f"continues after iteration {stopped_at}" in (tmp_path / "run" / "train.log").read_text()


def test_two_signals_stop_at_once_and_tear_nothing(tmp_path: Path) -> None:
    slow = CONFIG.replace(**{"algo.epochs": 1000, "network.hidden": [256, 256], "total_steps": 2 * 120, "eval.every": 0})
    process = start(slow, tmp_path / "slow")
    wait_for(tmp_path / "slow", 1)
    time.sleep(0.3)  # into the second iteration, which lasts longer than this by far
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert read_status(tmp_path / "slow").state == "interrupted"
    assert rows(tmp_path / "slow") == 1
    assert train_to_the_end(slow, tmp_path / "slow") == 0
    assert train_to_the_end(slow, tmp_path / "undisturbed") == 0
    assert_same_bytes(tmp_path / "undisturbed", tmp_path / "slow")


def test_a_second_writer_is_told_who_holds_the_run(undisturbed: Path, tmp_path: Path) -> None:
    process = start(CONFIG, tmp_path / "run")
    wait_for(tmp_path / "run", 2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DirectoryBusy, match=str(process.pid)):
            train(CONFIG, tmp_path / "run", console=False)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 0
    assert_same_bytes(undisturbed, tmp_path / "run")


def test_a_directory_moved_away_under_a_run_is_not_mistaken_for_the_one_that_took_its_place(undisturbed: Path, tmp_path: Path) -> None:
    first = start(CONFIG, tmp_path / "run")
    wait_for(tmp_path / "run", 3)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    (tmp_path / "run").rename(tmp_path / "aside")
    second = start(CONFIG, tmp_path / "run")
    wait_for(tmp_path / "run", 3)
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    os.kill(first.pid, signal.SIGCONT)
    first.join(60)
    assert first.exitcode == 3
    os.kill(second.pid, signal.SIGCONT)
    second.join(60)
    assert second.exitcode == 0
    assert_same_bytes(undisturbed, tmp_path / "run")
    assert train_to_the_end(CONFIG, tmp_path / "aside") == 0
    assert_same_bytes(undisturbed, tmp_path / "aside")


def test_a_signal_during_the_last_evaluation_is_in_the_exit_code(undisturbed: Path, tmp_path: Path) -> None:
    process = start(CONFIG, tmp_path / "run")
    wait_for(tmp_path / "run", 12)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)  # 100 episodes are being played
    process.join(60)
    assert process.exitcode == 143
    assert train_to_the_end(CONFIG, tmp_path / "run") == 0
    assert_same_bytes(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("ending", ["stop", "diverge", "go on"])
def test_trouble_with_one_runs_disk_leaves_its_neighbours_alone(ending: str, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG)
    for seed in range(3):
        trainer.start(RunDirectory.open(CONFIG.replace(seed=seed), tmp_path / str(seed)))
    trainer.iterate()
    if ending == "diverge":
        population = trainer.population
        population.layout.views(population.params)["policy.log_std"][0] = 1000.0
    arm(
        {"stop": "enospc@checkpoint.tensors.write.middle", "diverge": "enospc@policy.tensors.write.middle"}.get(
            ending, "enospc@metrics.write.middle"
        )
    )
    try:
        results = trainer.stop() if ending == "stop" else trainer.iterate()
    finally:
        arm("")
    assert [result.state for result in results] == ["interrupted", "stopped", "stopped"][: len(results)]
    assert "No space left" in str(results[0].reason)
    while trainer.runs:
        results += trainer.iterate()
    trainer.close()
    assert [read_status(tmp_path / str(seed)).state for seed in (1, 2)] == ["stopped" if ending == "stop" else "done"] * 2
    assert read_status(tmp_path / "0").state == "interrupted"
    assert train(CONFIG, tmp_path / "0", console=False).state == "done"


def test_an_environment_that_does_not_repeat_itself_is_named_instead_of_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(CONFIG)
    trainer.start(RunDirectory.open(CONFIG, tmp_path / "run"))
    trainer.iterate()
    trainer.stop()
    replay = Environment.replay
    monkeypatch.setattr(Environment, "replay", lambda self, episode, actions: replay(self, episode, actions) + 1e-12)
    result = train(CONFIG, tmp_path / "run", console=False)
    assert result.state == "failed"
    assert "not deterministic" in str(result.reason)


def test_a_checkpoint_of_another_shape_is_refused_in_words(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG)
    directory = RunDirectory.open(CONFIG, tmp_path / "run")
    trainer.start(directory)
    trainer.iterate()
    state = trainer.population.state_of(trainer.runs[0].member)
    state.arrays["params"] = state.arrays["params"][:-16]
    directory.checkpoint(state)
    trainer.close()
    result = train(CONFIG, tmp_path / "run", console=False)
    assert (result.state, result.exit_code) == ("interrupted", 3)
    assert "tensor params: expected shape" in str(result.reason)


def strike_and_continue(point: str, action: str, passing: int, path: Path) -> int | None:
    code = train_to_the_end(CONFIG, path, PPO_SWEEP_FAULT=f"{action}@{point}:{passing}")
    if code != 0:
        assert train_to_the_end(CONFIG, path) == 0
    return code


@pytest.mark.parametrize(
    "point", ["metrics.write.middle", "checkpoint.header.rename.after", "status.write.middle", "policy.tensors.rename.before"]
)
def test_a_kill_at_a_named_point_leaves_the_same_bytes(point: str, undisturbed: Path, tmp_path: Path) -> None:
    assert strike_and_continue(point, "kill", 1, tmp_path / "run") == -signal.SIGKILL
    assert_same_bytes(undisturbed, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("point", PASSED)
def test_a_kill_at_every_named_point_leaves_the_same_bytes(point: str, undisturbed: Path, tmp_path: Path) -> None:
    struck = 0
    for passing in (1, 2, 5):
        path = tmp_path / str(passing)
        # A cut happens on resume only: have something to resume from.
        if point.split(".")[1] == "cut":
            process = start(CONFIG, path)
            wait_for(path, 5)
            process.kill()
            process.join()
        struck += strike_and_continue(point, "kill", passing, path) == -signal.SIGKILL
        assert_same_bytes(undisturbed, path)
    assert struck >= 1, "no training passed this point"


@pytest.mark.parametrize("table", [*APPENDED, "checkpoint.tensors"])
def test_a_full_disk_stops_the_run_in_words_and_it_continues_when_there_is_room(table: str, undisturbed: Path, tmp_path: Path) -> None:
    code = strike_and_continue(f"{table}.write.middle", "enospc", 2, tmp_path / "run")
    assert code not in (0, -signal.SIGKILL)
    assert_same_bytes(undisturbed, tmp_path / "run")


def test_a_directory_removed_under_a_run_is_named(tmp_path: Path) -> None:
    process = start(CONFIG, tmp_path / "run")
    wait_for(tmp_path / "run", 2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    shutil.rmtree(tmp_path / "run")
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode not in (0, None)
    assert not (tmp_path / "run").exists(), "a run does not come back as half a directory"


def test_no_file_of_a_run_holds_a_time_host_or_path_among_its_bytes(undisturbed: Path) -> None:
    header = json.loads((undisturbed / "policy.json").read_text())
    assert "results" not in header["config"]
    for name in ("policy.json", "config.yaml"):
        text = (undisturbed / name).read_text()
        assert str(undisturbed.parent) not in text
        assert os.uname().nodename not in text
